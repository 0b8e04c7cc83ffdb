//! The messages that a source accepted from this server.
//!
//! One delivery proves little: an auto-reply, a bounce or a forwarded spam also
//! goes where a stranger wants it to. Two deliveries on different days to
//! different recipients show a correspondence.

use crate::time::UnixSeconds;

/// Number of deliveries that are kept of each of two periods: the newest day, and
/// all earlier days.
const KEPT: usize = 2;
/// The number of deliveries in a record.
pub const DELIVERIES: usize = 2 * KEPT;

/// A hash of a recipient, to tell recipients apart. 0 is the hash of an unknown
/// recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recipient(u64);

impl Recipient {
    /// The hash of a mailbox, without regard to case. An unknown mailbox is
    /// `None`.
    #[must_use]
    pub fn from_mailbox(mailbox: Option<&[u8]>) -> Self {
        let Some(mailbox) = mailbox else {
            return Self::default();
        };
        // FNV-1a: the hash is stored, so every version must give the same.
        let step = |hash: u64, byte: &u8| {
            (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
        };
        let hash = mailbox.iter().fold(0xcbf2_9ce4_8422_2325, step);
        Self::from_stored(hash.max(1))
    }

    /// Takes the stored hash. It has 63 bits, because the database has signed
    /// integers.
    #[must_use]
    pub fn from_stored(hash: u64) -> Self {
        Self(hash & u64::MAX >> 1)
    }

    /// The number to store.
    #[must_use]
    pub fn to_stored(self) -> u64 {
        self.0
    }

    fn is_other_than(self, other: Self) -> bool {
        let unknown = Self::default();
        self != other && self != unknown && other != unknown
    }
}

/// A delivery. The time 0 means that there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    /// When the source accepted the message.
    pub at: UnixSeconds,
    /// The recipient of the message.
    pub recipient: Recipient,
}

impl Delivery {
    const NONE: Self = Self {
        at: UnixSeconds::new(0),
        recipient: Recipient(0),
    };
}

/// The deliveries that can make a source known: the two newest to different
/// recipients on the newest day, and on all earlier days together; newest first.
/// No others are ever needed, so records can be joined in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    newest_day: [Delivery; KEPT],
    earlier: [Delivery; KEPT],
}

impl Deliveries {
    /// One delivery.
    #[must_use]
    pub fn single(at: UnixSeconds, recipient: Recipient) -> Self {
        Self::from_stored([Delivery { at, recipient }; 1])
    }

    /// Takes stored deliveries, in any order.
    #[must_use]
    pub fn from_stored(stored: impl IntoIterator<Item = Delivery>) -> Self {
        let mut all: Vec<Delivery> = stored.into_iter().collect();
        all.retain(|delivery| *delivery != Delivery::NONE);
        all.sort_unstable_by(|a, b| b.cmp(a));
        let newest_day = all.first().map(|delivery| delivery.at.day());
        let is_newest_day = |delivery: &Delivery| Some(delivery.at.day()) == newest_day;
        let (newest, earlier) = all.into_iter().partition::<Vec<_>, _>(is_newest_day);
        Self {
            newest_day: to_different_recipients(&newest),
            earlier: to_different_recipients(&earlier),
        }
    }

    /// The deliveries to store.
    #[must_use]
    pub fn to_stored(self) -> [Delivery; DELIVERIES] {
        let ([a, b], [c, d]) = (self.newest_day, self.earlier);
        [a, b, c, d]
    }

    pub(super) fn join(self, other: Self) -> Self {
        Self::from_stored([self.to_stored(), other.to_stored()].concat())
    }

    /// The time of the last delivery; 0: never.
    pub(super) fn last(&self) -> UnixSeconds {
        self.newest_day[0].at
    }

    /// The time of the older one of the newest two deliveries after `demoted` that are on
    /// different days and to different recipients; 0: there are no two.
    pub(super) fn proof(&self, demoted: UnixSeconds) -> UnixSeconds {
        let counting = |delivery: &&Delivery| delivery.at > demoted;
        let newest = || self.newest_day.iter().filter(counting);
        let is_second = |older: &&Delivery| {
            newest().any(|delivery| delivery.recipient.is_other_than(older.recipient))
        };
        let mut seconds = self.earlier.iter().filter(counting).filter(is_second);
        seconds
            .next()
            .map(|delivery| delivery.at)
            .unwrap_or_default()
    }
}

/// The first delivery, and the first to another recipient.
fn to_different_recipients(all: &[Delivery]) -> [Delivery; KEPT] {
    let Some(first) = all.first() else {
        return [Delivery::NONE; KEPT];
    };
    let is_other = |delivery: &&Delivery| delivery.recipient != first.recipient;
    let second = all.iter().find(is_other).copied();
    [*first, second.unwrap_or(Delivery::NONE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(mailbox: &str) -> Recipient {
        Recipient::from_mailbox(Some(mailbox.as_bytes()))
    }

    #[test]
    fn recipients_differ_without_regard_to_case() {
        let [a, b] = ["anna@example.org", "bob@example.org"].map(recipient);
        assert!(a.is_other_than(b));
        assert_eq!(recipient("Anna@Example.ORG"), a);
        let unknown = Recipient::from_mailbox(None);
        assert!(!a.is_other_than(unknown) && !unknown.is_other_than(a));
        assert_eq!(Recipient::from_stored(a.to_stored()), a);
        assert!(i64::try_from(a.to_stored()).is_ok());
        assert_ne!(recipient(""), unknown);
    }

    #[test]
    fn it_takes_two_days_and_two_recipients() {
        const DAY: u64 = 86_400;
        let [a, b] = ["a@example.org", "b@example.org"].map(recipient);
        let proof = |all: &[(u64, Recipient)], demoted| {
            let delivery = |(at, recipient): &(u64, Recipient)| Delivery {
                at: UnixSeconds::new(*at),
                recipient: *recipient,
            };
            let all = Deliveries::from_stored(all.iter().map(delivery));
            all.proof(UnixSeconds::new(demoted)).get()
        };
        assert_eq!(proof(&[], 0), 0);
        assert_eq!(proof(&[(DAY, a), (2 * DAY, a)], 0), 0);
        assert_eq!(proof(&[(DAY, a), (DAY + 1, b)], 0), 0);
        assert_eq!(
            proof(&[(DAY, a), (2 * DAY, Recipient::from_mailbox(None))], 0),
            0
        );
        let two = [(DAY, a), (2 * DAY, b)];
        assert_eq!(proof(&two, 0), DAY);
        assert_eq!((proof(&two, DAY - 1), proof(&two, DAY)), (DAY, 0));
        // Many deliveries of a day do not displace those of an earlier day.
        let many = [(DAY, a), (2 * DAY, b), (2 * DAY + 1, a), (2 * DAY + 2, b)];
        assert_eq!(proof(&many, 0), DAY);
    }
}
