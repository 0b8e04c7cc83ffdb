//! The commands that xt_recent has, too: block, unblock and flush. The FIFO task carries
//! them out itself, without the disk thread.

use std::net::IpAddr;

use anyhow::Result;
use spamdrop_common::entry::Origin;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::history::{BlockNote, FIFO_REASON, HistoryEvent};
use spamdrop_core::owners::OwnerBit;
use spamdrop_core::target::Target;
use spamdrop_core::term::Term;

use super::complaints::CommandRefusal;
use super::{FifoTask, LOCK_WAIT};
use crate::clock;
use crate::daemon::block::{BlockRule, origin};
use crate::daemon::release::ReleaseMessage;
use crate::lock::{self, WriteLock};

impl FifoTask {
    /// Blocks an address for as long as `spamdrop add ADDR` does, with `seconds` as
    /// `--for`. The peer's connections are released after the grace, as after an offence.
    pub(super) fn block(
        &mut self,
        lock: &WriteLock,
        addr: IpAddr,
        seconds: Option<u32>,
    ) -> Result<()> {
        if let Some(why) = self.scope.protected.why(addr) {
            self.counts.protected += 1;
            self.complaints.log(
                CommandRefusal::Protected,
                &format!("{addr} not blocked: {why}"),
            );
            return Ok(());
        }
        let BlockRule { ttl_s, sealed, .. } = self.settings.rule;
        let term = term(seconds.unwrap_or(ttl_s));
        let origin = reason(
            self.blocklist.origin(addr)?,
            term.start,
            &self.settings.rule,
        );
        let target = self.scope.target(addr);
        let (key, owner) = ((addr, target), OwnerBit::FIFO);
        let blocked = self
            .blocklist
            .block(lock, key, owner, term, sealed, &origin)?;
        self.holds.add(target, &blocked);
        self.blocked(addr, target, blocked.is_renewed, term);
        log::debug!(target: "spamdrop::fifo", "blocked {addr}: fifo");
        Ok(())
    }

    /// Records a block, and lets the release task end the peer's connections after the
    /// grace.
    pub(super) fn blocked(&mut self, addr: IpAddr, target: Target, is_renewed: bool, term: Term) {
        let BlockRule {
            ttl_s,
            sealed,
            grace,
            ..
        } = self.settings.rule;
        let at = clock::unix_seconds();
        self.history.block(match is_renewed {
            true => BlockNote::renewed(addr, target, at, ttl_s.max(term.ttl_s), 0),
            false => BlockNote::new(addr, target, at),
        });
        let message = ReleaseMessage::Add {
            addr,
            due: term.start.plus(grace),
            open: (!sealed).then_some(target),
        };
        let _ = self.releases.send(message);
        self.counts.added += 1;
    }

    pub(super) fn unblock(&mut self, lock: &WriteLock, addr: IpAddr) -> Result<()> {
        let targets: Vec<Target> = Target::covering(addr).collect();
        if !self.blocklist.remove_all(lock, &targets)?.is_empty() {
            self.counts.removed += 1;
            self.record(Some(addr), &format!("remove {addr}"));
            log::debug!(target: "spamdrop::fifo", "unblocked {addr}: fifo");
        } else {
            log::debug!(target: "spamdrop::fifo", "{addr} is not blocked");
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        let run_dir = &self.places.run_dir;
        let lock = || lock::acquire_within(run_dir, LOCK_WAIT);
        let live = self.blocklist.flush(clock::monotonic_ns(), lock)?;
        self.counts.flushed += 1;
        self.record(None, "flush");
        log::info!(target: "spamdrop::fifo", "a command of the FIFO (`/` or `clear`) unblocked everything ({live} entries)");
        Ok(())
    }

    /// Records in the history a command that unblocks `addr`; `None`: everything.
    pub(super) fn record(&self, addr: Option<IpAddr>, words: &str) {
        let (net, by) = (addr.map(|addr| Target::from(addr).net()), "fifo".into());
        let at = clock::unix_seconds();
        self.history.add(HistoryEvent::command(
            net,
            net.is_some().into(),
            at,
            by,
            words.as_bytes(),
        ));
    }
}

/// The origin of a block by the FIFO.
pub(super) fn reason(old: Option<Origin>, now: MonotonicNs, rule: &BlockRule) -> Origin {
    let mut origin = origin(old);
    origin.last_offence = now;
    origin.release_pending = rule.releases.into();
    origin.set_text(FIFO_REASON.as_bytes());
    origin
}

/// The term of a block that begins now.
pub(super) fn term(ttl_s: u32) -> Term {
    Term {
        start: clock::monotonic_ns(),
        ttl_s,
        slides: true,
        hard_limit_s: 0,
    }
}
