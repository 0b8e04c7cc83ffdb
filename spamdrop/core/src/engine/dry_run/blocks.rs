//! The blocks of a dry run, as the maps of the filter would hold them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use spamdrop_common::action::{is_live, slide};
use spamdrop_common::entry::Entry;
use spamdrop_common::settings::Refresh;

use crate::target::Target;
use crate::term::Term;
use crate::time::{Moment, MonotonicNs};

/// How often expired entries are removed.
const SWEEP: Duration = Duration::from_secs(600);

/// The lifetime of a block, from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockTerm {
    /// Seconds that an entry lasts without a hit.
    pub ttl_s: u32,
    /// Seconds after an offence beyond which no hit extends the entry; 0: no
    /// limit.
    pub hard_limit_s: u32,
    /// The packets that extend an entry.
    pub refresh: Refresh,
}

/// The entries by their targets.
#[derive(Debug)]
pub(super) struct SimulatedBlocks {
    term: BlockTerm,
    entries: HashMap<Target, SimulatedBlock>,
    swept: Duration,
}

/// An entry of the simulated map.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimulatedBlock {
    entry: Entry,
    offender: IpAddr,
    /// The index of its block in the prediction; `None`: the prediction has no
    /// room for the block.
    pub index: Option<usize>,
}

impl SimulatedBlock {
    /// The end of the block on the wall clock.
    pub(super) fn until(&self, now: Moment) -> SystemTime {
        now.wall + self.entry.expires.elapsed_since(monotonic(now))
    }
}

impl SimulatedBlocks {
    pub(super) fn new(term: BlockTerm) -> Self {
        Self {
            term,
            entries: HashMap::new(),
            swept: Duration::ZERO,
        }
    }

    pub(super) fn is_blocked(&self, addr: IpAddr, now: Moment) -> bool {
        let now = monotonic(now);
        let mut entries = Target::covering(addr).filter_map(|target| self.entries.get(&target));
        entries.any(|block| is_live(block.entry.expires, now))
    }

    /// Blocks a target because of an offence `age` ago. Returns its entry, and
    /// whether a live entry of the target was renewed.
    pub(super) fn offence(
        &mut self,
        target: Target,
        offender: IpAddr,
        now: Moment,
        age: Duration,
    ) -> (&mut SimulatedBlock, bool) {
        let start = monotonic(now).minus(age);
        let term = Term {
            start,
            ttl_s: self.term.ttl_s,
            slides: true,
            hard_limit_s: self.term.hard_limit_s,
        };
        let mut entry = term.entry(0);
        let old = self.entries.get(&target);
        let old = old.filter(|old| is_live(old.entry.expires, start));
        if let Some(old) = old {
            entry.expires = entry.expires.max(old.entry.expires);
        }
        let (index, is_renewed) = (old.and_then(|old| old.index), old.is_some());
        let block = SimulatedBlock {
            entry,
            offender,
            index,
        };
        let slot = self.entries.entry(target);
        (slot.insert_entry(block).into_mut(), is_renewed)
    }

    /// Takes the SYN of a source. If the source is blocked, extends the block and
    /// returns it.
    pub(super) fn hit(&mut self, addr: IpAddr, now: Moment) -> Option<&SimulatedBlock> {
        let at = monotonic(now);
        let is_live = |target: &Target| {
            let found = self.entries.get(target);
            found.is_some_and(|block| is_live(block.entry.expires, at))
        };
        let target = Target::covering(addr).find(is_live)?;
        let block = self.entries.get_mut(&target)?;
        block.entry.expires = slide(&block.entry, at, true, self.term.refresh);
        Some(block)
    }

    /// Narrows the entry of a /64, in which a sender has become known, to the
    /// last offender.
    pub(super) fn split(&mut self, net: [u8; 8]) {
        if let Some(block) = self.entries.remove(&Target::V6(net)) {
            let alone = Target::alone(block.offender);
            self.entries.entry(alone).or_insert(block);
        }
    }

    /// Removes expired entries from time to time.
    pub(super) fn sweep(&mut self, now: Moment) {
        if now.mono.saturating_sub(self.swept) >= SWEEP {
            self.swept = now.mono;
            let at = monotonic(now);
            self.entries
                .retain(|_, block| is_live(block.entry.expires, at));
        }
    }
}

fn monotonic(now: Moment) -> MonotonicNs {
    MonotonicNs::default().plus(now.mono)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: u64) -> Moment {
        let passed = Duration::from_secs(1_000_000 + seconds);
        Moment {
            wall: SystemTime::UNIX_EPOCH + passed,
            mono: passed,
        }
    }

    fn addr(last: u16) -> IpAddr {
        IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last])
    }

    /// The block of 2001:db8::/64 for fifteen minutes, because of 2001:db8::1.
    fn blocks() -> SimulatedBlocks {
        let mut blocks = SimulatedBlocks::new(BlockTerm {
            ttl_s: 900,
            hard_limit_s: 0,
            refresh: Refresh::Packet,
        });
        blocks.offence(addr(1).into(), addr(1), moment(0), Duration::ZERO);
        blocks
    }

    #[test]
    fn a_64_with_a_known_sender_is_blocked_only_for_the_offender() {
        let mut blocks = blocks();
        assert!(blocks.is_blocked(addr(2), moment(1)));
        blocks.split([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0]);
        let are_blocked = [1, 2].map(|last| blocks.is_blocked(addr(last), moment(1)));
        assert_eq!(are_blocked, [true, false]);
    }

    #[test]
    fn expired_entries_are_removed_every_ten_minutes() {
        let mut blocks = blocks();
        for (second, left) in [(600, 1), (1_199, 1), (1_200, 0)] {
            blocks.sweep(moment(second));
            assert_eq!(blocks.entries.len(), left, "{second}");
        }
    }
}
