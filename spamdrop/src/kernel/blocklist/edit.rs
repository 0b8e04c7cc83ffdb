//! Entries: block, unblock, seal.

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
    /// Blocks an offender of the log. A live entry keeps its hits, and one
    /// made by hand keeps its term too; a sealed entry opens again unless
    /// `sealed`, for the session that earned the new offence.
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

    /// Blocks an address by hand. A live entry keeps its hits and ends no
    /// sooner than before.
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

    /// Notes the origin, and has `entry` go on where a live one stands; that
    /// one.
    fn renewed(
        &mut self,
        addr: IpAddr,
        entry: &mut Entry,
        now: MonotonicNs,
        origin: &Origin,
    ) -> Result<Option<Entry>> {
        // The reason before the entry, so that a reader of the entry finds it.
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

    /// Adds entries by hand; an older entry of the same target is replaced.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation; targets before the failing one may
    /// have been added.
    pub fn add(&mut self, lock: &WriteLock, targets: &[(Target, bool)], term: Term) -> Result<()> {
        let entry = |sealed| term.entry(ORIGIN_HAND | if sealed { SEALED } else { 0 });
        let entries = targets
            .iter()
            .map(|&(target, sealed)| (target, entry(sealed)));
        self.put_all(lock, entries)
    }

    /// Writes entries as they are; an older entry of the same target is
    /// replaced. A prefix keeps only the expiry.
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
        // Also after an error: what was written before it counts.
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

    /// Removes an entry, with its origins; whether it was there.
    pub fn remove(&mut self, lock: &WriteLock, target: Target) -> Result<bool> {
        Ok(self.remove_all(lock, &[target])?.contains(&target))
    }

    /// Removes entries, with their origins; those that were there.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation; targets before the failing one
    /// have been removed.
    pub fn remove_all(&mut self, _lock: &WriteLock, targets: &[Target]) -> Result<HashSet<Target>> {
        let mut removed = HashSet::new();
        let taken = targets.iter().try_for_each(|&target| {
            if self.take_out(target)? {
                removed.insert(target);
            }
            Ok(())
        });
        // Also after an error: what was removed before it is gone.
        self.raise_epoch()?;
        let is_prefix = |target: &Target| matches!(target, Target::Net(_));
        if removed.iter().any(is_prefix) {
            self.count_prefixes()?;
        }
        self.forget_networks(&removed)?;
        taken.map(|()| removed)
    }

    /// Removes an entry, but neither counts the prefixes nor looks for the
    /// origins of a /64's addresses; whether it was there.
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

    /// Drops every packet of `target` from now on; nothing if it has no entry.
    pub fn seal(&mut self, _lock: &WriteLock, target: Target) -> Result<()> {
        // A refresh by the filter between these two calls is lost; its packet
        // came from a peer without a connection, whose next one refreshes.
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

    /// Puts an entry where an older one may be sealed, which it may open.
    fn put_again(&mut self, target: Target, entry: Entry, old: Option<Entry>) -> Result<()> {
        self.put(target, entry)?;
        match old {
            Some(old) if old.flags & !entry.flags & SEALED != 0 => self.raise_epoch(),
            _ => Ok(()),
        }
    }

    /// Takes an older version's entry over where it expires later than ours,
    /// which the filter may slide meanwhile.
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
