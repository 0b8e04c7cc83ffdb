//! The peers of sessions, for servers that name the peer only when it connects.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// The most sessions that are remembered, far more than a server has open.
const CAPACITY: usize = 4096;

/// The peer of each session.
#[derive(Debug, Default)]
pub(super) struct SessionPeers {
    peers: HashMap<u64, IpAddr>,
    /// The ids in order of age, oldest first; includes sessions that have
    /// ended.
    order: VecDeque<u64>,
}

impl SessionPeers {
    /// Remembers the peer of a session. Forgets the oldest session if there are
    /// too many.
    pub(super) fn opened(&mut self, id: u64, addr: IpAddr) {
        if self.order.len() == CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.peers.remove(&oldest);
        }
        self.order.push_back(id);
        self.peers.insert(id, addr);
    }

    /// The peer of a remembered session.
    pub(super) fn peer(&self, id: u64) -> Option<IpAddr> {
        self.peers.get(&id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_sessions_are_remembered() {
        let mut sessions = SessionPeers::default();
        let addr = IpAddr::from([192, 0, 2, 1]);
        for id in 0..10 * CAPACITY as u64 {
            sessions.opened(id, addr);
        }
        assert_eq!(
            (sessions.peers.len(), sessions.order.len()),
            (CAPACITY, CAPACITY)
        );
        assert_eq!(sessions.peer(9 * CAPACITY as u64 - 1), None);
        assert_eq!(sessions.peer(9 * CAPACITY as u64), Some(addr));
    }
}
