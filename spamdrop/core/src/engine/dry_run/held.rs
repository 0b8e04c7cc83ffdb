//! Connections that rejected peers hold open, as far as the log shows them: by
//! the line that ends the connection, or by further rejections in it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::log::{SlotChange, SlotLine};

/// The longest time that a connection is taken to be held.
const LONGEST: Duration = Duration::from_secs(3600);
/// How often connections whose end is not in the log are forgotten.
const SWEEP: Duration = Duration::from_secs(600);

/// The connections in which a peer was rejected.
#[derive(Debug)]
pub(super) struct HeldConnections {
    /// Time from the rejection to the release.
    grace: Duration,
    /// The key is the peer and, if the log tells it, the peer's port.
    connections: HashMap<(IpAddr, Option<u16>), HeldConnection>,
    swept: Duration,
}

#[derive(Clone, Copy, Debug)]
struct HeldConnection {
    /// The end of the grace.
    due: Duration,
    /// The time up to which the connection has been counted as held.
    counted: Duration,
}

/// The time beyond the grace that a line adds to a held connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HeldMore {
    /// Whether the line is the first to show that the connection was held.
    pub is_first: bool,
    /// The time that no earlier line has shown.
    pub time: Duration,
}

impl HeldConnections {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            grace,
            connections: HashMap::new(),
            swept: Duration::ZERO,
        }
    }

    /// Takes a rejection. Without a port, two rejections of a peer may belong to two
    /// connections, so only the end of a connection shows that it was held.
    pub(super) fn reject(&mut self, addr: IpAddr, port: Option<u16>, now: Duration) -> HeldMore {
        self.sweep(now);
        let due = now + self.grace;
        let first = HeldConnection { due, counted: due };
        let held = self.connections.entry((addr, port)).or_insert(first);
        match port {
            Some(_) => held.extend(now),
            None => HeldMore::default(),
        }
    }

    /// Takes the beginning or the end of a connection.
    pub(super) fn take(&mut self, line: &SlotLine, now: Duration) -> HeldMore {
        if line.change == SlotChange::Closed {
            return self.close(line.addr, line.port, now);
        }
        self.open(line.addr, line.port);
        HeldMore::default()
    }

    /// Takes the beginning of a connection. An earlier connection of the peer
    /// with this port, or without a port, must have ended before. It is forgotten,
    /// because the log does not tell when it ended.
    fn open(&mut self, addr: IpAddr, port: Option<u16>) {
        if self.connections.is_empty() {
            return;
        }
        self.connections.remove(&(addr, None));
        self.connections.remove(&(addr, port));
    }

    /// Takes the end of a connection.
    fn close(&mut self, addr: IpAddr, port: Option<u16>, now: Duration) -> HeldMore {
        let by_port = self.connections.remove(&(addr, port));
        let held = by_port.or_else(|| self.connections.remove(&(addr, None)));
        held.map_or_else(HeldMore::default, |mut held| held.extend(now))
    }

    fn sweep(&mut self, now: Duration) {
        if now.saturating_sub(self.swept) >= SWEEP {
            self.swept = now;
            self.connections
                .retain(|_, held| now.saturating_sub(held.due) < LONGEST);
        }
    }
}

impl HeldConnection {
    fn extend(&mut self, now: Duration) -> HeldMore {
        let time = now.saturating_sub(self.counted);
        let is_first = self.counted == self.due && !time.is_zero();
        self.counted = self.counted.max(now);
        HeldMore { is_first, time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    fn more(is_first: bool, seconds: u64) -> HeldMore {
        let time = Duration::from_secs(seconds);
        HeldMore { is_first, time }
    }

    #[test]
    fn further_rejections_and_the_end_show_how_long_it_was_held() {
        let mut held = HeldConnections::new(Duration::from_secs(3));
        let peer = IpAddr::from([192, 0, 2, 1]);
        let none = HeldMore::default();
        let port = Some(4711);
        assert_eq!(held.reject(peer, port, second(0)), none);
        assert_eq!(held.reject(peer, port, second(3)), none);
        assert_eq!(held.reject(peer, port, second(8)), more(true, 5));
        assert_eq!(held.reject(peer, Some(4712), second(9)), none);
        assert_eq!(held.close(peer, port, second(10)), more(false, 2));
        assert_eq!(held.close(peer, port, second(11)), none);
        assert_eq!(held.close(peer, Some(4712), second(11)), none);
    }

    #[test]
    fn without_a_port_only_the_end_tells() {
        let mut held = HeldConnections::new(Duration::from_secs(3));
        let peer = IpAddr::from([192, 0, 2, 1]);
        let none = HeldMore::default();
        for (port, at_end) in [(None, more(true, 12)), (Some(7), more(true, 12))] {
            assert_eq!(held.reject(peer, None, second(0)), none);
            assert_eq!(held.reject(peer, None, second(10)), none);
            assert_eq!(held.close(peer, port, second(15)), at_end);
        }
        for port in [None, Some(7)] {
            held.reject(peer, None, second(0));
            held.open(peer, port);
            assert_eq!(held.close(peer, port, second(15)), none);
        }
    }

    #[test]
    fn a_connection_whose_end_is_not_in_the_log_is_forgotten() {
        let grace = 3;
        let mut held = HeldConnections::new(Duration::from_secs(grace));
        for (n, at, number) in [(1, 0, 1), (2, 3_000, 2), (3, 3_600 + grace, 2)] {
            held.reject(IpAddr::from([192, 0, 2, n]), None, second(at));
            assert_eq!(held.connections.len(), number, "{n}");
        }
    }
}
