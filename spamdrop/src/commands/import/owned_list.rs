//! A list that is imported for an owner.

use std::collections::HashSet;
use std::net::IpAddr;

use anyhow::Result;
use spamdrop_common::entry::{Entry, ORIGIN_LOG};
use spamdrop_core::owners::{EntryOwner, OwnerBit, OwnerMask};
use spamdrop_core::target::Target;

use crate::cli;
use crate::commands::owners;
use crate::config::Config;
use crate::kernel::blocklist::Blocklist;
use crate::lock::WriteLock;
use crate::owned_blocks::{self, OwnerStore, Released};

/// A list, and what an import has to know of the entries that exist.
pub(super) struct OwnedList {
    store: OwnerStore,
    owner: OwnerBit,
    /// Whether the owner was named. Blocks by hand begin anew.
    is_named: bool,
    /// Targets of the list that had an entry when it was read, unless that is just
    /// replaced.
    present: HashSet<Target>,
    /// Whether no other process has changed anything since.
    is_unchanged: bool,
    /// Entries of the owner that the list does not name any more, sorted.
    gone: Vec<Target>,
}

/// Tells of most targets that a list does not name them, without a search: the map
/// may have a million others.
struct Sketch {
    bits: Vec<bool>,
}

impl Sketch {
    fn of(targets: impl ExactSizeIterator<Item = Target>) -> Self {
        let mut bits = vec![false; (targets.len() * 8).next_power_of_two()];
        let mask = bits.len() - 1;
        for target in targets {
            if let Some(bit) = bits.get_mut(Self::place(target) & mask) {
                *bit = true;
            }
        }
        Self { bits }
    }

    fn may_contain(&self, target: Target) -> bool {
        let place = Self::place(target) & (self.bits.len() - 1);
        self.bits.get(place).copied().unwrap_or(true)
    }

    fn place(target: Target) -> usize {
        let word = match target {
            Target::V4(addr) => u32::from_ne_bytes(addr).into(),
            Target::V6(net) => u64::from_ne_bytes(net),
            Target::V6Address(addr) => {
                let whole = u128::from_ne_bytes(addr);
                whole as u64 ^ (whole >> 64) as u64
            }
            Target::Net(net) => match net.addr() {
                IpAddr::V4(addr) => addr.to_bits().into(),
                IpAddr::V6(addr) => (addr.to_bits() >> 64) as u64,
            },
        };
        (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
    }
}

impl OwnedList {
    /// Reads all entries.
    ///
    /// # Errors
    ///
    /// A map cannot be read, or the owner has no bit and cannot get one.
    pub(super) fn read(
        config: &Config,
        args: &cli::Import,
        blocklist: &Blocklist,
        entries: &[(Target, Entry)],
    ) -> Result<Self> {
        // From now on, the lock tells whether others have changed anything.
        drop(WriteLock::acquire(&config.run_dir)?);
        let owner = args.owner.as_ref().unwrap_or(&EntryOwner::Hand);
        let mut store = owners::store(config);
        let mut list = Self {
            owner: store.registered(owner, blocklist)?,
            store,
            is_named: args.owner.is_some(),
            present: HashSet::new(),
            is_unchanged: true,
            gone: Vec::new(),
        };
        let sketch = Sketch::of(entries.iter().map(|(target, _)| *target));
        let listed = |target| {
            if !sketch.may_contain(target) {
                return None;
            }
            let found = entries.binary_search_by_key(&target, |(target, _)| *target);
            found.ok().and_then(|index| entries.get(index))
        };
        blocklist.for_each(|found| {
            let owners = OwnerMask::of(&found.entry);
            let is_gone = args.replace && owners.contains(list.owner);
            match listed(found.target) {
                Some((_, entry)) if list.is_named || owners != list.owner_of(entry).into() => {
                    list.present.insert(found.target);
                }
                None if is_gone => list.gone.push(found.target),
                _ => {}
            }
        })?;
        list.gone.sort_unstable();
        Ok(list)
    }

    /// The owner of a line: one that says so belongs to the log, unless the list has a
    /// name.
    fn owner_of(&self, entry: &Entry) -> OwnerBit {
        match entry.flags & ORIGIN_LOG != 0 && !self.is_named {
            true => OwnerBit::LOG,
            false => self.owner,
        }
    }

    /// The owner of a line, or of the list.
    pub(super) fn owner(&self, line: Option<&(Target, Entry)>) -> OwnerMask {
        let owner = line.map_or(self.owner, |(_, entry)| self.owner_of(entry));
        owner.into()
    }

    /// Whether some of these targets had an entry that is not just replaced, when the
    /// list was read.
    pub(super) fn meets(&self, entries: &[(Target, Entry)]) -> bool {
        let mut targets = entries.iter().map(|(target, _)| target);
        !self.present.is_empty() && targets.any(|target| self.present.contains(target))
    }

    /// Writes some of the entries. What others have set since the list was read stays.
    ///
    /// # Errors
    ///
    /// A map cannot be written.
    pub(super) fn put(
        &mut self,
        lock: &WriteLock,
        blocklist: &mut Blocklist,
        entries: &[(Target, Entry)],
    ) -> Result<()> {
        let (of_log, own): (Vec<_>, Vec<_>) = entries
            .iter()
            .copied()
            .partition(|(_, entry)| self.owner_of(entry) != self.owner);
        self.is_unchanged &= lock.was_ours();
        let (is_unchanged, begins_anew) = (self.is_unchanged, !self.is_named);
        for (owner, some) in [(self.owner, own), (OwnerBit::LOG, of_log)] {
            if !some.is_empty() {
                let (store, present) = (&mut self.store, &self.present);
                let is_absent = |target| is_unchanged && !present.contains(&target);
                owned_blocks::set(lock, blocklist, store, owner, &some, begins_anew, is_absent)?;
            }
        }
        Ok(())
    }

    /// Lets the owner let go of the entries that the list does not name.
    ///
    /// # Errors
    ///
    /// The database or a map cannot be read or written.
    pub(super) fn let_go(
        &mut self,
        config: &Config,
        blocklist: &mut Blocklist,
    ) -> Result<Released> {
        owners::release(config, blocklist, &mut self.store, self.owner, &self.gone)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_sketch_contains_what_it_was_made_of_and_little_else() {
        let host = |number: u32| Target::V4(number.to_be_bytes());
        let mut all: Vec<Target> = (0..1_000).map(host).collect();
        let others = [
            "2001:db8::1",
            "2001:db8::1/128",
            "192.0.2.0/24",
            "2001:db8::/32",
        ];
        all.extend(others.map(|it| it.parse::<Target>().unwrap()));
        let sketch = Sketch::of(all.iter().copied());
        assert!(all.iter().all(|target| sketch.may_contain(*target)));
        let false_alarms = (1_000..11_000).filter(|it| sketch.may_contain(host(*it)));
        assert!(false_alarms.count() < 2_500);
        assert!(!Sketch::of([].into_iter()).may_contain(host(1)));
    }
}
