//! Private addresses from which most mail comes: those of proxies that hide the
//! senders' addresses.
//!
//! A block of such an address would stop all mail. A public address never counts
//! as a proxy's, because a sender could otherwise make itself unblockable.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The number of minutes for which a connection counts.
const MINUTES: u64 = 60;
/// The fewest connections of a proxy in [`MINUTES`]; fewer prove nothing.
const LEAST: u32 = 20;
/// A proxy remains one while it has at least one in this many connections: a
/// quarter.
const REMAINS: u32 = 4;
/// Maximum number of private addresses that are counted in a minute.
const CAPACITY: usize = 64;

/// Addresses that no host on the Internet has: RFC 1918, RFC 6598, RFC 4193,
/// and link-local ones.
const PRIVATE: [IpNet; 7] = [
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v4([100, 64, 0, 0], 10),
    v4([169, 254, 0, 0], 16),
    v6(0xfc00, 7),
    v6(0xfe80, 10),
];

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn v6(first: u16, length: u8) -> IpNet {
    let addr = Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0);
    IpNet::V6(Ipv6Net::new_assert(addr, length))
}

/// The connections of the last hour, by the minute.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    minutes: VecDeque<(u64, Minute)>,
    proxy: Option<IpAddr>,
    /// The connection of the last line.
    last: Option<ProxiedConnection>,
}

/// A connection, as well as a line tells it: without a port, all lines of an address in the
/// same second are one connection.
#[derive(Debug, PartialEq, Eq)]
enum ProxiedConnection {
    FromPort(IpAddr, u16),
    InSecond(IpAddr, u64),
}

#[derive(Debug, Default)]
struct Minute {
    connections: u32,
    private: BTreeMap<IpAddr, u32>,
}

impl Proxies {
    /// Records a line about a connection from an address. Lines in a row about the same
    /// connection, as for a message with many recipients, count once. `now` is the
    /// monotonic clock.
    pub fn record(&mut self, addr: IpAddr, port: Option<u16>, now: Duration) {
        let connection = match port {
            Some(port) => ProxiedConnection::FromPort(addr, port),
            None => ProxiedConnection::InSecond(addr, now.as_secs()),
        };
        if self.last.as_ref() == Some(&connection) {
            return;
        }
        self.last = Some(connection);
        let number = now.as_secs() / 60;
        if self.minutes.back().is_none_or(|(last, _)| *last != number) {
            self.minutes.push_back((number, Minute::default()));
        }
        let Some((_, minute)) = self.minutes.back_mut() else {
            return;
        };
        minute.connections = minute.connections.saturating_add(1);
        let is_private = PRIVATE.iter().any(|net| net.contains(&addr));
        let is_counted = minute.private.len() < CAPACITY || minute.private.contains_key(&addr);
        if is_private && is_counted {
            *minute.private.entry(addr).or_default() += 1;
        }
    }

    /// The private address with more than half of the last hour's connections,
    /// and at least 20. It remains the proxy's until an hour with at least 20
    /// connections in which it has less than a quarter of them.
    pub fn proxy(&mut self, now: Duration) -> Option<IpAddr> {
        let number = now.as_secs() / 60;
        self.minutes
            .retain(|(minute, _)| number.saturating_sub(*minute) < MINUTES);
        let mut all = 0_u32;
        let mut private = BTreeMap::<IpAddr, u32>::new();
        for (_, minute) in &self.minutes {
            all = all.saturating_add(minute.connections);
            for (addr, count) in &minute.private {
                *private.entry(*addr).or_default() += count;
            }
        }
        if all < LEAST {
            return self.proxy;
        }
        let share = |addr: &IpAddr| private.get(addr).copied().unwrap_or_default();
        self.proxy = self.proxy.filter(|addr| share(addr) >= all / REMAINS);
        let is_proxy = |count: u32| count >= LEAST && count > all / 2;
        let mut found = private.iter().filter(|(_, count)| is_proxy(**count));
        self.proxy = found.next().map(|(addr, _)| *addr).or(self.proxy);
        self.proxy
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn record(proxies: &mut Proxies, addr: &str, count: u32, minute: u32) {
        for port in 1..=count {
            let port = u16::try_from(port).ok();
            proxies.record(addr.parse().unwrap(), port, MINUTE * minute);
        }
    }

    fn proxy(proxies: &mut Proxies, minute: u32) -> Option<String> {
        let proxy = proxies.proxy(MINUTE * minute);
        proxy.map(|addr| addr.to_string())
    }

    #[test]
    fn a_private_address_with_most_connections_of_an_hour_is_a_proxys() {
        let mut proxies = Proxies::default();
        record(&mut proxies, "172.17.0.1", 19, 0);
        assert_eq!(proxy(&mut proxies, 0), None);
        record(&mut proxies, "172.17.0.1", 1, 59);
        let found = Some("172.17.0.1".to_owned());
        assert_eq!(proxy(&mut proxies, 59), found);
        record(&mut proxies, "192.0.2.1", 19, 59);
        assert_eq!(proxy(&mut proxies, 59), found);
        record(&mut proxies, "192.0.2.1", 41, 59);
        assert_eq!(proxy(&mut proxies, 59), found, "a quarter");
        // An hour without connections changes nothing.
        assert_eq!(proxy(&mut proxies, 130), found);
        record(&mut proxies, "192.0.2.1", 20, 130);
        assert_eq!(proxy(&mut proxies, 130), None);
        record(&mut proxies, "172.17.0.1", 20, 131);
        assert_eq!(proxy(&mut proxies, 131), None, "half is not most");
        record(&mut proxies, "172.17.0.1", 1, 131);
        assert_eq!(proxy(&mut proxies, 131), found);
    }

    #[test]
    fn a_connection_with_many_lines_counts_once() {
        let addr = IpAddr::from([10, 1, 1, 27]);
        let mut proxies = Proxies::default();
        for _ in 0..100 {
            proxies.record(addr, Some(40_112), MINUTE);
            proxies.record(addr, Some(40_112), MINUTE * 2);
        }
        assert_eq!(proxies.proxy(MINUTE * 2), None);
        // Without ports, connections in different seconds count.
        let mut proxies = Proxies::default();
        for second in 0..20 {
            proxies.record(addr, None, Duration::from_secs(second));
            proxies.record(addr, None, Duration::from_secs(second));
        }
        assert_eq!(proxies.proxy(MINUTE), Some(addr));
        assert_eq!(proxies.minutes[0].1.connections, 20);
    }

    #[test]
    fn only_private_addresses_count() {
        for (addr, is_private) in [
            ("10.1.2.3", true),
            ("172.31.255.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("100.127.0.1", true),
            ("169.254.1.1", true),
            ("fd12::1", true),
            ("fe80::1", true),
            ("2001:db8::1", false),
            ("192.0.2.1", false),
        ] {
            let mut proxies = Proxies::default();
            record(&mut proxies, addr, 1_000, 0);
            assert_eq!(proxy(&mut proxies, 0).is_some(), is_private, "{addr}");
        }
    }

    #[test]
    fn many_private_addresses_take_no_memory_without_end() {
        let mut proxies = Proxies::default();
        for number in 0..10_000_u32 {
            proxies.record(Ipv4Addr::from(0x0a00_0000 + number).into(), None, MINUTE);
        }
        assert_eq!(proxies.minutes.len(), 1);
        assert_eq!(proxies.minutes[0].1.private.len(), CAPACITY);
    }
}
