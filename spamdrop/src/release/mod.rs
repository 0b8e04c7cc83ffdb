//! Which connections of blocked peers to end, and which entries to seal.
//!
//! An entry is open while connections of its peer may go on, so that the
//! session that earned the 5xx still gets it. After the grace they are ended;
//! when none is left, the entry is sealed.

pub mod owner;
pub mod sockets;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::target::Target;
use sockets::Socket;

/// What is still to be released and sealed. Pure: it is told the sockets and
/// the time.
#[derive(Debug, Default)]
pub struct Releases {
    /// Addresses from the log, and when their grace ends
    /// (`CLOCK_MONOTONIC`, nanoseconds).
    due: HashMap<IpAddr, u64>,
    /// Open entries.
    open: HashSet<Target>,
}

/// What is to be done now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Connections whose grace is over.
    pub end: Vec<Socket>,
    /// Addresses that hold no connection any more.
    pub released: Vec<IpAddr>,
    /// Entries whose addresses hold no connection any more.
    pub seal: Vec<Target>,
}

impl Releases {
    /// An address was blocked: its connections end at `due`, and `open` says
    /// whether its entry waits to be sealed.
    pub fn add(&mut self, addr: IpAddr, due: u64, open: bool) {
        self.due.insert(addr, due);
        if open {
            self.open.insert(addr.into());
        }
    }

    /// An open entry was found that waits to be sealed.
    pub fn add_open(&mut self, target: Target) {
        self.open.insert(target);
    }

    /// Takes steps back that could not be noted; they come again.
    pub fn put_back(&mut self, steps: &Steps, now: u64) {
        self.due
            .extend(steps.released.iter().map(|addr| (*addr, now)));
        self.open.extend(&steps.seal);
    }

    /// Whether there is anything to wait for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty() && self.open.is_empty()
    }

    /// Addresses and entries that are waited for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.due.len().max(self.open.len())
    }

    /// What to do, given every connection to the watched ports. Connections
    /// that are to end stay on the list until they are seen to be gone.
    /// `ends` is whether connections are ended at all.
    pub fn steps(&mut self, sockets: &[Socket], now: u64, ends: bool) -> Steps {
        let mut steps = Steps::default();
        let mut held: HashSet<IpAddr> = HashSet::new();
        let mut held_targets: HashSet<Target> = HashSet::new();
        for socket in sockets {
            held.insert(socket.peer);
            // A /64 shares its entry, so it is sealed only when none of its
            // addresses holds a connection; those of others are not ended.
            held_targets.insert(socket.peer.into());
            let due = self.due.get(&socket.peer);
            if ends && due.is_some_and(|due| *due <= now) {
                steps.end.push(socket.clone());
            }
        }
        steps.released = extract(&mut self.due, &held);
        let gone = |target: &Target| !held_targets.contains(target);
        steps.seal = self.open.iter().copied().filter(gone).collect();
        self.open.retain(|target| held_targets.contains(target));
        steps
    }
}

fn extract(due: &mut HashMap<IpAddr, u64>, held: &HashSet<IpAddr>) -> Vec<IpAddr> {
    let gone: Vec<IpAddr> = due
        .keys()
        .copied()
        .filter(|addr| !held.contains(addr))
        .collect();
    gone.iter().for_each(|addr| {
        due.remove(addr);
    });
    gone
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_without_connections_is_sealed_at_once() {
        let mut releases = Releases::default();
        releases.add(addr("192.0.2.1"), 30, true);
        let steps = releases.steps(&[Socket::of("192.0.2.2", 7)], 10, true);
        assert_eq!(steps.end, []);
        assert_eq!(steps.released, [addr("192.0.2.1")]);
        assert_eq!(steps.seal, [addr("192.0.2.1").into()]);
        assert!(releases.is_empty());
    }

    #[test]
    fn connections_end_at_the_grace_and_the_entry_is_sealed_when_they_are_gone() {
        let mut releases = Releases::default();
        releases.add(addr("192.0.2.1"), 30, true);
        let held = [Socket::of("192.0.2.1", 7), Socket::of("192.0.2.2", 8)];
        assert_eq!(releases.steps(&held, 29, true), Steps::default());
        let steps = releases.steps(&held, 30, true);
        assert_eq!(steps.end, held[..1]);
        assert_eq!((steps.released, steps.seal), (vec![], vec![]));
        let steps = releases.steps(&held[1..], 31, true);
        assert_eq!(steps.end, []);
        assert_eq!(steps.seal, [addr("192.0.2.1").into()]);
    }

    #[test]
    fn release_off_waits_for_the_peer() {
        let mut releases = Releases::default();
        releases.add(addr("192.0.2.1"), 30, true);
        let held = [Socket::of("192.0.2.1", 7)];
        assert_eq!(releases.steps(&held, 1_000, false), Steps::default());
        assert_eq!(
            releases.steps(&[], 1_001, false).seal,
            [addr("192.0.2.1").into()]
        );
    }

    #[test]
    fn the_neighbours_of_a_64_keep_their_connections_and_the_entry_open() {
        let mut releases = Releases::default();
        releases.add(addr("2001:db8::1"), 30, true);
        let neighbour = Socket::of("2001:db8::2", 8);
        let held = [Socket::of("2001:db8::1", 7), neighbour.clone()];
        assert_eq!(releases.steps(&held, 30, true).end, held[..1]);
        let steps = releases.steps(std::slice::from_ref(&neighbour), 31, true);
        assert_eq!(steps.released, [addr("2001:db8::1")]);
        assert_eq!((steps.end, steps.seal), (vec![], vec![]));
        assert_eq!(
            releases.steps(&[], 32, true).seal,
            [addr("2001:db8::").into()]
        );
        assert!(releases.is_empty());
    }

    #[test]
    fn an_adopted_open_entry_is_sealed_without_ending_anything() {
        let mut releases = Releases::default();
        releases.add_open(addr("192.0.2.1").into());
        let held = [Socket::of("192.0.2.1", 7)];
        assert_eq!(releases.steps(&held, u64::MAX, true), Steps::default());
        assert_eq!(releases.steps(&[], 0, true).seal.len(), 1);
    }
}
