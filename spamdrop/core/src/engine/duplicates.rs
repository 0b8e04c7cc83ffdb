//! Events that several logs report: syslog often writes a line to `mail.log` and
//! to `mail.err`.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::event::{Event, EventKind};
use crate::log::DatedSlotLine;
use crate::time::{Moment, unix_seconds};

/// The longest time until another log reports the same event. Logs are read in
/// turn, and the journal comes through another process.
const WAIT: Duration = Duration::from_secs(60);
/// Maximum number of events that are remembered; about 1 MiB. An event that is
/// forgotten early counts again.
const CAPACITY: usize = 8_192;
/// Maximum number of logs that are told apart.
const SOURCES: usize = 64;

/// An event and the second of its stamp.
type EventKey = (u64, u64);

/// The events of the last minute.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    hasher: RandomState,
    sources: Vec<PathBuf>,
    /// How often each log reported the event.
    seen: HashMap<EventKey, Vec<u16>>,
    order: VecDeque<(Duration, EventKey)>,
}

impl Duplicates {
    /// Records that `source` reports an event. Returns whether another log
    /// reported it before. An event that one log reports several times happened
    /// several times.
    pub fn is_known(&mut self, event: &Event<'_>, source: &Path, now: Moment) -> bool {
        let hash = self.hash(event);
        self.is_known_hash(hash, event.at, source, now)
    }

    /// As [`Self::is_known`], for a line about a connection.
    pub fn is_known_slot(&mut self, line: &DatedSlotLine, source: &Path, now: Moment) -> bool {
        let (line, at) = line;
        let hash = self.hasher.hash_one(line);
        self.is_known_hash(hash, *at, source, now)
    }

    fn is_known_hash(
        &mut self,
        hash: u64,
        at: Option<SystemTime>,
        source: &Path,
        now: Moment,
    ) -> bool {
        self.forget(now.mono);
        let source = self.index(source);
        let second = unix_seconds(at.unwrap_or(now.wall)).get();
        // One log may have fractions of seconds, and the other may round.
        let seconds = [second, second.saturating_sub(1), second.saturating_add(1)];
        for key in seconds.map(|second| (hash, second)) {
            if let Some(counts) = self.seen.get_mut(&key) {
                let most = counts.iter().max().copied().unwrap_or_default();
                let count = count(counts, source);
                if *count < most {
                    *count += 1;
                    return true;
                }
            }
        }
        self.add((hash, second), source, now.mono);
        false
    }

    fn add(&mut self, key: EventKey, source: usize, now: Duration) {
        let counts = self.seen.entry(key).or_insert_with(|| {
            self.order.push_back((now, key));
            Vec::new()
        });
        let count = count(counts, source);
        *count = count.saturating_add(1);
    }

    fn forget(&mut self, now: Duration) {
        while let Some((at, key)) = self.order.front() {
            if now.saturating_sub(*at) < WAIT && self.order.len() < CAPACITY {
                return;
            }
            self.seen.remove(key);
            self.order.pop_front();
        }
    }

    fn index(&mut self, source: &Path) -> usize {
        if let Some(i) = self.sources.iter().position(|known| known == source) {
            return i;
        }
        if self.sources.len() == SOURCES {
            *self = Self::default();
        }
        self.sources.push(source.to_owned());
        self.sources.len() - 1
    }

    /// A hash that identifies an event, without its stamp. The logs may have different
    /// headers.
    fn hash(&self, event: &Event<'_>) -> u64 {
        let (kind, text) = match &event.kind {
            EventKind::Rejected { text } => (0, Some(text)),
            EventKind::Accepted => (1, None),
            EventKind::Delivered => (2, None),
        };
        let envelope = &event.envelope;
        self.hasher.hash_one((
            event.addr,
            (kind, text),
            &event.rule,
            (&envelope.sender, &envelope.recipient, envelope.port),
        ))
    }
}

fn count(counts: &mut Vec<u16>, source: usize) -> &mut u16 {
    if counts.len() <= source {
        counts.resize(source + 1, 0);
    }
    &mut counts[source]
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::net::IpAddr;

    use super::*;
    use crate::event::{Clock, Envelope};

    const SECOND: Duration = Duration::from_secs(1);

    fn moment(seconds: u64) -> Moment {
        Moment {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_424_400 + seconds),
            mono: Duration::from_secs(seconds),
        }
    }

    fn event(port: u16, at: SystemTime) -> Event<'static> {
        Event {
            addr: IpAddr::from([192, 0, 2, 1]),
            kind: EventKind::Rejected {
                text: Cow::Borrowed(b"Listed"),
            },
            at: Some(at),
            clock: Clock::Zoned,
            rule: "courier-511".into(),
            envelope: Envelope {
                port: Some(port),
                ..Envelope::default()
            },
        }
    }

    #[test]
    fn an_event_of_several_logs_counts_once() {
        let mut duplicates = Duplicates::default();
        let at = moment(0).wall;
        let mut report = |source: &str, event: &Event<'_>, now| {
            !duplicates.is_known(event, Path::new(source), moment(now))
        };
        assert!(report("mail.log", &event(1, at), 0));
        // mail.err has the time rounded down, and the journal has it rounded up.
        assert!(!report("mail.err", &event(1, at - SECOND), 1));
        assert!(!report("journal", &event(1, at + SECOND), 1));
        // Another connection, and another time.
        assert!(report("mail.err", &event(2, at), 1));
        assert!(report("mail.err", &event(1, at + 2 * SECOND), 3));
        assert!(!report("mail.log", &event(1, at + 2 * SECOND), 3));
    }

    #[test]
    fn an_event_that_one_log_repeats_happened_again() {
        let mut duplicates = Duplicates::default();
        let event = event(1, moment(0).wall);
        let mut counted = |source: &str| {
            let counted = |_| !duplicates.is_known(&event, Path::new(source), moment(0));
            (0..4).map(counted).filter(|counted| *counted).count()
        };
        assert_eq!(counted("mail.log"), 4);
        assert_eq!(counted("mail.err"), 0);
        assert_eq!(counted("mail.err"), 4);
    }

    #[test]
    fn memory_is_bounded() {
        let mut duplicates = Duplicates::default();
        for n in 0..u16::MAX {
            duplicates.is_known(&event(n, moment(0).wall), Path::new("mail.log"), moment(0));
        }
        assert_eq!(duplicates.seen.len(), CAPACITY);
        for n in 0..200 {
            let path = format!("{n}.log");
            duplicates.is_known(&event(0, moment(0).wall), Path::new(&path), moment(0));
        }
        assert!(duplicates.sources.len() <= SOURCES);
        duplicates.is_known(&event(0, moment(0).wall), Path::new("mail.log"), moment(99));
        assert_eq!(duplicates.order.len(), 1);
    }
}
