//! Blocked prefixes, in tries that the filter skips while they are empty.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use aya::maps::lpm_trie::Key;
use ipnet::IpNet;
use spamdrop_common::{
    action::is_cidr_live,
    entry::{CidrEntry, Entry},
    time::MonotonicNs,
};

use super::read::from_prefix;
use super::{Blocklist, optional, present};

/// The result of [`Blocklist::prefix_entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixFound {
    /// The entry, in the form of a host's entry.
    pub entry: Entry,
    /// Whether the entry certainly belongs to the prefix, and not to a wider one.
    pub is_certain: bool,
}

impl Blocklist {
    pub(super) fn put_prefix(&mut self, net: IpNet, entry: Entry) -> Result<()> {
        let value = CidrEntry {
            expires_s: entry.expires.second(),
            hits: entry.hits,
            owners: [entry.owners as u32, (entry.owners >> 32) as u32],
            flags: 0,
        };
        let length = net.prefix_len().into();
        match net {
            IpNet::V4(net) => self
                .cidr4
                .insert(&Key::new(length, net.addr().octets()), value, 0),
            IpNet::V6(net) => self
                .cidr6
                .insert(&Key::new(length, net.addr().octets()), value, 0),
        }
        .with_context(|| format!("cannot block {net}"))
    }

    /// Removes a prefix. Returns whether it had an entry.
    pub(super) fn remove_prefix(&mut self, net: IpNet) -> Result<bool> {
        let length = net.prefix_len().into();
        present(match net {
            IpNet::V4(net) => self.cidr4.remove(&Key::new(length, net.addr().octets())),
            IpNet::V6(net) => self.cidr6.remove(&Key::new(length, net.addr().octets())),
        })
    }

    /// The entry of this prefix, or else of the longest one that contains it,
    /// live or not.
    pub(super) fn prefix_around(&self, net: IpNet) -> Result<Option<CidrEntry>> {
        let length = net.prefix_len().into();
        let found = match net {
            IpNet::V4(net) => self.cidr4.get(&Key::new(length, net.addr().octets()), 0),
            IpNet::V6(net) => self.cidr6.get(&Key::new(length, net.addr().octets()), 0),
        };
        optional(found)
    }

    /// The entry of exactly this prefix, live or not, without a read of all others.
    /// A trie returns the longest prefix around a key and does not say which one that
    /// is. So `is_certain` is false if the entry may be that of a wider prefix with
    /// the same end.
    pub fn prefix_entry(&self, net: IpNet) -> Result<Option<PrefixFound>> {
        let Some(entry) = self.prefix_around(net)? else {
            return Ok(None);
        };
        let wider = net.supernet().map(|wider| self.prefix_around(wider));
        let wider = wider.transpose()?.flatten();
        Ok(Some(PrefixFound {
            entry: from_prefix((net, entry)).entry,
            // Only the ends are compared, because the hits may have changed in between.
            is_certain: wider.is_none_or(|wider| wider.expires_s != entry.expires_s),
        }))
    }

    /// The blocked prefixes that have not expired.
    pub fn blocked_prefixes(&self, now: MonotonicNs) -> Result<Vec<IpNet>> {
        let mut all = self.prefixes()?;
        all.retain(|(_, prefix)| is_cidr_live(prefix, now));
        Ok(all.into_iter().map(|(net, _)| net).collect())
    }

    pub(super) fn prefixes(&self) -> Result<Vec<(IpNet, CidrEntry)>> {
        let mut all = Vec::new();
        for item in self.cidr4.iter() {
            let (key, value) = item.context("cannot read cidr4")?;
            all.extend(net(key.data().into(), key.prefix_len()).map(|net| (net, value)));
        }
        for item in self.cidr6.iter() {
            let (key, value) = item.context("cannot read cidr6")?;
            all.extend(net(key.data().into(), key.prefix_len()).map(|net| (net, value)));
        }
        Ok(all)
    }

    /// Updates the number of prefixes in the settings, by which the filter
    /// decides whether to look into the tries.
    pub(super) fn count_prefixes(&mut self) -> Result<()> {
        let prefixes = self.prefixes()?;
        let v4 = prefixes
            .iter()
            .filter(|(net, _)| net.addr().is_ipv4())
            .count();
        self.change_settings(|settings| {
            settings.cidrs4 = u32::try_from(v4).unwrap_or(u32::MAX);
            settings.cidrs6 = u32::try_from(prefixes.len() - v4).unwrap_or(u32::MAX);
        })
    }
}

/// The prefix of a trie's key.
pub(super) fn net(addr: IpAddr, length: u32) -> Option<IpNet> {
    IpNet::new(addr, u8::try_from(length).ok()?).ok()
}
