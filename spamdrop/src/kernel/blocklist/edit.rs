//! Changes to entries: block, unblock, seal.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use anyhow::{Context as _, Result};
use aya::Pod;
use spamdrop_common::action::is_live;
use spamdrop_common::entry::{Entry, SEALED};

use super::{Blocklist, cached_map::MapChange, fd, present};
use crate::clock;
use crate::kernel::bpf;
use crate::lock::WriteLock;
use spamdrop_core::target::{Target, prefix_of_origin};

/// Up to this number of addresses, a change looks up whether the filter may have cached any
/// of them, and raises the epoch only then. Raising it turns the cache off for a unit of
/// ticks, costs every source that is being dropped a look-up, and loses hits.
const FEW: usize = 64;

fn v4_keys<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Vec<[u8; 4]> {
    let key = |target: &Target| match *target {
        Target::V4(key) => Some(key),
        _ => None,
    };
    targets.into_iter().filter_map(key).collect()
}

impl Blocklist {
    /// Writes entries unchanged. An older entry of the same target is replaced.
    /// Of the entry of a prefix, only the expiry, the hits and the owners are written.
    ///
    /// # Errors
    ///
    /// A map operation fails; some entries may have been written.
    pub fn put_all(
        &mut self,
        _lock: &WriteLock,
        entries: impl IntoIterator<Item = (Target, Entry)>,
    ) -> Result<()> {
        let mut counted = Counted::default();
        let written = self.change(|list, change| list.write(entries, &mut counted, change));
        // Count even after an error: some entries may have been written, and the filter
        // skips a map whose number of entries in the settings is 0.
        self.count(counted).and(written)
    }

    fn write(
        &mut self,
        entries: impl IntoIterator<Item = (Target, Entry)>,
        counted: &mut Counted,
        change: &mut MapChange,
    ) -> Result<()> {
        let (mut v4, mut v6) = (EntryBatch::default(), EntryBatch::default());
        let mut v6_addresses = EntryBatch::default();
        for (target, entry) in entries {
            counted.add(target);
            match target {
                Target::V4(key) => v4.push(key, entry),
                Target::V6(key) => v6.push(key, entry),
                Target::V6Address(key) => v6_addresses.push(key, entry),
                Target::Net(net) => self.put_prefix(net, entry)?,
            }
        }
        self.keep_epoch_unless_cached(&v4.keys, change)?;
        v4.write(fd(self.v4.write(change)))
            .context("cannot add to blocked4")?;
        v6.write(fd(&self.v6)).context("cannot add to blocked6")?;
        v6_addresses
            .write(fd(&self.v6_addresses))
            .context("cannot add to blocked6_addr")
    }

    fn keep_epoch_unless_cached(&self, keys: &[[u8; 4]], change: &mut MapChange) -> Result<()> {
        if !self.may_be_cached(keys)? {
            change.keep_epoch();
        }
        Ok(())
    }

    /// Whether the filter may have cached one of these addresses, or may do so at any time
    /// because the address has a live entry. Always true for more than [`FEW`] addresses.
    /// Only IPv4 addresses are cached.
    fn may_be_cached(&self, keys: &[[u8; 4]]) -> Result<bool> {
        if keys.len() > FEW {
            return Ok(true);
        }
        let now = clock::monotonic_ns();
        let is_live = |entry: &Entry| is_live(entry.expires, now);
        for &key in keys {
            let target = Target::V4(key);
            if self.host(target)?.as_ref().is_some_and(is_live) || self.is_cached(target)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Updates the numbers of prefixes and of single IPv6 addresses in the filter's
    /// settings, each only if `counted` says that it may have changed.
    pub(super) fn count(&mut self, counted: Counted) -> Result<()> {
        if counted.prefixes {
            self.count_prefixes()?;
        }
        if counted.addresses {
            self.count_addresses()?;
        }
        Ok(())
    }

    /// Removes an entry and its origins. Returns whether the entry existed.
    pub fn remove(&mut self, lock: &WriteLock, target: Target) -> Result<bool> {
        Ok(self.remove_all(lock, &[target])?.contains(&target))
    }

    /// Removes entries and their origins. Returns the targets that had an
    /// entry.
    ///
    /// # Errors
    ///
    /// A map operation fails; targets before the failing one have been removed.
    pub fn remove_all(&mut self, lock: &WriteLock, targets: &[Target]) -> Result<HashSet<Target>> {
        let (mut removed, mut counted) = (HashSet::new(), Counted::default());
        let taken = self.change(|list, change| {
            list.keep_epoch_unless_cached(&v4_keys(targets), change)?;
            targets.iter().try_for_each(|&target| {
                if list.take_out(target, change)? {
                    removed.insert(target);
                    counted.add(target);
                }
                Ok(())
            })
        });
        self.count(counted)?;
        self.forget_networks(lock, &removed)?;
        taken.map(|()| removed)
    }

    /// Removes the entries of many hosts; prefixes are ignored. The origins stay: call
    /// [`Blocklist::forget_origins`] for them. Returns the targets that had an entry.
    pub fn remove_hosts(
        &mut self,
        _lock: &WriteLock,
        targets: impl IntoIterator<Item = Target>,
    ) -> Result<HashSet<Target>> {
        let (mut v4, mut v6, mut v6_addresses) = (Vec::new(), Vec::new(), Vec::new());
        for target in targets {
            match target {
                Target::V4(key) => v4.push(key),
                Target::V6(key) => v6.push(key),
                Target::V6Address(key) => v6_addresses.push(key),
                Target::Net(_) => {}
            }
        }
        let mut removed = HashSet::new();
        let taken = self.change(|list, change| {
            list.keep_epoch_unless_cached(&v4, change)?;
            take_hosts(fd(list.v4.write(change)), v4, Target::V4, &mut removed)?;
            take_hosts(fd(&list.v6), v6, Target::V6, &mut removed)?;
            let map = fd(&list.v6_addresses);
            take_hosts(map, v6_addresses, Target::V6Address, &mut removed)
        });
        let mut counted = Counted::default();
        removed.iter().for_each(|target| counted.add(*target));
        self.count(counted)?;
        taken.map(|()| removed)
    }

    /// Invalidates the filter's cache if it may hold one of these targets, which have no
    /// entry any more.
    pub fn forget_cached<'a>(
        &mut self,
        _lock: &WriteLock,
        targets: impl IntoIterator<Item = &'a Target>,
    ) -> Result<()> {
        self.change(|list, change| {
            if list.may_be_cached(&v4_keys(targets))? {
                change.outdates();
            }
            Ok(())
        })
    }

    fn remove_host(&mut self, target: Target, change: &mut MapChange) -> Result<bool> {
        match target {
            Target::V4(key) => present(self.v4.write(change).remove(&key)),
            Target::V6(key) => present(self.v6.remove(&key)),
            Target::V6Address(key) => present(self.v6_addresses.remove(&key)),
            Target::Net(_) => Ok(false),
        }
    }

    /// Removes the origins of removed entries, with one walk over all origins.
    pub fn forget_origins(&mut self, _lock: &WriteLock, removed: &HashSet<Target>) -> Result<()> {
        let mut addrs = Vec::new();
        self.for_each_origin(|addr, _| {
            if Target::covering(addr).any(|target| removed.contains(&target)) {
                addrs.push(addr);
            }
        })?;
        addrs
            .into_iter()
            .try_for_each(|addr| self.forget_unless_blocked(addr))
    }

    /// Removes an entry without updating the numbers of entries or removing the
    /// origins of IPv6 addresses. Returns whether the entry existed.
    pub(super) fn take_out(&mut self, target: Target, change: &mut MapChange) -> Result<bool> {
        match target {
            Target::V4(key) => {
                self.remove_origin(key.into())?;
                self.remove_host(target, change)
            }
            Target::V6(_) | Target::V6Address(_) => self.remove_host(target, change),
            Target::Net(net) => {
                if let Some(origin) = target.origin() {
                    self.remove_origin(origin)?;
                }
                self.remove_prefix(net)
            }
        }
    }

    fn forget_networks(&mut self, lock: &WriteLock, removed: &HashSet<Target>) -> Result<()> {
        let is_v6 = |it: &Target| matches!(it, Target::V6(_) | Target::V6Address(_));
        match removed.iter().any(is_v6) {
            true => self.forget_origins(lock, removed),
            false => Ok(()),
        }
    }

    /// Removes the origin of an address if neither the address nor its /64 has an
    /// entry; the origin of a prefix, if the prefix has none.
    pub(super) fn forget_unless_blocked(&mut self, addr: IpAddr) -> Result<()> {
        if let Some(net) = prefix_of_origin(addr)
            && self.prefix_around(net)?.is_some()
        {
            return Ok(());
        }
        for target in Target::covering(addr) {
            if self.host(target)?.is_some() {
                return Ok(());
            }
        }
        self.remove_origin(addr)
    }

    /// Seals an entry: from now on every packet of `target` is dropped. Without
    /// an entry, nothing happens.
    pub fn seal(&mut self, _lock: &WriteLock, target: Target) -> Result<()> {
        // If the filter extends the entry after this read and before the write,
        // the extension is lost. That is harmless: the packet came from a peer
        // without a connection, and the peer's next packet extends the entry
        // again.
        let Some(entry) = self.host(target)?.filter(|it| it.flags & SEALED == 0) else {
            return Ok(());
        };
        let flags = entry.flags | SEALED;
        self.change(|list, change| {
            // The filter caches sealed entries only.
            change.keep_epoch();
            list.put(target, Entry { flags, ..entry }, change)
        })
    }

    /// Writes an entry in place of the live entry `old`, if any. Raises the epoch if the
    /// filter may have cached `old`, which is sealed, and the new entry is open or has other
    /// terms. Without `old`, the cache may still have an entry of the target that has expired
    /// or that the kernel has evicted; then the epoch is raised, too.
    pub(super) fn put_again(
        &mut self,
        target: Target,
        mut entry: Entry,
        old: Option<Entry>,
        change: &mut MapChange,
    ) -> Result<()> {
        let terms = |entry: &Entry| (entry.ttl_s, entry.hard_until_s);
        let is_outdated = match old {
            Some(old) if old.flags & SEALED == 0 => false,
            Some(old) => entry.flags & SEALED == 0 || terms(&old) != terms(&entry),
            None => self.is_cached(target)?,
        };
        if !is_outdated {
            change.keep_epoch();
            return self.put(target, entry, change);
        }
        // Raising the epoch discards the hits in the cache, so they are stored here.
        if old.is_some()
            && let Some(exact) = self.host_now(target)?
        {
            entry.hits = exact.hits;
        }
        self.put(target, entry, change)
    }

    /// Copies an entry from the maps of an older version if it expires later than the
    /// entry in this version's maps, which the filter may extend at the same time.
    pub(super) fn take_over(&mut self, target: Target, old: Entry) -> Result<()> {
        let ours = self.host(target)?.unwrap_or_default();
        if old.expires <= ours.expires {
            return Ok(());
        }
        let hits = old.hits.max(ours.hits);
        let refreshes = old.refreshes.max(ours.refreshes);
        let entry = Entry {
            hits,
            refreshes,
            ..old
        };
        self.change(|list, change| {
            // The entry expires later than any that the filter may have cached.
            change.keep_epoch();
            list.put(target, entry, change)
        })
    }

    pub(super) fn put(
        &mut self,
        target: Target,
        entry: Entry,
        change: &mut MapChange,
    ) -> Result<()> {
        match target {
            Target::V4(key) => self.v4.write(change).insert(key, entry, 0),
            Target::V6(key) => self.v6.insert(key, entry, 0),
            Target::V6Address(key) => return self.put_address(key, entry),
            Target::Net(_) => Ok(()),
        }
        .with_context(|| format!("cannot block {target}"))
    }
}

/// Entries that are written with few system calls.
struct EntryBatch<K> {
    keys: Vec<K>,
    entries: Vec<Entry>,
}

impl<K> Default for EntryBatch<K> {
    fn default() -> Self {
        let (keys, entries) = (Vec::new(), Vec::new());
        Self { keys, entries }
    }
}

impl<K: Pod + Sync> EntryBatch<K> {
    fn push(&mut self, key: K, entry: Entry) {
        self.keys.push(key);
        self.entries.push(entry);
    }

    fn write(&self, map: BorrowedFd<'_>) -> io::Result<()> {
        bpf::update(map, &self.keys, &self.entries)
    }
}

/// Removes the entries of these keys, and adds the targets that had one to `removed`.
fn take_hosts<K: Pod>(
    map: BorrowedFd<'_>,
    mut keys: Vec<K>,
    target: fn(K) -> Target,
    removed: &mut HashSet<Target>,
) -> Result<()> {
    let missing = bpf::delete(map, &keys).context("cannot remove addresses")?;
    for index in missing.into_iter().rev() {
        keys.swap_remove(index);
    }
    removed.extend(keys.into_iter().map(target));
    Ok(())
}

/// The numbers in the settings that must be updated after a change of entries.
#[derive(Clone, Copy, Default)]
pub(super) struct Counted {
    prefixes: bool,
    addresses: bool,
}

impl Counted {
    pub(super) fn add(&mut self, target: Target) {
        self.prefixes |= matches!(target, Target::Net(_));
        self.addresses |= matches!(target, Target::V6Address(_));
    }
}
