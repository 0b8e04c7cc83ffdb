//! Turns offences into entries, without waiting for the write lock: offences are
//! queued until the lock is free.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use spamdrop_common::entry::Origin;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::escape::escape;
use spamdrop_core::history::BlockNote;
use spamdrop_core::owners::OwnerBit;
use spamdrop_core::policy::Scope;
use spamdrop_core::target::Target;
use spamdrop_core::term::Term;
use tokio::sync::mpsc::UnboundedSender;

use super::health::Subject;
use super::history::HistoryLog;
use super::hold_log::HoldLog;
use super::release::ReleaseMessage;
use super::status::HealthReporter;
use crate::clock;
use crate::kernel::blocklist::Blocklist;
use crate::lock::{self, Holder, WriteLock};

/// Maximum number of queued offences; further ones are dropped. A wave has some
/// thousand sources.
const MAX_WAITING: usize = 65_536;
/// Maximum number of offences that are written under one lock acquisition.
const BATCH: usize = 1_024;
/// How long the write lock may be unavailable before its holder is reported.
const NAMED_AFTER: Duration = Duration::from_millis(100);

/// How sources are blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockRule {
    /// Seconds that an entry lasts without a hit.
    pub ttl_s: u32,
    /// Seconds after the offence beyond which no hit extends the entry; 0: no limit.
    pub hard_limit_s: u32,
    /// Whether entries are sealed at once.
    pub sealed: bool,
    /// Whether the peer's connections are ended after the grace.
    pub releases: bool,
    /// Time from the offence to the end of the peer's connections.
    pub grace: Duration,
}

/// A log line that blocks its source.
#[derive(Clone, Debug)]
pub(super) struct Offence {
    pub addr: IpAddr,
    pub at: MonotonicNs,
    /// The log line, for `show`.
    pub line: Vec<u8>,
}

/// Writes offences into the maps.
pub(super) struct Blocker {
    blocklist: Blocklist,
    rule: BlockRule,
    run_dir: PathBuf,
    releases: UnboundedSender<ReleaseMessage>,
    health: HealthReporter,
    history: HistoryLog,
    holds: HoldLog,
    waiting: Waiting,
    /// The time of the first failed attempt to take the write lock; `None` after a
    /// successful one.
    refused: Option<Instant>,
    /// Number of offences that could not be written.
    failed: u64,
}

impl Blocker {
    pub fn new(
        blocklist: Blocklist,
        rule: BlockRule,
        run_dir: PathBuf,
        releases: UnboundedSender<ReleaseMessage>,
        health: HealthReporter,
        history: HistoryLog,
        holds: HoldLog,
    ) -> Self {
        Self {
            blocklist,
            rule,
            run_dir,
            releases,
            health,
            history,
            holds,
            waiting: Waiting::default(),
            refused: None,
            failed: 0,
        }
    }

    pub fn reconfigure(&mut self, rule: BlockRule) {
        self.rule = rule;
    }

    /// Whether a source is blocked, or its block is queued.
    pub fn is_blocked(&self, addr: IpAddr, now: MonotonicNs) -> bool {
        self.waiting.contains(addr)
            || self
                .blocklist
                .is_address_blocked(addr, now)
                .unwrap_or(false)
    }

    /// Queues an offence. The next [`Blocker::write`] blocks its source.
    pub fn add(&mut self, offence: Offence) {
        if !self.waiting.add(offence) {
            self.failed += 1;
        }
    }

    /// Removes the queued offences of protected sources.
    pub fn forget(&mut self, is_protected: impl Fn(IpAddr) -> bool) {
        self.waiting.forget(is_protected);
    }

    /// Whether offences are queued.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Stores the holds of new blocks in the database, if they could not be stored at
    /// once. To be called once a second.
    pub fn store_holds(&mut self) {
        self.holds.poll();
    }

    /// As [`Blocker::store_holds`], but waits for the database. To be called at the
    /// end of the task.
    pub async fn end_holds(&mut self) {
        self.holds.end().await;
    }

    /// Number of offences that could not be written so far.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Writes the queued offences if the write lock is free. `scope` decides
    /// what each of them blocks.
    pub fn write(&mut self, scope: &Scope) {
        if self.waiting.is_empty() {
            return;
        }
        match WriteLock::try_acquire(&self.run_dir, Duration::ZERO) {
            Ok(Some(lock)) => {
                self.write_all(&lock, scope);
                drop(lock);
                self.holds.begin();
                if self.refused.take().is_some() {
                    self.health.clear(Subject::WriteLock);
                }
            }
            Ok(None) => self.name_holder(),
            Err(error) => {
                self.refused.get_or_insert_with(clock::instant);
                let text = format!("cannot block: {error:#}");
                self.health.raise(Subject::WriteLock, text);
            }
        }
    }

    fn name_holder(&mut self) {
        let since = *self.refused.get_or_insert_with(clock::instant);
        if since.elapsed() >= NAMED_AFTER {
            // Report nothing if no process holds the lock at this moment, or if this
            // process holds it for a sweep of expired entries, which ends soon.
            let is_other = |holder: &Holder| holder.pid != std::process::id();
            let Some(holder) = lock::holder(&self.run_dir).filter(is_other) else {
                return;
            };
            self.health.raise(
                Subject::WriteLock,
                format!("{holder} holds the write lock; new blocks wait until it ends"),
            );
        }
    }

    fn write_all(&mut self, lock: &WriteLock, scope: &Scope) {
        for _ in 0..BATCH {
            let Some(offence) = self.waiting.next() else {
                break;
            };
            let Offence { addr, line, .. } = &offence;
            match self.write_one(lock, &offence, scope.target(*addr)) {
                Ok(()) => {
                    // A line for each block would flood the log in a wave, so the
                    // status task logs the number of blocks once a minute.
                    log::debug!(target: "spamdrop::block", "blocked {addr}: {}", mask(&escape(line)));
                }
                Err(error) => {
                    self.failed += 1;
                    log::error!(target: "spamdrop::block", "cannot block {addr}: {error:#}");
                }
            }
        }
    }

    fn write_one(&mut self, lock: &WriteLock, offence: &Offence, target: Target) -> Result<()> {
        let BlockRule {
            ttl_s,
            hard_limit_s,
            sealed,
            releases,
            grace,
        } = self.rule;
        let Offence { addr, at, line, .. } = offence;
        let term = Term {
            start: *at,
            ttl_s,
            slides: true,
            hard_limit_s,
        };
        let mut origin = origin(self.blocklist.origin(*addr)?);
        origin.last_offence = *at;
        origin.offences = origin.offences.saturating_add(1);
        origin.release_pending = releases.into();
        origin.set_text(line);
        let key = (*addr, target);
        let blocked = self
            .blocklist
            .block(lock, key, OwnerBit::LOG, term, sealed, &origin)?;
        let now = clock::unix_seconds();
        self.holds.add(target, &blocked);
        self.history.block(match blocked.is_renewed {
            true => BlockNote::renewed(*addr, target, now, ttl_s, hard_limit_s),
            false => BlockNote::new(*addr, target, now),
        });
        let message = ReleaseMessage::Add {
            addr: *addr,
            due: at.plus(grace),
            open: (!sealed).then_some(target),
        };
        // The send fails only when the release task has ended, because the
        // daemon is ending.
        let _ = self.releases.send(message);
        Ok(())
    }
}

/// The origin for a block of an address: `old` if the address is blocked again, otherwise
/// a new one.
pub(super) fn origin(old: Option<Origin>) -> Origin {
    old.unwrap_or_else(|| Origin {
        first_blocked: clock::unix_seconds(),
        ..Origin::default()
    })
}

/// Queued offences: the last one of each source.
#[derive(Default)]
struct Waiting {
    offences: HashMap<IpAddr, Offence>,
    order: VecDeque<IpAddr>,
}

impl Waiting {
    fn contains(&self, addr: IpAddr) -> bool {
        self.offences.contains_key(&addr)
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Queues an offence, in place of an older one of the same source. Returns
    /// `false` if the queue is full, so that the offence is dropped.
    fn add(&mut self, offence: Offence) -> bool {
        let addr = offence.addr;
        if !self.offences.contains_key(&addr) {
            if self.order.len() >= MAX_WAITING {
                return false;
            }
            self.order.push_back(addr);
        }
        self.offences.insert(addr, offence);
        true
    }

    fn forget(&mut self, is_protected: impl Fn(IpAddr) -> bool) {
        self.order.retain(|addr| !is_protected(*addr));
        self.offences.retain(|addr, _| !is_protected(*addr));
    }

    fn next(&mut self) -> Option<Offence> {
        let addr = self.order.pop_front()?;
        self.offences.remove(&addr)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn offence(addr: u32, line: &str) -> Offence {
        Offence {
            addr: std::net::Ipv4Addr::from_bits(addr).into(),
            at: MonotonicNs::default(),
            line: line.into(),
        }
    }

    #[test]
    fn each_source_waits_once_with_its_last_line_in_the_order_of_the_first() {
        let mut waiting = Waiting::default();
        for (addr, line) in [(1, "a"), (2, "b"), (1, "c")] {
            assert!(waiting.add(offence(addr, line)));
        }
        let lines: Vec<_> = std::iter::from_fn(|| waiting.next())
            .map(|offence| String::from_utf8(offence.line).unwrap())
            .collect();
        assert_eq!(lines, ["c", "b"]);
        assert!(waiting.is_empty() && waiting.offences.is_empty());
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut waiting = Waiting::default();
        let most = u32::try_from(MAX_WAITING).unwrap();
        assert!((0..most).all(|addr| waiting.add(offence(addr, ""))));
        assert!(!waiting.add(offence(most, "")));
        assert!(waiting.add(offence(0, "again")));
    }
}
