//! Concurrent look-ups of many sources.

use std::collections::HashSet;
use std::future::pending;
use std::net::IpAddr;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::dnsbl::rate_limit::{RateLimit, Urgency};
use spamdrop_core::dnsbl::refusal::RefusingZones;
use spamdrop_core::dnsbl::rule::Rule;
use spamdrop_core::dnsbl::zone_counts::{AnswerCounts, ZoneCounts};
use spamdrop_core::dnsbl::zone_test::{ZoneTests, is_unanswered};
use spamdrop_core::status::ZoneFigures;
use spamdrop_core::zones::Zones;
use tokio::task::JoinSet;

use super::Resolver;
use super::cache::Cache;
use super::inquiry::{Findings, Skipped, inquire};
use super::lookup_answer::LookupAnswer;
use super::zone_tester::ZoneTester;
use spamdrop_core::nat64::canonical;

/// Maximum number of sources that are looked up at the same time.
const MAX_UNDER_WAY: usize = 256;

/// The result of a look-up request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The look-up has started; [`Lookups::next`] returns its answer.
    Started,
    /// An earlier request's look-up is still running; [`Lookups::next`] returns
    /// its answer.
    UnderWay,
    /// The answer is in the cache.
    Known(LookupAnswer),
    /// A limit is reached. The source's next packet may repeat the request.
    TooMany,
    /// The first tests of the zones are under way. The source's next packet may
    /// repeat the request.
    Untested,
}

/// Looks up each source once and caches the answer. It needs a tokio runtime;
/// the caller awaits [`Lookups::next`] beside its other events.
pub struct Lookups {
    zones: Arc<Zones>,
    resolver: Arc<Resolver>,
    cache: Arc<Mutex<Cache>>,
    rate_limit: RateLimit,
    refusals: RefusingZones,
    tester: ZoneTester,
    counts: ZoneCounts,
    under_way: JoinSet<(IpAddr, Findings)>,
    sources: HashSet<IpAddr>,
}

impl Lookups {
    /// Looks up sources in `zones` through `resolver`, at most `per_day`
    /// sources a day; 0 means no limit.
    #[must_use]
    pub fn new(zones: Zones, resolver: Resolver, per_day: u32) -> Self {
        let resolver = Arc::new(resolver);
        Self {
            tester: ZoneTester::new(zones.rules(), Arc::clone(&resolver)),
            zones: Arc::new(zones),
            resolver,
            cache: Arc::new(Mutex::new(Cache::new())),
            rate_limit: RateLimit::new(per_day),
            refusals: RefusingZones::default(),
            counts: ZoneCounts::default(),
            under_way: JoinSet::new(),
            sources: HashSet::new(),
        }
    }

    /// Starts a look-up, unless the answer is cached, a look-up is running, the zones are
    /// not tested yet, or a limit is reached (50 new sources a second, of which some are
    /// kept for urgent requests; 256 at once; `per_day` a day).
    pub fn ask(&mut self, addr: IpAddr, urgency: Urgency) -> Asked {
        let (addr, now) = (canonical(addr), Instant::now());
        if self.sources.contains(&addr) {
            return Asked::UnderWay;
        }
        if let Some(answer) = self.cached(|cache| cache.get(addr, now)) {
            return Asked::Known(answer);
        }
        // Untested zones give no verdict, and the cache would keep that answer.
        if self.tester.is_undecided() {
            self.tester.record(&mut self.refusals);
            if self.tester.is_undecided() {
                return Asked::Untested;
            }
        }
        if self.sources.len() >= MAX_UNDER_WAY || !self.rate_limit.take(urgency, now) {
            return Asked::TooMany;
        }
        let (zones, resolver) = (Arc::clone(&self.zones), Arc::clone(&self.resolver));
        let skipped = Skipped {
            refusals: self.refusals.clone(),
            distrusts: self.tester.distrusts(),
        };
        self.sources.insert(addr);
        self.under_way.spawn(async move {
            let findings = inquire(&zones, &resolver, &skipped, addr).await;
            (addr, findings)
        });
        Asked::Started
    }

    /// Waits for the next look-up to finish; waits for ever while none is
    /// running. Cancel safe.
    pub async fn next(&mut self) -> LookupAnswer {
        let (addr, findings) = match self.under_way.join_next().await {
            Some(Ok(inquired)) => inquired,
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // A task is never cancelled while this set owns it.
                Err(_) => return pending().await,
            },
            None => return pending().await,
        };
        let now = Instant::now();
        self.sources.remove(&addr);
        self.refusals
            .learn(self.zones.rules(), &findings.replies, now);
        self.counts.add(self.zones.rules(), &findings.replies);
        if findings.replies.iter().any(|reply| !is_unanswered(reply)) {
            self.tester.answered();
        }
        let answer = LookupAnswer::new(addr, &findings, self.zones.can_list());
        self.cached(|cache| cache.insert(answer.clone(), now));
        answer
    }

    /// Returns a function that gives the reply text for a source whose last
    /// look-up found it listed.
    pub fn texts(&self) -> impl Fn(IpAddr) -> Option<Box<str>> + Send + Sync + use<> {
        let cache = Arc::clone(&self.cache);
        move |addr| with_cache(&cache, |cache| cache.last(canonical(addr))?.text.clone())
    }

    fn cached<T>(&self, job: impl FnOnce(&mut Cache) -> T) -> T {
        with_cache(&self.cache, job)
    }

    /// Whether the day's budget is spent and has not recovered, so that hardly
    /// any look-up starts.
    pub fn is_spent(&mut self) -> bool {
        self.rate_limit.is_spent(Instant::now())
    }

    /// Makes the next [`Lookups::test_zones`] test all zones.
    pub fn hurry_tests(&mut self) {
        self.tester.hurry();
    }

    /// Whether the listing by a zone makes the mail server reject for certain.
    #[must_use]
    pub fn can_list(&self) -> bool {
        self.zones.can_list()
    }

    /// The zones that are looked up, in their order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        self.zones.rules()
    }

    /// For each zone, the state of its test, and the counts of its answers.
    #[must_use]
    pub fn zone_figures(&self) -> Vec<ZoneFigures> {
        let mut figures: Vec<ZoneFigures> = Vec::new();
        for (rule, state) in self.zones.rules().iter().zip(self.tester.tests().states()) {
            let zone = mask(&rule.zone);
            if figures.iter().any(|other| other.zone == zone) {
                continue;
            }
            let AnswerCounts {
                listed,
                unlisted,
                failed,
            } = self.counts.answers(&rule.zone);
            figures.push(ZoneFigures {
                zone: zone.into_owned(),
                state: state.name().to_owned(),
                listed,
                unlisted,
                failed,
            });
        }
        figures
    }

    /// Forgets all answers and aborts the running look-ups. To be called when other
    /// zones are trusted than before.
    pub fn forget(&mut self) {
        self.cached(Cache::clear);
        self.under_way = JoinSet::new();
        self.sources.clear();
    }

    /// Tests the zones; to be called once a second. Returns the results so far.
    pub fn test_zones(&mut self) -> &ZoneTests {
        self.tester.poll(&mut self.refusals);
        self.tester.tests()
    }

    /// The zones that refuse to serve.
    #[must_use]
    pub fn refusals(&self) -> &RefusingZones {
        &self.refusals
    }

    /// Switches to other zones or another resolver. Clears the cache and aborts
    /// running look-ups. If the daily budget is unchanged, its spent part stays
    /// spent.
    pub fn reconfigure(&mut self, zones: Zones, resolver: Resolver, per_day: u32) {
        self.zones = Arc::new(zones);
        self.resolver = Arc::new(resolver);
        self.tester
            .reconfigure(self.zones.rules(), Arc::clone(&self.resolver));
        self.rate_limit.set_per_day(per_day);
        self.refusals = RefusingZones::default();
        self.forget();
    }
}

/// Runs `job` on the locked cache. A poisoned lock is used as it is: no job
/// panics while the cache is inconsistent.
fn with_cache<T>(cache: &Mutex<Cache>, job: impl FnOnce(&mut Cache) -> T) -> T {
    job(&mut cache.lock().unwrap_or_else(PoisonError::into_inner))
}
