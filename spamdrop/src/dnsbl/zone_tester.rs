//! Tests the zones in turn.

use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use spamdrop_core::dnsbl::refusal::RefusingZones;
use spamdrop_core::dnsbl::rule::Rule;
use spamdrop_core::dnsbl::zone::{Distrust, Reply};
use spamdrop_core::dnsbl::zone_test::ZoneTests;
use tokio::task::JoinSet;

use super::Resolver;
use super::inquiry::test_zone;

/// Maximum time between the tests of two zones. With more than 30 zones it is shorter,
/// so that every zone is tested once in [`ROUND`].
const PERIOD: Duration = Duration::from_secs(20);
/// Maximum time in which every zone is tested once.
const ROUND: Duration = Duration::from_secs(600);
/// Maximum time for each query of a test.
const WAIT: Duration = Duration::from_secs(5);

/// The results of the zones' tests, and the tests that are under way.
pub(super) struct ZoneTester {
    resolver: Arc<Resolver>,
    tests: ZoneTests,
    under_way: JoinSet<(usize, [Reply; 2])>,
    /// The index of the zone to test next.
    next: usize,
    last: Option<Instant>,
    has_begun: bool,
    /// Whether all zones were tested, with or without an answer.
    has_ended: bool,
}

impl ZoneTester {
    pub fn new(rules: &[Rule], resolver: Arc<Resolver>) -> Self {
        Self {
            resolver,
            tests: ZoneTests::new(rules, Instant::now()),
            under_way: JoinSet::new(),
            next: 0,
            last: None,
            has_begun: false,
            has_ended: false,
        }
    }

    /// Switches to other zones or name servers. The next [`ZoneTester::poll`] tests all
    /// zones.
    pub fn reconfigure(&mut self, rules: &[Rule], resolver: Arc<Resolver>) {
        let mut renewed = Self::new(rules, resolver);
        renewed.tests.carry_over(&self.tests);
        renewed.has_begun = self.has_begun;
        renewed.has_ended = self.has_ended;
        *self = renewed;
    }

    /// Makes the next [`ZoneTester::poll`] test all zones.
    pub fn hurry(&mut self) {
        self.last = None;
    }

    /// Records that a name server answered a look-up.
    pub fn answered(&mut self) {
        self.tests.answered(Instant::now());
    }

    /// For each zone, why its answers are not used; `None`: it is trusted. The list is
    /// empty before the first [`ZoneTester::poll`], so that all zones are trusted.
    pub fn distrusts(&self) -> Vec<Option<Distrust>> {
        match self.has_begun {
            true => self.tests.distrusts(),
            false => Vec::new(),
        }
    }

    /// Whether the first tests are under way, so that look-ups would give no
    /// verdict yet.
    pub fn is_undecided(&self) -> bool {
        self.has_begun && !self.has_ended
    }

    pub fn tests(&self) -> &ZoneTests {
        &self.tests
    }

    /// Records finished tests, and begins those that are due: all zones at
    /// first, then one after another. Call it once a second.
    pub fn poll(&mut self, refusals: &mut RefusingZones) {
        self.has_begun = true;
        self.record(refusals);
        let now = Instant::now();
        let rules: Vec<Rule> = self.tests.rules().cloned().collect();
        let Some(last) = self.last else {
            self.last = Some(now);
            for (index, rule) in rules.iter().enumerate() {
                self.begin(index, rule, refusals, now);
            }
            return;
        };
        let count = u32::try_from(rules.len()).unwrap_or(u32::MAX).max(1);
        let period = PERIOD.min(ROUND / count);
        if now.saturating_duration_since(last) < period || rules.is_empty() {
            return;
        }
        self.last = Some(now);
        let index = self.next % rules.len();
        self.next = index + 1;
        self.begin(index, &rules[index], refusals, now);
    }

    /// Records finished tests.
    pub fn record(&mut self, refusals: &mut RefusingZones) {
        let now = Instant::now();
        let rules: Vec<Rule> = self.tests.rules().cloned().collect();
        while let Some(finished) = self.under_way.try_join_next() {
            // A test that panicked or was cancelled has no result.
            if let Ok((index, replies)) = finished {
                self.tests.record(index, &replies, now);
                for (rule, reply) in rules.get(index).into_iter().cycle().zip(replies) {
                    refusals.learn(slice::from_ref(rule), &[reply], now);
                }
            }
        }
        self.has_ended |= self.last.is_some() && self.under_way.is_empty();
    }

    fn begin(&mut self, index: usize, rule: &Rule, refusals: &RefusingZones, now: Instant) {
        if refusals.pause(&rule.zone, now).is_some() {
            return;
        }
        let (rule, resolver) = (rule.clone(), Arc::clone(&self.resolver));
        self.under_way
            .spawn(async move { (index, test_zone(&resolver, &rule, WAIT).await) });
    }
}
