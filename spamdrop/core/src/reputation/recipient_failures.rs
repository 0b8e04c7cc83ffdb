//! Counts mail to recipients that do not exist. A few failures are typing errors;
//! many mean that the source guesses addresses. If most of its mail is accepted, the
//! source is a provider, and only one of its customers guesses.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use crate::target::Target;
use crate::time::UnixSeconds;

/// A strike is a message with a failure. This number of strikes within an hour may demote
/// a source.
const STRIKES: usize = 5;
const HOUR: Duration = Duration::from_secs(3600);
/// Failures of one envelope sender within this time count as one message.
const ONE_MESSAGE: Duration = Duration::from_secs(60);
/// Accepted mail is counted by the minute. It counts for up to a minute longer
/// than an hour.
const MINUTE: u64 = 60;
/// The most failures, and the most sources of accepted mail, that are tracked;
/// about 8 MiB each.
const CAPACITY: usize = 65_536;

/// A recipient that does not exist, and the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecipientFailure<'line> {
    pub addr: IpAddr,
    /// The peer's port, if the line tells it.
    pub port: Option<u16>,
    pub sender: &'line [u8],
    pub at: UnixSeconds,
}

/// The strikes and the accepted mail of the last hour. They are not stored on
/// disk, so a restart loses at most the last hour.
#[derive(Debug, Default)]
pub(super) struct RecipientFailures {
    /// The time of the first failure of each message.
    messages: HashMap<Message, UnixSeconds>,
    /// The times of the strikes, in the order of the log.
    strikes: HashMap<Target, VecDeque<UnixSeconds>>,
    /// The minutes with accepted mail, and the number of messages in each.
    accepted: HashMap<Target, VecDeque<(u64, u32)>>,
    /// The last time at which accepted mail was not counted, because there was no room.
    overflow: UnixSeconds,
    /// The minute in which `make_room` last removed entries.
    swept: u64,
    hasher: RandomState,
}

/// The fields that the failures of one message share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Message {
    Connection(IpAddr, u16),
    Sender(IpAddr, u64),
}

impl RecipientFailures {
    /// Counts an accepted message.
    pub(super) fn accept(&mut self, source: Target, at: UnixSeconds) {
        if self.accepted.len() >= CAPACITY && !self.accepted.contains_key(&source) {
            self.make_room(at);
            if self.accepted.len() >= CAPACITY {
                self.overflow = at;
                return;
            }
        }
        let counts = self.accepted.entry(source).or_default();
        let minute = at.get() / MINUTE;
        match counts.iter_mut().find(|(other, _)| *other == minute) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => counts.push_back((minute, 1)),
        }
        while counts
            .front()
            .is_some_and(|(minute, _)| !is_within_hour(*minute, at))
        {
            counts.pop_front();
        }
    }

    /// Counts a failure. Returns whether the source is to be demoted: this is at
    /// least the fifth strike within an hour, and the strikes outnumber the
    /// accepted mail. The failures of a source must come in the order of the
    /// log.
    pub(super) fn add(&mut self, source: Target, failure: &RecipientFailure<'_>) -> bool {
        if !self.is_strike(failure) {
            return false;
        }
        let at = failure.at;
        let strikes = self.strikes.entry(source).or_default();
        strikes.push_back(at);
        strikes.retain(|earlier| at.elapsed_since(*earlier) <= HOUR);
        let strikes = strikes.len();
        strikes >= STRIKES && strikes > self.accepted_before(source, at)
    }

    /// Whether a failure is the first of its message. False if there is no room
    /// to remember the message.
    fn is_strike(&mut self, failure: &RecipientFailure<'_>) -> bool {
        if self.messages.len() + 2 > CAPACITY {
            self.make_room(failure.at);
        }
        if self.messages.len() + 2 > CAPACITY {
            return false;
        }
        let RecipientFailure {
            addr,
            port,
            sender,
            at,
        } = *failure;
        let connection = port.map(|port| Message::Connection(addr, port));
        let is_connected = connection.is_some_and(|key| self.heard_within(key, at, HOUR));
        let sender = Message::Sender(addr, self.hasher.hash_one(sender));
        let is_sent = self.heard_within(sender, at, ONE_MESSAGE);
        !is_connected && !is_sent
    }

    /// Whether the first failure of a message was at most `time` ago. If not,
    /// records `at` as the first.
    fn heard_within(&mut self, message: Message, at: UnixSeconds, time: Duration) -> bool {
        let first = self.messages.entry(message).or_default();
        let is_heard = *first != UnixSeconds::default() && at.elapsed_since(*first) <= time;
        if !is_heard {
            *first = at;
        }
        is_heard
    }

    fn accepted_before(&self, source: Target, at: UnixSeconds) -> usize {
        if self.overflow != UnixSeconds::default() && at.elapsed_since(self.overflow) <= HOUR {
            return usize::MAX;
        }
        let counts = self.accepted.get(&source).into_iter().flatten();
        let counts = counts.filter(|(minute, _)| is_within_hour(*minute, at));
        let count = |(_, count): &(u64, u32)| usize::try_from(*count).unwrap_or(usize::MAX);
        counts.map(count).fold(0, usize::saturating_add)
    }

    /// Forgets entries that are older than an hour, at most once a minute, so that
    /// a full table costs little.
    fn make_room(&mut self, now: UnixSeconds) {
        if now.get() / MINUTE == self.swept {
            return;
        }
        self.swept = now.get() / MINUTE;
        self.accepted.retain(|_, counts| {
            let newest = counts.back().map_or(0, |(minute, _)| *minute);
            is_within_hour(newest, now)
        });
        let is_recent = |at: &UnixSeconds| now.elapsed_since(*at) <= HOUR;
        self.messages.retain(|_, at| is_recent(at));
        self.strikes
            .retain(|_, strikes| strikes.back().is_some_and(is_recent));
    }
}

fn is_within_hour(minute: u64, at: UnixSeconds) -> bool {
    let end = UnixSeconds::new((minute + 1) * MINUTE);
    at.elapsed_since(end) < HOUR
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn addr(bits: u32) -> IpAddr {
        Ipv4Addr::from_bits(bits).into()
    }

    /// Adds a failure. Each `at` is another message, because the sender's address contains it.
    fn add(failures: &mut RecipientFailures, n: u32, at: u64) -> bool {
        let sender = format!("{at}@example.org");
        message(failures, n, None, &sender, at)
    }

    fn message(
        failures: &mut RecipientFailures,
        n: u32,
        port: Option<u16>,
        sender: &str,
        at: u64,
    ) -> bool {
        let failure = RecipientFailure {
            addr: addr(n),
            port,
            sender: sender.as_bytes(),
            at: UnixSeconds::new(at),
        };
        failures.add(addr(n).into(), &failure)
    }

    #[test]
    fn the_fifth_within_an_hour_counts() {
        for (stamps, expected) in [
            ([10, 20, 30, 40, 3610], true),
            ([10, 20, 30, 40, 3611], false),
        ] {
            let mut failures = RecipientFailures::default();
            let (last, first) = stamps.split_last().unwrap_or((&0, &[]));
            assert!(first.iter().all(|at| !add(&mut failures, 1, *at)));
            assert_eq!(add(&mut failures, 1, *last), expected, "{stamps:?}");
            assert!(!add(&mut failures, 2, *last));
        }
    }

    #[test]
    fn the_oldest_fall_out() {
        let mut failures = RecipientFailures::default();
        for at in [1, 5000, 5001, 5002, 5003] {
            assert!(!add(&mut failures, 1, at));
        }
        assert!(add(&mut failures, 1, 5004));
    }

    #[test]
    fn the_recipients_of_a_connection_are_one_strike() {
        let mut failures = RecipientFailures::default();
        for n in 0..9 {
            let sender = format!("{n}@example.org");
            assert!(!message(&mut failures, 1, Some(25_000), &sender, 100 + n));
        }
        // Other connections are other strikes.
        let strikes = (1..=4).map(|n| {
            let sender = format!("{n}@example.net");
            message(&mut failures, 1, Some(n), &sender, 200)
        });
        assert_eq!(strikes.collect::<Vec<_>>(), [false, false, false, true]);
    }

    #[test]
    fn the_recipients_of_a_sender_within_a_minute_are_one_strike() {
        let mut failures = RecipientFailures::default();
        let mut strike = |port, at| message(&mut failures, 1, port, "a@example.org", at);
        for (port, at) in [(None, 100), (Some(1), 130), (Some(2), 160)] {
            assert!(!strike(port, at));
        }
        let later = [161, 222, 283, 344].map(|at| strike(None, at));
        assert_eq!(later, [false, false, false, true]);
    }

    #[test]
    fn strikes_must_outnumber_the_accepted_mail_of_the_hour() {
        let start = 1_795_392_000;
        for (accepted, expected) in [
            (&[][..], 5),
            (&[0, 1, 2, 3], 5),
            (&[0, 1, 2, 3, 4], 6),
            (&[0, 0, 0, 0, 0, 0], 7),
        ] {
            let mut failures = RecipientFailures::default();
            for second in accepted {
                failures.accept(addr(1).into(), UnixSeconds::new(start + second));
                failures.accept(addr(2).into(), UnixSeconds::new(start + second));
            }
            let first = (1..20).find(|n| add(&mut failures, 1, start + 60 * n));
            assert_eq!(first, Some(expected), "{accepted:?}");
        }
        let mut failures = RecipientFailures::default();
        for _ in 0..9 {
            failures.accept(addr(1).into(), UnixSeconds::new(start));
        }
        // The mail of the first minute counts until an hour after that minute.
        let late = start + 3659;
        let strikes = |failures: &mut RecipientFailures, late| {
            (0..5).map(|n| add(failures, 1, late - 4 + n)).last()
        };
        assert_eq!(strikes(&mut failures, late), Some(false));
        assert_eq!(strikes(&mut failures, late + 5000), Some(true));
    }

    #[test]
    fn their_number_is_bounded_and_an_overflow_demotes_nobody() {
        let mut failures = RecipientFailures::default();
        let capacity = u32::try_from(CAPACITY).unwrap_or(u32::MAX);
        for n in 0..2 * capacity {
            add(&mut failures, n, 10_000);
            failures.accept(addr(n).into(), UnixSeconds::new(10_000));
            assert!(failures.messages.len() <= CAPACITY);
        }
        assert!(failures.strikes.len() <= CAPACITY && failures.accepted.len() <= CAPACITY);
        assert!(!(0..9).any(|n| add(&mut failures, 3 * capacity, 10_001 + n)));
        // An hour later there is room, but the accepted mail was not counted.
        let later = 10_001 + 3600;
        assert!(!(0..9).any(|n| add(&mut failures, 4 * capacity, later - 1 - n)));
        assert!((0..9).any(|n| add(&mut failures, 5 * capacity, later + 100 + n)));
    }
}
