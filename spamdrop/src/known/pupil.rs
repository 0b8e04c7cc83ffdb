//! Lessons → records, until they are written.

use std::collections::hash_map::Entry;
use std::mem;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use foldhash::HashMap;

use super::record::{Record, is_too_old};
use super::strikes::Strikes;
use crate::target::Target;

/// What an event tells of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// Its message was accepted.
    Accepted,
    /// It is on a blocklist.
    Listed,
    /// It wrote to a recipient who does not exist.
    UnknownRecipient,
}

/// Records by source: a host, or the /64 of one.
pub type Records = HashMap<Target, Record>;

/// Takes lessons, and holds what they come to until it is written.
#[derive(Debug)]
pub struct Pupil {
    records: Records,
    strikes: Strikes,
    capacity: usize,
}

impl Pupil {
    /// One that has learned nothing, and holds records of at most `capacity`
    /// sources.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            records: Records::default(),
            strikes: Strikes::default(),
            capacity,
        }
    }

    /// Learns what was logged at `at`; without, just now. A stamp in the
    /// future is the work of a clock that is ahead.
    pub fn learn(&mut self, addr: IpAddr, lesson: Lesson, at: Option<SystemTime>, now: SystemTime) {
        let now = unix_s(now);
        let at = at.map_or(now, unix_s).min(now);
        if is_too_old(at, now) {
            return;
        }
        let source = Target::from(addr);
        let record = match lesson {
            Lesson::Accepted => Record::accepted(at),
            Lesson::Listed => Record::demoted(at),
            Lesson::UnknownRecipient if self.strikes.strike(source, at) => Record::demoted(at),
            Lesson::UnknownRecipient => return,
        };
        self.add(source, record);
    }

    /// Begins with another log, whose unknown recipients count on their own.
    pub fn turn_page(&mut self) {
        self.strikes = Strikes::default();
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What was learned since this was last called.
    pub fn take(&mut self) -> Records {
        mem::take(&mut self.records)
    }

    /// Takes back what could not be written.
    pub fn give_back(&mut self, records: Records) {
        for (source, record) in records {
            self.add(source, record);
        }
    }

    fn add(&mut self, source: Target, record: Record) {
        let is_full = self.records.len() >= self.capacity;
        match self.records.entry(source) {
            Entry::Occupied(mut old) => {
                let joined = old.get().join(record);
                old.insert(joined);
            }
            // Rather not learned than memory without end.
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(new) => {
                new.insert(record);
            }
        }
    }
}

/// Seconds since 1970; 0 before.
fn unix_s(time: SystemTime) -> u32 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::time::Duration;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_795_392_000);

    fn ago(seconds: u64) -> Option<SystemTime> {
        Some(UNIX_EPOCH + NOW - Duration::from_secs(seconds))
    }

    fn learned(lessons: &[(&str, Lesson, Option<SystemTime>)]) -> Vec<(String, Record)> {
        let mut pupil = Pupil::new(2);
        for (addr, lesson, at) in lessons {
            pupil.learn(addr.parse().unwrap(), *lesson, *at, UNIX_EPOCH + NOW);
        }
        let mut all: Vec<_> = pupil.take().into_iter().collect();
        assert!(pupil.is_empty());
        all.sort_unstable_by_key(|(source, _)| *source);
        let text = |(source, record): (Target, Record)| (source.to_string(), record);
        all.into_iter().map(text).collect()
    }

    #[test]
    fn a_64_is_one_source() {
        let at = unix_s(UNIX_EPOCH + NOW);
        let accepted = |addr, seconds| (addr, Lesson::Accepted, ago(seconds));
        let record = Record::accepted(at - 9).join(Record::accepted(at - 5));
        assert_eq!(
            learned(&[accepted("2001:db8::1", 9), accepted("2001:db8::2", 5)]),
            [("2001:db8::/64".into(), record)]
        );
    }

    #[test]
    fn stamps_are_those_of_the_log_but_never_ahead() {
        let at = unix_s(UNIX_EPOCH + NOW);
        let ahead = Some(UNIX_EPOCH + NOW + Duration::from_secs(9));
        for (stamp, expected) in [(None, at), (ahead, at), (ago(9), at - 9)] {
            let record = Record::accepted(expected);
            assert_eq!(
                learned(&[("192.0.2.1", Lesson::Accepted, stamp)]),
                [("192.0.2.1".into(), record)]
            );
        }
        let old = ago(36 * 86_400 + 1);
        assert_eq!(learned(&[("192.0.2.1", Lesson::Accepted, old)]), []);
        let epoch = Some(UNIX_EPOCH);
        assert_eq!(learned(&[("192.0.2.1", Lesson::Listed, epoch)]), []);
    }

    #[test]
    fn the_fifth_unknown_recipient_demotes() {
        let at = unix_s(UNIX_EPOCH + NOW);
        let guess = |seconds| ("192.0.2.1", Lesson::UnknownRecipient, ago(seconds));
        let mut guesses = [40, 30, 20, 10].map(guess).to_vec();
        assert_eq!(learned(&guesses), []);
        guesses.push(guess(5));
        let record = Record::demoted(at - 5);
        assert_eq!(learned(&guesses), [("192.0.2.1".into(), record)]);
    }

    #[test]
    fn what_does_not_fit_is_not_learned() {
        let accepted = |addr| (addr, Lesson::Accepted, ago(1));
        let all = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.2"].map(accepted);
        assert_eq!(learned(&all).len(), 2);
    }
}
