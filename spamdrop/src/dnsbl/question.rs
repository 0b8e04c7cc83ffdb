//! The names that are queried.

use std::net::{IpAddr, Ipv4Addr};

use spamdrop_core::dnsbl::question::{name_in_zone, test_name_in_ipv6_zone};

/// An absolute domain name.
pub type Name = domain::base::Name<Vec<u8>>;

/// The name of an address in a zone (RFC 5782 section 2.1 and 2.4). `None`: the
/// name would be too long.
#[must_use]
pub fn in_zone(addr: IpAddr, zone: &str) -> Option<Name> {
    Name::vec_from_str(&name_in_zone(addr, zone)).ok()
}

/// The name of a test address in a zone that has only IPv6 addresses. `None`:
/// the name would be too long.
#[must_use]
pub fn test_in_ipv6_zone(test: Ipv4Addr, zone: &str) -> Option<Name> {
    Name::vec_from_str(&test_name_in_ipv6_zone(test, zone)).ok()
}

/// The name of an address's PTR record, in `in-addr.arpa` or `ip6.arpa`.
#[must_use]
pub fn reverse(addr: IpAddr) -> Option<Name> {
    Name::reverse_from_addr(addr).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use spamdrop_core::dnsbl::question::MAX_ZONE;

    use super::*;

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
