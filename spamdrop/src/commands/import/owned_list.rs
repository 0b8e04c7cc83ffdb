//! A list that is imported for an owner.

use std::collections::{HashMap, HashSet};
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
use crate::owned_blocks::{self, Released};

/// What an import has to know of the entries that exist.
pub(super) struct OwnedList {
    owner: OwnerBit,
    /// Entries of the list that others own. An entry that another process makes
    /// after this was read is replaced.
    others: HashSet<Target>,
    /// Hits of entries of the list that the owner has already.
    hits: HashMap<Target, u32>,
    /// Entries of the owner that the list does not name any more, sorted.
    gone: Vec<Target>,
}

/// Reads all entries.
///
/// # Errors
///
/// A map or the database cannot be read.
pub(super) fn read(
    config: &Config,
    args: &cli::Import,
    blocklist: &Blocklist,
    entries: &[(Target, Entry)],
) -> Result<OwnedList> {
    let owner = args.owner.as_ref().unwrap_or(&EntryOwner::Hand);
    let owner = owners::store(config).registered(owner, blocklist)?;
    let only = OwnerMask::from(owner);
    let (mut others, mut hits, mut gone) = (HashSet::new(), HashMap::new(), Vec::new());
    // Blocks by hand begin anew.
    let keeps_hits = args.owner.is_some();
    let sketch = Sketch::of(entries.iter().map(|(target, _)| *target));
    let is_listed = |target| {
        if !sketch.may_contain(target) {
            return false;
        }
        let found = entries.binary_search_by_key(&target, |(target, _)| *target);
        found.is_ok()
    };
    blocklist.for_each(|found| {
        let owners = OwnerMask::of(&found.entry);
        let is_gone = args.replace && owners.contains(owner);
        if owners == only && !is_gone && !keeps_hits {
            return;
        }
        match is_listed(found.target) {
            true if owners != only => drop(others.insert(found.target)),
            true if found.entry.hits != 0 && keeps_hits => {
                hits.insert(found.target, found.entry.hits);
            }
            false if is_gone => gone.push(found.target),
            _ => {}
        }
    })?;
    gone.sort_unstable();
    Ok(OwnedList {
        owner,
        others,
        hits,
        gone,
    })
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
    /// Whether others owned an entry of the list before.
    pub(super) fn has_others(&self, target: Target) -> bool {
        self.others.contains(&target)
    }

    /// Writes some of the entries. A line that says so belongs to the log.
    ///
    /// # Errors
    ///
    /// The database or a map cannot be written.
    pub(super) fn put(
        &self,
        config: &Config,
        lock: &WriteLock,
        blocklist: &mut Blocklist,
        entries: &[(Target, Entry)],
    ) -> Result<()> {
        let is_log = |entry: &Entry| entry.flags & ORIGIN_LOG != 0 && self.owner == OwnerBit::HAND;
        let mut store = owners::store(config);
        for (owner, is_of_log) in [(self.owner, false), (OwnerBit::LOG, true)] {
            let some = entries
                .iter()
                .filter(|(_, entry)| is_log(entry) == is_of_log);
            let with_hits = |(target, entry): &(Target, Entry)| {
                let hits = self.hits.get(target).copied().unwrap_or_default();
                (*target, Entry { hits, ..*entry })
            };
            let some: Vec<(Target, Entry)> = some.map(with_hits).collect();
            if !some.is_empty() {
                let exists = |target| self.others.contains(&target);
                owned_blocks::set(lock, blocklist, &mut store, owner, &some, exists)?;
            }
        }
        Ok(())
    }
}

/// Lets the owner let go of the entries that the list does not name.
///
/// # Errors
///
/// The database or a map cannot be read or written.
pub(super) fn let_go(
    config: &Config,
    blocklist: &mut Blocklist,
    list: &OwnedList,
) -> Result<Released> {
    let mut store = owners::store(config);
    owners::release(config, blocklist, &mut store, list.owner, &list.gone)
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
