//! Connections that rejected peers keep, as far as the log shows it: by the line
//! that ends the connection, or by further rejections in it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::log::{SlotChange, SlotLine};

/// No connection is kept for longer.
const LONGEST: Duration = Duration::from_secs(3600);
/// How often connections whose end is not in the log are forgotten.
const SWEEP: Duration = Duration::from_secs(600);

/// The connections in which a peer was rejected.
#[derive(Debug)]
pub(super) struct HeldConnections {
    /// Time from the rejection to the release.
    grace: Duration,
    /// By the peer and, if the log tells it, its port.
    connections: HashMap<(IpAddr, Option<u16>), HeldConnection>,
    swept: Duration,
}

#[derive(Clone, Copy, Debug)]
struct HeldConnection {
    /// The time from which it is held for too long.
    due: Duration,
    /// The time up to which it was counted.
    counted: Duration,
}

/// The time that a line shows of a connection beyond the grace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HeldMore {
    /// Whether it is the first that shows it of its connection.
    pub is_first: bool,
    /// The further time.
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

    /// Takes a rejection. Without a port it may be one of another connection,
    /// and then only the end of the connection tells.
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

    /// Takes the beginning of a connection: another one of its peer has ended,
    /// if the log does not tell them apart.
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

    fn at(seconds: u64) -> Duration {
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
        assert_eq!(held.reject(peer, port, at(0)), none);
        assert_eq!(held.reject(peer, port, at(3)), none);
        assert_eq!(held.reject(peer, port, at(8)), more(true, 5));
        assert_eq!(held.reject(peer, Some(4712), at(9)), none);
        assert_eq!(held.close(peer, port, at(10)), more(false, 2));
        assert_eq!(held.close(peer, port, at(11)), none);
        assert_eq!(held.close(peer, Some(4712), at(11)), none);
    }

    #[test]
    fn without_a_port_only_the_end_tells() {
        let mut held = HeldConnections::new(Duration::from_secs(3));
        let peer = IpAddr::from([192, 0, 2, 1]);
        let none = HeldMore::default();
        for (port, at_end) in [(None, more(true, 12)), (Some(7), more(true, 12))] {
            assert_eq!(held.reject(peer, None, at(0)), none);
            assert_eq!(held.reject(peer, None, at(10)), none);
            assert_eq!(held.close(peer, port, at(15)), at_end);
        }
        for port in [None, Some(7)] {
            held.reject(peer, None, at(0));
            held.open(peer, port);
            assert_eq!(held.close(peer, port, at(15)), none);
        }
    }
}
