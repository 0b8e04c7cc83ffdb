//! Stamp → time.

use std::time::SystemTime;

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};

use super::{Stamp, has_offset, number};

const PARSER: DateTimeParser = DateTimeParser::new();

/// The TAI64 label of the start of 1970. daemontools counts from there without
/// leap seconds. Source: `taia_now.c`, and
/// <https://cr.yp.to/libtai/tai64.html>.
const TAI64_OF_1970: u64 = (1 << 62) + 10;

/// How many years back the year of a stamp is searched. 29 February may be eight
/// years ago (1896-1904, 2096-2104).
const LEAP_YEARS: i16 = 8;

impl Stamp<'_> {
    /// The time of the stamp; `None` if it is invalid, such as 30 February. A
    /// stamp without a zone is in `zone`. A stamp without a year gets the latest
    /// one that puts it at most a day after `now`: logs are old, never new, and
    /// a day covers every time zone.
    pub(in crate::log) fn time(self, zone: &TimeZone, now: SystemTime) -> Option<SystemTime> {
        let now = Timestamp::try_from(now).ok()?;
        let time = match self {
            Self::Rfc3339(stamp) if has_offset(stamp) => PARSER.parse_timestamp(stamp).ok()?,
            Self::Rfc3339(stamp) => nearest(PARSER.parse_datetime(stamp).ok()?, zone, now)?,
            Self::Unix(seconds) => {
                let seconds = str::from_utf8(seconds).ok()?.parse().ok()?;
                Timestamp::from_second(seconds).ok()?
            }
            Self::Full { civil, offset } => {
                let zone = offset.map_or_else(|| zone.clone(), Offset::to_time_zone);
                nearest(full(civil)?, &zone, now)?
            }
            Self::Tai64n(label) => {
                let seconds = u64::from_str_radix(str::from_utf8(label.get(..16)?).ok()?, 16);
                let seconds = seconds.ok()?.checked_sub(TAI64_OF_1970)?;
                Timestamp::from_second(seconds.try_into().ok()?).ok()?
            }
            Self::Bsd {
                month,
                day,
                year,
                time,
            } => {
                let time = clock(time)?;
                let civil = match year {
                    Some(year) => Date::new(year, month, day).ok()?.to_datetime(time),
                    None => latest(month, day, time, zone.to_datetime(now))?,
                };
                nearest(civil, zone, now)?
            }
        };
        Some(time.into())
    }
}

/// The time of a civil date. If the zone repeats the hour in autumn, the
/// occurrence nearer to `now` is taken. The first occurrence would make every line
/// of the second hour an hour too old.
fn nearest(civil: DateTime, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let times = zone.to_ambiguous_timestamp(civil);
    [times.earlier(), times.later()]
        .into_iter()
        .filter_map(Result::ok)
        .min_by_key(|time| time.duration_since(now).abs())
}

/// Parses `2026-11-03 08:50:54`, with any byte between date and time.
fn full(civil: &[u8]) -> Option<DateTime> {
    let [month, day] = [5, 8].map(|at| civil.get(at..at + 2).and_then(number));
    let date = date(civil.get(..4)?, month?, day?)?;
    Some(date.to_datetime(clock(civil.get(11..)?)?))
}

fn date(year: &[u8], month: i8, day: i8) -> Option<Date> {
    Date::new(str::from_utf8(year).ok()?.parse().ok()?, month, day).ok()
}

/// Parses `08:50:54`. A leap second becomes the second before it, because Unix time
/// has no number for it.
fn clock(time: &[u8]) -> Option<Time> {
    let [hour, minute, second] = [0, 3, 6].map(|at| time.get(at..at + 2).and_then(number));
    Time::new(hour?, minute?, second?.min(59), 0).ok()
}

/// The latest date with this month and day that is at most a day after `now`.
fn latest(month: i8, day: i8, time: Time, now: DateTime) -> Option<DateTime> {
    let limit = now.checked_add(Span::new().days(1)).ok()?;
    (now.year() - LEAP_YEARS..=now.year() + 1)
        .rev()
        .filter_map(|year| Some(Date::new(year, month, day).ok()?.to_datetime(time)))
        .find(|civil| *civil <= limit)
}
