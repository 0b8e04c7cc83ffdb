//! Short times in the reader's time zone.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Round lengths of time in seconds, for axes and tables: divisions of the minute,
/// the hour and the day, and numbers of days.
pub(super) const CLOCK: [u64; 25] = [
    1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 21_600,
    43_200, 86_400, 172_800, 432_000, 864_000, 8_640_000, 86_400_000,
];

/// A time to the minute.
#[must_use]
pub fn minute(unix_s: u64, zone: &TimeZone) -> String {
    format(unix_s, zone, "%Y-%m-%d %H:%M")
}

/// The date without the year, five characters.
#[must_use]
pub fn day(unix_s: u64, zone: &TimeZone) -> String {
    format(unix_s, zone, "%m-%d")
}

/// A time in the format of strftime(3); `?` if its year is out of range.
#[must_use]
pub fn format(unix_s: u64, zone: &TimeZone, format: &str) -> String {
    let time = time(unix_s, zone);
    time.map_or_else(|| "?".into(), |time| time.strftime(format).to_string())
}

/// The format of strftime(3) for times between two moments, as short as it can be:
/// with the date if they are of different days, and with the offset from UTC if it
/// changes in between.
#[must_use]
pub fn format_within(start: u64, end: u64, has_seconds: bool, zone: &TimeZone) -> String {
    let [start, end] = [start, end].map(|end| time(end, zone));
    let (Some(start), Some(end)) = (start, end) else {
        return "%Y-%m-%d %H:%M".into();
    };
    let day = if start.date() == end.date() {
        ""
    } else {
        "%m-%d "
    };
    let seconds = if has_seconds { ":%S" } else { "" };
    let changes = zone.following(start.timestamp());
    let mut changes = changes.take_while(|change| change.timestamp() <= end.timestamp());
    let offset = match changes.any(|change| change.offset() != start.offset()) {
        true => " %:z",
        false => "",
    };
    format!("{day}%H:%M{seconds}{offset}")
}

/// The time; `None` if its year is out of range.
#[must_use]
pub fn time(unix_s: u64, zone: &TimeZone) -> Option<Zoned> {
    let stamp = Timestamp::from_second(i64::try_from(unix_s).ok()?).ok()?;
    Some(stamp.to_zoned(zone.clone()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_time_within_a_period_is_as_short_as_it_can_be() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let within = |start: &str, hours: u64, has_seconds| {
            let start: jiff::civil::DateTime = start.parse().unwrap();
            let start = start.to_zoned(berlin.clone()).unwrap().timestamp();
            let start = u64::try_from(start.as_second()).unwrap();
            let end = start + hours * 3_600;
            format(
                end,
                &berlin,
                &format_within(start, end, has_seconds, &berlin),
            )
        };
        for (start, hours, has_seconds, last) in [
            ("2026-11-23T14:03:22", 1, true, "15:03:22"),
            ("2026-11-23T14:03:22", 9, false, "23:03"),
            ("2026-11-23T23:59:59", 1, true, "11-24 00:59:59"),
            ("2026-11-23T14:03:22", 24, false, "11-24 14:03"),
            // The clocks go back at 3:00.
            ("2026-10-25T01:00:00", 2, false, "02:00 +01:00"),
            ("2026-10-24T12:00:00", 24, false, "10-25 11:00 +01:00"),
            // Winter time holds at the start and at the end, and summer time in between.
            ("2026-01-01T00:00:00", 24 * 364, false, "12-31 00:00 +01:00"),
        ] {
            assert_eq!(within(start, hours, has_seconds), last, "{start}");
        }
        assert_eq!(format_within(0, u64::MAX, true, &berlin), "%Y-%m-%d %H:%M");
    }
}
