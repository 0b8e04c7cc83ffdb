//! Short times in the reader's time zone.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

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

/// A time in the format of strftime(3); `?` if there is no such year.
#[must_use]
pub fn format(unix_s: u64, zone: &TimeZone, format: &str) -> String {
    let time = time(unix_s, zone);
    time.map_or_else(|| "?".into(), |time| time.strftime(format).to_string())
}

/// The time, if there is such a year.
#[must_use]
pub fn time(unix_s: u64, zone: &TimeZone) -> Option<Zoned> {
    let stamp = Timestamp::from_second(i64::try_from(unix_s).ok()?).ok()?;
    Some(stamp.to_zoned(zone.clone()))
}
