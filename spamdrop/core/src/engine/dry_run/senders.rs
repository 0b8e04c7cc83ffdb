//! The known senders of a dry run: those of the database, and those that the log
//! makes known or demotes.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use super::super::Engine;
use crate::policy::KnownNets;
use crate::reputation::{Record, Records};
use crate::target::Target;
use crate::time::{Moment, unix_seconds};

/// The most senders that the log adds; about 50 MiB.
const MOST: usize = 262_144;
/// How often a change of the known senders is passed to the engine.
const SYNC: Duration = Duration::from_secs(60);

/// The records of senders, and which of them are known.
#[derive(Debug)]
pub(super) struct DryRunSenders {
    records: Records,
    known: HashSet<Target>,
    capacity: usize,
    is_demoted: bool,
    has_new_net: bool,
    synced: Duration,
}

impl DryRunSenders {
    /// Starts with the records of the database. [`Self::begin`] passes them to
    /// the engine.
    pub(super) fn new(records: HashMap<Target, Record>) -> Self {
        Self {
            capacity: records.len().saturating_add(MOST),
            records,
            known: HashSet::new(),
            is_demoted: false,
            has_new_net: false,
            synced: Duration::ZERO,
        }
    }

    /// Passes the senders of the database to the engine, at the start of the
    /// log. Demotions after that time do not count, because the daemon may have
    /// learned them from this log.
    pub(super) fn begin(&mut self, engine: &mut Engine, now: Moment) {
        for (source, record) in &mut self.records {
            *record = record.without_later_demotion(unix_seconds(now.wall));
            engine.remember(*source, record, now);
            if record.standing(unix_seconds(now.wall)).is_known() {
                self.known.insert(*source);
            }
        }
        engine.know(self.nets());
        self.synced = now.mono;
    }

    /// Whether an address is a known sender's.
    pub(super) fn is_known(&self, addr: IpAddr) -> bool {
        Target::covering(addr).any(|target| self.known.contains(&target))
    }

    /// Takes the records that the engine has learned, and passes changes of the
    /// known senders back to it. Returns the /64s that must no longer be blocked
    /// as a whole, because a sender in them has become known.
    pub(super) fn sync(&mut self, engine: &mut Engine, now: Moment) -> Vec<[u8; 8]> {
        if engine.has_records() {
            for (source, record) in engine.take_records() {
                self.merge(engine, source, record, now);
            }
        }
        let is_changed = self.is_demoted || self.has_new_net;
        if !is_changed || now.mono.saturating_sub(self.synced) < SYNC {
            return Vec::new();
        }
        self.synced = now.mono;
        if self.is_demoted {
            engine.know_exactly(&self.known, now);
        }
        (self.is_demoted, self.has_new_net) = (false, false);
        let nets = self.nets();
        let new = nets.new_since(&engine.scope().known);
        engine.know(nets);
        new
    }

    fn merge(&mut self, engine: &mut Engine, source: Target, record: Record, now: Moment) {
        let is_full = self.records.len() >= self.capacity;
        if is_full && !self.records.contains_key(&source) {
            return;
        }
        let old = self.records.entry(source).or_default();
        *old = old.join(record);
        let is_known = old.standing(unix_seconds(now.wall)).is_known();
        match (is_known, self.known.contains(&source)) {
            (true, false) => {
                self.known.insert(source);
                self.has_new_net |= matches!(source, Target::V6(_));
                if let Some(addr) = super::super::counted(&source) {
                    engine.policy.know(addr, now);
                }
            }
            (false, true) => {
                self.known.remove(&source);
                self.is_demoted = true;
            }
            (true, true) | (false, false) => {}
        }
    }

    fn nets(&self) -> KnownNets {
        self.known.iter().copied().collect()
    }
}
