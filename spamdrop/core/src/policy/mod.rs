//! Decides about an event: block its source, or ignore it and why.
//!
//! The policy reads no clock and no file, so that an old log can be replayed
//! through it.

mod ceiling;
mod known_senders;
mod protected;
mod proxies;
mod repeat;
mod scope;
mod surge;
mod windows;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use regex::bytes::Regex;

pub use ceiling::Trip;
pub use protected::{Protected, Protection, ProtectionChanges, too_wide};
pub use scope::{BlockRefusal, Choice, KnownNets, Neighbour, Scope, nets_around};

use crate::courier::texts;
use crate::dnsbl::complaint;
use crate::dnsbl::named_zone::{ZoneId, ZoneNames};
use crate::event::{Event, EventKind, Evidence};
use crate::time::Moment;
use ceiling::Ceiling;
use known_senders::Since;
pub(crate) use proxies::Proxies;
use repeat::Repeats;
use surge::Surge;

/// The decision about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Block the address.
    Block {
        /// The offender.
        addr: IpAddr,
        /// Time since the offence.
        age: Duration,
    },
    /// A message was accepted less than a day ago.
    Known,
    /// The source accepted a message from this server. The ceiling does not
    /// count this as an acceptance.
    Delivered,
    /// Do nothing.
    Ignore(IgnoreReason),
}

impl Decision {
    /// The name of the decision's counter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block { .. } => "blocked",
            Self::Known => "accepted",
            Self::Delivered => "delivered",
            Self::Ignore(why) => why.name(),
        }
    }
}

/// The reason why an event has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoreReason {
    /// The stamp of a rejection differs from now by more than the lifetime of a
    /// block, or that of an acceptance by a day or more.
    Stale,
    /// Courier refused the recipient with a text of its own, not because of a
    /// blocklist.
    OwnText,
    /// The configured pattern does not match the text of the reply.
    OtherText,
    /// The blocklist complains about the query instead of listing the peer.
    BrokenBlocklist,
    /// The blocklist is broken, as its test has shown.
    BrokenZone,
    /// The address is never blocked.
    Protected(Protection),
    /// The same address offended less than a second ago.
    Repeat,
    /// The ceiling is tripped.
    Ceiling,
}

impl IgnoreReason {
    /// The name of the reason's counter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::OwnText => "own_text",
            Self::OtherText => "other_text",
            Self::BrokenBlocklist => "broken_blocklist",
            Self::BrokenZone => "broken_zone",
            Self::Protected(_) => "protected",
            Self::Repeat => "repeat",
            Self::Ceiling => "ceiling",
        }
    }
}

impl fmt::Display for IgnoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stale => "the line is too old",
            Self::OwnText => "the recipient was refused, not the sender",
            Self::OtherText => "the reply does not match reject_text",
            Self::BrokenBlocklist => "the blocklist refused the query",
            Self::BrokenZone => "the blocklist is broken",
            Self::Protected(reason) => return reason.fmt(f),
            Self::Repeat => "repeated within a second",
            Self::Ceiling => "the ceiling has tripped",
        })
    }
}

/// An acceptance whose stamp differs from now by less than this is [`Decision::Known`].
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// The administrator's settings.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    /// The lifetime of a block. Rejections that are older are ignored.
    pub ttl: Duration,
    /// A pattern that the text of the reply must match. Without one, any text
    /// matches except Courier's own refusals of a recipient.
    pub reject_text: Option<Regex>,
    /// The ceiling trips if more addresses than this, not blocked yet, offend
    /// in a minute.
    pub max_new_per_minute: u32,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(600),
            reject_text: None,
            max_new_per_minute: 6000,
        }
    }
}

/// Decides about events.
#[derive(Debug)]
pub struct Policy {
    config: PolicyConfig,
    ceiling: Ceiling,
    repeats: Repeats,
    surge: Surge,
    zones: ZoneNames,
}

impl Policy {
    /// A policy that has seen nothing.
    #[must_use]
    pub fn new(config: PolicyConfig) -> Self {
        Self {
            ceiling: Ceiling::new(config.max_new_per_minute),
            repeats: Repeats::default(),
            surge: Surge::default(),
            zones: ZoneNames::default(),
            config,
        }
    }

    /// Applies other settings; learned state is kept.
    pub fn reconfigure(&mut self, config: PolicyConfig) {
        self.ceiling.set_limit(config.max_new_per_minute);
        self.config = config;
    }

    /// Decides about one event. Events must come in the order of the log; the
    /// monotonic clock of `now` must not go back. `is_blocked`: whether the
    /// event's source is blocked now.
    pub fn decide(
        &mut self,
        event: &Event<'_>,
        now: Moment,
        protected: &Protected,
        is_blocked: bool,
    ) -> Decision {
        let (age, distance) = (event.age(now.wall), event.distance(now.wall));
        match &event.kind {
            EventKind::Accepted => {
                self.ceiling.accepted(event.addr, distance, now.mono);
                match distance < REMEMBERED {
                    true => Decision::Known,
                    false => Decision::Ignore(IgnoreReason::Stale),
                }
            }
            EventKind::Delivered => Decision::Delivered,
            EventKind::Rejected { text } => self
                .ignored(text, distance)
                .or_else(|| self.never_blocked(event.addr, text, now.mono, protected))
                .or_else(|| self.held_back(event.addr, now.mono, is_blocked))
                .map_or(
                    Decision::Block {
                        addr: event.addr,
                        age,
                    },
                    Decision::Ignore,
                ),
        }
    }

    /// The evidence of an event that was just decided about, however old the
    /// event is. `None` if the source is never blocked, or if the blocklist
    /// itself may be wrong.
    #[must_use]
    pub fn evidence(&self, event: &Event<'_>, protected: &Protected) -> Option<Evidence> {
        if protected.why(event.addr).is_some() {
            return None;
        }
        match &event.kind {
            EventKind::Accepted => Some(Evidence::Accepted),
            EventKind::Delivered => Some(Evidence::Delivered),
            EventKind::Rejected { text } => match self.no_listing(text) {
                None if self.mistrust(event.addr, text).is_some() => None,
                None => (!self.ceiling.is_tripped()).then_some(Evidence::Listed),
                // A bounce does not count: a spammer has forged its recipient.
                Some(IgnoreReason::OwnText) if texts::is_unknown_user(text) => event
                    .envelope
                    .sender
                    .as_ref()
                    .is_some_and(|sender| !sender.is_empty())
                    .then_some(Evidence::UnknownRecipient),
                Some(_) => None,
            },
        }
    }

    /// The zone of the mail server that a rejection names; `None`: the event is
    /// no rejection, or names no zone of the server.
    #[must_use]
    pub fn listing_zone(&self, event: &Event<'_>) -> Option<ZoneId> {
        match &event.kind {
            EventKind::Rejected { text } => Some(self.zones.named(text, event.addr)?.id),
            _ => None,
        }
    }

    /// Tells the ceiling of a sender that was known before the daemon's start. Its
    /// last mail was accepted `age` ago.
    pub fn remember(&mut self, addr: IpAddr, age: Duration, now: Moment) {
        self.ceiling.know(addr, Since::Before, now.mono);
        self.ceiling.accepted(addr, age, now.mono);
    }

    /// Tells the ceiling of a sender that has become known.
    pub fn know(&mut self, addr: IpAddr, now: Moment) {
        self.ceiling.know(addr, Since::Now, now.mono);
    }

    /// Replaces the known senders that the ceiling counts.
    pub fn know_exactly(&mut self, known: impl Iterator<Item = IpAddr>, now: Moment) {
        self.ceiling.know_exactly(known, now.mono);
    }

    /// Replaces the zones of the mail server. Rejections by broken ones are not
    /// believed.
    pub fn set_zones(&mut self, zones: ZoneNames) {
        self.zones = zones;
    }

    /// Ends a pause of the ceiling: forgets what it has counted.
    pub fn resume(&mut self) {
        self.ceiling.reset();
    }

    /// Whether blocks surge; true at most once a minute.
    pub fn take_surge(&mut self, now: Moment) -> bool {
        self.surge.take(now.mono)
    }

    /// Starts with another log: forgets everything except the configuration and
    /// the zones.
    pub fn start_log(&mut self) {
        let zones = std::mem::take(&mut self.zones);
        *self = Self::new(self.config.clone());
        self.zones = zones;
    }

    /// The limit that has tripped the ceiling, if it is tripped.
    pub fn ceiling(&mut self, now: Moment) -> Option<Trip> {
        self.ceiling.trip(now.mono)
    }

    fn ignored(&self, text: &[u8], distance: Duration) -> Option<IgnoreReason> {
        if distance > self.config.ttl {
            return Some(IgnoreReason::Stale);
        }
        self.no_listing(text)
    }

    /// The reason why the text of a rejection is not that of a blocklist; `None`:
    /// it counts as a blocklist's.
    fn no_listing(&self, text: &[u8]) -> Option<IgnoreReason> {
        match &self.config.reject_text {
            Some(pattern) => (!pattern.is_match(text)).then_some(IgnoreReason::OtherText),
            None => texts::is_own(text).then_some(IgnoreReason::OwnText),
        }
    }

    /// The reason not to believe the blocklist behind a text.
    fn mistrust(&self, addr: IpAddr, text: &[u8]) -> Option<IgnoreReason> {
        if complaint::is_complaint(text) {
            return Some(IgnoreReason::BrokenBlocklist);
        }
        // Most of the time no zone is broken, and the text need not be searched.
        if self.zones.all_work() {
            return None;
        }
        let zone = self.zones.named(text, addr)?;
        zone.is_broken.then_some(IgnoreReason::BrokenZone)
    }

    /// The reason why a rejection never blocks the address. The ceiling counts
    /// the refusal even of a protected sender: if a known sender is refused, the
    /// blocklist may be wrong. A rejection by a blocklist that is not believed
    /// does not count, so that it cannot stop the blocks of other blocklists.
    fn never_blocked(
        &mut self,
        addr: IpAddr,
        text: &[u8],
        now: Duration,
        protected: &Protected,
    ) -> Option<IgnoreReason> {
        if let Some(why) = self.mistrust(addr, text) {
            return Some(why);
        }
        self.ceiling.refused(addr, now);
        protected.why(addr).map(IgnoreReason::Protected)
    }

    /// The reason why an offence does not block the address now.
    fn held_back(&mut self, addr: IpAddr, now: Duration, is_blocked: bool) -> Option<IgnoreReason> {
        // If the address of a repeat is not blocked, it was unblocked by hand.
        if self.repeats.seen(addr, now) && is_blocked {
            return Some(IgnoreReason::Repeat);
        }
        if !self.ceiling.admits(!is_blocked, now) {
            return Some(IgnoreReason::Ceiling);
        }
        if !is_blocked {
            self.surge.count(now);
        }
        None
    }
}

#[cfg(test)]
mod tests;
