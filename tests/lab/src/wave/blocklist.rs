//! The blocklist, for whoever asks by DNS.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Result;

use super::mode::RESOLV_CONF;
use super::population::is_listed;
use crate::dns::{DnsStub, Reply, Rtype};
use crate::site::Site;

/// Its name.
pub const ZONE: &str = "bl.example";
/// Where the server asks.
const ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);
/// Nobody has a name, and nobody gets one soon.
const ABSENT_S: u32 = 300;

/// Starts a name server on the site's server, and says so in a `resolv.conf`.
///
/// # Errors
///
/// Its address cannot be bound, or the file not be written.
pub fn start(site: &Site) -> Result<DnsStub> {
    let stub = DnsStub::start(&site.server, ADDR, answer)?;
    fs::write(
        site.path(RESOLV_CONF),
        format!("nameserver {}\n", ADDR.ip()),
    )?;
    Ok(stub)
}

fn answer(name: &str, kind: Rtype) -> Reply {
    match (asked(name).is_some_and(is_listed), kind) {
        (true, Rtype::A) => Reply::a([127, 0, 0, 2]),
        (true, Rtype::TXT) => Reply::txt("Blacklisted by bl.example"),
        (true, _) => Reply::Records(ABSENT_S, Vec::new()),
        (false, _) => Reply::Absent(ABSENT_S),
    }
}

/// Of `4.3.2.1.bl.example`: 1.2.3.4.
fn asked(name: &str) -> Option<Ipv4Addr> {
    let reversed: Ipv4Addr = name.strip_suffix(ZONE)?.strip_suffix('.')?.parse().ok()?;
    Some(Ipv4Addr::from_bits(reversed.to_bits().swap_bytes()))
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
}
