//! Prefixes with their reasons, for look-ups by address.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::Protection;
use crate::nat64::canonical_net;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefixes {
    nets: BTreeMap<IpNet, Protection>,
    /// The prefix lengths in `nets`, longest first.
    bits_v4: Vec<u8>,
    bits_v6: Vec<u8>,
}

impl Prefixes {
    /// If a prefix has two reasons, the first counts.
    pub(super) fn new(nets: impl IntoIterator<Item = (IpNet, Protection)>) -> Self {
        let mut all = BTreeMap::new();
        for (net, reason) in nets {
            all.entry(canonical_net(net)).or_insert(reason);
        }
        let bits = |v4| {
            let nets = all.keys().filter(|net| net.addr().is_ipv4() == v4);
            let mut bits: Vec<u8> = nets.map(IpNet::prefix_len).collect();
            bits.sort_unstable_by(|a, b| b.cmp(a));
            bits.dedup();
            bits
        };
        Self {
            bits_v4: bits(true),
            bits_v6: bits(false),
            nets: all,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (IpNet, Protection)> + '_ {
        self.nets.iter().map(|(net, reason)| (*net, *reason))
    }

    pub(super) fn get(&self, net: IpNet) -> Option<Protection> {
        self.nets.get(&net).copied()
    }

    /// The longest prefix that contains the given one.
    pub(super) fn covering(&self, net: IpNet) -> Option<(IpNet, Protection)> {
        let bits = match net {
            IpNet::V4(_) => &self.bits_v4,
            IpNet::V6(_) => &self.bits_v6,
        };
        bits.iter()
            .filter(|&&bits| bits <= net.prefix_len())
            .filter_map(|&bits| IpNet::new(net.addr(), bits).ok())
            .find_map(|prefix| {
                let prefix = prefix.trunc();
                Some((prefix, self.get(prefix)?))
            })
    }

    /// The first prefix that is a part of the given one, or the same.
    pub(super) fn first_inside(&self, net: IpNet) -> Option<(IpNet, Protection)> {
        let (first, reason) = self.nets.range(net..).next()?;
        net.contains(first).then_some((*first, *reason))
    }
}
