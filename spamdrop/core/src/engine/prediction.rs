//! The prediction: the effects that spamdrop would have had on a log, as a value.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};
use spamdrop_common::gate::CLASSES;

use crate::dnsbl::key::mask;
use crate::escape::escape;
use crate::event::{Event, EventKind};
use crate::gate::{self, ConnectionEnds};
use crate::target::Target;
use crate::time::unix_seconds;

/// The most blocks that are kept, and the most entries of each other list, so that a huge
/// log does not exhaust the memory; about 30 MiB. Further blocks and hits are only counted;
/// further entries of the other lists are ignored.
const MOST: usize = 262_144;

/// The percentages of the slots from which the strangers of a class wait. The
/// class that waits first comes first.
pub(super) const LIMITS: [u32; CLASSES] = {
    let [best, middle, worst] = gate::LIMITS;
    [worst, middle, best]
};

/// The effects that spamdrop would have had. `replay --json` prints one, as the object of
/// the kind `prediction`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// `from_unix_s`: the first time in the log; `null`: no line has one.
    #[serde(rename = "from_unix_s", serialize_with = "optional_time")]
    pub from: Option<SystemTime>,
    /// `until_unix_s`: the last time.
    #[serde(rename = "until_unix_s", serialize_with = "optional_time")]
    pub until: Option<SystemTime>,
    /// Events by the name of the decision, as `events` of `status --json`.
    pub events: BTreeMap<&'static str, u64>,
    /// Rejections that would not have blocked, by reason.
    pub ignored: BTreeMap<String, u64>,
    /// Near misses, by reason.
    pub near_misses: BTreeMap<&'static str, u64>,
    /// Lines without a stamp, which are taken to be as old as the line before.
    pub unstamped: u64,
    /// How often the log's clock was set back, because the stamps stayed far behind.
    pub set_back: u64,
    /// Number of blocks.
    pub blocked: u64,
    /// Number of addresses and /64s that were blocked at least once; of the
    /// first 262,144 blocks.
    pub sources: u64,
    /// Rejections that renewed a block.
    pub renewed: u64,
    /// Connections in the log that a block would have dropped.
    pub dropped_connections: u64,
    /// Rejections in these connections, which would not have happened.
    pub prevented: u64,
    /// Connections that a rejected peer held for longer than the grace.
    pub held_connections: u64,
    /// `held_s`: seconds for which these connections were held beyond the grace.
    #[serde(rename = "held_s", serialize_with = "seconds")]
    pub held: Duration,
    /// Rejections of addresses that are never blocked, by address.
    pub protected: BTreeMap<IpAddr, u64>,
    /// Private addresses that proved to be those of proxies.
    pub proxies: Vec<IpAddr>,
    /// The mail server's slots.
    pub slots: SlotPrediction,
    /// Number of blocks of known senders; must be 0.
    pub known_blocked: u64,
    /// Number of messages that the server accepted from blocked addresses.
    pub accepted_while_blocked: u64,
    /// The times in which blocking would have paused.
    pub pauses: Vec<PredictedPause>,
    /// The times in which a blocklist seems to have listed everybody.
    pub outages: Vec<ListingOutage>,
    /// The blocks in the order of time. `--json` prints each as its own object.
    #[serde(skip)]
    pub blocks: Vec<PredictedBlock>,
    /// The known senders that would have been blocked. `--json` prints each as its
    /// own object.
    #[serde(skip)]
    pub known_hits: Vec<HitSender>,
    /// The accepted messages of blocked addresses. `--json` prints each as its own
    /// object.
    #[serde(skip)]
    pub accepted_hits: Vec<HitSender>,
}

/// A block that spamdrop would have made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PredictedBlock {
    /// The IPv4 address, IPv6 /64 or IPv6 address.
    #[serde(rename = "addr")]
    pub target: Target,
    /// `from_unix_s`: the time of the rejection.
    #[serde(rename = "from_unix_s", serialize_with = "time")]
    pub from: SystemTime,
    /// `until_unix_s`: its end, as far as the log shows the sender's packets.
    #[serde(rename = "until_unix_s", serialize_with = "time")]
    pub until: SystemTime,
    /// Rejections, the first included.
    pub offences: u32,
    /// Connections in the log that it would have dropped.
    pub dropped: u32,
    /// The rule that matched.
    pub rule: Cow<'static, str>,
}

/// A known sender that would have been blocked, or a blocked sender whose
/// message the server accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HitSender {
    /// The address.
    pub addr: IpAddr,
    /// `at_unix_s`: the time of the line.
    #[serde(rename = "at_unix_s", serialize_with = "time")]
    pub at: SystemTime,
    /// The text of the rejection, escaped, with masked keys of zones; empty for an
    /// accepted message.
    pub text: String,
}

/// A time in which the ceiling would have been tripped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PredictedPause {
    /// `from_unix_s`: its start.
    #[serde(rename = "from_unix_s", serialize_with = "time")]
    pub from: SystemTime,
    /// `until_unix_s`: its end; `null`: it goes on at the end of the log.
    #[serde(rename = "until_unix_s", serialize_with = "optional_time")]
    pub until: Option<SystemTime>,
    /// The limit that was exceeded.
    pub why: String,
    /// Rejections that would not have blocked in this time.
    pub rejections: u64,
}

/// A time in which senders of accepted mail were rejected together: a blocklist
/// seems to have listed everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListingOutage {
    /// `from_unix_s`: its start.
    #[serde(rename = "from_unix_s", serialize_with = "time")]
    pub from: SystemTime,
    /// `until_unix_s`: its end; `null`: it goes on at the end of the log.
    #[serde(rename = "until_unix_s", serialize_with = "optional_time")]
    pub until: Option<SystemTime>,
    /// Number of regular senders that were rejected in the last day, after their last
    /// accepted message. A regular sender has at least three accepted messages, over an
    /// hour or more.
    pub rejected: u32,
    /// Number of all regular senders with accepted mail in the last day, and of those that
    /// `rejected` counts.
    pub regulars: u32,
    /// The text of the first of these rejections, escaped, with masked keys of zones.
    pub text: String,
}

/// The connections in the log, and how many of them came while slots ran short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SlotPrediction {
    /// Number of slots; `null`: unknown.
    pub slots: Option<u32>,
    /// How the log tells when connections end; `null`: it shows no connection.
    pub ends: Option<ConnectionEnds>,
    /// Connections in the log.
    pub connections: u64,
    /// The most connections at a time.
    pub peak: u32,
    /// The connections that came while more slots were in use than each of three
    /// limits.
    pub shortages: [SlotShortage; LIMITS.len()],
}

/// The connections that came while more than a part of the slots was in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SlotShortage {
    /// The limit in percent.
    pub above_percent: u32,
    /// All connections above the limit.
    pub connections: u64,
    /// Connections of known senders.
    pub known: u64,
    /// Connections of other senders whose rejection by a blocklist is in the log.
    pub listed: u64,
    /// The remaining connections.
    pub unknown: u64,
}

impl HitSender {
    pub(super) fn new(event: &Event<'_>, at: SystemTime) -> Self {
        let text = match &event.kind {
            EventKind::Rejected { text } => mask(&escape(text)).into_owned(),
            EventKind::Accepted | EventKind::Delivered => String::new(),
        };
        let addr = event.addr;
        Self { addr, at, text }
    }
}

impl Prediction {
    pub(super) fn new(slots: Option<u32>) -> Self {
        let shortages = LIMITS.map(|above_percent| SlotShortage {
            above_percent,
            ..SlotShortage::default()
        });
        Self {
            slots: SlotPrediction {
                slots,
                shortages,
                ..SlotPrediction::default()
            },
            ..Self::default()
        }
    }

    /// Records that the log has an event of this time.
    pub(super) fn note_time(&mut self, at: SystemTime) {
        self.from.get_or_insert(at);
        self.until = self.until.max(Some(at));
    }

    /// Adds a block. Returns its index, if it is kept.
    pub(super) fn add_block(&mut self, block: PredictedBlock) -> Option<usize> {
        self.blocked += 1;
        (self.blocks.len() < MOST).then(|| {
            self.blocks.push(block);
            self.blocks.len() - 1
        })
    }

    /// A block that [`Prediction::add_block`] has kept.
    pub(super) fn block(&mut self, index: Option<usize>) -> Option<&mut PredictedBlock> {
        self.blocks.get_mut(index?)
    }

    pub(super) fn add_known_hit(&mut self, hit: HitSender) {
        self.known_blocked += 1;
        push(&mut self.known_hits, hit);
    }

    pub(super) fn add_accepted_hit(&mut self, hit: HitSender) {
        self.accepted_while_blocked += 1;
        push(&mut self.accepted_hits, hit);
    }

    pub(super) fn ignore(&mut self, why: String) {
        *self.ignored.entry(why).or_default() += 1;
    }

    pub(super) fn protect(&mut self, addr: IpAddr) {
        if self.protected.len() < MOST || self.protected.contains_key(&addr) {
            *self.protected.entry(addr).or_default() += 1;
        }
    }

    /// Records whether blocking pauses now, and why.
    pub(super) fn note_pause(&mut self, why: Option<String>, now: SystemTime) {
        let ongoing = self.pauses.last_mut().filter(|pause| pause.until.is_none());
        match (ongoing, why) {
            (Some(pause), None) => pause.until = Some(now),
            (None, Some(why)) => push(
                &mut self.pauses,
                PredictedPause {
                    from: now,
                    until: None,
                    why,
                    rejections: 0,
                },
            ),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// Counts a rejection that would not have blocked because of the ceiling.
    pub(super) fn hold_back(&mut self) {
        if let Some(pause) = self.pauses.last_mut() {
            pause.rejections += 1;
        }
    }

    /// Records that a blocklist seems to list everybody, or no longer does.
    pub(super) fn note_outage(&mut self, outage: Option<ListingOutage>, now: SystemTime) {
        let ongoing = self.outages.last_mut().filter(|it| it.until.is_none());
        match (ongoing, outage) {
            (Some(old), None) => old.until = Some(now),
            (Some(old), Some(new)) => {
                (old.rejected, old.regulars) = (new.rejected, new.regulars);
            }
            (None, Some(new)) => push(&mut self.outages, new),
            (None, None) => {}
        }
    }

    /// The time for which blocking would have paused.
    #[must_use]
    pub fn paused(&self) -> Duration {
        let length = |pause: &PredictedPause| {
            let end = pause.until.or(self.until).unwrap_or(pause.from);
            end.duration_since(pause.from).unwrap_or_default()
        };
        self.pauses.iter().map(length).sum()
    }
}

fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < MOST {
        list.push(item);
    }
}

fn seconds<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(length.as_secs())
}

fn time<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(unix_seconds(*at).get())
}

fn optional_time<S: Serializer>(at: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Clock, Envelope};

    #[test]
    fn the_key_of_a_zone_is_masked() {
        let event = Event {
            addr: IpAddr::from([192, 0, 2, 9]),
            kind: EventKind::Rejected {
                text: b"Listed, see 0123456789abcdefghij.zen.dq.spamhaus.net".into(),
            },
            at: None,
            clock: Clock::Zoned,
            rule: "courier-511".into(),
            envelope: Envelope::default(),
        };
        let hit = HitSender::new(&event, SystemTime::UNIX_EPOCH);
        assert_eq!(hit.text, "Listed, see ***.zen.dq.spamhaus.net");
    }
}
