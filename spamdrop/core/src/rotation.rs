//! The names that rotation gives to a log.

use std::cmp::Reverse;
use std::time::SystemTime;

/// Endings of compressed files that can be rotated logs. `LOG.1.bz2`, for example, is none.
const PACKED: [&[u8]; 3] = [b".gz", b".xz", b".zst"];
/// The most digits of a number; a longer one is a date.
const NUMBER_DIGITS: usize = 3;
/// The fewest digits of a date, as in `YYMMDD`, and the most, as in a date with a time in
/// nanoseconds.
const DATE_DIGITS: std::ops::RangeInclusive<usize> = 6..=24;

/// The age of a rotated log, as its name tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Age {
    /// `LOG.0`, `LOG.1`, `LOG.01`, `LOG.old`: a greater number is older.
    Number(u16),
    /// `LOG-20261128`, `LOG.2026-11-28`: its digits. A greater date is younger.
    Date(Vec<u8>),
}

/// The names among `names` that rotation gives to the log `base`, newest first.
/// Where some names have numbers and others have dates, the kind with the newest
/// file comes first. Each name comes with the time when its file was written.
#[must_use]
pub fn newest_first<'a>(
    base: &[u8],
    names: impl IntoIterator<Item = (&'a [u8], SystemTime)>,
) -> Vec<&'a [u8]> {
    let (mut numbers, mut dates) = (Vec::new(), Vec::new());
    let (mut last_number, mut last_date) = (None, None);
    for (name, written) in names {
        match age(base, name) {
            Some((Age::Number(number), is_packed)) => {
                numbers.push((number, is_packed, name));
                last_number = last_number.max(Some(written));
            }
            Some((Age::Date(digits), is_packed)) => {
                dates.push((Reverse(digits), is_packed, name));
                last_date = last_date.max(Some(written));
            }
            None => {}
        }
    }
    // While a file is being compressed, it has two names; the plain one comes
    // first.
    numbers.sort_unstable();
    dates.sort_unstable();
    let numbers = numbers.into_iter().map(|(_, _, name)| name);
    let dates = dates.into_iter().map(|(_, _, name)| name);
    match last_date > last_number {
        true => dates.chain(numbers).collect(),
        false => numbers.chain(dates).collect(),
    }
}

/// Whether `name` is a name that rotation gives to the log `base`.
#[must_use]
pub fn is_rotated(base: &[u8], name: &[u8]) -> bool {
    age(base, name).is_some()
}

/// The age of a rotated log, and whether it is compressed; `None` if the name is
/// no rotated name of `base`.
fn age(base: &[u8], name: &[u8]) -> Option<(Age, bool)> {
    let plain = PACKED.iter().find_map(|ending| name.strip_suffix(*ending));
    let (name, is_packed) = (plain.unwrap_or(name), plain.is_some());
    let after = |base: &[u8]| name.strip_prefix(base).and_then(suffix);
    // logrotate's `extension` keeps the ending: `mail-20261128.log`.
    let within = || {
        let dot = base.iter().rposition(|byte| *byte == b'.')?;
        let name = name.strip_suffix(&base[dot..])?;
        name.strip_prefix(&base[..dot]).and_then(suffix)
    };
    Some((after(base).or_else(within)?, is_packed))
}

fn suffix(suffix: &[u8]) -> Option<Age> {
    let (separator, rest) = suffix.split_first()?;
    if *separator == b'.' && rest == b"old" {
        return Some(Age::Number(0));
    }
    let is_number =
        rest.iter().all(u8::is_ascii_digit) && (1..=NUMBER_DIGITS).contains(&rest.len());
    if *separator == b'.' && is_number {
        let number = std::str::from_utf8(rest).ok()?.parse().ok()?;
        return Some(Age::Number(number));
    }
    let is_date = |byte: &u8| byte.is_ascii_digit() || b"-_.T:+Z".contains(byte);
    if !b".-_".contains(separator) || !rest.iter().all(is_date) {
        return None;
    }
    let mut digits = rest.to_vec();
    digits.retain(u8::is_ascii_digit);
    DATE_DIGITS
        .contains(&digits.len())
        .then_some(Age::Date(digits))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sorted<'a>(base: &str, names: &[&'a str]) -> Vec<&'a str> {
        // Later names were written earlier.
        let written = |i: usize| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 - i as u64);
        let names = names.iter().enumerate();
        let names = names.map(|(i, name)| (name.as_bytes(), written(i)));
        let sorted = newest_first(base.as_bytes(), names).into_iter();
        sorted
            .map(|name| std::str::from_utf8(name).unwrap_or_default())
            .collect()
    }

    #[test]
    fn numbers_ascend_and_dates_descend() {
        assert_eq!(
            sorted(
                "mail.log",
                &[
                    "mail.log.10.gz",
                    "mail.log.2.gz",
                    "mail.log.0",
                    "mail.log.1",
                    "mail.log.1.xz"
                ]
            ),
            [
                "mail.log.0",
                "mail.log.1",
                "mail.log.1.xz",
                "mail.log.2.gz",
                "mail.log.10.gz"
            ]
        );
        assert_eq!(
            sorted(
                "maillog",
                &[
                    "maillog-20261127.zst",
                    "maillog-20261128",
                    "maillog-20260930"
                ]
            ),
            [
                "maillog-20261128",
                "maillog-20261127.zst",
                "maillog-20260930"
            ]
        );
    }

    #[test]
    fn every_common_name_is_known() {
        for name in [
            "mail.log.0",
            "mail.log.1",
            "mail.log.01",
            "mail.log.001.gz",
            "mail.log.old",
            "mail.log-20261128",
            "mail.log-20261128.gz",
            "mail.log-2026112809",
            "mail.log-1795424400",
            "mail.log-20261128-1795424400.xz",
            "mail.log.2026-11-28",
            "mail.log.2026-11-28.zst",
            "mail.log.20261128T085055",
            "mail.log.2026-11-28_08:50",
            "mail.log_20261128",
            "mail-20261128.log",
            "mail-20261128.log.gz",
            "mail.1.log",
        ] {
            assert_eq!(sorted("mail.log", &[name]), [name]);
        }
    }

    #[test]
    fn other_files_are_not_taken() {
        let none: [&str; 0] = [];
        for name in [
            "mail.log",
            "mail.log.gz",
            "mail.log.1.bz2",
            "mail.log.1.swp",
            "mail.log~",
            "mail.log.4913x",
            "mail.log-1",
            "mail.log.offset",
            "mail.logs.1",
            "mail.err.1",
            "mail.info.1",
            "mail.1",
        ] {
            assert_eq!(sorted("mail.log", &[name]), none);
        }
    }

    #[test]
    fn the_scheme_in_use_comes_first() {
        let names = ["log.1", "log-20261128"];
        assert_eq!(sorted("log", &names), ["log.1", "log-20261128"]);
        let names = ["log-20261128", "log.1"];
        assert_eq!(sorted("log", &names), ["log-20261128", "log.1"]);
    }
}
