//! `scan`: what a log would have blocked.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::table::{self, Column, Style, left, right};

/// A line that would have blocked its sender, or found it blocked just then.
/// `scan --json` prints one a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Match<'name> {
    /// The file, as it was given.
    pub file: &'name str,
    /// The line's number, from 1.
    pub line: u64,
    /// The sender; never an IPv4-mapped IPv6 address.
    pub addr: IpAddr,
    /// What matched, such as `"courier-511"` or a pattern's name.
    pub rule: Cow<'static, str>,
}

/// What was found in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The file, as it was given.
    pub file: String,
    /// Its lines.
    pub lines: u64,
    /// Matches by rule.
    pub matches: BTreeMap<Cow<'static, str>, u64>,
    /// Lines that were understood but would not have blocked, by reason.
    pub ignored: BTreeMap<String, u64>,
    /// Lines that look like a rejection but are none: number and reason.
    pub near_misses: Vec<(u64, &'static str)>,
    /// Lines that are too long to be read.
    pub overlong: u64,
}

/// Near misses that are shown of each file.
const NEAR_MISSES: usize = 10;
/// Addresses that are shown.
const ADDRESSES: usize = 20;

/// Writes the totals of each file.
///
/// # Errors
///
/// The writer fails.
pub fn text(out: &mut impl Write, scanned: &Scanned) -> io::Result<()> {
    let Scanned { file, lines, .. } = scanned;
    let matches: u64 = scanned.matches.values().sum();
    writeln!(out, "{file}: {lines} lines, {matches} would block")?;
    for (rule, count) in &scanned.matches {
        writeln!(out, "  {rule}: {count}")?;
    }
    for (reason, count) in &scanned.ignored {
        writeln!(out, "  would not block, {reason}: {count}")?;
    }
    if scanned.overlong > 0 {
        writeln!(out, "  too long to be read: {}", scanned.overlong)?;
    }
    for (line, reason) in scanned.near_misses.iter().take(NEAR_MISSES) {
        writeln!(out, "  near miss in line {line}: {reason}")?;
    }
    match scanned.near_misses.len().saturating_sub(NEAR_MISSES) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more near misses"),
    }
}

type Row = (IpAddr, u64);

const COLUMNS: [Column<Row>; 2] = [
    right("LINES", |row| row.1.to_string()),
    left("ADDRESS", |row| row.0.to_string()),
];

/// Writes the addresses with the most matches.
///
/// # Errors
///
/// The writer fails.
pub fn addresses(
    out: &mut impl Write,
    style: Style,
    addresses: impl IntoIterator<Item = (IpAddr, u64)>,
) -> io::Result<()> {
    let mut rows: Vec<Row> = addresses.into_iter().collect();
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_unstable_by_key(|(addr, count)| (std::cmp::Reverse(*count), *addr));
    let more = rows.len().saturating_sub(ADDRESSES);
    rows.truncate(ADDRESSES);
    table::write(out, style, &COLUMNS, &rows)?;
    if more > 0 {
        writeln!(out, "and {more} more addresses")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn totals_and_the_first_near_misses() {
        let scanned = Scanned {
            file: "mail.log".into(),
            lines: 100,
            matches: [("courier-511".into(), 12)].into(),
            ignored: [("loopback".into(), 2)].into(),
            near_misses: (1..=12)
                .map(|line| (line, "its stamp is not a time"))
                .collect(),
            overlong: 1,
        };
        let mut out = Vec::new();
        text(&mut out, &scanned).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..5],
            [
                "mail.log: 100 lines, 12 would block",
                "  courier-511: 12",
                "  would not block, loopback: 2",
                "  too long to be read: 1",
                "  near miss in line 1: its stamp is not a time",
            ]
        );
        assert_eq!(
            lines[13..],
            [
                "  near miss in line 10: its stamp is not a time",
                "  and 2 more near misses",
            ]
        );
    }

    #[test]
    fn the_most_frequent_addresses() {
        let all = (1..=22u8).map(|n| (IpAddr::from([192, 0, 2, n]), u64::from(n / 22)));
        let mut out = Vec::new();
        addresses(&mut out, Style::Plain, all).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..3],
            ["LINES  ADDRESS", "    1  192.0.2.22", "    0  192.0.2.1"]
        );
        assert_eq!(lines[20..], ["    0  192.0.2.19", "and 2 more addresses"]);
    }

    #[test]
    fn json() {
        let matched = Match {
            file: "mail.log",
            line: 3,
            addr: "192.0.2.1".parse().unwrap(),
            rule: "courier-511".into(),
        };
        assert_eq!(
            serde_json::to_string(&matched).unwrap(),
            r#"{"file":"mail.log","line":3,"addr":"192.0.2.1","rule":"courier-511"}"#
        );
    }
}
