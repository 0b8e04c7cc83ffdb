//! The address under which the reason for the block of a prefix is stored.
//!
//! Reasons are stored by address, and a prefix may contain an address that has a
//! reason of its own. So the reason of a prefix is stored under a multicast address,
//! from which no packet comes: `ff`, the length (with the highest bit for IPv4),
//! and the address of the prefix.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

const MULTICAST: u8 = 0xff;
const IPV4: u8 = 0x80;
/// The longest IPv6 prefix for which there is room.
const LONGEST: u8 = 112;

/// The multicast address under which the origin of a prefix is stored. `None` for an IPv6
/// prefix longer than /112, whose bytes do not fit into it.
#[must_use]
pub fn origin_of_prefix(net: IpNet) -> Option<IpAddr> {
    let (kind, bytes) = match net.network() {
        IpAddr::V4(addr) => (IPV4, addr.octets().to_vec()),
        IpAddr::V6(addr) => (0, addr.octets().to_vec()),
    };
    let mut key = [0; 16];
    let (head, rest) = key.split_at_mut(2);
    head.copy_from_slice(&[MULTICAST, kind | net.prefix_len()]);
    if net.addr().is_ipv6() && net.prefix_len() > LONGEST {
        return None;
    }
    rest.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    Some(Ipv6Addr::from(key).into())
}

/// The prefix whose reason is stored under `addr`; `None` if the reason is that of
/// the address itself.
#[must_use]
pub fn prefix_of_origin(addr: IpAddr) -> Option<IpNet> {
    let IpAddr::V6(addr) = addr else { return None };
    let [MULTICAST, kind, rest @ ..] = addr.octets() else {
        return None;
    };
    let length = kind & !IPV4;
    if kind & IPV4 != 0 {
        let [a, b, c, d, ..] = rest;
        return IpNet::new(Ipv4Addr::from([a, b, c, d]).into(), length).ok();
    }
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = from);
    IpNet::new(Ipv6Addr::from(bytes).into(), length).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_prefix_is_found_again_by_its_address_and_no_sender_has_that() {
        for text in [
            "192.0.2.0/24",
            "10.0.0.0/8",
            "192.0.2.2/31",
            "2001:db8::/32",
            "2001:db8:1:2:3:4:5:0/112",
        ] {
            let net: IpNet = text.parse().unwrap();
            let addr = origin_of_prefix(net).unwrap();
            assert!(addr.is_multicast(), "{addr}");
            assert_eq!(prefix_of_origin(addr), Some(net));
        }
        let long: IpNet = "2001:db8::/113".parse().unwrap();
        assert_eq!(origin_of_prefix(long), None);
        for addr in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(prefix_of_origin(addr.parse().unwrap()), None);
        }
    }
}
