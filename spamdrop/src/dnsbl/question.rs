//! The names that are asked for.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

/// A name as it is asked for, absolute.
pub type Name = domain::base::Name<Vec<u8>>;

/// The longest zone that an IPv6 address, 64 characters, can be asked in: a
/// name has at most 253.
pub const MAX_ZONE: usize = 253 - 64;

/// RFC 5782: every blocklist has this entry.
pub const TEST_LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// RFC 5782: no blocklist has this entry.
pub const TEST_UNLISTED: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// An address in a zone: the octets of an IPv4 address, or the nibbles of an
/// IPv6 address, last first (RFC 5782). `None`: it is no name.
#[must_use]
pub fn in_zone(addr: IpAddr, zone: &str) -> Option<Name> {
    let mut name = reversed(addr);
    name.push_str(zone);
    Name::vec_from_str(&name).ok()
}

/// The name that leads to the host's own.
#[must_use]
pub fn reverse(addr: IpAddr) -> Option<Name> {
    Name::reverse_from_addr(addr).ok()
}

fn reversed(addr: IpAddr) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    match addr.to_canonical() {
        IpAddr::V4(addr) => {
            for octet in addr.octets().iter().rev() {
                let _ = write!(text, "{octet}.");
            }
        }
        IpAddr::V6(addr) => {
            for octet in addr.octets().iter().rev() {
                let _ = write!(text, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn name(addr: &str) -> String {
        let name = in_zone(addr.parse().unwrap(), "b.example");
        name.unwrap().to_string()
    }

    #[test]
    fn octets_and_nibbles_come_last_first() {
        assert_eq!(name("192.0.2.99"), "99.2.0.192.b.example");
        assert_eq!(name("::ffff:192.0.2.99"), "99.2.0.192.b.example");
        // The example of RFC 5782, section 2.4.
        assert_eq!(
            name("2001:db8:1:2:3:4:567:89ab"),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.b.example"
        );
    }

    #[test]
    fn the_longest_zone_can_be_asked() {
        let mut zone = "a.".repeat(MAX_ZONE / 2);
        zone.push('z');
        assert_eq!(zone.len(), MAX_ZONE);
        let addr = "2001:db8::1".parse().unwrap();
        assert!(in_zone(addr, &zone).is_some());
        assert!(in_zone(addr, &format!("{zone}zz")).is_none());
    }

    #[test]
    fn names_of_hosts() {
        let name = reverse("192.0.2.99".parse().unwrap()).unwrap();
        assert_eq!(name.to_string(), "99.2.0.192.in-addr.arpa");
    }
}
