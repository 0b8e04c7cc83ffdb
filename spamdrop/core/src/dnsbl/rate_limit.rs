//! Limits the number of look-ups of new sources.

use std::time::{Duration, Instant};

/// Long-term rate, in sources per second.
const RATE: u32 = 50;
/// The most sources that are looked up at once, after a quiet second.
const BURST: u32 = 50;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A spent daily budget counts as spent until it holds the tokens that accrue in
/// this time, so that the few tokens that accrue during a flood do not end that
/// state.
const AGAIN: Duration = Duration::from_secs(30 * 60);

/// How urgent a look-up is. The last tokens are kept for strangers that have
/// repeated their SYN, because senders of forged SYNs seldom do, and for those
/// that have waited longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// For a first SYN, or for a look-up by hand.
    First,
    /// For a SYN that was repeated once.
    Repeated,
    /// For a SYN that was repeated more than once.
    Waiting,
}

impl Urgency {
    /// The urgency for a stranger whose first SYN came this time ago.
    #[must_use]
    pub fn after(waited: Duration) -> Self {
        match waited.as_millis() {
            0..500 => Self::First,
            500..2_500 => Self::Repeated,
            _ => Self::Waiting,
        }
    }

    /// Number of tokens that must be left for more urgent look-ups.
    fn reserve(self) -> u32 {
        match self {
            Self::First => BURST / 2,
            Self::Repeated => BURST / 4,
            Self::Waiting => 0,
        }
    }
}

/// A limit per second and a budget per day.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    second: Bucket,
    per_day: u32,
    day: Option<Bucket>,
    is_spent: bool,
}

impl RateLimit {
    /// `per_day`: the most sources in any 24 hours; 0: no limit.
    pub fn new(per_day: u32) -> Self {
        Self {
            second: Bucket::full(Duration::from_secs(1) / RATE, BURST),
            per_day,
            day: day(per_day),
            is_spent: false,
        }
    }

    /// Sets another daily budget. If it is the same, the spent tokens stay
    /// spent.
    pub fn set_per_day(&mut self, per_day: u32) {
        if per_day != self.per_day {
            *self = Self::new(per_day);
        }
    }

    /// Takes a token. Returns `false`, and takes none, if the limit per second has none left
    /// for this urgency, or if the daily budget is spent.
    pub fn take(&mut self, urgency: Urgency, now: Instant) -> bool {
        if !self.second.has(1 + urgency.reserve(), now) {
            return false;
        }
        if self.day.as_mut().is_some_and(|day| !day.has(1, now)) {
            self.is_spent = true;
            return false;
        }
        self.second.take();
        if let Some(day) = &mut self.day {
            day.take();
        }
        true
    }

    /// Whether the daily budget has refused a look-up and has not recovered
    /// since.
    pub fn is_spent(&mut self, now: Instant) -> bool {
        let day = self.day.as_mut().filter(|_| self.is_spent);
        self.is_spent = day.is_some_and(|day| {
            let is_empty = !day.has(1, now);
            is_empty || day.saved < AGAIN
        });
        self.is_spent
    }
}

/// Creates the daily bucket. It holds half of the budget, and the other half
/// accrues over a day, so that no 24 hours exceed the budget. It starts with a
/// tenth of the budget, because earlier spending is unknown: five starts a day
/// stay within the budget, and a wave of thousands of sources is still covered.
fn day(per_day: u32) -> Option<Bucket> {
    let token = (2 * DAY).checked_div(per_day)?;
    let mut day = Bucket::full(token, per_day.div_ceil(2));
    day.saved = token * per_day.div_ceil(10);
    Some(day)
}

/// A token bucket. Tokens are measured by the time in which they accrue.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    token: Duration,
    most: Duration,
    saved: Duration,
    /// The time of the last update.
    at: Option<Instant>,
}

impl Bucket {
    fn full(token: Duration, tokens: u32) -> Self {
        Self {
            token,
            most: token * tokens,
            saved: token * tokens,
            at: None,
        }
    }

    /// Updates the bucket. Returns whether it holds this many tokens.
    fn has(&mut self, tokens: u32, now: Instant) -> bool {
        let since = self.at.map(|at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.saved = (self.saved + since.unwrap_or_default()).min(self.most);
        self.saved >= self.token * tokens
    }

    fn take(&mut self) {
        self.saved = self.saved.saturating_sub(self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    /// The number of attempts that get a token, at `tries` attempts a second
    /// during `seconds`.
    fn taken(
        rate_limit: &mut RateLimit,
        start: Instant,
        seconds: std::ops::Range<u64>,
        tries: u32,
    ) -> u32 {
        let mut taken = 0;
        for second in seconds {
            let now = start + Duration::from_secs(second);
            taken += (0..tries)
                .map(|_| u32::from(rate_limit.take(Urgency::Waiting, now)))
                .sum::<u32>();
        }
        taken
    }

    #[test]
    fn fifty_at_once_and_then_fifty_a_second() {
        let start = Instant::now();
        let mut rate_limit = RateLimit::new(0);
        let mut taken = |ms| {
            let now = start + Duration::from_millis(ms);
            (0..1000)
                .filter(|_| rate_limit.take(Urgency::Waiting, now))
                .count()
        };
        assert_eq!(taken(0), 50);
        assert_eq!(taken(19), 0);
        assert_eq!(taken(20), 1);
        assert_eq!(taken(520), 25);
        assert_eq!(taken(60_000), 50);
    }

    #[test]
    fn the_last_tokens_are_for_those_that_wait() {
        let (now, mut rate_limit) = (Instant::now(), RateLimit::new(0));
        let mut taken = |waited| {
            let urgency = Urgency::after(Duration::from_millis(waited));
            (0..1000).filter(|_| rate_limit.take(urgency, now)).count()
        };
        assert_eq!(taken(0), 25);
        assert_eq!(taken(499), 0);
        assert_eq!(taken(1_000), 13);
        assert_eq!(taken(2_499), 0);
        assert_eq!(taken(2_500), 12);
    }

    #[test]
    fn no_day_takes_more_than_its_budget() {
        const BUDGET: u32 = 100_000;
        let (start, mut rate_limit) = (Instant::now(), RateLimit::new(BUDGET));
        // A wave of ten thousand sources gets all the tokens that it needs.
        assert_eq!(taken(&mut rate_limit, start, 0..200, 50), 10_000);
        // A flood gets only the tokens that trickle in.
        let rest = taken(&mut rate_limit, start, 200..24 * HOUR, 60);
        assert!((49_000..=50_000).contains(&rest), "{rest}");
        // A quiet day saves up half of the budget.
        let quiet = 48 * HOUR;
        let next = taken(&mut rate_limit, start, quiet..quiet + 24 * HOUR, 60);
        assert!((99_000..=BUDGET).contains(&next), "{next}");
    }

    #[test]
    fn a_spent_day_is_told_until_some_of_it_is_back() {
        let (start, mut rate_limit) = (Instant::now(), RateLimit::new(1000));
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(taken(&mut rate_limit, start, 0..1, 50), 50);
        assert!(!rate_limit.is_spent(after(0)));
        assert_eq!(taken(&mut rate_limit, start, 1..2, 50), 50);
        // No look-up was refused so far.
        assert!(!rate_limit.is_spent(after(1)));
        assert_eq!(taken(&mut rate_limit, start, 2..3, 50), 0);
        // A token accrued and was used.
        assert_eq!(taken(&mut rate_limit, start, 200..201, 50), 1);
        assert!(rate_limit.is_spent(after(201)));
        assert!(rate_limit.is_spent(after(1500)));
        assert!(!rate_limit.is_spent(after(3000)));
    }

    #[test]
    fn the_same_budget_again_gives_nothing_back() {
        let (start, mut rate_limit) = (Instant::now(), RateLimit::new(10));
        assert_eq!(taken(&mut rate_limit, start, 0..1, 50), 1);
        rate_limit.set_per_day(10);
        assert_eq!(taken(&mut rate_limit, start, 1..2, 50), 0);
        rate_limit.set_per_day(20);
        assert_eq!(taken(&mut rate_limit, start, 2..3, 50), 2);
        assert_eq!(taken(&mut rate_limit, start, 3..4, 50), 0);
        rate_limit.set_per_day(0);
        assert_eq!(taken(&mut rate_limit, start, 4..5, 60), 50);
    }

    #[test]
    fn the_largest_and_the_smallest_budget() {
        let start = Instant::now();
        assert!(RateLimit::new(u32::MAX).take(Urgency::First, start));
        let mut least = RateLimit::new(1);
        assert_eq!(taken(&mut least, start, 0..47 * HOUR, 1), 1);
        assert_eq!(taken(&mut least, start, 48 * HOUR..49 * HOUR, 1), 1);
    }
}
