//! The addresses that a block covers. An IPv6 sender is blocked with its /64,
//! because a host usually has a whole /64. But a /64 that also holds a protected
//! address or a known sender is shared by several hosts, so only the offender is
//! blocked.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Protected, Protection};
use crate::target::{ShownNet, Target};

/// The IPv6 /64s that hold a known sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownNets {
    /// The known senders cannot be read, so any /64 may hold one.
    Unread,
    /// Exactly these /64s hold a known sender.
    Read(Arc<HashSet<[u8; 8]>>),
}

impl Default for KnownNets {
    /// No sender is known.
    fn default() -> Self {
        Self::Read(Arc::default())
    }
}

impl FromIterator<Target> for KnownNets {
    /// Ignores IPv4 targets.
    fn from_iter<I: IntoIterator<Item = Target>>(senders: I) -> Self {
        let keys = senders
            .into_iter()
            .filter_map(|sender| match sender.source() {
                Target::V6(net) => Some(net),
                _ => None,
            });
        Self::Read(Arc::new(keys.collect()))
    }
}

impl KnownNets {
    /// The /64s that `old` does not have; none if `self` is unread.
    #[must_use]
    pub fn new_since(&self, old: &Self) -> Vec<[u8; 8]> {
        match (self, old) {
            (Self::Unread, _) => Vec::new(),
            (Self::Read(nets), Self::Unread) => nets.iter().copied().collect(),
            (Self::Read(nets), Self::Read(old)) => nets.difference(old).copied().collect(),
        }
    }
}

/// The reason why a /64 is not blocked as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// It holds this protected prefix.
    Protected(IpNet, Protection),
    /// It holds a known sender.
    Known,
    /// The known senders cannot be read.
    Unread,
}

impl fmt::Display for Neighbour {
    /// Writes the predicate of a sentence whose subject is the /64.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protected(net, Protection::Allowlist(_)) => {
                write!(f, "holds {} of the allowlist", ShownNet(*net))
            }
            Self::Protected(net, reason) => {
                write!(f, "holds {}, {reason}", ShownNet(*net))
            }
            Self::Known => f.write_str("holds a known sender"),
            Self::Unread => {
                f.write_str("may hold a known sender, as the known senders cannot be read")
            }
        }
    }
}

/// The reason why an address or prefix that the administrator gave is not
/// blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockRefusal {
    /// It is protected.
    Protected(Protection),
    /// It is a /64 that is not blocked as a whole.
    Shared(Neighbour),
}

impl fmt::Display for BlockRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protected(reason) => reason.fmt(f),
            Self::Shared(neighbour) => write!(f, "{neighbour}; block single addresses of it"),
        }
    }
}

/// The entry to block for a given address or prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The entry.
    pub target: Target,
    /// Why the entry blocks an IPv6 address alone and not its /64; `None`: the entry
    /// is the one that the input stands for.
    pub neighbour: Option<Neighbour>,
}

/// The protected addresses and the /64s of known senders, which limit a block. A
/// clone is cheap.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The addresses that are never blocked.
    pub protected: Protected,
    /// The /64s that hold a known sender.
    pub known: KnownNets,
}

impl Scope {
    /// The entry that blocks an offender.
    #[must_use]
    pub fn target(&self, offender: IpAddr) -> Target {
        self.narrowed(offender.into(), offender).target
    }

    /// The entry that blocks the given address or prefix. `target`: the entry
    /// that the input stands for. `net`: the addresses of the input.
    ///
    /// # Errors
    ///
    /// The address or prefix must not be blocked.
    pub fn choose(&self, target: Target, net: IpNet) -> Result<Choice, BlockRefusal> {
        let is_host = net.prefix_len() == net.max_prefix_len();
        let why = if is_host {
            self.protected.why(net.addr())
        } else {
            self.protected.why_net(net)
        };
        if let Some(why) = why {
            return Err(BlockRefusal::Protected(why));
        }
        let choice = self.narrowed(target, net.addr());
        match choice.neighbour {
            Some(neighbour) if !is_host => Err(BlockRefusal::Shared(neighbour)),
            _ => Ok(choice),
        }
    }

    fn narrowed(&self, target: Target, addr: IpAddr) -> Choice {
        let neighbour = match target {
            Target::V6(net) => self.neighbour(net),
            _ => None,
        };
        let target = match neighbour {
            Some(_) => Target::alone(addr),
            None => target,
        };
        Choice { target, neighbour }
    }

    /// The reason why this /64 is not blocked as a whole, if it must not be.
    #[must_use]
    pub fn neighbour(&self, net: [u8; 8]) -> Option<Neighbour> {
        if let Some((net, reason)) = self.protected.inside(Target::V6(net).net()) {
            return Some(Neighbour::Protected(net, reason));
        }
        match &self.known {
            KnownNets::Unread => Some(Neighbour::Unread),
            KnownNets::Read(nets) => nets.contains(&net).then_some(Neighbour::Known),
        }
    }
}

/// The /64s that contain one of these prefixes and are wider. When the prefixes
/// become protected, entries of these /64s must become entries of single
/// addresses.
pub fn nets_around(prefixes: impl IntoIterator<Item = IpNet>) -> impl Iterator<Item = [u8; 8]> {
    prefixes.into_iter().filter_map(|net| match net {
        IpNet::V6(net) if net.prefix_len() > 64 => {
            let [a, b, c, d, e, f, g, h, ..] = net.addr().octets();
            Some([a, b, c, d, e, f, g, h])
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests;
