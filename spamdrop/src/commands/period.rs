//! The ends of a period, as `--since` and `--until` name them.

use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use spamdrop_common::time::UnixSeconds;

use crate::cli::When;
use crate::exit::{Exit, Failure};

/// The time at which a period begins or ends.
///
/// # Errors
///
/// There is no such time in the time zone ([`Exit::Usage`]).
pub(super) fn time(
    when: When,
    now: UnixSeconds,
    zone: &TimeZone,
) -> Result<UnixSeconds, anyhow::Error> {
    let time = match when {
        When::Ago(time) => return Ok(before(now, time.as_secs())),
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
        let message = format!("`{name}` is not a time in this zone: {error}");
        Failure::new(Exit::Usage, message)
    })?;
    Ok(unix_seconds(time.timestamp().as_second()))
}

/// Some seconds before a time.
pub(super) fn before(time: UnixSeconds, seconds: u64) -> UnixSeconds {
    UnixSeconds::new(time.get().saturating_sub(seconds))
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
        // Here a day began at 1:00.
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
