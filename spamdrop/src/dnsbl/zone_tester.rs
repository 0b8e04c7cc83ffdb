//! Tests the zones in turn.

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
                if let (Some(rule), [listed, _]) = (rules.get(index), replies) {
                    refusals.learn(std::slice::from_ref(rule), &[listed], now);
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
