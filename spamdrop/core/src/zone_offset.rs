//! Stamps in another time zone than the reader's.
//!
//! A program in a container or on another host writes local time without a
//! zone. All zones differ by multiples of 15 minutes, so a line that was just
//! written shows the difference.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::duration::human;

const QUARTER_S: u64 = 15 * 60;
/// How far an offset may be from a multiple of 15 minutes: lines come late, clocks differ.
pub const TOLERANCE: Duration = Duration::from_secs(TOLERANCE_S);
const TOLERANCE_S: u64 = 60;
/// The greatest difference of two zones: UTC+14 and UTC-12.
const MOST_S: u64 = 26 * 3_600;
/// An offset is reported after this many successive lines with it.
const MANY: u32 = 3;

/// How far the stamps of a log are off, because of the time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneOffset {
    quarters: u8,
    is_ahead: bool,
}

impl ZoneOffset {
    /// The offset of a stamp that says `written`, on a line that was written `now`.
    /// `None` if the stamp is right, or is not off by a multiple of 15 minutes that
    /// is at most 26 hours.
    #[must_use]
    pub fn between(written: SystemTime, now: SystemTime) -> Option<Self> {
        let (distance, is_ahead) = match now.duration_since(written) {
            Ok(behind) => (behind, false),
            Err(error) => (error.duration(), true),
        };
        let seconds = distance.as_secs() + TOLERANCE_S;
        let is_multiple = seconds % QUARTER_S <= 2 * TOLERANCE_S;
        let quarters = u8::try_from(seconds / QUARTER_S).ok()?;
        let is_zone = quarters > 0 && u64::from(quarters) * QUARTER_S <= MOST_S;
        (is_multiple && is_zone).then_some(Self { quarters, is_ahead })
    }

    /// Whether two stamps of one line mean the same time, perhaps in different time
    /// zones.
    #[must_use]
    pub fn agree(a: SystemTime, b: SystemTime) -> bool {
        let distance = a.duration_since(b).or_else(|_| b.duration_since(a));
        distance.is_ok_and(|distance| distance.as_secs() <= TOLERANCE_S)
            || Self::between(a, b).is_some()
    }
}

impl fmt::Display for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let distance = Duration::from_secs(u64::from(self.quarters) * QUARTER_S);
        let side = if self.is_ahead { "ahead" } else { "behind" };
        write!(f, "{} {side}", human(distance))
    }
}

/// The offsets of the last lines whose stamps have no time zone.
#[derive(Clone, Copy, Debug, Default)]
pub struct OffsetHistory {
    last: Option<ZoneOffset>,
    /// The number of successive lines with the last offset.
    count: u32,
    /// The last offset that enough successive lines had.
    settled: Option<ZoneOffset>,
}

impl OffsetHistory {
    /// Adds a line; `None`: its stamp was right.
    pub fn add(&mut self, offset: Option<ZoneOffset>) {
        if offset != self.last {
            self.count = 0;
        }
        self.last = offset;
        self.count = self.count.saturating_add(1);
        if self.count >= MANY {
            self.settled = self.last;
        }
    }

    /// A phrase if the stamps are off, as three successive lines showed. It
    /// stays until three successive lines show something else.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.settled.map(|offset| {
            format!(
                "its stamps have no time zone and are {offset}; new lines are taken as just \
                 written; let the writer log the time zone (RFC 3339), or give it and spamdrop \
                 the same `TZ`"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_795_424_400;

    fn offset(seconds: i64) -> Option<String> {
        let time = |s: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        let written = NOW_S.checked_add_signed(seconds).unwrap_or_default();
        ZoneOffset::between(time(written), time(NOW_S)).map(|offset| offset.to_string())
    }

    #[test]
    fn a_multiple_of_a_quarter_hour_is_an_offset() {
        let some = |text: &str| Some(text.to_owned());
        for (seconds, expected) in [
            (-3_600, some("1h behind")),
            (-3_660, some("1h behind")),
            (-3_661, None),
            (-3_540, some("1h behind")),
            (-3_539, None),
            (32_400, some("9h ahead")),
            (32_400 + 60, some("9h ahead")),
            (20_700, some("5h 45m ahead")),
            (-26 * 3_600, some("1d 2h behind")),
            (-26 * 3_600 - 900, None),
            (-900 * 300, None),
            (0, None),
            (-60, None),
            (60, None),
            (-600, None),
        ] {
            assert_eq!(offset(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn three_lines_in_a_row_are_a_trouble() {
        let time = |s: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        let hour = ZoneOffset::between(time(NOW_S - 3_600), time(NOW_S));
        let two = ZoneOffset::between(time(NOW_S - 7_200), time(NOW_S));
        let mut history = OffsetHistory::default();
        for (offset, is_trouble) in [
            (hour, false),
            (hour, false),
            (two, false),
            (hour, false),
            (hour, false),
            (hour, true),
            (hour, true),
            (None, true),
            (None, true),
            (None, false),
        ] {
            history.add(offset);
            assert_eq!(history.trouble().is_some(), is_trouble);
        }
    }
}
