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
/// A longer time than this without any line may be a hole in the log.
const HOLE: Duration = Duration::from_secs(2 * 86_400);
/// The stored time of a network's last connection is replaced only by a time that
/// is later by more than this.
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
    pub fn from_addr(addr: IpAddr) -> Self {
        Self(match addr {
            IpAddr::V4(addr) => (addr.to_bits() >> 8).into(),
            IpAddr::V6(addr) => 1 << 48 | (addr.to_bits() >> 80) as u64,
        })
    }

    /// The network of a stored number.
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
    /// The start of the period, up to `until`, in which the log was read without a gap; 0:
    /// never.
    pub since: UnixSeconds,
    /// The time of the newest line.
    pub until: UnixSeconds,
    /// The networks whose last connection is to be stored, with its time.
    pub networks: Vec<(Network, UnixSeconds)>,
}

/// The last connection from each network, within a week.
#[derive(Debug, Default)]
pub struct Contacts {
    last: HashMap<Network, UnixSeconds>,
    /// The start of the period, up to `until`, in which the log was read without a gap.
    since: UnixSeconds,
    /// The time of the newest line.
    until: UnixSeconds,
    /// The changes since the last [`Contacts::take_changes`].
    changed: HashMap<Network, UnixSeconds>,
}

impl Contacts {
    /// Adds the contacts that an earlier process has stored.
    pub fn restore(&mut self, stored: StoredContacts) {
        // This process may have read lines before this call.
        let continues = self.since <= stored.until.plus(HOLE);
        if stored.since != NEVER && continues {
            self.since = stored.since;
            self.until = stored.until.max(self.until);
        }
        for (network, at) in stored.networks {
            self.keep_latest(network, at);
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
        let network = Network::from_addr(addr);
        let is_new = self
            .last
            .get(&network)
            .is_none_or(|last| at > last.plus(RESOLUTION));
        if is_new {
            self.changed.insert(network, at);
            self.make_room(at);
            self.keep_latest(network, at);
        }
    }

    fn keep_latest(&mut self, network: Network, at: UnixSeconds) {
        let last = self.last.entry(network).or_default();
        *last = at.max(*last);
    }

    /// Makes room if the tables are full: forgets the connections that no longer
    /// count. If nearly all count, forgets every one and begins anew; then no
    /// delivery counts for the next week.
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
        let last = self.last.get(&Network::from_addr(addr));
        // The last connection may be up to RESOLUTION newer than the stored time.
        is_read && last.is_none_or(|last| last.plus(WEEK + RESOLUTION) < at)
    }

    /// Whether there is something to store.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Takes the changes to store.
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

    fn moment(days: u64) -> UnixSeconds {
        UnixSeconds::new(START + days * DAY)
    }

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A log with a connection from 192.0.2.9 at its start, read for some days.
    fn read_for(days: u64) -> Contacts {
        let mut contacts = Contacts::default();
        contacts.connected(addr("192.0.2.9"), moment(0));
        for day in 1..=days {
            contacts.read_line(moment(day));
        }
        contacts
    }

    #[test]
    fn nothing_counts_before_a_week_was_read() {
        let contacts = read_for(8);
        assert!(!Contacts::default().wrote_first(addr("198.51.100.1"), moment(8)));
        assert!(!contacts.wrote_first(addr("198.51.100.1"), moment(6)));
        assert!(contacts.wrote_first(addr("198.51.100.1"), moment(7)));
    }

    #[test]
    fn a_connection_from_the_network_counts_for_a_week() {
        let mut contacts = read_for(8);
        contacts.connected(addr("198.51.100.1"), moment(8));
        contacts.connected(addr("2001:db8:1:2::3"), moment(8));
        for (text, expected) in [
            ("198.51.100.1", false),
            ("198.51.100.200", false),
            ("198.51.101.1", true),
            ("2001:db8:1:ff::1", false),
            ("2001:db8:2::1", true),
        ] {
            assert_eq!(
                contacts.wrote_first(addr(text), moment(15)),
                expected,
                "{text}"
            );
            assert!(contacts.wrote_first(addr(text), moment(16)), "{text}");
        }
    }

    #[test]
    fn a_hole_in_the_log_begins_a_new_week() {
        for later in [8 + 3, 3] {
            let mut contacts = read_for(8);
            contacts.read_line(moment(later));
            assert!(!contacts.wrote_first(addr("198.51.100.1"), moment(later + 6)));
            assert!(contacts.wrote_first(addr("198.51.100.1"), moment(later + 7)));
        }
        let mut contacts = read_for(8);
        contacts.read_line(moment(10));
        assert!(contacts.wrote_first(addr("198.51.100.1"), moment(10)));
    }

    #[test]
    fn a_further_connection_is_stored_if_it_is_more_than_an_hour_later() {
        let mut contacts = Contacts::default();
        let stored = [0, 3_600, 3_601, 7_201].map(|seconds| {
            contacts.connected(addr("192.0.2.9"), UnixSeconds::new(START + seconds));
            contacts.take_changes().networks.len()
        });
        assert_eq!(stored, [1, 0, 1, 0]);
    }

    /// The numbers are stored, so a later version must compute the same ones.
    #[test]
    fn the_number_of_a_network_stays_the_same() {
        for (text, number) in [
            ("192.0.2.9", 0xc0_00_02),
            ("2001:db8:1:2::3", 0x1_2001_0db8_0001),
        ] {
            let network = Network::from_addr(addr(text));
            assert_eq!(network.to_stored(), number, "{text}");
            assert_eq!(Network::from_stored(number), network, "{text}");
        }
    }

    #[test]
    fn contacts_survive_a_restart() {
        let mut contacts = read_for(8);
        contacts.connected(addr("198.51.100.1"), moment(8));
        let stored = contacts.take_changes();
        assert_eq!((stored.since, stored.until), (moment(0), moment(8)));
        assert_eq!(stored.networks.len(), 2);
        assert_eq!(contacts.take_changes().networks, []);
        contacts.give_back(stored);
        let mut restored = Contacts::default();
        restored.restore(contacts.take_changes());
        restored.read_line(moment(9));
        assert!(!restored.wrote_first(addr("198.51.100.1"), moment(9)));
        assert!(restored.wrote_first(addr("203.0.113.1"), moment(9)));
        // The stored contacts may arrive after the first lines.
        let mut late = Contacts::default();
        late.read_line(moment(9));
        late.restore(read_for(8).take_changes());
        assert!(late.wrote_first(addr("203.0.113.1"), moment(9)));
        let mut much_later = Contacts::default();
        much_later.read_line(moment(11));
        much_later.restore(read_for(8).take_changes());
        assert!(!much_later.wrote_first(addr("203.0.113.1"), moment(11)));
    }

    #[test]
    fn their_number_is_bounded_and_an_overflow_proves_nothing() {
        let mut contacts = read_for(8);
        for bits in 0..u32::try_from(CAPACITY).unwrap() + 9 {
            contacts.connected(Ipv4Addr::from_bits(bits << 8).into(), moment(8));
            assert!(contacts.last.len() <= CAPACITY);
        }
        assert!(!contacts.wrote_first(addr("203.0.113.1"), moment(14)));
        assert!(contacts.wrote_first(addr("203.0.113.1"), moment(16)));
        // Old connections make room first.
        let mut contacts = read_for(8);
        for bits in 0..u32::try_from(CAPACITY).unwrap() + 9 {
            let day = 8 + u64::from(bits / 8_192);
            contacts.connected(Ipv4Addr::from_bits(bits << 8).into(), moment(day));
            if bits % 8_192 == 0 {
                contacts.take_changes();
            }
        }
        assert!(contacts.wrote_first(addr("203.0.113.1"), moment(25)));
    }

    #[test]
    fn a_full_table_begins_anew_if_seven_eighths_of_it_still_count() {
        let capacity = u32::try_from(CAPACITY).unwrap();
        let counts = moment(16).minus(WEEK + RESOLUTION);
        let old = counts.minus(Duration::from_secs(1));
        for (number_of_old, left) in [(capacity / 8, 1), (capacity / 8 + 1, CAPACITY * 7 / 8)] {
            let mut contacts = Contacts::default();
            for bits in 0..capacity {
                let at = if bits < number_of_old { old } else { counts };
                contacts.connected(Ipv4Addr::from_bits(bits << 8).into(), at);
                contacts.take_changes();
            }
            contacts.connected(addr("2001:db8::1"), moment(16));
            assert_eq!(contacts.last.len(), left, "{number_of_old}");
        }
    }
}
