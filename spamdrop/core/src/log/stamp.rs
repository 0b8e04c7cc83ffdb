//! The time stamps of log lines.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::{Offset, TimeZone};

use super::bytes::{count_digits, token};

/// A stamp in one of the known formats; its numbers are not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp<'line> {
    /// `Nov  3 08:50:54`; a fraction is dropped.
    Bsd(&'line [u8]),
    /// `2026-11-03T08:50:54.615769+00:00`.
    Rfc3339(&'line [u8]),
    /// `2026-11-03 08:50:54`; a fraction is dropped.
    Full {
        civil: &'line [u8],
        offset: Option<Offset>,
    },
    /// The 24 digits of a TAI64N label, as multilog writes them after a `@`.
    Tai64n(&'line [u8]),
    /// Seconds since 1970, without their fraction.
    Unix(&'line [u8]),
}

const BSD_LEN: usize = "Nov  3 08:50:54".len();
const FULL_LEN: usize = "2026-11-03 08:50:54".len();

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

const WEEKDAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];

const PARSER: DateTimeParser = DateTimeParser::new();

/// The TAI64 label of the start of 1970. daemontools counts from there without
/// leap seconds. Source: `taia_now.c`, and
/// <https://cr.yp.to/libtai/tai64.html>.
const TAI64_OF_1970: u64 = (1 << 62) + 10;

impl<'line> Stamp<'line> {
    /// Splits a line after a stamp of a program other than syslog:
    ///
    /// ```text
    /// @400000005a0e3c8e0e6b2800 text            multilog
    /// 2026-11-03 08:50:54.615769 text           tai64nlocal, Exim, rspamd
    /// 2026-11-03 08:50:54.615 +0200 text        Exim with log_timezone
    /// ```
    pub(super) fn own(line: &'line [u8]) -> Option<(Self, &'line [u8])> {
        match line {
            [b'@', label @ ..] => {
                let (label, rest) = token(label)?;
                let whole = label.len() == 24 && label.iter().all(u8::is_ascii_hexdigit);
                whole.then_some((Self::Tai64n(label), rest))
            }
            [_, _, _, _, b'-', _, _, b'-', _, _, b' ', ..] => {
                let (civil, rest) = line.split_at_checked(FULL_LEN)?;
                let rest = skip_fraction(rest)?.strip_prefix(b" ")?;
                let (offset, rest) = split_offset(rest);
                Some((Self::Full { civil, offset }, rest))
            }
            _ => None,
        }
    }

    /// Splits a line after an unambiguous stamp; a plain number is not one.
    pub(super) fn certain(line: &'line [u8]) -> Option<(Self, &'line [u8])> {
        Self::own(line).or_else(|| {
            Self::split(line).filter(|(stamp, _)| match stamp {
                Self::Rfc3339(stamp) => stamp.get("2026-11-03".len()) == Some(&b'T'),
                Self::Unix(_) => false,
                _ => true,
            })
        })
    }

    /// Splits a line after its stamp and the following blank.
    pub(super) fn split(line: &'line [u8]) -> Option<(Self, &'line [u8])> {
        match line {
            [b'0'..=b'9', ..] => Self::numeric(line),
            [a, b, c, b' ', rest @ ..] if WEEKDAYS.contains(&&[*a, *b, *c][..]) => Self::full(rest),
            _ => Self::bsd(line),
        }
    }

    fn numeric(line: &'line [u8]) -> Option<(Self, &'line [u8])> {
        let (stamp, rest) = token(line)?;
        let digits = count_digits(stamp);
        let (seconds, fraction) = stamp.split_at_checked(digits)?;
        match fraction {
            [] => Some((Self::Unix(seconds), rest)),
            [b'.', fraction @ ..] if count_digits(fraction) == fraction.len() => {
                Some((Self::Unix(seconds), rest))
            }
            [b'-', ..] => Some((Self::Rfc3339(stamp), rest)),
            _ => None,
        }
    }

    fn full(line: &'line [u8]) -> Option<(Self, &'line [u8])> {
        let (civil, rest) = line.split_at_checked(FULL_LEN)?;
        let (zone, rest) = token(rest.strip_prefix(b" ")?)?;
        let offset = (zone == b"UTC").then_some(Offset::UTC);
        Some((Self::Full { civil, offset }, rest))
    }

    fn bsd(line: &'line [u8]) -> Option<(Self, &'line [u8])> {
        let (stamp, rest) = line.split_at_checked(BSD_LEN)?;
        MONTHS
            .contains(&stamp.get(..3)?)
            .then_some((Self::Bsd(stamp), skip_fraction(rest)?.strip_prefix(b" ")?))
    }

    /// The time of the stamp; `None` if it is invalid, such as 30 February. A
    /// stamp without a zone is in `zone`. A stamp without a year gets the year
    /// that is nearest to `now`.
    pub(super) fn time(self, zone: &TimeZone, now: SystemTime) -> Option<SystemTime> {
        let now = Timestamp::try_from(now).ok()?;
        let time = match self {
            Self::Rfc3339(stamp) => PARSER.parse_timestamp(stamp).ok()?,
            Self::Unix(seconds) => {
                let seconds = str::from_utf8(seconds).ok()?.parse().ok()?;
                Timestamp::from_second(seconds).ok()?
            }
            Self::Full { civil, offset } => {
                let zone = offset.map_or_else(|| zone.clone(), Offset::to_time_zone);
                nearest(PARSER.parse_datetime(civil).ok()?, &zone, now)?
            }
            Self::Tai64n(label) => {
                let seconds = u64::from_str_radix(str::from_utf8(label.get(..16)?).ok()?, 16);
                let seconds = seconds.ok()?.checked_sub(TAI64_OF_1970)?;
                Timestamp::from_second(seconds.try_into().ok()?).ok()?
            }
            Self::Bsd(stamp) => nearest(with_year(stamp, zone.to_datetime(now))?, zone, now)?,
        };
        Some(time.into())
    }
}

fn skip_fraction(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.strip_prefix(b".") {
        Some(rest) => rest.get(count_digits(rest)..),
        None => Some(bytes),
    }
}

/// An offset such as `+0200`, if there is one, and the rest after its blank.
fn split_offset(bytes: &[u8]) -> (Option<Offset>, &[u8]) {
    let offset = match *bytes {
        [sign @ (b'+' | b'-'), h, hh, m, mm, b' ', ..] => {
            let [hours, minutes] = [[h, hh], [m, mm]].map(|pair| number(Some(&pair)));
            hours.zip(minutes).and_then(|(hours, minutes)| {
                let seconds = (i32::from(hours) * 60 + i32::from(minutes)) * 60;
                let seconds = if sign == b'-' { -seconds } else { seconds };
                Offset::from_seconds(seconds).ok()
            })
        }
        _ => None,
    };
    match offset {
        Some(_) => (offset, bytes.get("+0200 ".len()..).unwrap_or_default()),
        None => (None, bytes),
    }
}

/// The time of a civil date. If the zone repeats the hour in autumn, the
/// occurrence nearer to `now` is taken: with the first one, every line of the
/// second hour would be stale.
fn nearest(civil: DateTime, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let times = zone.to_ambiguous_timestamp(civil);
    [times.earlier(), times.later()]
        .into_iter()
        .filter_map(Result::ok)
        .min_by_key(|time| time.duration_since(now).abs())
}

/// Adds the year. 29 February may be up to eight years away (1896-1904,
/// 2096-2104).
fn with_year(stamp: &[u8], now: DateTime) -> Option<DateTime> {
    let month = MONTHS.iter().position(|month| stamp.starts_with(month))?;
    let month = i8::try_from(month + 1).ok()?;
    let [day, hour, minute, second] = [4, 7, 10, 13].map(|at| number(stamp.get(at..at + 2)));
    let day = day?;
    // Unix time has no number for a leap second.
    let time = Time::new(hour?, minute?, second?.min(59), 0).ok()?;
    let within = |years: i16| {
        (now.year() - years..=now.year() + years)
            .filter_map(|year| Some(Date::new(year, month, day).ok()?.to_datetime(time)))
            .min_by_key(|civil| civil.duration_since(now).abs())
    };
    within(1).or_else(|| within(8))
}

/// Parses one or two digits, padded with a blank.
fn number(bytes: Option<&[u8]>) -> Option<i8> {
    match *bytes? {
        [b' ', ones @ b'0'..=b'9'] => i8::try_from(ones - b'0').ok(),
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            i8::try_from((tens - b'0') * 10 + (ones - b'0')).ok()
        }
        _ => None,
    }
}
