//! Converts evidence into records, and buffers them until they are stored.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::time::{Duration, SystemTime};

use super::deliveries::Recipient;
use super::pending_demotions::PendingDemotions;
use super::recipient_failures::{RecipientFailure, RecipientFailures};
use super::record::{Record, is_too_old};
use crate::dnsbl::named_zone::ZoneId;
use crate::event::{Event, Evidence};
use crate::target::Target;
use crate::time::{Moment, UnixSeconds, unix_seconds};

/// How long accepted mail counts against unknown recipients.
const HOUR: Duration = Duration::from_secs(3600);

/// Records by source: an IPv4 address or an IPv6 /64.
pub type Records = HashMap<Target, Record>;

/// The evidence for which a source is demoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemotionReason {
    /// A zone listed it, and has not been found wrong since.
    Listed,
    /// It wrote to unknown recipients too often.
    RecipientFailures,
}

impl DemotionReason {
    /// The reason in words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Listed => "rejected because a blocklist has it",
            Self::RecipientFailures => "five messages to unknown recipients within an hour",
        }
    }
}

/// Converts evidence into records, and keeps them until they are stored.
#[derive(Debug)]
pub struct EvidenceBuffer {
    records: Records,
    /// The reason for the last demotion of each source that was demoted.
    reasons: BTreeMap<Target, DemotionReason>,
    failures: RecipientFailures,
    pending: PendingDemotions,
    capacity: usize,
}

impl EvidenceBuffer {
    /// An empty buffer for the records of at most `capacity` sources, and for
    /// the same number of pending demotions.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            records: Records::default(),
            reasons: BTreeMap::new(),
            failures: RecipientFailures::default(),
            pending: PendingDemotions::default(),
            capacity,
        }
    }

    /// Changes the capacity. The content is kept.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Learns the evidence of an event, dated `now` if its stamp is unknown or in
    /// the future. A listing by `zone` is pending until
    /// [`EvidenceBuffer::settle`] applies it.
    pub fn learn(
        &mut self,
        event: &Event<'_>,
        evidence: Evidence,
        zone: Option<ZoneId>,
        now: Moment,
    ) {
        let at = date(event.at, now);
        if is_too_old(at, unix_seconds(now.wall)) {
            return;
        }
        let source = Target::from(event.addr);
        match evidence {
            Evidence::Accepted => {
                self.failures.accept(source, at);
                self.add(source, Record::accepted(at));
            }
            Evidence::Delivered => {
                let recipient = Recipient::from_mailbox(event.envelope.recipient.as_deref());
                self.add(source, Record::delivered(at, recipient));
            }
            Evidence::Listed => {
                self.pending
                    .add((source, zone), at, now.mono, self.capacity);
            }
            Evidence::UnknownRecipient => {
                let failure = RecipientFailure {
                    addr: event.addr,
                    port: event.envelope.port,
                    sender: event.envelope.sender.as_deref().unwrap_or_default(),
                    at,
                };
                if self.failures.add(source, &failure) {
                    self.demote(source, at, DemotionReason::RecipientFailures);
                }
            }
        }
    }

    /// Counts mail of the source that was accepted in the hour before the start. Without
    /// it, the first unknown recipients after the start could demote the source.
    pub fn remember(&mut self, source: Target, record: &Record, now: Moment) {
        let now = unix_seconds(now.wall);
        let is_recent = |at: &UnixSeconds| now.elapsed_since(*at) <= HOUR;
        for at in record.recent.into_iter().rev().filter(is_recent) {
            self.failures.accept(source, at);
        }
    }

    /// Drops pending demotions by a zone that proves broken.
    pub fn drop_zone(&mut self, zone: ZoneId) {
        self.pending.drop_zone(zone);
    }

    /// Applies demotions that have been pending for an hour; with
    /// [`Duration::MAX`], all of them. If a blocklist `is_wrong`, they are
    /// dropped instead. `now` is monotonic, as [`Moment::mono`].
    pub fn settle(&mut self, is_wrong: bool, now: Duration) {
        if is_wrong {
            return self.pending.clear();
        }
        while let Some((source, at)) = self.pending.next_due(now) {
            self.demote(source, at, DemotionReason::Listed);
        }
    }

    /// Starts with another log: unknown recipients of the last one do not count
    /// in it.
    pub fn start_log(&mut self) {
        self.failures = RecipientFailures::default();
    }

    /// The number of sources with a record.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Takes the reasons for the demotions among the records. Must be called before
    /// [`Self::take`], which drops the reasons.
    pub fn take_reasons(&mut self) -> BTreeMap<Target, DemotionReason> {
        mem::take(&mut self.reasons)
    }

    /// Takes all records out of the buffer.
    pub fn take(&mut self) -> Records {
        self.reasons.clear();
        mem::take(&mut self.records)
    }

    /// Takes back records that could not be stored, and the reasons for the demotions
    /// among them.
    pub fn give_back(&mut self, records: Records, reasons: BTreeMap<Target, DemotionReason>) {
        for (source, record) in records {
            self.add(source, record);
        }
        for (source, reason) in reasons {
            if self.records.contains_key(&source) {
                // A reason that was learned since is newer.
                self.reasons.entry(source).or_insert(reason);
            }
        }
    }

    fn demote(&mut self, source: Target, at: UnixSeconds, reason: DemotionReason) {
        self.add(source, Record::demoted(at));
        if self.records.contains_key(&source) {
            self.reasons.insert(source, reason);
        }
    }

    fn add(&mut self, source: Target, record: Record) {
        let is_full = self.records.len() >= self.capacity;
        match self.records.entry(source) {
            Entry::Occupied(mut old) => {
                let joined = old.get().join(record);
                old.insert(joined);
            }
            // Drop the record rather than grow without bound.
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(new) => {
                new.insert(record);
            }
        }
    }
}

/// The time of an event, never in the future.
pub fn date(stamp: Option<SystemTime>, now: Moment) -> UnixSeconds {
    let wall = unix_seconds(now.wall);
    stamp.map_or(wall, unix_seconds).min(wall)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::event::{Clock, Envelope, EventKind};

    const RECIPIENT: &[u8] = b"anna@example.net";

    const NOW: Duration = Duration::from_secs(1_795_392_000);

    /// The time this many seconds before [`NOW`].
    fn before(seconds: u64) -> UnixSeconds {
        UnixSeconds::new(NOW.as_secs() - seconds)
    }

    fn moment(minutes: u64) -> Moment {
        let passed = Duration::from_secs(60 * minutes);
        Moment {
            wall: UNIX_EPOCH + NOW + passed,
            mono: passed,
        }
    }

    fn ago(seconds: u64) -> Option<SystemTime> {
        Some(UNIX_EPOCH + NOW - Duration::from_secs(seconds))
    }

    fn learn(buffer: &mut EvidenceBuffer, addr: &str, evidence: Evidence, at: Option<SystemTime>) {
        let sender = format!("{at:?}@example.org");
        let event = Event {
            addr: addr.parse().unwrap(),
            kind: EventKind::Accepted,
            at,
            clock: Clock::Zoned,
            rule: "".into(),
            envelope: Envelope {
                sender: Some(sender.as_bytes().into()),
                recipient: Some(RECIPIENT.into()),
                port: None,
            },
        };
        buffer.learn(&event, evidence, None, moment(0));
    }

    fn learned(evidence: &[(&str, Evidence, Option<SystemTime>)]) -> Vec<(String, Record)> {
        let mut evidence_buffer = EvidenceBuffer::new(2);
        for (addr, evidence, at) in evidence {
            learn(&mut evidence_buffer, addr, *evidence, *at);
        }
        evidence_buffer.settle(false, Duration::MAX);
        let mut all: Vec<_> = evidence_buffer.take().into_iter().collect();
        assert!(evidence_buffer.is_empty());
        all.sort_unstable_by_key(|(source, _)| *source);
        let text = |(source, record): (Target, Record)| (source.to_string(), record);
        all.into_iter().map(text).collect()
    }

    #[test]
    fn a_64_is_one_source() {
        let accepted = |addr, seconds| (addr, Evidence::Accepted, ago(seconds));
        let record = Record::accepted(before(9)).join(Record::accepted(before(5)));
        assert_eq!(
            learned(&[accepted("2001:db8::1", 9), accepted("2001:db8::2", 5)]),
            [("2001:db8::/64".into(), record)]
        );
    }

    #[test]
    fn stamps_are_those_of_the_log_but_never_ahead() {
        let ahead = Some(UNIX_EPOCH + NOW + Duration::from_secs(9));
        for (stamp, expected) in [(None, before(0)), (ahead, before(0)), (ago(9), before(9))] {
            let record = Record::accepted(expected);
            assert_eq!(
                learned(&[("192.0.2.1", Evidence::Accepted, stamp)]),
                [("192.0.2.1".into(), record)]
            );
        }
        let old = ago(36 * 86_400 + 1);
        assert_eq!(learned(&[("192.0.2.1", Evidence::Accepted, old)]), []);
        let epoch = Some(UNIX_EPOCH);
        assert_eq!(learned(&[("192.0.2.1", Evidence::Listed, epoch)]), []);
    }

    #[test]
    fn who_takes_mail_is_learned() {
        let delivered = ("192.0.2.1", Evidence::Delivered, ago(9));
        let expected = (
            "192.0.2.1".into(),
            Record::delivered(before(9), Recipient::from_mailbox(Some(RECIPIENT))),
        );
        assert_eq!(learned(&[delivered]), [expected]);
    }

    #[test]
    fn the_fifth_unknown_recipient_demotes() {
        let guess = |seconds| ("192.0.2.1", Evidence::UnknownRecipient, ago(seconds));
        let mut guesses = [40, 30, 20, 10].map(guess).to_vec();
        assert_eq!(learned(&guesses), []);
        guesses.push(guess(5));
        let record = Record::demoted(before(5));
        assert_eq!(learned(&guesses), [("192.0.2.1".into(), record)]);
    }

    #[test]
    fn a_demotion_has_its_reason() {
        let mut buffer = EvidenceBuffer::new(2);
        for seconds in [40, 30, 20, 10, 5] {
            learn(
                &mut buffer,
                "192.0.2.1",
                Evidence::UnknownRecipient,
                ago(seconds),
            );
        }
        learn(&mut buffer, "192.0.2.2", Evidence::Accepted, ago(5));
        for addr in ["192.0.2.2", "192.0.2.3"] {
            learn(&mut buffer, addr, Evidence::Listed, None);
        }
        buffer.settle(false, Duration::MAX);
        let target = |addr: &str| addr.parse::<Target>().unwrap();
        let reasons = BTreeMap::from([
            (target("192.0.2.1"), DemotionReason::RecipientFailures),
            (target("192.0.2.2"), DemotionReason::Listed),
        ]);
        // There is no room for the record of the third source.
        assert_eq!(buffer.take_reasons(), reasons);
        let records = buffer.take();
        assert_eq!((records.len(), buffer.take_reasons().len()), (2, 0));
        // The records could not be stored, and meanwhile a zone has listed 192.0.2.1.
        learn(&mut buffer, "192.0.2.1", Evidence::Listed, None);
        buffer.settle(false, Duration::MAX);
        let newer = buffer.reasons.clone();
        buffer.give_back(records, reasons);
        assert_eq!(buffer.len(), 2);
        let reasons = buffer.take_reasons();
        assert_eq!(reasons[&target("192.0.2.1")], newer[&target("192.0.2.1")]);
        assert_eq!(reasons[&target("192.0.2.2")], DemotionReason::Listed);
    }

    #[test]
    fn a_listing_counts_after_an_hour_unless_the_blocklist_proves_wrong() {
        for wrong_at in [None, Some(59), Some(60)] {
            let mut evidence_buffer = EvidenceBuffer::new(2);
            learn(&mut evidence_buffer, "192.0.2.1", Evidence::Listed, None);
            for minute in 0..60 {
                evidence_buffer.settle(Some(minute) == wrong_at, moment(minute).mono);
                assert!(evidence_buffer.is_empty(), "{minute}");
            }
            evidence_buffer.settle(wrong_at == Some(60), moment(60).mono);
            evidence_buffer.settle(false, Duration::MAX);
            let learned: Vec<_> = evidence_buffer.take().into_values().collect();
            let expected = match wrong_at {
                None => vec![Record::demoted(before(0))],
                Some(_) => vec![],
            };
            assert_eq!(learned, expected, "{wrong_at:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_learned() {
        let accepted = |addr| (addr, Evidence::Accepted, ago(1));
        let all = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.2"].map(accepted);
        assert_eq!(learned(&all).len(), 2);
    }
}
