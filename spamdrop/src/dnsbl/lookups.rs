//! Many sources at once.

use std::collections::HashSet;
use std::future::pending;
use std::net::IpAddr;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use spamdrop_core::dnsbl::rate_limit::RateLimit;
use spamdrop_core::dnsbl::refusal::Refusals;
use spamdrop_core::zones::Zones;
use tokio::task::JoinSet;

use super::Resolver;
use super::answer::Answer;
use super::cache::Cache;
use super::inquiry::{Findings, inquire};

/// Sources that are asked about at once.
const MAX_UNDER_WAY: usize = 256;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// [`Lookups::next`] will tell.
    Started,
    /// So it will, for an earlier request.
    UnderWay,
    /// It is known already.
    Known(Answer),
    /// Too many sources are asked about; the source's next packet may ask
    /// again.
    TooMany,
}

/// Asks about sources, each once, and remembers what was learned. It needs a
/// tokio runtime; the caller awaits [`Lookups::next`] beside its other events.
pub struct Lookups {
    zones: Arc<Zones>,
    resolver: Arc<Resolver>,
    cache: Arc<Mutex<Cache>>,
    pace: RateLimit,
    refusals: Refusals,
    under_way: JoinSet<(IpAddr, Findings)>,
    sources: HashSet<IpAddr>,
}

impl Lookups {
    /// Asks in these zones, by this resolver, about so many sources a day; 0:
    /// no bound.
    #[must_use]
    pub fn new(zones: Zones, resolver: Resolver, per_day: u32) -> Self {
        Self {
            zones: Arc::new(zones),
            resolver: Arc::new(resolver),
            cache: Arc::new(Mutex::new(Cache::new())),
            pace: RateLimit::new(per_day),
            refusals: Refusals::default(),
            under_way: JoinSet::new(),
            sources: HashSet::new(),
        }
    }

    /// Asks about a source, unless that is done already, or there are too many
    /// (50 new ones a second, 256 at once, and the day's budget).
    pub fn ask(&mut self, addr: IpAddr) -> Asked {
        let (addr, now) = (addr.to_canonical(), Instant::now());
        if self.sources.contains(&addr) {
            return Asked::UnderWay;
        }
        if let Some(answer) = self.cached(|cache| cache.get(addr, now)) {
            return Asked::Known(answer);
        }
        if self.sources.len() >= MAX_UNDER_WAY || !self.pace.take(now) {
            return Asked::TooMany;
        }
        let (zones, resolver) = (Arc::clone(&self.zones), Arc::clone(&self.resolver));
        let refusals = self.refusals.clone();
        self.sources.insert(addr);
        self.under_way.spawn(async move {
            let findings = inquire(&zones, &resolver, &refusals, addr).await;
            (addr, findings)
        });
        Asked::Started
    }

    /// The next source of which something was learned; while none is asked
    /// about, waits for ever. May be dropped and called again: nothing is lost.
    pub async fn next(&mut self) -> Answer {
        let (addr, findings) = match self.under_way.join_next().await {
            Some(Ok(inquired)) => inquired,
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // None is cancelled while this set holds it.
                Err(_) => return pending().await,
            },
            None => return pending().await,
        };
        let now = Instant::now();
        self.sources.remove(&addr);
        self.refusals
            .learn(self.zones.rules(), &findings.replies, now);
        let answer = Answer::new(addr, &findings, self.zones.can_list());
        self.cached(|cache| cache.keep(answer.clone(), now));
        answer
    }

    /// Tells what the server answers a source that was listed when it was
    /// asked about last.
    pub fn texts(&self) -> impl Fn(IpAddr) -> Option<Box<str>> + Send + Sync + use<> {
        let cache = Arc::clone(&self.cache);
        move |addr| {
            with(&cache, |cache| {
                cache.last(addr.to_canonical())?.text.clone()
            })
        }
    }

    fn cached<T>(&self, job: impl FnOnce(&mut Cache) -> T) -> T {
        with(&self.cache, job)
    }

    /// Whether the day's budget is spent, so that sources are not asked about.
    pub fn is_spent(&mut self) -> bool {
        self.pace.is_spent(Instant::now())
    }

    /// The zones that refuse to serve.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Asks in other zones, or by another resolver, from now on. What was
    /// learned is forgotten, and what is under way is given up; what was spent
    /// of the same budget stays so.
    pub fn reconfigure(&mut self, zones: Zones, resolver: Resolver, per_day: u32) {
        self.zones = Arc::new(zones);
        self.resolver = Arc::new(resolver);
        self.pace.set_per_day(per_day);
        self.refusals = Refusals::default();
        self.cached(Cache::clear);
        self.under_way = JoinSet::new();
        self.sources.clear();
    }
}

/// Nothing panics while it is held; what it guards stays whole anyway.
fn with<T>(cache: &Mutex<Cache>, job: impl FnOnce(&mut Cache) -> T) -> T {
    job(&mut cache.lock().unwrap_or_else(PoisonError::into_inner))
}
