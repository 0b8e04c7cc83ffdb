//! IPv4 senders behind NAT64 (RFC 6052), and IPv4-mapped addresses: both are
//! IPv4 addresses in every map, log and list.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::invalid::Invalid;

/// The prefix of a translator: an IPv6 /96, before the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64Prefix([u8; 12]);

/// 64:ff9b::/96, the prefix that every translator may use.
const WELL_KNOWN: Nat64Prefix = Nat64Prefix([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]);

/// The configured prefixes. The whole process has one set, because the keys in
/// the filter's maps follow from it: a part with another set would look for a
/// sender under another key.
static CONFIGURED: RwLock<Vec<Nat64Prefix>> = RwLock::new(Vec::new());

/// Sets the prefixes beside 64:ff9b::/96.
pub fn configure(prefixes: &[Nat64Prefix]) {
    let mut configured = CONFIGURED.write().unwrap_or_else(PoisonError::into_inner);
    configured.clear();
    configured.extend_from_slice(prefixes);
}

impl Nat64Prefix {
    /// The twelve bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 12] {
        self.0
    }
}

impl FromStr for Nat64Prefix {
    type Err = Invalid;

    /// Parses an IPv6 /96. Behind a prefix of another length, the filter cannot read
    /// the IPv4 address.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let net: Option<Ipv6Net> = text.parse().ok();
        match net {
            Some(net) if net.prefix_len() == 96 && net.trunc() == net => {
                let (first, _) = split(net.addr().octets());
                Ok(Self(first))
            }
            Some(net) if net.prefix_len() == 96 => Err(Invalid::new(format!(
                "`{text}` has bits behind its /96; write {}",
                net.trunc()
            ))),
            Some(net) => Err(Invalid::new(format!(
                "`{text}` is a /{}; only /96 prefixes are supported",
                net.prefix_len()
            ))),
            None => Err(Invalid::new(format!(
                "`{text}` is not an IPv6 prefix; give one such as 2001:db8:64::/96"
            ))),
        }
    }
}

impl fmt::Display for Nat64Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut octets = [0; 16];
        let bytes = octets.iter_mut().zip(self.0);
        bytes.for_each(|(to, from)| *to = from);
        write!(f, "{}/96", IpAddr::from(octets))
    }
}

const fn split(octets: [u8; 16]) -> ([u8; 12], [u8; 4]) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
    ([a, b, c, d, e, f, g, h, i, j, k, l], [m, n, o, p])
}

/// The address by which the filter knows a sender: IPv4 if it is IPv4-mapped or
/// behind NAT64.
#[must_use]
pub fn canonical(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V6(v6) => embedded(v6.octets()).map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 => v4,
    }
}

fn embedded(octets: [u8; 16]) -> Option<Ipv4Addr> {
    let (first, last) = split(octets);
    let is_translated = first == WELL_KNOWN.0 || {
        let configured = CONFIGURED.read().unwrap_or_else(PoisonError::into_inner);
        configured.contains(&Nat64Prefix(first))
    };
    is_translated.then(|| last.into())
}

/// The prefix as the filter's maps know it: IPv4 if it is IPv4-mapped or behind NAT64.
/// Host bits are cleared.
#[must_use]
pub fn canonical_net(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let Some(bits) = v6.prefix_len().checked_sub(96)
        && let IpAddr::V4(addr) = canonical(v6.addr().into())
        && let Ok(v4) = Ipv4Net::new(addr, bits)
    {
        return v4.trunc().into();
    }
    net.trunc()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn shown(addr: &str) -> String {
        canonical(addr.parse().unwrap()).to_string()
    }

    #[test]
    fn senders_behind_nat64_are_ipv4_addresses() {
        for (addr, canonical) in [
            ("64:ff9b::c000:242", "192.0.2.66"),
            ("64:ff9b::192.0.2.66", "192.0.2.66"),
            ("::ffff:192.0.2.66", "192.0.2.66"),
            ("192.0.2.66", "192.0.2.66"),
            // RFC 8215, and another /96 of the same /64.
            ("64:ff9b:1::c000:242", "64:ff9b:1::c000:242"),
            ("64:ff9b::1:c000:242", "64:ff9b::1:c000:242"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(shown(addr), canonical, "{addr}");
        }
    }

    #[test]
    fn configured_prefixes_count_until_others_are() {
        // No other test uses these addresses.
        let (one, other) = ("2001:db8:6464::192.0.2.1", "2001:db8:6465::192.0.2.1");
        let prefixes = |texts: &[&str]| -> Vec<Nat64Prefix> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        configure(&prefixes(&["2001:db8:6464::/96", "2001:db8:1::/96"]));
        assert_eq!(shown(one), "192.0.2.1");
        assert_eq!(shown(other), "2001:db8:6465::c000:201");
        configure(&prefixes(&["2001:db8:6465::/96"]));
        assert_eq!(shown(one), "2001:db8:6464::c000:201");
        assert_eq!(shown(other), "192.0.2.1");
        configure(&[]);
        assert_eq!(shown(other), "2001:db8:6465::c000:201");
        assert_eq!(shown("64:ff9b::c000:242"), "192.0.2.66");
    }

    #[test]
    fn prefixes_behind_nat64_are_ipv4_prefixes() {
        for (net, canonical) in [
            ("64:ff9b::192.0.2.0/120", "192.0.2.0/24"),
            ("64:ff9b::192.0.2.66/128", "192.0.2.66/32"),
            ("64:ff9b::/96", "0.0.0.0/0"),
            ("::ffff:192.0.2.77/120", "192.0.2.0/24"),
            ("64:ff9b::/64", "64:ff9b::/64"),
            ("2001:db8::1/64", "2001:db8::/64"),
        ] {
            let found = canonical_net(net.parse().unwrap());
            assert_eq!(found.to_string(), canonical, "{net}");
        }
    }

    #[test]
    fn a_prefix_is_a_96_without_further_bits() {
        let prefix: Nat64Prefix = "2001:db8:64::/96".parse().unwrap();
        assert_eq!(prefix.to_string(), "2001:db8:64::/96");
        for (text, named) in [
            ("2001:db8:64::/64", "a /64; only /96"),
            ("2001:db8:64::/32", "a /32; only /96"),
            ("2001:db8:64::1/96", "write 2001:db8:64::/96"),
            ("192.0.2.0/24", "`192.0.2.0/24` is not an IPv6 prefix"),
            ("2001:db8:64::", "is not an IPv6 prefix"),
        ] {
            let error = text.parse::<Nat64Prefix>().unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
