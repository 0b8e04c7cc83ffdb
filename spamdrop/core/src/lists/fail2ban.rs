//! `fail2ban-client get JAIL banip --with-time`: lines such as
//! `192.0.2.1 \t2026-11-29 20:00:00 + 600 = 2026-11-29 20:10:00`, whose times are
//! local ones (`BanManager.getBanList`).

use std::time::Duration;

use jiff::civil::DateTime;

use crate::invalid::Invalid;
use crate::listing::{ListEntry, ListReader, shown};
use crate::term::LONGEST;

/// Whether a line has the form of a ban, as shown above.
pub(super) fn is_line(line: &[u8]) -> bool {
    parts(line).is_some()
}

/// Parses a line; `None` if the ban has ended. The remaining time is limited to the
/// length of the ban, in case the list is from a machine in another time zone.
pub(super) fn read_line(
    reader: &ListReader,
    line: &[u8],
    now: DateTime,
) -> Result<Option<ListEntry>, Invalid> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let Some((addr, length, end)) = parts(line) else {
        let line = shown(line);
        return Err(Invalid::new(format!(
            "`{line}` is not a line of `fail2ban-client get JAIL banip --with-time`"
        )));
    };
    // A permanent ban has a negative length.
    let length = u64::try_from(length).map_or(LONGEST, Duration::from_secs);
    let left = end.duration_since(now);
    if left.is_negative() || left.is_zero() {
        return Ok(None);
    }
    let left = length.min(left.unsigned_abs());
    reader.read_address(addr.as_bytes(), Some(left)).map(Some)
}

/// The address, the length of the ban in seconds, and its end.
fn parts(line: &[u8]) -> Option<(&str, i64, DateTime)> {
    let text = str::from_utf8(line).ok()?;
    let (addr, rest) = text.split_once(char::is_whitespace)?;
    let (begin, rest) = rest.split_once(" + ")?;
    let (length, end) = rest.split_once(" = ")?;
    begin.trim().parse::<DateTime>().ok()?;
    Some((addr, length.trim().parse().ok()?, end.trim().parse().ok()?))
}
