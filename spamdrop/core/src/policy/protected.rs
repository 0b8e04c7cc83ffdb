//! Addresses that are never blocked.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::nat64::{canonical, canonical_net};

/// The reason why an address or prefix is never blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// 127.0.0.0/8 or ::1.
    Loopback,
    /// 0.0.0.0 or ::.
    Unspecified,
    /// 169.254.0.0/16 or fe80::/10.
    LinkLocal,
    /// 224.0.0.0/4 or ff00::/8.
    Multicast,
    /// 255.255.255.255, or the broadcast address of a network.
    Broadcast,
    /// An address of this machine.
    OwnAddress,
    /// A gateway of this machine.
    Gateway,
    /// In the same IPv6 /64 as one of the addresses above.
    SharedPrefix(IpNet),
    /// In this prefix of the allowlist.
    Allowlist(IpNet),
    /// A prefix with fewer than this number of bits.
    TooWide(u8),
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("loopback"),
            Self::Unspecified => f.write_str("the unspecified address"),
            Self::LinkLocal => f.write_str("link-local"),
            Self::Multicast => f.write_str("multicast"),
            Self::Broadcast => f.write_str("broadcast"),
            Self::OwnAddress => f.write_str("an address of this machine"),
            Self::Gateway => f.write_str("a gateway of this machine"),
            Self::SharedPrefix(net) => {
                write!(f, "in {net}, with an address or a gateway of this machine")
            }
            Self::Allowlist(net) => write!(f, "on the allowlist ({net})"),
            Self::TooWide(bits) => write!(f, "wider than /{bits}"),
        }
    }
}

/// The shortest prefix lengths that may be blocked. A shorter one is probably a
/// mistake.
const MIN_BITS_V4: u8 = 8;
const MIN_BITS_V6: u8 = 19;

/// All addresses that are never blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protected {
    nets: BTreeMap<IpNet, Protection>,
    /// The prefix lengths in `nets`, longest first.
    bits_v4: Vec<u8>,
    bits_v6: Vec<u8>,
}

impl Default for Protected {
    /// The prefixes that are never blocked on any machine.
    fn default() -> Self {
        Self::new([])
    }
}

impl Protected {
    /// The given prefixes and those that are never blocked on any machine. Of
    /// two reasons for a prefix, the first counts.
    ///
    /// The filter blocks IPv6 by the /64, so an address of this machine or of a
    /// gateway protects the whole /64 around it.
    #[must_use]
    pub fn new(nets: impl IntoIterator<Item = (IpNet, Protection)>) -> Self {
        let mut all = BTreeMap::new();
        for (net, reason) in nets.into_iter().chain(everywhere()) {
            let net = canonical_net(net);
            all.entry(net).or_insert(reason);
            if let Some(prefix) = around(net)
                && !matches!(reason, Protection::Allowlist(_))
            {
                all.entry(prefix)
                    .or_insert(Protection::SharedPrefix(prefix));
            }
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

    /// Every protected prefix with its reason, sorted.
    pub fn nets(&self) -> impl Iterator<Item = (IpNet, Protection)> + '_ {
        self.nets.iter().map(|(net, reason)| (*net, *reason))
    }

    /// The reason why the address is never blocked, if it is protected.
    #[must_use]
    pub fn why(&self, addr: IpAddr) -> Option<Protection> {
        self.covering(canonical(addr).into())
    }

    /// The reason why the prefix is never blocked, if it is protected: it lies
    /// in a protected prefix, contains one that is not the administrator's, or
    /// is wider than /8 (IPv4) or /19 (IPv6). An allowlisted address in a
    /// blocked prefix is not blocked, because the filter asks the allowlist.
    #[must_use]
    pub fn why_net(&self, net: IpNet) -> Option<Protection> {
        let net = canonical_net(net);
        if let Some(min) = too_wide(net) {
            return Some(Protection::TooWide(min));
        }
        self.covering(net).or_else(|| {
            let inside = self.nets.range(net..);
            let mut inside = inside.take_while(|(protected, _)| net.contains(*protected));
            let (_, reason) =
                inside.find(|(_, reason)| !matches!(reason, Protection::Allowlist(_)))?;
            Some(*reason)
        })
    }

    /// The reason of the longest protected prefix that contains the given one.
    fn covering(&self, net: IpNet) -> Option<Protection> {
        let bits = match net {
            IpNet::V4(_) => &self.bits_v4,
            IpNet::V6(_) => &self.bits_v6,
        };
        bits.iter()
            .filter(|&&bits| bits <= net.prefix_len())
            .filter_map(|&bits| IpNet::new(net.addr(), bits).ok())
            .find_map(|prefix| self.nets.get(&prefix.trunc()).copied())
    }
}

/// The minimum length of a prefix of this family, if the prefix is wider: it is
/// taken for a mistake.
#[must_use]
pub fn too_wide(net: IpNet) -> Option<u8> {
    let min = match net {
        IpNet::V4(_) => MIN_BITS_V4,
        IpNet::V6(_) => MIN_BITS_V6,
    };
    (net.prefix_len() < min).then_some(min)
}

/// The /64 that contains a longer IPv6 prefix.
fn around(net: IpNet) -> Option<IpNet> {
    match net {
        IpNet::V6(net) if net.prefix_len() > 64 => {
            let prefix = Ipv6Net::new(net.addr(), 64).ok()?;
            Some(prefix.trunc().into())
        }
        _ => None,
    }
}

fn everywhere() -> [(IpNet, Protection); 9] {
    let v4 = |addr: [u8; 4], bits| Ipv4Net::new_assert(Ipv4Addr::from(addr), bits).into();
    let v6 = |first, last, bits| {
        Ipv6Net::new_assert(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last), bits).into()
    };
    [
        (v4([127, 0, 0, 0], 8), Protection::Loopback),
        (v4([0, 0, 0, 0], 32), Protection::Unspecified),
        (v4([169, 254, 0, 0], 16), Protection::LinkLocal),
        (v4([224, 0, 0, 0], 4), Protection::Multicast),
        (v4([255, 255, 255, 255], 32), Protection::Broadcast),
        (v6(0, 1, 128), Protection::Loopback),
        (v6(0, 0, 128), Protection::Unspecified),
        (v6(0xfe80, 0, 10), Protection::LinkLocal),
        (v6(0xff00, 0, 8), Protection::Multicast),
    ]
}

#[cfg(test)]
mod tests;
