//! The connections that a block would have refused. The log tells their outcomes,
//! but these would not have happened.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// No connection is open for longer.
const LONGEST: Duration = Duration::from_secs(3600);
/// How often peers whose connections have ended are forgotten.
const SWEEP: Duration = Duration::from_secs(600);
/// The most peers that are remembered; about 20 MiB. The rejections of further
/// ones count as if their connections had not been refused.
const MOST: usize = 262_144;
/// The most ports of a peer; the oldest gives way to a new one.
const PORTS: usize = 32;

/// The refused connections of each blocked peer.
#[derive(Debug, Default)]
pub(super) struct RefusedConnections {
    peers: HashMap<IpAddr, RefusedPeer>,
    swept: Duration,
}

#[derive(Debug, Default)]
struct RefusedPeer {
    /// The time of the last one.
    at: Duration,
    /// Those whose port the log tells.
    ports: VecDeque<u16>,
    /// Whether the last connection of the peer was refused.
    is_last: bool,
    /// Whether the log told the port of the last connection.
    has_port: bool,
}

impl RefusedConnections {
    /// Takes the beginning of a connection.
    pub(super) fn open(
        &mut self,
        addr: IpAddr,
        port: Option<u16>,
        is_refused: bool,
        now: Duration,
    ) {
        let has_room = self.peers.len() < MOST && is_refused;
        if !has_room && !self.peers.contains_key(&addr) {
            return;
        }
        let peer = self.peers.entry(addr).or_default();
        (peer.is_last, peer.has_port) = (is_refused, port.is_some());
        if let Some(port) = port {
            peer.ports.retain(|known| *known != port);
        }
        if is_refused {
            peer.at = now;
            peer.ports.extend(port);
        }
        if peer.ports.len() > PORTS {
            peer.ports.pop_front();
        }
    }

    /// Whether a rejection is one of a refused connection.
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
            let counts = |peer: &RefusedPeer| now.saturating_sub(peer.at) < LONGEST;
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
        let mut refused = RefusedConnections::default();
        let peer = IpAddr::from([192, 0, 2, 1]);
        refused.open(peer, Some(1), false, NOW);
        assert!(!refused.contains(peer, Some(1), NOW));
        refused.open(peer, Some(2), true, NOW);
        let ports = [Some(1), Some(2), None];
        let found =
            |refused: &RefusedConnections, now| ports.map(|port| refused.contains(peer, port, now));
        assert_eq!(found(&refused, NOW), [false, true, true]);
        assert_eq!(found(&refused, NOW + LONGEST), [false; 3]);
        // The port is used again after the end of the block.
        refused.open(peer, Some(2), false, NOW);
        assert_eq!(found(&refused, NOW), [false; 3]);
    }

    #[test]
    fn without_a_port_it_belongs_to_the_last_connection() {
        let mut refused = RefusedConnections::default();
        let peer = IpAddr::from([192, 0, 2, 1]);
        for (is_refused, port) in [(true, None), (true, Some(3)), (false, None)] {
            refused.open(peer, None, is_refused, NOW);
            assert_eq!(refused.contains(peer, port, NOW), is_refused);
        }
        refused.sweep(NOW + LONGEST);
        assert!(refused.peers.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut refused = RefusedConnections::default();
        let peer = IpAddr::from([192, 0, 2, 1]);
        (0..99).for_each(|port| refused.open(peer, Some(port), true, NOW));
        assert_eq!(refused.peers[&peer].ports.len(), PORTS);
        assert!(refused.contains(peer, Some(98), NOW));
    }
}
