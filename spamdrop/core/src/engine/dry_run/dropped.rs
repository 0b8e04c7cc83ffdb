//! The connections that a block would have dropped. With the block, the rejections
//! that the log has in these connections would not have happened.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// The longest time that a connection is taken to be open.
const LONGEST: Duration = Duration::from_secs(3600);
/// How often peers whose connections have ended are forgotten.
const SWEEP: Duration = Duration::from_secs(600);
/// The most peers that are remembered; about 20 MiB. The rejections of further
/// peers count as if their connections had not been dropped.
const MOST: usize = 262_144;
/// The most ports of a peer; the oldest gives way to a new one.
const PORTS: usize = 32;

/// The dropped connections of each blocked peer.
#[derive(Debug, Default)]
pub(super) struct DroppedConnections {
    peers: HashMap<IpAddr, DroppedPeer>,
    swept: Duration,
}

#[derive(Debug, Default)]
struct DroppedPeer {
    /// The time of its last dropped connection.
    at: Duration,
    /// The peer's ports of the dropped connections, as far as the log tells them.
    ports: VecDeque<u16>,
    /// Whether the last connection of the peer was dropped.
    is_last: bool,
    /// Whether the log told the port of the last connection.
    has_port: bool,
}

impl DroppedConnections {
    /// Takes the beginning of a connection.
    pub(super) fn open(
        &mut self,
        addr: IpAddr,
        port: Option<u16>,
        is_dropped: bool,
        now: Duration,
    ) {
        let has_room = self.peers.len() < MOST && is_dropped;
        if !has_room && !self.peers.contains_key(&addr) {
            return;
        }
        let peer = self.peers.entry(addr).or_default();
        (peer.is_last, peer.has_port) = (is_dropped, port.is_some());
        if let Some(port) = port {
            peer.ports.retain(|known| *known != port);
        }
        if is_dropped {
            peer.at = now;
            peer.ports.extend(port);
        }
        if peer.ports.len() > PORTS {
            peer.ports.pop_front();
        }
    }

    /// Whether a rejection happened in a dropped connection.
    pub(super) fn contains(&self, addr: IpAddr, port: Option<u16>, now: Duration) -> bool {
        let peer = self.peers.get(&addr);
        let peer = peer.filter(|peer| now.saturating_sub(peer.at) < LONGEST);
        peer.is_some_and(|peer| match port {
            Some(port) if peer.has_port => peer.ports.contains(&port),
            _ => peer.is_last,
        })
    }

    /// Forgets peers from time to time.
    pub(super) fn sweep(&mut self, now: Duration) {
        if now.saturating_sub(self.swept) >= SWEEP {
            self.swept = now;
            let counts = |peer: &DroppedPeer| now.saturating_sub(peer.at) < LONGEST;
            self.peers.retain(|_, peer| counts(peer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(10_000);

    #[test]
    fn a_rejection_belongs_to_the_connection_of_its_port() {
        let mut dropped = DroppedConnections::default();
        let peer = IpAddr::from([192, 0, 2, 1]);
        dropped.open(peer, Some(1), false, NOW);
        assert!(!dropped.contains(peer, Some(1), NOW));
        dropped.open(peer, Some(2), true, NOW);
        let ports = [Some(1), Some(2), None];
        let found =
            |dropped: &DroppedConnections, now| ports.map(|port| dropped.contains(peer, port, now));
        assert_eq!(found(&dropped, NOW), [false, true, true]);
        assert_eq!(found(&dropped, NOW + LONGEST), [false; 3]);
        // The port is used again after the end of the block.
        dropped.open(peer, Some(2), false, NOW);
        assert_eq!(found(&dropped, NOW), [false; 3]);
    }

    #[test]
    fn without_a_port_it_belongs_to_the_last_connection() {
        let mut dropped = DroppedConnections::default();
        let peer = IpAddr::from([192, 0, 2, 1]);
        for (is_dropped, port) in [(true, None), (true, Some(3)), (false, None)] {
            dropped.open(peer, None, is_dropped, NOW);
            assert_eq!(dropped.contains(peer, port, NOW), is_dropped);
        }
        dropped.sweep(NOW + LONGEST);
        assert!(dropped.peers.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut dropped = DroppedConnections::default();
        let peer = IpAddr::from([192, 0, 2, 1]);
        (0..99).for_each(|port| dropped.open(peer, Some(port), true, NOW));
        assert_eq!(dropped.peers[&peer].ports.len(), PORTS);
        assert!(dropped.contains(peer, Some(98), NOW));
    }
}
