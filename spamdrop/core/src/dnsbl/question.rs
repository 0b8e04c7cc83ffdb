//! The names for queries to zones (RFC 5782).

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::nat64::canonical;

/// The longest zone name for which an IPv6 query fits: a name has at most 253
/// characters, and the reversed address takes 64.
pub const MAX_ZONE: usize = 253 - 64;

/// RFC 5782: every blocklist lists this address.
pub const TEST_LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// RFC 5782: no blocklist lists this address.
pub const TEST_UNLISTED: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The query name of a test address in a zone that has only IPv6 addresses: RFC
/// 5782 section 5 tests it by ::ffff:7f00:2 and ::ffff:7f00:1.
#[must_use]
pub fn test_name_in_ipv6_zone(test: Ipv4Addr, zone: &str) -> String {
    let mut name = nibbles(test.to_ipv6_mapped());
    name.push_str(zone);
    name
}

/// The query name of an address in a zone: the octets of an IPv4 address or the
/// nibbles of an IPv6 address in reverse order.
#[must_use]
pub fn name_in_zone(addr: IpAddr, zone: &str) -> String {
    let mut name = reversed(addr);
    name.push_str(zone);
    name
}

fn reversed(addr: IpAddr) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    match canonical(addr) {
        IpAddr::V4(addr) => {
            for octet in addr.octets().iter().rev() {
                let _ = write!(text, "{octet}.");
            }
        }
        IpAddr::V6(addr) => return nibbles(addr),
    }
    text
}

fn nibbles(addr: Ipv6Addr) -> String {
    let mut text = String::new();
    for octet in addr.octets().iter().rev() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{:x}.{:x}.", octet & 15, octet >> 4);
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn an_ipv6_zone_has_its_own_tests() {
        for (test, digit) in [(TEST_LISTED, '2'), (TEST_UNLISTED, '1')] {
            let zeros = "0.".repeat(20);
            assert_eq!(
                test_name_in_ipv6_zone(test, "b.example"),
                format!("{digit}.0.0.0.0.0.f.7.f.f.f.f.{zeros}b.example")
            );
        }
    }

    #[test]
    fn octets_and_nibbles_come_last_first() {
        let name = |addr: &str| name_in_zone(addr.parse().unwrap(), "b.example");
        assert_eq!(name("192.0.2.99"), "99.2.0.192.b.example");
        assert_eq!(name("::ffff:192.0.2.99"), "99.2.0.192.b.example");
        // The example of RFC 5782, section 2.4.
        assert_eq!(
            name("2001:db8:1:2:3:4:567:89ab"),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.b.example"
        );
    }
}
