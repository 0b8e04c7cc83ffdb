//! The name server that has the blocklist and the names of hosts.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Result;

use super::mode::RESOLV_CONF;
use super::population::{is_listed, is_named};
use crate::dns::{DnsStub, Reply, Rtype};
use crate::site::Site;

/// The zone of the blocklist.
pub const ZONE: &str = "bl.example";
/// The domain of the host names. A name with an address in digits would look
/// like that of a dynamic host.
const HOSTS: &str = "hosts.example";
const REVERSE: &str = "in-addr.arpa";
/// The address of the name server, on the host of the mail server.
const ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);
/// Negative TTL: names do not appear during a test.
const ABSENT_S: u32 = 300;

/// Starts the name server on the host of the site's mail server, and writes its address
/// to [`RESOLV_CONF`].
///
/// # Errors
///
/// The address cannot be bound, or the file cannot be written.
pub fn start(site: &Site) -> Result<DnsStub> {
    let stub = DnsStub::start(&site.server, ADDR, answer)?;
    fs::write(
        site.path(RESOLV_CONF),
        format!("nameserver {}\n", ADDR.ip()),
    )?;
    Ok(stub)
}

/// Every blocklist has this entry (RFC 5782 section 5).
const TEST_LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn answer(name: &str, kind: Rtype) -> Reply {
    let found = match kind {
        Rtype::PTR => reversed(name, REVERSE)
            .filter(|addr| is_named(*addr))
            .map(|addr| Reply::ptr(&host(addr))),
        Rtype::A if name.ends_with(HOSTS) => addr(name).map(|addr| Reply::a(addr.octets())),
        _ => reversed(name, ZONE)
            .filter(|addr| is_listed(*addr) || *addr == TEST_LISTED)
            .map(|_| listing(kind)),
    };
    found.unwrap_or(Reply::Absent(ABSENT_S))
}

fn listing(kind: Rtype) -> Reply {
    match kind {
        Rtype::A => Reply::a([127, 0, 0, 2]),
        Rtype::TXT => Reply::txt("Blacklisted by bl.example"),
        _ => Reply::Records(ABSENT_S, Vec::new()),
    }
}

/// Extracts the address from a name in `zone`: 1.2.3.4 from `4.3.2.1.bl.example` in
/// `bl.example`.
fn reversed(name: &str, zone: &str) -> Option<Ipv4Addr> {
    let reversed: Ipv4Addr = name.strip_suffix(zone)?.strip_suffix('.')?.parse().ok()?;
    Some(Ipv4Addr::from_bits(reversed.to_bits().swap_bytes()))
}

/// The name of a host, with a letter for each half of an octet.
fn host(addr: Ipv4Addr) -> String {
    let letter = |shift: u32| char::from(b'g' + (addr.to_bits() >> shift & 15) as u8);
    let letters: String = (0..8).rev().map(|half| letter(4 * half)).collect();
    format!("{letters}.{HOSTS}")
}

/// The address of the host with this name.
fn addr(name: &str) -> Option<Ipv4Addr> {
    let letters = name.strip_suffix(HOSTS)?.strip_suffix('.')?;
    let half = |bits, letter: u8| {
        let half = letter.checked_sub(b'g').filter(|half| *half < 16)?;
        Some(bits << 4 | u32::from(half))
    };
    (letters.len() == 8)
        .then(|| letters.bytes().try_fold(0, half))
        .flatten()
        .map(Ipv4Addr::from_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_lists_whom_the_server_lists() {
        let answer = |name| answer(name, Rtype::A);
        assert!(matches!(
            answer("10.0.96.100.bl.example"),
            Reply::Records(..)
        ));
        for name in [
            "10.0.64.100.bl.example",
            "10.0.96.100.in-addr.arpa",
            "bl.example",
        ] {
            assert!(matches!(answer(name), Reply::Absent(_)), "{name}");
        }
    }

    #[test]
    fn names_lead_to_addresses_and_back() {
        let named = (0..100).map(|n| Ipv4Addr::new(100, 64, n, 10));
        let named: Vec<_> = named.filter(|addr| is_named(*addr)).collect();
        assert!(named.len() > 80, "{named:?}");
        for known in named {
            let [a, b, c, d] = known.octets();
            let asked = format!("{d}.{c}.{b}.{a}.{REVERSE}");
            assert!(matches!(answer(&asked, Rtype::PTR), Reply::Records(..)));
            let name = host(known);
            assert_eq!(addr(&name), Some(known));
            assert!(matches!(answer(&name, Rtype::A), Reply::Records(..)));
        }
        assert_eq!(addr("ggggggg.hosts.example"), None);
    }
}
