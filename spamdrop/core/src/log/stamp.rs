//! The time stamps of log lines.

mod time;

use jiff::tz::Offset;

use super::bytes::{count_digits, token};

/// A stamp in one of the known formats; its numbers are not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp<'line> {
    /// `Nov  3 08:50:54`; a fraction is dropped.
    Bsd {
        /// 1 to 12.
        month: i8,
        day: i8,
        year: Option<i16>,
        time: &'line [u8],
    },
    /// `2026-11-03T08:50:54.615769+00:00`; the offset may be missing.
    Rfc3339(&'line [u8]),
    /// `2026-11-03 08:50:54`; a fraction is dropped.
    Full {
        civil: &'line [u8],
        offset: Option<Offset>,
    },
    /// The 24 hexadecimal digits of a TAI64N label, without the `@` before them.
    Tai64n(&'line [u8]),
    /// Seconds since 1970, without their fraction.
    Unix(&'line [u8]),
}

const TIME_LEN: usize = "08:50:54".len();
const FULL_LEN: usize = "2026-11-03 08:50:54".len();
const DATE_LEN: usize = "2026-11-03".len();

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

const WEEKDAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];

impl<'line> Stamp<'line> {
    /// Splits a line after a stamp of a program other than syslog:
    ///
    /// ```text
    /// @400000005a0e3c8e0e6b2800 text            multilog, svlogd -t
    /// 2026-11-03 08:50:54.615769 text           tai64nlocal, Exim, rspamd
    /// 2026-11-03 08:50:54.615 +0200 text        Exim with log_timezone
    /// 2026-11-03 08:50:54+02:00 text            date --rfc-3339=seconds
    /// 2026-11-03_08:50:54.61576 text            svlogd -tt, in UTC
    /// ```
    pub(super) fn own(line: &'line [u8]) -> Option<(Self, &'line [u8])> {
        match line {
            [b'@', label @ ..] => {
                let (label, rest) = token(label)?;
                let whole = label.len() == 24 && label.iter().all(u8::is_ascii_hexdigit);
                whole.then_some((Self::Tai64n(label), rest))
            }
            [
                _,
                _,
                _,
                _,
                b'-',
                _,
                _,
                b'-',
                _,
                _,
                between @ (b' ' | b'_'),
                ..,
            ] => {
                let (civil, rest) = line.split_at_checked(FULL_LEN)?;
                let rest = skip_fraction(rest)?;
                let (offset, rest) = match split_offset(rest) {
                    (None, rest) => split_offset(rest.strip_prefix(b" ")?),
                    found => found,
                };
                let offset = offset.or((*between == b'_').then_some(Offset::UTC));
                Some((Self::Full { civil, offset }, rest))
            }
            _ => None,
        }
    }

    /// Splits a line after an unambiguous stamp. A plain number may be something
    /// else, so it is not taken.
    pub(super) fn certain(line: &'line [u8]) -> Option<(Self, &'line [u8])> {
        Self::own(line).or_else(|| {
            Self::split(line).filter(|(stamp, _)| match stamp {
                Self::Rfc3339(stamp) => stamp.get(DATE_LEN) == Some(&b'T'),
                Self::Unix(_) => false,
                _ => true,
            })
        })
    }

    /// Splits a line after its stamp and the following blank.
    ///
    /// ```text
    /// Nov  3 08:50:54.615 text                  RFC 3164, journalctl -o short
    /// Nov 3 2026 08:50:54 text                  as some remote devices send it
    /// 2026 Nov  3 08:50:54 text                 syslog-ng's FULLDATE
    /// Tue Nov  3 08:50:54 2026 text             OpenWrt's logread
    /// Tue 2026-11-03 08:50:54 UTC text          journalctl -o short-full
    /// 2026-11-03T08:50:54.615769+00:00 text     RFC 3339
    /// 1793695854.615769 text                    journalctl -o short-unix
    /// ```
    pub(super) fn split(line: &'line [u8]) -> Option<(Self, &'line [u8])> {
        match line {
            [y, yy, yyy, yyyy, b' ', rest @ ..] if number_of(&[*y, *yy, *yyy, *yyyy]).is_some() => {
                Self::bsd(rest, number_of(&[*y, *yy, *yyy, *yyyy]))
            }
            [b'0'..=b'9', ..] => Self::numeric(line),
            [a, b, c, b' ', rest @ ..] if is_weekday(&[*a, *b, *c]) => {
                Self::full(rest).or_else(|| Self::bsd(rest, None))
            }
            _ => Self::bsd(line, None),
        }
    }

    /// Whether the stamp says nothing of its time zone.
    pub(super) fn is_zoneless(self) -> bool {
        match self {
            Self::Bsd { .. } | Self::Full { offset: None, .. } => true,
            Self::Full { .. } | Self::Tai64n(_) | Self::Unix(_) => false,
            Self::Rfc3339(stamp) => !has_offset(stamp),
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
        if civil.get(4) != Some(&b'-') {
            return None;
        }
        let (zone, rest) = token(rest.strip_prefix(b" ")?)?;
        let offset = (zone == b"UTC").then_some(Offset::UTC);
        Some((Self::Full { civil, offset }, rest))
    }

    /// Splits a line after a stamp of RFC 3164. Its year may stand before the
    /// month (`year`, already read), before the time, or after the time.
    fn bsd(line: &'line [u8], year: Option<i16>) -> Option<(Self, &'line [u8])> {
        let (name, rest) = line.split_at_checked(3)?;
        let month = MONTHS.iter().position(|month| *month == name)?;
        let month = i8::try_from(month + 1).ok()?;
        let rest = rest.strip_prefix(b" ")?;
        let (day, rest) = token(rest.strip_prefix(b" ").unwrap_or(rest))?;
        let day = number(day)?;
        let (year, rest) = or_year(year, rest);
        let (time, rest) = rest.split_at_checked(TIME_LEN)?;
        if time.get(2) != Some(&b':') {
            return None;
        }
        let rest = skip_fraction(rest)?.strip_prefix(b" ")?;
        let (year, rest) = or_year(year, rest);
        Some((
            Self::Bsd {
                month,
                day,
                year,
                time,
            },
            rest,
        ))
    }
}

/// Whether the word is the short name of a weekday or a month.
pub(super) fn is_calendar_word(word: &[u8]) -> bool {
    is_weekday(word) || MONTHS.contains(&word)
}

fn is_weekday(word: &[u8]) -> bool {
    WEEKDAYS.contains(&word)
}

/// The year and the rest of the bytes: `known`, if it is set, or else the year and
/// the blank that `bytes` may start with.
fn or_year(known: Option<i16>, bytes: &[u8]) -> (Option<i16>, &[u8]) {
    match *bytes {
        _ if known.is_some() => (known, bytes),
        [a @ (b'1' | b'2'), b, c, d, b' ', ref rest @ ..] => match number_of(&[a, b, c, d]) {
            None => (None, bytes),
            year => (year, rest),
        },
        _ => (None, bytes),
    }
}

/// The number that four digits mean.
fn number_of(digits: &[u8; 4]) -> Option<i16> {
    let add = |sum: i16, digit: &u8| {
        let value = digit.is_ascii_digit().then(|| i16::from(digit - b'0'));
        Some(sum * 10 + value?)
    };
    digits.iter().try_fold(0, add)
}

fn has_offset(stamp: &[u8]) -> bool {
    // `Z`, `+0000` or `+00:00`.
    match stamp {
        [.., b'Z' | b'z'] => true,
        [.., b'+' | b'-', _, _, _, _] | [.., b'+' | b'-', _, _, _, _, _] => stamp.len() > FULL_LEN,
        _ => false,
    }
}

fn skip_fraction(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [b'.' | b',', rest @ ..] => rest.get(count_digits(rest)..),
        _ => Some(bytes),
    }
}

/// An offset such as `+0200`, `+02:00` or `Z`, if there is one, and the rest
/// after its blank.
fn split_offset(bytes: &[u8]) -> (Option<Offset>, &[u8]) {
    let (sign, pairs, rest) = match bytes {
        [b'Z', b' ', rest @ ..] => return (Some(Offset::UTC), rest),
        [sign, h, hh, m, mm, b' ', rest @ ..] => (sign, [[*h, *hh], [*m, *mm]], rest),
        [sign, h, hh, b':', m, mm, b' ', rest @ ..] => (sign, [[*h, *hh], [*m, *mm]], rest),
        _ => return (None, bytes),
    };
    let [hours, minutes] = pairs.map(|pair| number(&pair));
    let offset = hours.zip(minutes).and_then(|(hours, minutes)| {
        let seconds = (i32::from(hours) * 60 + i32::from(minutes)) * 60;
        match sign {
            b'+' => Offset::from_seconds(seconds).ok(),
            b'-' => Offset::from_seconds(-seconds).ok(),
            _ => None,
        }
    });
    match offset {
        Some(_) => (offset, rest),
        None => (None, bytes),
    }
}

/// Parses one or two digits.
fn number(bytes: &[u8]) -> Option<i8> {
    match *bytes {
        [ones @ b'0'..=b'9'] => i8::try_from(ones - b'0').ok(),
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            i8::try_from((tens - b'0') * 10 + (ones - b'0')).ok()
        }
        _ => None,
    }
}
