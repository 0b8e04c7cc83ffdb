//! Counts the connections of a log. Those that came while slots ran short are also
//! counted by the standing of their senders.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use super::super::prediction::{LIMITS, SlotPrediction};
use crate::gate::LoggedConnections;
use crate::log::SlotLine;

/// The most senders that are told apart; about 20 MiB. The connections of
/// further senders count as unknown.
const MOST: usize = 262_144;

/// Number of connections that came while more slots were in use than each of [`LIMITS`].
type CountsByLimit = [u64; LIMITS.len()];

/// Counts connections.
#[derive(Debug, Default)]
pub(super) struct SlotCounts {
    connections: LoggedConnections,
    /// The connections of senders that are not known. They are kept until the
    /// end, because the log may have the rejection of a sender only later.
    others: HashMap<IpAddr, CountsByLimit>,
    listed: HashSet<IpAddr>,
}

impl SlotCounts {
    /// Takes a line. `is_known`: whether its peer is a known sender now. Returns
    /// whether the process that listens has logged the line. Otherwise the line
    /// is of `smtpd`, and repeats a connection that postscreen has handed over.
    pub(super) fn take(
        &mut self,
        line: &SlotLine,
        is_known: bool,
        now: Duration,
        total: &mut SlotPrediction,
    ) -> bool {
        if let Some(in_use) = self.connections.take(line, now) {
            self.open(line.addr, is_known, in_use, total);
        }
        self.connections.is_of_listener(line)
    }

    /// Counts a connection that began when `in_use` were open.
    fn open(&mut self, addr: IpAddr, is_known: bool, in_use: u32, total: &mut SlotPrediction) {
        total.connections += 1;
        total.peak = total.peak.max(in_use.saturating_add(1));
        let Some(slots) = total.slots else {
            return;
        };
        let is_above = |limit: u32| u64::from(in_use) * 100 > u64::from(slots) * u64::from(limit);
        if !is_above(LIMITS[0]) {
            return;
        }
        for shortage in &mut total.shortages {
            if is_above(shortage.above_percent) {
                shortage.connections += 1;
                shortage.known += u64::from(is_known);
            }
        }
        let has_room = self.others.len() < MOST || self.others.contains_key(&addr);
        if !is_known && has_room {
            let counts = self.others.entry(addr).or_default();
            for (count, limit) in counts.iter_mut().zip(LIMITS) {
                *count += u64::from(is_above(limit));
            }
        }
    }

    /// Takes an outcome: the rejection or the accepted message of a connection.
    pub(super) fn end(&mut self, addr: IpAddr, port: Option<u16>) {
        self.connections.take_outcome(addr, port);
    }

    /// Takes the rejection of a listed sender.
    pub(super) fn list(&mut self, addr: IpAddr) {
        if self.listed.len() < MOST {
            self.listed.insert(addr);
        }
    }

    /// Fills in the figures that are known only at the end of the log.
    pub(super) fn write(&self, total: &mut SlotPrediction) {
        total.ends = self.connections.ends();
        let listed = self.others.iter();
        for (_, counts) in listed.filter(|(addr, _)| self.listed.contains(addr)) {
            for (shortage, count) in total.shortages.iter_mut().zip(counts) {
                shortage.listed += count;
            }
        }
        for shortage in &mut total.shortages {
            let told = shortage.known + shortage.listed;
            shortage.unknown = shortage.connections.saturating_sub(told);
        }
    }
}
