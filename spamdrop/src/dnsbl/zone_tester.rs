//! Tests the zones in turn.

use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use spamdrop_core::dnsbl::refusal::Refusals;
use spamdrop_core::dnsbl::rule::Rule;
use spamdrop_core::dnsbl::zone::Reply;
use spamdrop_core::dnsbl::zone_test::{TEST_ADDRESSES, ZoneTests};
use tokio::task::JoinSet;

use super::Resolver;
use super::inquiry::ask_zone;

/// How often a zone is tested. With 30 zones, each is tested every ten minutes.
const PERIOD: Duration = Duration::from_secs(20);
/// Maximum time for each query of a test.
const WAIT: Duration = Duration::from_secs(5);

/// The tests of the zones, and those under way.
pub(super) struct ZoneTester {
    resolver: Arc<Resolver>,
    tests: ZoneTests,
    under_way: JoinSet<(usize, [Reply; 2])>,
    /// The index of the zone to test next.
    next: usize,
    last: Option<Instant>,
}

impl ZoneTester {
    pub fn new(rules: &[Rule], resolver: Arc<Resolver>) -> Self {
        Self {
            resolver,
            tests: ZoneTests::new(rules, Instant::now()),
            under_way: JoinSet::new(),
            next: 0,
            last: None,
        }
    }

    /// Tests other zones, or by other name servers, at once.
    pub fn reconfigure(&mut self, rules: &[Rule], resolver: Arc<Resolver>) {
        let mut renewed = Self::new(rules, resolver);
        renewed.tests.carry_over(&self.tests);
        *self = renewed;
    }

    /// Records that a name server answered a look-up.
    pub fn answered(&mut self) {
        self.tests.answered(Instant::now());
    }

    pub fn tests(&self) -> &ZoneTests {
        &self.tests
    }

    /// Records finished tests, and begins those that are due: all zones at
    /// first, then one after another. Call it once a second.
    pub fn poll(&mut self, refusals: &mut Refusals) {
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
        let Some(last) = self.last else {
            self.last = Some(now);
            for (index, rule) in rules.iter().enumerate() {
                self.begin(index, rule, refusals, now);
            }
            return;
        };
        if now.saturating_duration_since(last) < PERIOD || rules.is_empty() {
            return;
        }
        self.last = Some(now);
        let index = self.next % rules.len();
        self.next = index + 1;
        self.begin(index, &rules[index], refusals, now);
    }

    fn begin(&mut self, index: usize, rule: &Rule, refusals: &Refusals, now: Instant) {
        if refusals.pause(&rule.zone, now).is_some() {
            return;
        }
        let (rule, resolver) = (rule.clone(), Arc::clone(&self.resolver));
        self.under_way.spawn(async move {
            let ask = |addr| ask_zone(&resolver, &rule, addr, WAIT);
            let [listed, unlisted] = TEST_ADDRESSES.map(Into::into);
            let (listed, unlisted) = tokio::join!(ask(listed), ask(unlisted));
            (index, [listed, unlisted])
        });
    }
}
