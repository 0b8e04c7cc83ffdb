//! Ticks that the tasks share, so that an idle daemon wakes up seldom: whatever
//! is due once a second is due at the same moment in every task.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// The start of all periods.
static START: OnceLock<Instant> = OnceLock::new();

/// The end of the current period of this length.
pub(super) fn next_tick(length: Duration) -> Instant {
    let start = *START.get_or_init(Instant::now);
    // Read `now` after `start`, which another thread may have set just before.
    let now = Instant::now();
    let passed = now.saturating_duration_since(start);
    let into = passed.as_nanos() % length.as_nanos().max(1);
    let left = length.as_nanos().saturating_sub(into);
    now + Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))
}

/// An interval that ticks at once, then at the end of each period. If several ticks were
/// missed, it ticks once for all of them.
pub(super) fn period(length: Duration) -> Interval {
    let end = next_tick(length);
    let mut interval = interval_at(end.checked_sub(length).unwrap_or(end), length);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const PERIOD: Duration = Duration::from_millis(40);

    #[tokio::test]
    async fn periods_that_begin_at_different_times_tick_together() {
        let mut first = period(PERIOD);
        first.tick().await;
        tokio::time::sleep(PERIOD / 4).await;
        let mut second = period(PERIOD);
        second.tick().await;
        // A busy machine may skip a tick of either.
        let whole = |from: Instant, to: Instant| {
            let passed = to.duration_since(from).max(from.duration_since(to));
            passed.as_nanos().is_multiple_of(PERIOD.as_nanos())
        };
        let (first, second) = (first.tick().await, second.tick().await);
        assert!(whole(first, second));
        assert!(whole(first, next_tick(PERIOD)));
    }

    #[tokio::test]
    async fn the_first_tick_comes_at_once_and_the_next_within_a_period() {
        let start = Instant::now();
        let mut period = period(Duration::from_secs(3_600));
        let first = timeout(Duration::from_secs(10), period.tick()).await;
        assert!(first.is_ok());
        let end = next_tick(PERIOD);
        assert!(end > start && end <= Instant::now() + PERIOD);
    }
}
