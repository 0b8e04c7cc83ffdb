//! A period, as `--since` and `--until` give it.

use std::time::Duration;

use anyhow::Result;
use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use spamdrop_common::time::UnixSeconds;

use crate::cli::When;
use crate::exit::{Exit, Failure};

/// A period. It includes an event that lasted from `began` to `ended` if
/// `since <= ended` and `began < until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeRange {
    pub since: UnixSeconds,
    /// `None`: the period has no end.
    pub until: Option<UnixSeconds>,
}

impl TimeRange {
    /// The period between `--since` and `--until`. Without `--since`, it begins
    /// `default` before `--until` or before now, whichever is earlier. Without
    /// `default`, it begins in 1970.
    ///
    /// # Errors
    ///
    /// A time does not exist in the time zone, the start is in the future, or the end is
    /// not after the start ([`Exit::Usage`]).
    pub fn new(
        since: Option<When>,
        until: Option<When>,
        default: Option<Duration>,
        now: UnixSeconds,
        zone: &TimeZone,
    ) -> Result<Self> {
        let until = until.map(|when| time(when, now, zone)).transpose()?;
        let Some(since) = since else {
            let end = until.unwrap_or(now).min(now);
            let since = default.map_or(UnixSeconds::default(), |length| end.minus(length));
            return Ok(Self { since, until });
        };
        let since = time(since, now, zone)?;
        if since > now {
            let message = "`--since` is in the future; give a time that has passed";
            return Err(Failure::new(Exit::Usage, message));
        }
        if until.is_some_and(|until| until <= since) {
            let message = "`--until` is not after `--since`; give an end after the start";
            return Err(Failure::new(Exit::Usage, message));
        }
        Ok(Self { since, until })
    }
}

/// The time at which a period begins or ends.
fn time(when: When, now: UnixSeconds, zone: &TimeZone) -> Result<UnixSeconds> {
    let time = match when {
        When::Ago(time) => return Ok(now.minus(time)),
        When::At(at) => return Ok(unix_seconds(at.as_second())),
        When::Local(at) => at.to_zoned(zone.clone()),
        When::Today => today(now, zone).and_then(|day| midnight(day, zone)),
        When::Yesterday => today(now, zone)
            .and_then(Date::yesterday)
            .and_then(|day| midnight(day, zone)),
    };
    let time = time.map_err(|error| {
        let name = match when {
            When::Local(at) => at.to_string(),
            When::Yesterday => "yesterday".into(),
            _ => "today".into(),
        };
        let message = format!("`{name}` does not exist in the local time zone: {error}");
        Failure::new(Exit::Usage, message)
    })?;
    Ok(unix_seconds(time.timestamp().as_second()))
}

fn unix_seconds(second: i64) -> UnixSeconds {
    UnixSeconds::new(u64::try_from(second).unwrap_or(0))
}

fn today(now: UnixSeconds, zone: &TimeZone) -> Result<Date, jiff::Error> {
    let second = i64::try_from(now.get()).unwrap_or(i64::MAX);
    let now = jiff::Timestamp::from_second(second)?;
    Ok(now.to_zoned(zone.clone()).date())
}

/// The first moment of a day, which is not always at 0:00.
fn midnight(day: Date, zone: &TimeZone) -> Result<Zoned, jiff::Error> {
    day.to_zoned(zone.clone())?.start_of_day()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// `today` and `yesterday` at a local time.
    fn days(now: &str, zone: &str) -> [String; 2] {
        let zone = TimeZone::get(zone).unwrap();
        let now: jiff::civil::DateTime = now.parse().unwrap();
        let now = now.to_zoned(zone.clone()).unwrap().timestamp().as_second();
        [When::Today, When::Yesterday].map(|when| {
            let found = time(when, unix_seconds(now), &zone).unwrap();
            let found = i64::try_from(found.get()).unwrap();
            jiff::Timestamp::from_second(found).unwrap().to_string()
        })
    }

    const NOW: UnixSeconds = UnixSeconds::new(1_795_392_000);
    const DAY: u64 = 86_400;

    /// A period whose times are given in days before now, and its default length in days.
    fn range(since: Option<u64>, until: Option<u64>, default: Option<u64>) -> Result<TimeRange> {
        let days = |days: u64| Duration::from_secs(days * DAY);
        let ago = |end: Option<u64>| end.map(|end| When::Ago(days(end)));
        let (since, until) = (ago(since), ago(until));
        TimeRange::new(since, until, default.map(days), NOW, &TimeZone::UTC)
    }

    fn ago(days: u64) -> UnixSeconds {
        UnixSeconds::new(NOW.get() - days * DAY)
    }

    #[test]
    fn a_period_without_a_start_has_the_default_length() {
        for (until, since) in [(None, 7), (Some(0), 7), (Some(8), 15)] {
            let expected = TimeRange {
                since: ago(since),
                until: until.map(ago),
            };
            assert_eq!(range(None, until, Some(7)).unwrap(), expected, "{until:?}");
        }
        let everything = range(None, Some(8), None).unwrap();
        assert_eq!(everything.since, UnixSeconds::default());
        // If the end is in the future, the default length is counted back from now.
        let end = Some(When::At("2027-01-31T00:00:00Z".parse().unwrap()));
        let week = Duration::from_secs(7 * DAY);
        let range = TimeRange::new(None, end, Some(week), NOW, &TimeZone::UTC);
        assert_eq!(range.unwrap().since, ago(7));
    }

    #[test]
    fn a_period_begins_in_the_past_and_before_its_end() {
        assert!(range(Some(3), Some(2), None).is_ok() && range(Some(0), None, None).is_ok());
        for until in [3, 4] {
            let error = range(Some(3), Some(until), Some(7))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("`--until` is not after"), "{error}");
        }
        let start = Some(When::At("2027-01-31T00:00:00Z".parse().unwrap()));
        for end in [
            None,
            Some(When::At("2028-01-01T00:00:00Z".parse().unwrap())),
        ] {
            let error = TimeRange::new(start, end, None, NOW, &TimeZone::UTC).unwrap_err();
            assert!(
                error.to_string().starts_with("`--since` is in the future"),
                "{error}"
            );
        }
    }

    #[test]
    fn days_begin_at_local_midnight_also_when_clocks_change() {
        // Clocks go back on 2026-10-25, which has 25 hours, and forward on
        // 2026-03-29.
        assert_eq!(
            days("2026-10-26T00:00:00", "Europe/Berlin"),
            ["2026-10-25T23:00:00Z", "2026-10-24T22:00:00Z"]
        );
        assert_eq!(
            days("2026-03-29T23:59:59", "Europe/Berlin"),
            ["2026-03-28T23:00:00Z", "2026-03-27T23:00:00Z"]
        );
        // In São Paulo, 2018-11-04 began at 1:00.
        assert_eq!(
            days("2018-11-04T12:00:00", "America/Sao_Paulo"),
            ["2018-11-04T03:00:00Z", "2018-11-03T03:00:00Z"]
        );
        assert_eq!(
            days("2018-11-05T12:00:00", "America/Sao_Paulo"),
            ["2018-11-05T02:00:00Z", "2018-11-04T03:00:00Z"]
        );
    }
}
