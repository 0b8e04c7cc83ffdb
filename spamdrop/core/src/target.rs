//! Units of blocking: an IPv4 address, an IPv6 /64 or address, or a prefix.

mod mistake;
mod prefix_origin;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv6Net};
use serde::{Serialize, Serializer};

use crate::invalid::Invalid;
use crate::nat64::{canonical, canonical_net};
pub use prefix_origin::{origin_of_prefix, prefix_of_origin};

/// The addresses that an entry of the blocklist covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// One IPv4 address, in network order.
    V4([u8; 4]),
    /// One IPv6 /64, because a single host usually has a whole /64.
    V6([u8; 8]),
    /// One IPv6 address without its /64, in which other hosts must not be blocked.
    V6Address([u8; 16]),
    /// Any other prefix.
    Net(IpNet),
}

/// Much cheaper than the derived code, which hashes the variant and the length of the
/// array, too. A log is replayed with several look-ups a line.
impl Hash for Target {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::V4(bytes) => state.write_u32(u32::from_be_bytes(*bytes)),
            Self::V6(bytes) => state.write_u64(u64::from_be_bytes(*bytes)),
            Self::V6Address(bytes) => state.write_u128(u128::from_be_bytes(*bytes)),
            Self::Net(net) => net.hash(state),
        }
    }
}

impl Target {
    /// The covered addresses as a prefix.
    #[must_use]
    pub fn net(self) -> IpNet {
        match self {
            Self::V4(bytes) => IpAddr::from(bytes).into(),
            Self::V6(bytes) => prefix64(bytes).into(),
            Self::V6Address(bytes) => IpAddr::from(bytes).into(),
            Self::Net(net) => net,
        }
    }

    /// The target of an address alone, without its /64.
    #[must_use]
    pub fn alone(addr: IpAddr) -> Self {
        match canonical(addr) {
            IpAddr::V4(addr) => Self::V4(addr.octets()),
            IpAddr::V6(addr) => Self::V6Address(addr.octets()),
        }
    }

    /// The targets whose entry blocks an address, without prefixes; the narrowest
    /// first.
    pub fn covering(addr: IpAddr) -> impl Iterator<Item = Self> {
        let (alone, whole) = (Self::alone(addr), Self::from(addr));
        [Some(alone), (whole != alone).then_some(whole)]
            .into_iter()
            .flatten()
    }

    /// The source that a target belongs to: a single IPv6 address belongs to
    /// its /64.
    #[must_use]
    pub fn source(self) -> Self {
        match self {
            Self::V6Address(bytes) => IpAddr::from(bytes).into(),
            other => other,
        }
    }
}

impl Target {
    /// The targets whose block may have the reason that is stored under `addr`.
    pub fn of_origin(addr: IpAddr) -> impl Iterator<Item = Self> {
        let prefix = prefix_of_origin(addr).map(Self::Net);
        let hosts = prefix.is_none().then(|| Self::covering(addr));
        prefix.into_iter().chain(hosts.into_iter().flatten())
    }

    /// The address under which the reason for the target's block is stored. `None`
    /// for a /64, in which each address has its own reason, and for a prefix that
    /// [`origin_of_prefix`] has no room for.
    #[must_use]
    pub fn origin(self) -> Option<IpAddr> {
        match self {
            Self::V4(_) | Self::V6Address(_) => Some(self.net().addr()),
            Self::V6(_) => None,
            Self::Net(net) => origin_of_prefix(net),
        }
    }
}

fn prefix64(bytes: [u8; 8]) -> Ipv6Net {
    let bits = u128::from(u64::from_be_bytes(bytes)) << 64;
    Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), 64)
}

impl From<IpAddr> for Target {
    /// The target of an address: the /64 if it is IPv6. An address that is
    /// IPv4-mapped or behind NAT64 becomes IPv4.
    fn from(addr: IpAddr) -> Self {
        match canonical(addr) {
            IpAddr::V4(addr) => Self::V4(addr.octets()),
            IpAddr::V6(addr) => {
                let [a, b, c, d, e, f, g, h, ..] = addr.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl From<IpNet> for Target {
    /// The target of a prefix; host bits are cleared. A /128 is the address
    /// alone.
    fn from(net: IpNet) -> Self {
        let net = canonical_net(net);
        match (net, net.prefix_len()) {
            (IpNet::V4(_), 32) | (IpNet::V6(_), 128) => Self::alone(net.addr()),
            // `list` prints the entry of an IPv6 address in this form.
            (IpNet::V6(_), 64) => net.addr().into(),
            _ => Self::Net(net),
        }
    }
}

impl FromStr for Target {
    type Err = Invalid;

    /// Parses an address or `ADDRESS/LENGTH`. An IPv6 address stands for its
    /// /64, and with the length 128 for itself alone. Host bits after the length
    /// are cleared, as in `nft` and `ipset`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(addr) = text.parse::<IpAddr>() {
            return Ok(addr.into());
        }
        let net: IpNet = text
            .parse()
            .map_err(|_| Invalid::new(mistake::describe(text)))?;
        let mapped = matches!(net.addr(), IpAddr::V6(addr) if addr.to_ipv4_mapped().is_some());
        if mapped && net.prefix_len() != 128 {
            let message = format!("`{text}` is an IPv4-mapped prefix; write it as IPv4");
            return Err(Invalid::new(message));
        }
        if holds_translated(net) {
            let message = format!(
                "`{text}` holds the IPv4 senders behind NAT64, which are blocked by their IPv4 addresses; write them as IPv4"
            );
            return Err(Invalid::new(message));
        }
        Ok(net.into())
    }
}

/// Whether an IPv6 prefix contains 64:ff9b::/96, and is so long (/32 or more) that the
/// senders behind NAT64 must be meant.
fn holds_translated(net: IpNet) -> bool {
    let well_known = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
    (32..96).contains(&net.prefix_len()) && net.contains(&IpAddr::from(well_known))
}

impl fmt::Display for Target {
    /// Formats an IPv4 address without its length, everything else as a prefix:
    /// without it, a single IPv6 address would stand for its /64.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // This takes half the time of formatting an `Ipv4Addr`; a list may
            // have a million entries.
            Self::V4(bytes) => {
                let mut text = [b'.'; 15];
                let mut end = 0;
                for byte in bytes {
                    for (power, digits) in [(100, 3), (10, 2), (1, 1)] {
                        if *byte >= power || digits == 1 {
                            if let Some(place) = text.get_mut(end) {
                                *place = b'0' + byte / power % 10;
                            }
                            end += 1;
                        }
                    }
                    end += 1;
                }
                let text = text.get(..end - 1).unwrap_or_default();
                f.write_str(str::from_utf8(text).unwrap_or_default())
            }
            Self::V6(_) | Self::V6Address(_) | Self::Net(_) => self.net().fmt(f),
        }
    }
}

impl Serialize for Target {
    /// Serializes the displayed text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A sender's address or a prefix, for places where an IPv6 address does not stand for
/// its /64. An address is shown without its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownNet(pub IpNet);

impl fmt::Display for ShownNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(net) = self;
        match net.prefix_len() == net.max_prefix_len() {
            true => net.addr().fmt(f),
            false => net.fmt(f),
        }
    }
}

impl Serialize for ShownNet {
    /// Serializes the displayed text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Parses an address or prefix. Host bits are cleared. An address that is IPv4-mapped or
/// behind NAT64 becomes IPv4.
#[must_use]
pub fn parse_net(word: &str) -> Option<IpNet> {
    if let Ok(addr) = word.parse::<IpAddr>() {
        return Some(canonical(addr).into());
    }
    word.parse().ok().map(canonical_net)
}

/// Converts an address to a key of the `origins` map: IPv4 becomes
/// `::ffff:a.b.c.d`.
#[must_use]
pub fn full_key(addr: IpAddr) -> [u8; 16] {
    match canonical(addr) {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
        IpAddr::V6(addr) => addr.octets(),
    }
}

/// Converts a [`full_key`] back to the address.
#[must_use]
pub fn from_full_key(key: [u8; 16]) -> IpAddr {
    IpAddr::from(key).to_canonical()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn show(text: &str) -> String {
        text.parse::<Target>().unwrap().to_string()
    }

    #[test]
    fn reads_addresses_and_prefixes() {
        assert_eq!(show("192.0.2.1"), "192.0.2.1");
        assert_eq!(show("192.0.2.1/32"), "192.0.2.1");
        assert_eq!(show("192.0.2.77/24"), "192.0.2.0/24");
        assert_eq!(show("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(show("64:ff9b::192.0.2.1"), "192.0.2.1");
        assert_eq!(show("64:ff9b::192.0.2.77/120"), "192.0.2.0/24");
        assert_eq!(show("2001:db8::1"), "2001:db8::/64");
        assert_eq!(show("2001:db8:0:1::/128"), "2001:db8:0:1::/128");
        assert_eq!(show("2001:db8::1/64"), "2001:db8::/64");
        assert_eq!(show("2001:db8::1/48"), "2001:db8::/48");
    }

    #[test]
    fn an_ipv6_address_is_covered_by_itself_and_its_64() {
        let covering = |text: &str| -> Vec<String> {
            let targets = Target::covering(text.parse().unwrap());
            targets.map(|target| target.to_string()).collect()
        };
        assert_eq!(
            covering("2001:db8::1"),
            ["2001:db8::1/128", "2001:db8::/64"]
        );
        for addr in ["192.0.2.1", "::ffff:192.0.2.1", "64:ff9b::192.0.2.1"] {
            assert_eq!(covering(addr), ["192.0.2.1"], "{addr}");
        }
        let alone = Target::alone("2001:db8::1".parse().unwrap());
        assert_eq!(alone.source().to_string(), "2001:db8::/64");
        assert_eq!(alone.net(), "2001:db8::1/128".parse().unwrap());
    }

    #[test]
    fn a_reason_is_stored_for_an_address_or_a_prefix_and_not_for_a_64() {
        for (text, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("2001:db8::1/128", Some("2001:db8::1")),
            ("2001:db8::/64", None),
            ("192.0.2.0/24", Some("ff98:c000:200::")),
        ] {
            let origin = text.parse::<Target>().unwrap().origin();
            let expected = expected.map(|addr| addr.parse().unwrap());
            assert_eq!(origin, expected, "{text}");
        }
    }

    #[test]
    fn the_key_of_an_origin_is_the_address_in_ipv6() {
        for (addr, key) in [
            ("192.0.2.1", "::ffff:192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            let addr: IpAddr = addr.parse().unwrap();
            let key: Ipv6Addr = key.parse().unwrap();
            assert_eq!(full_key(addr), key.octets());
            assert_eq!(from_full_key(full_key(addr)), addr);
        }
    }

    #[test]
    fn what_is_shown_is_read_back_as_the_same() {
        for text in [
            "192.0.2.1",
            "192.0.2.0/24",
            "2001:db8::1",
            "2001:db8::1/128",
            "2001:db8::/48",
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
        }
    }

    #[test]
    fn refuses_what_is_not_an_address() {
        for text in [
            "",
            "x",
            "1.2.3",
            "1.2.3.4/33",
            "1.2.3.4 ",
            "::ffff:1.2.3.0/120",
            "::ffff:1.2.3.4/64",
            "fe80::1%eth0",
            "64:ff9b::/64",
            "64:ff9b::/32",
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn reads_prefixes_as_the_filter_sees_their_packets() {
        for (word, net) in [
            ("192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.77/24", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:192.0.2.77/120", "192.0.2.0/24"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("64:ff9b::192.0.2.1", "192.0.2.1/32"),
            ("64:ff9b::192.0.2.77/120", "192.0.2.0/24"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(parse_net(word), net.parse().ok(), "{word}");
        }
        assert_eq!(parse_net("192.0.2.1/33"), None);
    }
}
