//! Decides which connections of blocked peers to end, and which entries to
//! seal.
//!
//! An entry is open while connections of its peer may continue, so that the
//! session that caused the 5xx still receives it. After the grace period, the
//! connections are ended. When none is left, the entry is sealed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use serde::Deserialize;
use spamdrop_common::time::MonotonicNs;

use crate::target::Target;

/// The value of `release` in the configuration: the treatment of connections
/// that a blocked peer still holds after the grace period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseMode {
    /// Their sockets are destroyed.
    Destroy,
    /// Their sockets are destroyed, and the processes that hold the sockets get SIGTERM.
    Terminate,
    /// The connections are kept until their own timeouts end them.
    Off,
}

/// The pending releases and seals. Pure: the caller passes the sockets and the
/// time.
#[derive(Debug, Default)]
pub struct Releases {
    /// Addresses from the log, and the end of their grace period.
    due: HashMap<IpAddr, MonotonicNs>,
    /// Open entries.
    open: HashSet<Target>,
}

/// The actions that are due now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Peers whose connections have outlasted the grace period.
    pub end: BTreeSet<IpAddr>,
    /// Addresses that hold no connection any more.
    pub released: Vec<IpAddr>,
    /// Entries whose addresses hold no connection any more.
    pub seal: Vec<Target>,
}

impl Releases {
    /// Adds a blocked address. Its connections end at `due`, or at an earlier end that is
    /// pending: otherwise, a peer that goes on offending would keep its connections.
    /// `open` is its entry, if that must be sealed later.
    pub fn add(&mut self, addr: IpAddr, due: MonotonicNs, open: Option<Target>) {
        let end = self.due.entry(addr).or_insert(due);
        *end = due.min(*end);
        self.open.extend(open);
    }

    /// Adds an open entry that must be sealed later.
    pub fn add_open(&mut self, target: Target) {
        self.open.insert(target);
    }

    /// Extends the grace period of every pending address to `due` at least, after a
    /// pause of the releases.
    pub fn postpone(&mut self, due: MonotonicNs) {
        for other in self.due.values_mut() {
            *other = due.max(*other);
        }
    }

    /// Replaces the end of an address's grace period if it is `old`. Another end stays.
    pub fn replace_due(&mut self, addr: IpAddr, old: MonotonicNs, new: MonotonicNs) {
        if let Some(due) = self.due.get_mut(&addr)
            && *due == old
        {
            *due = new;
        }
    }

    /// Takes back steps that could not be written to the maps, so that
    /// [`Releases::steps`] returns them again.
    pub fn put_back(&mut self, steps: &Steps, now: MonotonicNs) {
        self.due
            .extend(steps.released.iter().map(|addr| (*addr, now)));
        self.open.extend(&steps.seal);
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty() && self.open.is_empty()
    }

    /// The number of pending addresses, or of open entries if that is greater. The two
    /// are not added, because an address and its entry are one release.
    #[must_use]
    pub fn len(&self) -> usize {
        self.due.len().max(self.open.len())
    }

    /// The steps that are due, given the peer of every connection to the
    /// watched ports. A peer whose connections must end is returned until none
    /// is left. `ends`: whether connections are ended at all.
    pub fn steps(
        &mut self,
        peers: impl IntoIterator<Item = IpAddr>,
        now: MonotonicNs,
        ends: bool,
    ) -> Steps {
        let mut steps = Steps::default();
        let mut held: HashSet<IpAddr> = HashSet::new();
        let mut held_targets: HashSet<Target> = HashSet::new();
        for peer in peers {
            held.insert(peer);
            // The addresses of a /64 share its entry, so it is sealed only when
            // none of them holds a connection. Connections of its other
            // addresses are not ended.
            held_targets.extend(Target::covering(peer));
            let due = self.due.get(&peer);
            if ends && due.is_some_and(|due| *due <= now) {
                steps.end.insert(peer);
            }
        }
        steps.released = extract(&mut self.due, &held);
        let gone = |target: &Target| !held_targets.contains(target);
        steps.seal = self.open.iter().copied().filter(gone).collect();
        self.open.retain(|target| held_targets.contains(target));
        steps
    }
}

fn extract(due: &mut HashMap<IpAddr, MonotonicNs>, held: &HashSet<IpAddr>) -> Vec<IpAddr> {
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

    fn ns(ns: u64) -> MonotonicNs {
        MonotonicNs::from_ns(ns)
    }

    fn add_open(releases: &mut Releases, text: &str) {
        releases.add(addr(text), ns(30), Some(addr(text).into()));
    }

    #[test]
    fn a_peer_without_connections_is_sealed_at_once() {
        let mut releases = Releases::default();
        add_open(&mut releases, "192.0.2.1");
        let steps = releases.steps([addr("192.0.2.2")], ns(10), true);
        assert_eq!(steps.end, [].into());
        assert_eq!(steps.released, [addr("192.0.2.1")]);
        assert_eq!(steps.seal, [addr("192.0.2.1").into()]);
        assert!(releases.is_empty());
    }

    #[test]
    fn steps_that_were_put_back_are_due_again() {
        let mut releases = Releases::default();
        add_open(&mut releases, "192.0.2.1");
        let steps = releases.steps([], ns(10), true);
        releases.put_back(&steps, ns(10));
        assert_eq!(releases.steps([], ns(10), true), steps);
        assert!(!steps.released.is_empty() && !steps.seal.is_empty());
    }

    #[test]
    fn an_open_entry_alone_is_pending() {
        let mut releases = Releases::default();
        assert!(releases.is_empty());
        releases.add_open(addr("192.0.2.1").into());
        assert!(!releases.is_empty());
        assert_eq!(releases.len(), 1);
    }

    #[test]
    fn connections_end_at_the_grace_and_the_entry_is_sealed_when_they_are_gone() {
        let mut releases = Releases::default();
        add_open(&mut releases, "192.0.2.1");
        let held = [addr("192.0.2.1"), addr("192.0.2.2")];
        assert_eq!(releases.steps(held, ns(29), true), Steps::default());
        let steps = releases.steps(held, ns(30), true);
        assert_eq!(steps.end, [held[0]].into());
        assert_eq!((steps.released, steps.seal), (vec![], vec![]));
        let steps = releases.steps([held[1]], ns(31), true);
        assert_eq!(steps.end, [].into());
        assert_eq!(steps.seal, [addr("192.0.2.1").into()]);
    }

    #[test]
    fn release_off_waits_for_the_peer() {
        let mut releases = Releases::default();
        add_open(&mut releases, "192.0.2.1");
        let held = [addr("192.0.2.1")];
        assert_eq!(releases.steps(held, ns(1_000), false), Steps::default());
        assert_eq!(
            releases.steps([], ns(1_001), false).seal,
            [addr("192.0.2.1").into()]
        );
    }

    #[test]
    fn after_a_pause_the_grace_begins_again() {
        let mut releases = Releases::default();
        add_open(&mut releases, "192.0.2.1");
        releases.add(addr("192.0.2.2"), ns(90), None);
        assert_eq!(releases.len(), 2);
        let held = [addr("192.0.2.1"), addr("192.0.2.2")];
        assert_eq!(releases.steps(held, ns(40), false), Steps::default());
        releases.postpone(ns(70));
        assert_eq!(releases.steps(held, ns(69), true), Steps::default());
        assert_eq!(releases.steps(held, ns(70), true).end, [held[0]].into());
        assert_eq!(releases.steps(held, ns(90), true).end, held.into());
    }

    #[test]
    fn a_further_offence_does_not_postpone_the_end() {
        let mut releases = Releases::default();
        let peer = addr("192.0.2.1");
        for due in [30, 90, 60] {
            releases.add(peer, ns(due), None);
        }
        assert_eq!(releases.steps([peer], ns(29), true).end, [].into());
        assert_eq!(releases.steps([peer], ns(30), true).end, [peer].into());
        // When the peer holds nothing any more, its next offence has a grace of its own.
        assert_eq!(releases.steps([], ns(31), true).released, [peer]);
        releases.add(peer, ns(90), None);
        assert_eq!(releases.steps([peer], ns(89), true).end, [].into());
    }

    #[test]
    fn a_grace_is_replaced_only_if_it_is_still_the_same() {
        let mut releases = Releases::default();
        let [first, second, gone] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(addr);
        releases.add(first, ns(50), None);
        releases.add(second, ns(30), None);
        for peer in [first, second, gone] {
            releases.replace_due(peer, ns(50), ns(90));
        }
        let held = [first, second, gone];
        assert_eq!(releases.steps(held, ns(89), true).end, [second].into());
        assert_eq!(
            releases.steps(held, ns(90), true).end,
            [first, second].into()
        );
    }

    #[test]
    fn the_neighbours_of_a_64_keep_their_connections_and_the_entry_open() {
        let mut releases = Releases::default();
        add_open(&mut releases, "2001:db8::1");
        let neighbour = addr("2001:db8::2");
        let held = [addr("2001:db8::1"), neighbour];
        assert_eq!(releases.steps(held, ns(30), true).end, [held[0]].into());
        let steps = releases.steps([neighbour], ns(31), true);
        assert_eq!(steps.released, [addr("2001:db8::1")]);
        assert_eq!((steps.end, steps.seal), ([].into(), vec![]));
        assert_eq!(
            releases.steps([], ns(32), true).seal,
            [addr("2001:db8::").into()]
        );
        assert!(releases.is_empty());
    }

    #[test]
    fn the_entry_of_an_address_alone_is_sealed_whatever_its_neighbours_hold() {
        let mut releases = Releases::default();
        let (offender, neighbour) = (addr("2001:db8::1"), addr("2001:db8::2"));
        releases.add(offender, ns(30), Some(Target::alone(offender)));
        let held = [offender, neighbour];
        assert_eq!(releases.steps(held, ns(29), true), Steps::default());
        let steps = releases.steps([neighbour], ns(31), true);
        assert_eq!(steps.seal, [Target::alone(offender)]);
        assert_eq!(steps.released, [offender]);
    }

    #[test]
    fn an_adopted_open_entry_is_sealed_without_ending_anything() {
        let mut releases = Releases::default();
        releases.add_open(addr("192.0.2.1").into());
        let held = [addr("192.0.2.1")];
        assert_eq!(releases.steps(held, ns(u64::MAX), true), Steps::default());
        assert_eq!(releases.steps([], ns(0), true).seal.len(), 1);
    }
}
