//! The entries of a list that are imported for one owner.

use std::net::IpAddr;

use anyhow::Result;
use spamdrop_common::entry::Entry;
use spamdrop_core::owners::{EntryOwner, OwnerBit, OwnerMask};
use spamdrop_core::target::Target;

use crate::cli;
use crate::commands::owners;
use crate::config::Config;
use crate::kernel::blocklist::{Blocklist, EntriesAhead};
use crate::lock::WriteLock;
use crate::owned_blocks::{self, OwnerStore, ReadEntries, Released};

/// The import for one owner, with the existing entries that it concerns.
pub(super) struct OwnedList {
    store: OwnerStore,
    owner: OwnerBit,
    /// Whether entries that only this owner holds are replaced: true for an import
    /// without `--owner`.
    begins_anew: bool,
    /// The existing entries of `gone` and of the list's targets, without those that are
    /// replaced as a whole.
    read: ReadEntries,
    /// Entries of the owner that the list does not name any more, sorted.
    gone: Vec<Target>,
}

/// Finds a target in a list. A search in the sorted list would take longer
/// than reading a million entries from the map.
struct ListIndex<'a> {
    entries: &'a [(Target, Entry)],
    /// A hash table with linear probing. Each slot has an index of `entries` plus 1;
    /// 0: free.
    slots: Vec<u32>,
    /// A Bloom filter with one bit for each target. It fits into a cache of the
    /// processor, and rejects most targets that are not in the list.
    bits: Vec<u64>,
}

impl<'a> ListIndex<'a> {
    /// `entries` must have each target once.
    fn new(entries: &'a [(Target, Entry)]) -> Self {
        let slots = (entries.len().max(4) * 4).next_power_of_two();
        let mut index = Self {
            entries,
            slots: vec![0; slots],
            bits: vec![0; slots / 16],
        };
        for (number, (target, _)) in (1..).zip(entries) {
            let hash = Self::hash(*target);
            let mut place = index.place(hash);
            while index.slots.get(place).is_some_and(|slot| *slot != 0) {
                place = index.next(place);
            }
            if let Some(slot) = index.slots.get_mut(place) {
                *slot = number;
            }
            let (word, bit) = index.bit(hash);
            if let Some(word) = index.bits.get_mut(word) {
                *word |= bit;
            }
        }
        index
    }

    fn contains(&self, target: Target) -> bool {
        let hash = Self::hash(target);
        let (word, bit) = self.bit(hash);
        if self.bits.get(word).is_none_or(|word| word & bit == 0) {
            return false;
        }
        let mut place = self.place(hash);
        // A free slot, 0, wraps to an index that no entry has, which ends the search.
        while let Some(slot) = self.slots.get(place)
            && let Some((found, _)) = self.entries.get(slot.wrapping_sub(1) as usize)
        {
            if *found == target {
                return true;
            }
            place = self.next(place);
        }
        false
    }

    fn place(&self, hash: usize) -> usize {
        hash & (self.slots.len() - 1)
    }

    /// The index of a word in `bits`, and the mask of the target's bit in this word.
    fn bit(&self, hash: usize) -> (usize, u64) {
        ((hash / 64) & (self.bits.len() - 1), 1 << (hash % 64))
    }

    fn next(&self, place: usize) -> usize {
        (place + 1) & (self.slots.len() - 1)
    }

    fn hash(target: Target) -> usize {
        let word = match target {
            Target::V4(addr) => u32::from_ne_bytes(addr).into(),
            Target::V6(net) => u64::from_ne_bytes(net),
            Target::V6Address(addr) => folded(u128::from_ne_bytes(addr)),
            Target::Net(net) => {
                let bits = match net.addr() {
                    IpAddr::V4(addr) => addr.to_bits().into(),
                    IpAddr::V6(addr) => folded(addr.to_bits()),
                };
                bits ^ u64::from(net.prefix_len())
            }
        };
        (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
    }
}

fn folded(bits: u128) -> u64 {
    bits as u64 ^ (bits >> 64) as u64
}

/// All entries of the filter. They are read while the list is parsed.
pub(super) struct AllAhead {
    read: ReadEntries,
    entries: EntriesAhead,
}

impl AllAhead {
    /// Begins to read the entries.
    ///
    /// # Errors
    ///
    /// A map cannot be read, or the write lock cannot be acquired.
    pub(super) fn begin(config: &Config, blocklist: &Blocklist) -> Result<Self> {
        Ok(Self {
            read: ReadEntries::begin(&config.run_dir)?,
            entries: blocklist.read_ahead()?,
        })
    }
}

impl OwnedList {
    /// Selects from all entries those that the import concerns.
    ///
    /// # Errors
    ///
    /// A map cannot be read, or the owner has no bit and cannot get one.
    pub(super) fn read(
        config: &Config,
        args: &cli::Import,
        owner: &EntryOwner,
        blocklist: &Blocklist,
        all: AllAhead,
        entries: &[(Target, Entry)],
    ) -> Result<Self> {
        let mut store = owners::store(config);
        let mut list = Self {
            owner: store.registered(owner, blocklist)?,
            store,
            begins_anew: args.owner.is_none(),
            read: all.read,
            gone: Vec::new(),
        };
        let listed = ListIndex::new(entries);
        blocklist.for_each_ahead(all.entries, |found| {
            let owners = OwnerMask::from_entry(&found.entry);
            let is_gone = args.replace && owners.contains(list.owner);
            match listed.contains(found.target) {
                true if !list.begins_anew || owners != list.owner.into() => {
                    list.read.add(found);
                }
                false if is_gone => {
                    list.gone.push(found.target);
                    list.read.add(found);
                }
                _ => {}
            }
        })?;
        list.gone.sort_unstable();
        Ok(list)
    }

    pub(super) fn owner(&self) -> OwnerBit {
        self.owner
    }

    /// Whether other owners held one of these targets when the filter's entries were read.
    /// Their holds must then be stored in the database.
    pub(super) fn meets_others(&self, entries: &[(Target, Entry)]) -> bool {
        let targets = entries.iter().map(|(target, _)| target);
        let own = OwnerMask::from(self.owner);
        self.read
            .any(targets, |entry| OwnerMask::from_entry(entry) != own)
    }

    /// Writes some of the list's entries. Holds that other owners have set since the filter's
    /// entries were read stay.
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
        let (store, read) = (&mut self.store, &mut self.read);
        let (owner, begins_anew) = (self.owner, self.begins_anew);
        owned_blocks::set(lock, blocklist, store, owner, entries, begins_anew, read)
    }

    /// Ends the owner's holds of the entries that the list does not name.
    ///
    /// # Errors
    ///
    /// The database or a map cannot be read or written.
    pub(super) fn let_go(
        &mut self,
        config: &Config,
        blocklist: &mut Blocklist,
    ) -> Result<Released> {
        let (store, read) = (&mut self.store, &mut self.read);
        owners::release(config, blocklist, store, self.owner, &self.gone, read)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_index_finds_what_is_in_the_list_and_nothing_else() {
        let host = |number: u32| Target::V4(number.to_be_bytes());
        let mut all: Vec<Target> = (0..1_000).map(host).collect();
        let others = [
            "2001:db8::1",
            "2001:db8::1/128",
            "192.0.2.0/24",
            "192.0.2.0/25",
            "2001:db8::/32",
            "2001:db8::/33",
        ];
        all.extend(others.map(|it| it.parse::<Target>().unwrap()));
        let entries: Vec<(Target, Entry)> =
            all.into_iter().map(|it| (it, Entry::default())).collect();
        let index = ListIndex::new(&entries);
        assert!(entries.iter().all(|(target, _)| index.contains(*target)));
        assert!((1_000..11_000).all(|it| !index.contains(host(it))));
        assert!(!index.contains("192.0.2.0/26".parse().unwrap()));
        assert!(!ListIndex::new(&[]).contains(host(1)));
    }

    /// With a million prefixes in a few slots, an index would take hours to build.
    #[test]
    fn prefixes_close_to_each_other_differ_in_their_hashes() {
        let hashes = |nets: &mut dyn Iterator<Item = String>| {
            let hash = |net: String| ListIndex::hash(net.parse().unwrap());
            nets.map(hash).collect::<HashSet<_>>().len()
        };
        let deep = &mut (0..4_096).map(|it| format!("2001:db8::{it:x}:0/112"));
        assert_eq!(hashes(deep), 4_096);
        let nested = &mut (65..=127).map(|length| format!("2001:db8::/{length}"));
        assert_eq!(hashes(nested), 63);
    }
}
