//! Whether the log is understood: near misses and events of the last 24 hours.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::log::CAUSED_BY_CLIENTS;

/// Events and near misses are counted for each period of this length.
const HOUR: Duration = Duration::from_secs(3_600);
/// Number of hours whose counts are kept.
const HOURS: u64 = 24;
/// With this many near misses or more, and no event, the log counts as not understood.
const MANY: u64 = 20;

/// Near misses and events by hour.
#[derive(Clone, Debug, Default)]
pub struct NearMissHistory {
    hours: BTreeMap<u64, Hour>,
    /// The totals at the last update.
    events: u64,
    near_misses: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug, Default)]
struct Hour {
    events: u64,
    near_misses: BTreeMap<&'static str, u64>,
}

impl NearMissHistory {
    /// Updates the current hour from the totals since the daemon started: all
    /// events, and near misses by reason. `now` is the monotonic clock.
    pub fn update(
        &mut self,
        events: u64,
        near_misses: &BTreeMap<&'static str, u64>,
        now: Duration,
    ) {
        let number = now.as_secs() / HOUR.as_secs();
        self.hours
            .retain(|hour, _| number.saturating_sub(*hour) < HOURS);
        let hour = self.hours.entry(number).or_default();
        hour.events += events.saturating_sub(self.events);
        self.events = events;
        // Nothing that a client sends may degrade the health.
        let of_server = near_misses
            .iter()
            .filter(|(reason, _)| !CAUSED_BY_CLIENTS.contains(*reason));
        for (reason, total) in of_server {
            let before = self.near_misses.insert(reason, *total);
            let new = total.saturating_sub(before.unwrap_or_default());
            *hour.near_misses.entry(reason).or_default() += new;
        }
    }

    /// A sentence if at least 20 lines of the last 24 hours were near misses
    /// and not one was understood. It names the most frequent reason, and does
    /// not change with each further line.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        if self.hours.values().any(|hour| hour.events > 0) {
            return None;
        }
        let mut by_reason = BTreeMap::<_, u64>::new();
        for (reason, count) in self.hours.values().flat_map(|hour| &hour.near_misses) {
            *by_reason.entry(reason).or_default() += count;
        }
        let (reason, _) = by_reason.iter().max_by_key(|(_, count)| **count)?;
        (by_reason.values().sum::<u64>() >= MANY).then(|| {
            format!(
                "the log has rejections in a form that is not understood ({reason}), and no line \
                 of the last 24 hours was understood: compare `servers` and `program` with the \
                 log by `spamdrop scan FILE`"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &str = "its stamp is not a time";

    fn misses(count: u64) -> BTreeMap<&'static str, u64> {
        [(STAMP, count), ("another", 1)].into()
    }

    #[test]
    fn many_near_misses_without_an_event_are_named() {
        let mut history = NearMissHistory::default();
        history.update(0, &misses(18), HOUR);
        assert_eq!(history.trouble(), None);
        history.update(0, &misses(19), HOUR * 2);
        let text = history.trouble().unwrap_or_default();
        assert!(
            text.contains("not understood (its stamp is not a time)"),
            "{text}"
        );
        history.update(0, &misses(30), HOUR * 3);
        assert_eq!(
            history.trouble(),
            Some(text),
            "a changed text is logged again"
        );
        history.update(1, &misses(30), HOUR * 3);
        assert_eq!(history.trouble(), None);
    }

    #[test]
    fn commands_of_clients_do_not_count() {
        let mut history = NearMissHistory::default();
        let of_clients = CAUSED_BY_CLIENTS.map(|reason| (reason, 1_000));
        history.update(0, &of_clients.into(), HOUR);
        assert_eq!(history.trouble(), None);
    }

    #[test]
    fn what_was_a_day_ago_does_not_count() {
        let mut history = NearMissHistory::default();
        history.update(1, &misses(0), HOUR);
        history.update(1, &misses(20), HOUR * 2);
        history.update(1, &misses(20), HOUR * 25 - Duration::from_secs(1));
        assert_eq!(history.trouble(), None);
        history.update(1, &misses(20), HOUR * 25);
        assert!(history.trouble().is_some());
        history.update(1, &misses(20), HOUR * 26);
        assert_eq!(history.trouble(), None);
    }
}
