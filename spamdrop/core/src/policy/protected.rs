//! Addresses that are never blocked.

mod prefixes;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::nat64::{canonical, canonical_net};
use prefixes::Prefixes;

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
    /// A private address from which most connections come.
    Proxy,
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
            Self::Proxy => f.write_str("a proxy's address, from which most connections come"),
            Self::Allowlist(net) => write!(f, "on the allowlist ({net})"),
            Self::TooWide(bits) => write!(f, "wider than /{bits}"),
        }
    }
}

/// The shortest prefix lengths that may be blocked. A shorter one is probably a
/// mistake.
const MIN_BITS_V4: u8 = 8;
const MIN_BITS_V6: u8 = 19;

/// All addresses that are never blocked. A clone is cheap, because it shares the
/// allowlist, which can be long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protected {
    /// The prefixes of this machine, and those that are protected on every
    /// machine. They are few, and change with the network configuration.
    machine: Prefixes,
    allowlist: Arc<Prefixes>,
}

impl Default for Protected {
    /// The prefixes that are never blocked on any machine.
    fn default() -> Self {
        Self::new([])
    }
}

/// The changes to make in a copy of the protected prefixes, such as the filter's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtectionChanges {
    /// Prefixes that are no longer protected.
    pub removed: Vec<IpNet>,
    /// Prefixes that are new, or whose flag has changed. The flag is true if the
    /// prefix is protected for another reason than the allowlist.
    pub set: Vec<(IpNet, bool)>,
}

impl ProtectionChanges {
    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.set.is_empty()
    }
}

impl Protected {
    /// The given prefixes and those that are never blocked on any machine. If a
    /// prefix has two reasons, the machine's counts before the allowlist, and
    /// the first before the second.
    #[must_use]
    pub fn new(nets: impl IntoIterator<Item = (IpNet, Protection)>) -> Self {
        let is_allowed = |(_, reason): &(_, _)| matches!(reason, Protection::Allowlist(_));
        let (allowed, machine): (Vec<_>, Vec<_>) = nets.into_iter().partition(is_allowed);
        Self {
            machine: Prefixes::new(machine.into_iter().chain(everywhere())),
            allowlist: Arc::new(Prefixes::new(allowed)),
        }
    }

    /// The same allowlist on a machine with other prefixes of its own.
    #[must_use]
    pub fn with_machine(&self, nets: impl IntoIterator<Item = (IpNet, Protection)>) -> Self {
        Self {
            machine: Prefixes::new(nets.into_iter().chain(everywhere())),
            allowlist: Arc::clone(&self.allowlist),
        }
    }

    /// Every protected prefix with its reason, in no order.
    pub fn nets(&self) -> impl Iterator<Item = (IpNet, Protection)> + '_ {
        let allowlist = self.allowlist.iter();
        let only_allowed = allowlist.filter(|(net, _)| self.machine.get(*net).is_none());
        self.machine.iter().chain(only_allowed)
    }

    /// The differences from an older version. If only the machine's prefixes
    /// have changed, the allowlist is not compared.
    #[must_use]
    pub fn changes_since(&self, old: &Self) -> ProtectionChanges {
        let mut nets: BTreeSet<IpNet> = [&self.machine, &old.machine]
            .into_iter()
            .flat_map(|prefixes| prefixes.iter().map(|(net, _)| net))
            .collect();
        if !Arc::ptr_eq(&self.allowlist, &old.allowlist) {
            let lists = [&self.allowlist, &old.allowlist].into_iter();
            nets.extend(lists.flat_map(|list| list.iter().map(|(net, _)| net)));
        }
        let mut changes = ProtectionChanges::default();
        for net in nets {
            match (old.is_automatic(net), self.is_automatic(net)) {
                (before, after) if before == after => {}
                (_, Some(automatic)) => changes.set.push((net, automatic)),
                (_, None) => changes.removed.push(net),
            }
        }
        changes
    }

    /// Whether a prefix is protected for another reason than the allowlist;
    /// `None`: it is not protected itself.
    fn is_automatic(&self, net: IpNet) -> Option<bool> {
        if self.machine.get(net).is_some() {
            return Some(true);
        }
        self.allowlist.get(net).map(|_| false)
    }

    /// The reason why the address is never blocked, if it is protected.
    #[must_use]
    pub fn why(&self, addr: IpAddr) -> Option<Protection> {
        self.covering(canonical(addr).into())
    }

    /// The reason why the prefix is never blocked, if it is protected: it lies
    /// in a protected prefix, contains one that is not of the allowlist, or is
    /// wider than /8 (IPv4) or /19 (IPv6). A prefix that contains an allowlisted
    /// address can be blocked, because the filter looks in the allowlist first.
    #[must_use]
    pub fn why_net(&self, net: IpNet) -> Option<Protection> {
        let net = canonical_net(net);
        if let Some(min) = too_wide(net) {
            return Some(Protection::TooWide(min));
        }
        let inside = || self.machine.first_inside(net);
        self.covering(net)
            .or_else(|| inside().map(|(_, reason)| reason))
    }

    /// The first protected prefix that is a part of this one, with its reason.
    /// The machine's prefixes come before those of the allowlist.
    #[must_use]
    pub fn inside(&self, net: IpNet) -> Option<(IpNet, Protection)> {
        let machine = self.machine.first_inside(net);
        machine.or_else(|| self.allowlist.first_inside(net))
    }

    /// The reason of the longest protected prefix that contains the given one.
    fn covering(&self, net: IpNet) -> Option<Protection> {
        let allowed = self.allowlist.covering(net);
        let is_longer = |machine: &(IpNet, _)| {
            allowed.is_none_or(|(allowed, _)| machine.0.prefix_len() >= allowed.prefix_len())
        };
        let machine = self.machine.covering(net).filter(is_longer);
        machine.or(allowed).map(|(_, reason)| reason)
    }
}

/// The minimum prefix length of this family, if the prefix is wider and so taken
/// for a mistake; otherwise `None`.
#[must_use]
pub fn too_wide(net: IpNet) -> Option<u8> {
    let min = match net {
        IpNet::V4(_) => MIN_BITS_V4,
        IpNet::V6(_) => MIN_BITS_V6,
    };
    (net.prefix_len() < min).then_some(min)
}

/// The prefixes that are never blocked on any machine.
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
