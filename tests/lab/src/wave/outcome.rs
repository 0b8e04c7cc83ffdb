//! The effect of a wave on the server and its senders.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::occupancy::Occupancy;
use super::population::Class;
use super::scale::Scale;
use super::session::{End, Session};

/// The figures of a wave. Times are in seconds. The time of an event that never
/// happened is infinite, `null` in JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Sessions and waiting connections during the wave.
    pub open: Load,
    /// Connections in the kernel's tables during the wave, also those of the responder.
    pub connections: Load,
    /// Connections that belong to the responder and not to the server.
    pub aside: Load,
    /// The fraction of the wave in which all slots were in use.
    pub saturated: f64,
    /// Time from `connect()` to the banner, for each session.
    pub banner: BTreeMap<Class, Times>,
    /// As `banner`, for the sessions of all legitimate senders together.
    pub legitimate_banner: Times,
    /// Number of retransmitted SYNs.
    pub retransmissions: BTreeMap<Class, u32>,
    /// Time from the first `connect()` of a listed mail server to its 511.
    pub listed_servers: Times,
    /// Listed bots that received a 5xx, of those that tried long enough to send a second
    /// SYN.
    pub listed_bots: Share,
    /// Bots that received a banner, of all bots that came.
    pub bots_served: Share,
    /// Legitimate mails that were not accepted, of all legitimate mails.
    pub lost: Share,
    /// Number of sessions by their end.
    pub ends: BTreeMap<Class, BTreeMap<End, usize>>,
    /// The connections whose SYNs were not answered.
    #[serde(skip)]
    pub unanswered: Vec<Session>,
}

/// Simultaneous connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Load {
    /// The median.
    pub p50: usize,
    /// The 95th percentile.
    pub p95: usize,
    /// The maximum.
    pub max: usize,
}

/// The distribution of a duration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Times {
    /// The number of expected events.
    pub count: usize,
    /// The median.
    #[serde(serialize_with = "finite")]
    pub p50: f64,
    /// The 90th percentile.
    #[serde(serialize_with = "finite")]
    pub p90: f64,
    /// The 95th percentile.
    #[serde(serialize_with = "finite")]
    pub p95: f64,
    /// The 99th percentile.
    #[serde(serialize_with = "finite")]
    pub p99: f64,
    /// The maximum.
    #[serde(serialize_with = "finite")]
    pub max: f64,
}

/// A part of a whole, such as lost mails of all mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The size of the part.
    pub some: usize,
    /// The size of the whole.
    pub all: usize,
}

impl Outcome {
    /// Computes the figures from the recordings.
    #[must_use]
    pub fn new(scale: &Scale, server: &[Occupancy], sessions: &[Session]) -> Self {
        let during = |seen: &&Occupancy| seen.at < scale.length;
        let server: Vec<_> = server.iter().filter(during).copied().collect();
        let legitimate = || sessions.iter().filter(|session| session.is_legitimate());
        let accepted = legitimate().filter(|session| session.accepted.is_some());
        let bots = || sessions.iter().filter(|session| is(session, Class::Bot));
        let steady_listed = || {
            let both =
                |session: &&Session| session.sender.is_listed() && session.sender.retransmits();
            bots().filter(both)
        };
        Self {
            open: Load::from_samples(server.iter().map(Occupancy::open)),
            connections: Load::from_samples(server.iter().map(|seen| seen.connections)),
            aside: Load::from_samples(server.iter().map(Occupancy::aside)),
            saturated: saturated(&server, scale.slots),
            banner: by_class(sessions, |sessions| {
                Times::from_waits(sessions.iter().map(|session| session.banner_wait()))
            }),
            legitimate_banner: Times::from_waits(legitimate().map(Session::banner_wait)),
            retransmissions: by_class(sessions, |sessions| {
                sessions.iter().map(|session| session.retransmissions).sum()
            }),
            listed_servers: Times::from_waits(refusals(sessions)),
            listed_bots: Share::of_senders(steady_listed(), |bot| bot.refused().is_some()),
            bots_served: Share::of_senders(bots(), |bot| bot.banner.is_some()),
            lost: Share {
                some: legitimate().count() - accepted.count(),
                all: legitimate().count(),
            },
            ends: by_class(sessions, ends),
            unanswered: sessions
                .iter()
                .filter(|session| session.end == End::Unconnected)
                .cloned()
                .collect(),
        }
    }
}

/// The fraction of samples in which all slots were in use; samples are
/// equidistant.
fn saturated(server: &[Occupancy], slots: usize) -> f64 {
    let full = server.iter().filter(|seen| seen.slots >= slots).count();
    full as f64 / server.len().max(1) as f64
}

fn is(session: &Session, class: Class) -> bool {
    session.sender.class == class
}

fn by_class<T>(sessions: &[Session], reckon: impl Fn(&[&Session]) -> T) -> BTreeMap<Class, T> {
    let mut classes: BTreeMap<Class, Vec<&Session>> = BTreeMap::new();
    for session in sessions {
        let class = classes.entry(session.sender.class);
        class.or_default().push(session);
    }
    let classes = classes.into_iter();
    classes
        .map(|(class, of_it)| (class, reckon(&of_it)))
        .collect()
}

fn ends(sessions: &[&Session]) -> BTreeMap<End, usize> {
    let mut ends = BTreeMap::new();
    for session in sessions {
        *ends.entry(session.end).or_default() += 1;
    }
    ends
}

/// Time from the first `connect()` of each listed mail server to its first 5xx.
fn refusals(sessions: &[Session]) -> Vec<Option<Duration>> {
    let mut servers: BTreeMap<Ipv4Addr, (Duration, Option<Duration>)> = BTreeMap::new();
    for session in sessions.iter().filter(|one| is(one, Class::ListedServer)) {
        let first = (session.called, None);
        let (called, refused) = servers.entry(session.sender.addr).or_insert(first);
        *called = session.called.min(*called);
        *refused = [*refused, session.refused()].into_iter().flatten().min();
    }
    let waits = servers.into_values();
    waits
        .map(|(called, refused)| Some(refused? - called))
        .collect()
}

impl Load {
    fn from_samples(samples: impl Iterator<Item = usize>) -> Self {
        let mut samples: Vec<_> = samples.collect();
        samples.sort_unstable();
        let at = |percent| percentile(&samples, percent).copied().unwrap_or(0);
        Self {
            p50: at(50),
            p95: at(95),
            max: at(100),
        }
    }
}

impl Times {
    fn from_waits(waits: impl IntoIterator<Item = Option<Duration>>) -> Self {
        let seconds =
            |wait: Option<Duration>| wait.map_or(f64::INFINITY, |wait| wait.as_secs_f64());
        let mut waits: Vec<f64> = waits.into_iter().map(seconds).collect();
        waits.sort_by(f64::total_cmp);
        let at = |percent| percentile(&waits, percent).copied().unwrap_or(0.0);
        Self {
            count: waits.len(),
            p50: at(50),
            p90: at(90),
            p95: at(95),
            p99: at(99),
            max: at(100),
        }
    }
}

impl Share {
    /// The part as a fraction of 1; 1 if the whole is 0.
    #[must_use]
    pub fn part(self) -> f64 {
        if self.all == 0 {
            return 1.0;
        }
        self.some as f64 / self.all as f64
    }

    /// The share of senders with at least one session that satisfies `is_such`.
    fn of_senders<'a>(
        sessions: impl Iterator<Item = &'a Session>,
        is_such: impl Fn(&Session) -> bool,
    ) -> Self {
        let (mut some, mut all) = (BTreeSet::new(), BTreeSet::new());
        for session in sessions {
            all.insert(session.sender.addr);
            if is_such(session) {
                some.insert(session.sender.addr);
            }
        }
        Self {
            some: some.len(),
            all: all.len(),
        }
    }
}

/// The smallest value that this percentage of values does not exceed.
fn percentile<T>(sorted: &[T], percent: usize) -> Option<&T> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1))
}

fn finite<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    // serde_json writes `null` for numbers that are not finite.
    serializer.serialize_f64((seconds * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests;
