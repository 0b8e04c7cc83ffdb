//! The networks from which connections have come, to tell who wrote first.
//!
//! An auto-reply, a bounce and a complaint go where the mail before them came
//! from. So a delivery counts for its host only if nothing came from the host's
//! network in the week before.

use std::collections::HashMap;
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use crate::time::UnixSeconds;

/// How long a connection counts.
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// A longer time without any line may be a hole in the log.
const HOLE: Duration = Duration::from_secs(2 * 86_400);
/// A contact is stored again when it is newer by this.
const RESOLUTION: Duration = Duration::from_secs(3600);
/// The most networks that are remembered; about 4 MiB.
pub const CAPACITY: usize = 131_072;
/// The time of an event that has not happened.
const NEVER: UnixSeconds = UnixSeconds::new(0);

/// The /24 of an IPv4 address, or the /48 of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(u64);

impl Network {
    /// The network of an address.
    #[must_use]
    pub fn of(addr: IpAddr) -> Self {
        Self(match addr {
            IpAddr::V4(addr) => (addr.to_bits() >> 8).into(),
            IpAddr::V6(addr) => 1 << 48 | (addr.to_bits() >> 80) as u64,
        })
    }

    /// The number as it was stored.
    #[must_use]
    pub fn from_stored(number: u64) -> Self {
        Self(number)
    }

    /// The number to store; below 2⁴⁹.
    #[must_use]
    pub fn to_stored(self) -> u64 {
        self.0
    }
}

/// The contacts as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredContacts {
    /// Since when the log has been read without a hole; 0: never.
    pub since: UnixSeconds,
    /// The newest line.
    pub until: UnixSeconds,
    /// The last connection from each network.
    pub networks: Vec<(Network, UnixSeconds)>,
}

/// The last connection from each network, within a week.
#[derive(Debug, Default)]
pub struct Contacts {
    last: HashMap<Network, UnixSeconds>,
    /// Since when the log has been read without a hole.
    since: UnixSeconds,
    /// The newest line.
    until: UnixSeconds,
    /// The changes since the last [`Contacts::take_changes`].
    changed: HashMap<Network, UnixSeconds>,
}

impl Contacts {
    /// Continues where an earlier process has stopped.
    pub fn restore(&mut self, stored: StoredContacts) {
        // The first lines may have been read before.
        let continues = self.since <= stored.until.plus(HOLE);
        if stored.since != NEVER && continues {
            self.since = stored.since;
            self.until = stored.until.max(self.until);
        }
        for (network, at) in stored.networks {
            self.keep(network, at);
        }
    }

    /// Records a line of this time.
    pub fn read_line(&mut self, at: UnixSeconds) {
        let is_hole = at > self.until.plus(HOLE) || at < self.until.minus(HOLE);
        if self.since == NEVER || is_hole {
            (self.since, self.until) = (at, at);
        }
        self.until = self.until.max(at);
    }

    /// Records a connection.
    pub fn connected(&mut self, addr: IpAddr, at: UnixSeconds) {
        self.read_line(at);
        let network = Network::of(addr);
        let is_new = self
            .last
            .get(&network)
            .is_none_or(|last| at > last.plus(RESOLUTION));
        if is_new {
            self.changed.insert(network, at);
            self.make_room(at);
            self.keep(network, at);
        }
    }

    fn keep(&mut self, network: Network, at: UnixSeconds) {
        let last = self.last.entry(network).or_default();
        *last = at.max(*last);
    }

    /// Forgets connections that count no more. If all count, forgets everything
    /// and begins anew: no delivery counts for the next week.
    fn make_room(&mut self, now: UnixSeconds) {
        if self.last.len() < CAPACITY && self.changed.len() < CAPACITY {
            return;
        }
        self.last.retain(|_, at| at.plus(WEEK + RESOLUTION) >= now);
        if self.last.len() >= CAPACITY * 7 / 8 || self.changed.len() >= CAPACITY {
            self.last.clear();
            self.changed.clear();
            self.since = now;
        }
    }

    /// Whether this server wrote first when it delivered to `addr` at `at`: the
    /// log of the week before has been read, and it has no connection from the
    /// network of `addr`.
    #[must_use]
    pub fn wrote_first(&self, addr: IpAddr, at: UnixSeconds) -> bool {
        let is_read = self.since != NEVER && self.since.plus(WEEK) <= at;
        let last = self.last.get(&Network::of(addr));
        // A connection may be newer than it is remembered.
        is_read && last.is_none_or(|last| last.plus(WEEK + RESOLUTION) < at)
    }

    /// Whether there is something to store.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Takes what is to be stored.
    pub fn take_changes(&mut self) -> StoredContacts {
        StoredContacts {
            since: self.since,
            until: self.until,
            networks: mem::take(&mut self.changed).into_iter().collect(),
        }
    }

    /// Takes back changes that could not be stored.
    pub fn give_back(&mut self, changes: StoredContacts) {
        for (network, at) in changes.networks {
            let changed = self.changed.entry(network).or_default();
            *changed = at.max(*changed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::net::Ipv4Addr;

    use super::*;

    const START: u64 = 1_795_392_000;
    const DAY: u64 = 86_400;

    fn at(days: u64) -> UnixSeconds {
        UnixSeconds::new(START + days * DAY)
    }

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A log with a connection from 192.0.2.9 at its start, read for some days.
    fn read_for(days: u64) -> Contacts {
        let mut contacts = Contacts::default();
        contacts.connected(addr("192.0.2.9"), at(0));
        for day in 1..=days {
            contacts.read_line(at(day));
        }
        contacts
    }

    #[test]
    fn nothing_counts_before_a_week_was_read() {
        let contacts = read_for(8);
        assert!(!Contacts::default().wrote_first(addr("198.51.100.1"), at(8)));
        assert!(!contacts.wrote_first(addr("198.51.100.1"), at(6)));
        assert!(contacts.wrote_first(addr("198.51.100.1"), at(7)));
    }

    #[test]
    fn a_connection_from_the_network_counts_for_a_week() {
        let mut contacts = read_for(8);
        contacts.connected(addr("198.51.100.1"), at(8));
        contacts.connected(addr("2001:db8:1:2::3"), at(8));
        for (text, expected) in [
            ("198.51.100.1", false),
            ("198.51.100.200", false),
            ("198.51.101.1", true),
            ("2001:db8:1:ff::1", false),
            ("2001:db8:2::1", true),
        ] {
            assert_eq!(contacts.wrote_first(addr(text), at(15)), expected, "{text}");
            assert!(contacts.wrote_first(addr(text), at(16)), "{text}");
        }
    }

    #[test]
    fn a_hole_in_the_log_begins_a_new_week() {
        for later in [8 + 3, 3] {
            let mut contacts = read_for(8);
            contacts.read_line(at(later));
            assert!(!contacts.wrote_first(addr("198.51.100.1"), at(later + 6)));
            assert!(contacts.wrote_first(addr("198.51.100.1"), at(later + 7)));
        }
        let mut contacts = read_for(8);
        contacts.read_line(at(10));
        assert!(contacts.wrote_first(addr("198.51.100.1"), at(10)));
    }

    #[test]
    fn contacts_survive_a_restart() {
        let mut contacts = read_for(8);
        contacts.connected(addr("198.51.100.1"), at(8));
        let stored = contacts.take_changes();
        assert_eq!((stored.since, stored.until), (at(0), at(8)));
        assert_eq!(stored.networks.len(), 2);
        assert_eq!(contacts.take_changes().networks, []);
        contacts.give_back(stored);
        let mut restored = Contacts::default();
        restored.restore(contacts.take_changes());
        restored.read_line(at(9));
        assert!(!restored.wrote_first(addr("198.51.100.1"), at(9)));
        assert!(restored.wrote_first(addr("203.0.113.1"), at(9)));
        // The stored contacts may arrive after the first lines.
        let mut late = Contacts::default();
        late.read_line(at(9));
        late.restore(read_for(8).take_changes());
        assert!(late.wrote_first(addr("203.0.113.1"), at(9)));
        let mut much_later = Contacts::default();
        much_later.read_line(at(11));
        much_later.restore(read_for(8).take_changes());
        assert!(!much_later.wrote_first(addr("203.0.113.1"), at(11)));
    }

    #[test]
    fn their_number_is_bounded_and_an_overflow_proves_nothing() {
        let mut contacts = read_for(8);
        for bits in 0..u32::try_from(CAPACITY).unwrap() + 9 {
            contacts.connected(Ipv4Addr::from_bits(bits << 8).into(), at(8));
            assert!(contacts.last.len() <= CAPACITY);
        }
        assert!(!contacts.wrote_first(addr("203.0.113.1"), at(14)));
        assert!(contacts.wrote_first(addr("203.0.113.1"), at(16)));
        // Old connections make room first.
        let mut contacts = read_for(8);
        for bits in 0..u32::try_from(CAPACITY).unwrap() + 9 {
            let day = 8 + u64::from(bits / 8_192);
            contacts.connected(Ipv4Addr::from_bits(bits << 8).into(), at(day));
            if bits % 8_192 == 0 {
                contacts.take_changes();
            }
        }
        assert!(contacts.wrote_first(addr("203.0.113.1"), at(25)));
    }
}
