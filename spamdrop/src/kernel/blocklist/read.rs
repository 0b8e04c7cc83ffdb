//! Reads entries.

use std::collections::HashMap;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use spamdrop_common::{
    action::{is_cidr_live, is_live},
    entry::{CidrEntry, Entry, ORIGIN_HAND, SEALED},
    time::{MonotonicNs, SECOND},
};

use super::{Blocklist, CHUNK, UNREAD, optional, walk};
use crate::kernel::bpf::MapReadAhead;
use spamdrop_core::nat64::canonical;
use spamdrop_core::target::Target;

/// Maximum number of parts of a map that are read before the first one is visited: a few
/// megabytes.
const AHEAD: usize = 32;

/// The IPv4 entries, which a thread reads in advance for [`Blocklist::for_each_ahead`].
pub struct EntriesAhead(MapReadAhead<[u8; 4], Entry>);

/// An entry of the blocklist, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The address or prefix that the entry covers.
    pub target: Target,
    /// The entry's value. A prefix is represented as a sealed entry with a
    /// fixed expiry.
    pub entry: Entry,
}

impl Blocklist {
    /// The live entries that cover an address, narrowest first.
    pub fn covering(&self, addr: IpAddr, now: MonotonicNs) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for target in Target::covering(addr) {
            let entry = self.host_now(target)?;
            if let Some(entry) = entry.filter(|entry| is_live(entry.expires, now)) {
                found.push(Found { target, entry });
            }
        }
        let mut prefixes = self.prefixes()?;
        prefixes
            .retain(|(net, prefix)| net.contains(&canonical(addr)) && is_cidr_live(prefix, now));
        prefixes.sort_by_key(|(net, _)| std::cmp::Reverse(net.prefix_len()));
        found.extend(prefixes.into_iter().map(from_prefix));
        Ok(found)
    }

    /// Whether `target` itself has a live entry; prefixes that cover it are not
    /// considered.
    pub fn is_blocked(&self, target: Target, now: MonotonicNs) -> Result<bool> {
        Ok(self
            .host(target)?
            .is_some_and(|entry| is_live(entry.expires, now)))
    }

    /// Whether an address has a live entry, by itself or by its /64; prefixes
    /// that cover it are not considered.
    pub fn is_address_blocked(&self, addr: IpAddr, now: MonotonicNs) -> Result<bool> {
        for target in Target::covering(addr) {
            if self.is_blocked(target, now)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The live entries of `targets`, which must be sorted. For more than
    /// [`CHUNK`] targets, all entries are read; for fewer, see
    /// [`Blocklist::look_up`].
    pub fn live_among(
        &self,
        targets: &[Target],
        now: MonotonicNs,
    ) -> Result<HashMap<Target, Entry>> {
        if targets.len() <= CHUNK {
            return self.look_up(targets, now);
        }
        let mut live = HashMap::new();
        self.for_each(|found| {
            let is_given = targets.binary_search(&found.target).is_ok();
            if is_given && is_live(found.entry.expires, now) {
                live.insert(found.target, found.entry);
            }
        })?;
        Ok(live)
    }

    /// As [`Blocklist::live_among`], but always reads the hosts one by one. If a target is a
    /// prefix, all prefixes are read once.
    pub fn look_up(&self, targets: &[Target], now: MonotonicNs) -> Result<HashMap<Target, Entry>> {
        let mut live = HashMap::new();
        let mut take = |target, entry: Entry| {
            if is_live(entry.expires, now) {
                live.insert(target, entry);
            }
        };
        let moment = self.moment()?;
        for &target in targets {
            if let Some(entry) = self.host_at(target, &moment)? {
                take(target, entry);
            }
        }
        let is_prefix = |target: &Target| matches!(target, Target::Net(_));
        if targets.iter().any(is_prefix) {
            for found in self.prefixes()?.into_iter().map(from_prefix) {
                if targets.binary_search(&found.target).is_ok() {
                    take(found.target, found.entry);
                }
            }
        }
        Ok(live)
    }

    /// Visits every entry, live or expired, in no order.
    pub fn for_each(&self, mut visit: impl FnMut(Found)) -> Result<()> {
        let recent_drops = self.recent_drops()?;
        self.for_each_stored(|mut found| {
            if let Target::V4(source) = found.target {
                recent_drops.add_to(&mut found.entry, source);
            }
            visit(found);
        })
    }

    /// As [`Blocklist::for_each`], without the hits and slides that are only in the cache,
    /// see [`Blocklist::add_recent_drops`].
    pub fn for_each_stored(&self, visit: impl FnMut(Found)) -> Result<()> {
        self.for_each_ahead(self.read(1)?, visit)
    }

    /// Begins to read the IPv4 entries in a thread, while the caller does something else.
    pub fn read_ahead(&self) -> Result<EntriesAhead> {
        self.read(AHEAD)
    }

    fn read(&self, ahead: usize) -> Result<EntriesAhead> {
        Ok(EntriesAhead(self.v4.read(ahead).context(UNREAD)?))
    }

    /// As [`Blocklist::for_each_stored`], with the IPv4 entries of [`Blocklist::read_ahead`].
    pub fn for_each_ahead(
        &self,
        EntriesAhead(v4): EntriesAhead,
        mut visit: impl FnMut(Found),
    ) -> Result<()> {
        let mut each = |target, entry| visit(Found { target, entry });
        v4.visit(|keys, entries| {
            let each_of_part = keys.iter().zip(entries);
            each_of_part.for_each(|(key, entry)| each(Target::V4(*key), *entry));
            Ok(())
        })
        .context(UNREAD)?;
        walk(&self.v6, |key, entry| each(Target::V6(key), entry))?;
        walk(&self.v6_addresses, |key, entry| {
            each(Target::V6Address(key), entry);
        })?;
        for prefix in self.prefixes()? {
            visit(from_prefix(prefix));
        }
        Ok(())
    }

    pub(super) fn host(&self, target: Target) -> Result<Option<Entry>> {
        match target {
            Target::V4(key) => optional(self.v4.get(&key)),
            Target::V6(key) => optional(self.v6.get(&key, 0)),
            Target::V6Address(key) => optional(self.v6_addresses.get(&key, 0)),
            Target::Net(_) => Ok(None),
        }
    }
}

pub(super) fn from_prefix((net, prefix): (IpNet, CidrEntry)) -> Found {
    let end_s = u64::from(prefix.expires_s) + 1;
    let [low, high] = prefix.owners.map(u64::from);
    Found {
        target: Target::Net(net),
        entry: Entry {
            expires: MonotonicNs::from_ns(end_s * SECOND - 1),
            hits: prefix.hits,
            flags: ORIGIN_HAND | SEALED,
            owners: low | high << 32,
            ..Entry::default()
        },
    }
}
