//! Changes to entries: block, unblock, seal.

use std::collections::HashSet;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use spamdrop_common::{
    action::is_live,
    entry::{Entry, ORIGIN_HAND, ORIGIN_LOG, Origin, SEALED},
    time::MonotonicNs,
};

use super::{Blocklist, fd, present};
use crate::kernel::bpf;
use crate::lock::WriteLock;
use spamdrop_core::target::{Target, full_key};
use spamdrop_core::term::Term;

impl Blocklist {
    /// Blocks the source of an offence in the log. A live entry keeps its hits;
    /// one made by hand also keeps its term. A sealed entry is opened again
    /// unless `sealed` is set, so that the session that caused the new offence
    /// gets its reply.
    pub fn offence(
        &mut self,
        _lock: &WriteLock,
        addr: IpAddr,
        term: Term,
        sealed: bool,
        origin: &Origin,
    ) -> Result<()> {
        let seal = if sealed { SEALED } else { 0 };
        let mut entry = term.entry(ORIGIN_LOG | seal);
        let old = self.renewed(addr, &mut entry, term.start, origin)?;
        if let Some(old) = old
            && old.flags & ORIGIN_HAND != 0
        {
            entry = Entry {
                flags: ORIGIN_HAND | seal,
                ..old
            };
        }
        self.put_again(addr.into(), entry, old)
    }

    /// Blocks an address by hand. A live entry keeps its hits and its expiry,
    /// if that is later.
    pub fn renew(
        &mut self,
        _lock: &WriteLock,
        addr: IpAddr,
        term: Term,
        sealed: bool,
        origin: &Origin,
    ) -> Result<()> {
        let mut entry = term.entry(ORIGIN_HAND | if sealed { SEALED } else { 0 });
        let old = self.renewed(addr, &mut entry, term.start, origin)?;
        self.put_again(addr.into(), entry, old)
    }

    /// Stores the origin, merges `entry` with a live one, and returns the
    /// result.
    fn renewed(
        &mut self,
        addr: IpAddr,
        entry: &mut Entry,
        now: MonotonicNs,
        origin: &Origin,
    ) -> Result<Option<Entry>> {
        // The origin is written before the entry, so that a reader of the entry
        // finds it.
        if let Err(error) = self.origins.insert(full_key(addr), origin, 0) {
            log::debug!("no room to note why {addr} is blocked: {error}");
        }
        let old = self.host(addr.into())?;
        let old = old.filter(|old| is_live(old.expires, now));
        if let Some(old) = old {
            entry.hits = old.hits;
            entry.refreshes = old.refreshes;
            entry.expires = entry.expires.max(old.expires);
        }
        Ok(old)
    }

    /// Adds entries by hand. An older entry of the same target is replaced.
    ///
    /// # Errors
    ///
    /// A map operation fails; targets before the failing one may have been
    /// added.
    pub fn add(&mut self, lock: &WriteLock, targets: &[(Target, bool)], term: Term) -> Result<()> {
        let entry = |sealed| term.entry(ORIGIN_HAND | if sealed { SEALED } else { 0 });
        let entries = targets
            .iter()
            .map(|&(target, sealed)| (target, entry(sealed)));
        self.put_all(lock, entries)
    }

    /// Writes entries unchanged. An older entry of the same target is replaced.
    /// A prefix keeps only its expiry.
    ///
    /// # Errors
    ///
    /// As [`Blocklist::add`].
    pub fn put_all(
        &mut self,
        _lock: &WriteLock,
        entries: impl IntoIterator<Item = (Target, Entry)>,
    ) -> Result<()> {
        let mut prefixes = false;
        let written = self.write(entries, &mut prefixes);
        // The epoch is raised even after an error, because some entries may
        // have been written.
        self.raise_epoch()?;
        if prefixes {
            self.count_prefixes()?;
        }
        written
    }

    fn write(
        &mut self,
        entries: impl IntoIterator<Item = (Target, Entry)>,
        prefixes: &mut bool,
    ) -> Result<()> {
        let (mut v4, mut v6) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        for (target, entry) in entries {
            match target {
                Target::V4(key) => push(&mut v4, key, entry),
                Target::V6(key) => push(&mut v6, key, entry),
                Target::Net(net) => {
                    self.put_prefix(net, entry.expires.second())?;
                    *prefixes = true;
                }
            }
        }
        bpf::update(fd(&self.v4), &v4.0, &v4.1).context("cannot add to blocked4")?;
        bpf::update(fd(&self.v6), &v6.0, &v6.1).context("cannot add to blocked6")
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
    pub fn remove_all(&mut self, _lock: &WriteLock, targets: &[Target]) -> Result<HashSet<Target>> {
        let mut removed = HashSet::new();
        let taken = targets.iter().try_for_each(|&target| {
            if self.take_out(target)? {
                removed.insert(target);
            }
            Ok(())
        });
        // The epoch is raised even after an error, because some entries may
        // have been removed.
        self.raise_epoch()?;
        let is_prefix = |target: &Target| matches!(target, Target::Net(_));
        if removed.iter().any(is_prefix) {
            self.count_prefixes()?;
        }
        self.forget_networks(&removed)?;
        taken.map(|()| removed)
    }

    /// Removes an entry without updating the number of prefixes or removing the
    /// origins of a /64's addresses. Returns whether the entry existed.
    pub(super) fn take_out(&mut self, target: Target) -> Result<bool> {
        match target {
            Target::V4(key) => {
                self.remove_origin(key.into())?;
                present(self.v4.remove(&key))
            }
            Target::V6(key) => present(self.v6.remove(&key)),
            Target::Net(net) => self.remove_prefix(net),
        }
    }

    fn forget_networks(&mut self, removed: &HashSet<Target>) -> Result<()> {
        if !removed.iter().any(|target| matches!(target, Target::V6(_))) {
            return Ok(());
        }
        let mut addrs = Vec::new();
        self.for_each_origin(|addr, _| {
            if removed.contains(&addr.into()) {
                addrs.push(addr);
            }
        })?;
        addrs
            .into_iter()
            .try_for_each(|addr| self.remove_origin(addr))
    }

    /// Seals an entry: from now on every packet of `target` is dropped. Without
    /// an entry, nothing happens.
    pub fn seal(&mut self, _lock: &WriteLock, target: Target) -> Result<()> {
        // If the filter refreshes the entry between these two calls, the
        // refresh is lost. That is harmless: the packet came from a peer
        // without a connection, and the peer's next packet refreshes the entry
        // again.
        match self.host(target)? {
            Some(entry) if entry.flags & SEALED == 0 => self.put(
                target,
                Entry {
                    flags: entry.flags | SEALED,
                    ..entry
                },
            ),
            _ => Ok(()),
        }
    }

    /// Writes an entry over an older one, and raises the epoch if that opens a
    /// sealed entry.
    fn put_again(&mut self, target: Target, entry: Entry, old: Option<Entry>) -> Result<()> {
        self.put(target, entry)?;
        match old {
            Some(old) if old.flags & !entry.flags & SEALED != 0 => self.raise_epoch(),
            _ => Ok(()),
        }
    }

    /// Copies an older version's entry if it expires later than the new one,
    /// which the filter may extend at the same time.
    pub(super) fn take_over(&mut self, target: Target, old: Entry) -> Result<()> {
        let ours = self.host(target)?.unwrap_or_default();
        if old.expires <= ours.expires {
            return Ok(());
        }
        let hits = old.hits.max(ours.hits);
        let refreshes = old.refreshes.max(ours.refreshes);
        self.put(
            target,
            Entry {
                hits,
                refreshes,
                ..old
            },
        )
    }

    fn put(&mut self, target: Target, entry: Entry) -> Result<()> {
        match target {
            Target::V4(key) => self.v4.insert(key, entry, 0),
            Target::V6(key) => self.v6.insert(key, entry, 0),
            Target::Net(_) => Ok(()),
        }
        .with_context(|| format!("cannot block {target}"))
    }
}

fn push<K>((keys, values): &mut (Vec<K>, Vec<Entry>), key: K, entry: Entry) {
    keys.push(key);
    values.push(entry);
}
