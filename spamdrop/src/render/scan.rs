//! `scan`: the sources that a log would have blocked.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::noun;
use super::table::{self, Column, Style, left, right};

/// The objects of `scan --json`, one a line, in the order of the log. A file's
/// object follows the objects of its lines; the addresses come last.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ScanRecord<'a> {
    /// A line that would have blocked its sender, or whose sender was already
    /// blocked at that time.
    Match {
        /// The file, as it was given.
        file: &'a str,
        /// The line's number, from 1.
        line: u64,
        /// The sender; never an IPv4-mapped IPv6 address.
        addr: IpAddr,
        /// The name of the pattern that matched, such as `"courier-511"`.
        rule: &'a str,
    },
    /// A line that looks like a rejection but was not taken as one.
    NearMiss {
        /// The file, as it was given.
        file: &'a str,
        /// The line's number, from 1.
        line: u64,
        /// The reason.
        reason: &'a str,
        /// The line, escaped.
        text: String,
    },
    /// A file.
    File(&'a Scanned),
    /// A sender with matches in any of the files.
    Address {
        /// The sender.
        addr: IpAddr,
        /// The number of its matches.
        lines: u64,
    },
}

/// The result for a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Scanned {
    /// The file, as it was given.
    pub file: String,
    /// Number of lines.
    pub lines: u64,
    /// Number of lines that are too long to be parsed.
    pub overlong: u64,
    /// Matches by rule.
    pub matches: BTreeMap<Cow<'static, str>, u64>,
    /// Lines that report accepted mail, by rule.
    pub accepted: BTreeMap<Cow<'static, str>, u64>,
    /// Lines that report delivered mail, by rule.
    pub delivered: BTreeMap<Cow<'static, str>, u64>,
    /// Lines that were understood but would not have blocked, by reason.
    pub ignored: BTreeMap<String, u64>,
    /// Near misses by reason.
    pub near_misses: BTreeMap<&'static str, NearMisses>,
    /// Why the file could not be read to its end.
    pub error: Option<String>,
}

/// Near misses of one kind. JSON contains only their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NearMisses {
    /// Number of near misses.
    pub count: u64,
    /// The near misses to show: the line's number, and the line, escaped.
    pub shown: Vec<(u64, String)>,
}

impl Serialize for NearMisses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.count)
    }
}

/// Writes the result for a file. The text of a near miss is cut so that its
/// line has at most `columns` columns.
pub fn write_text(out: &mut impl Write, scanned: &Scanned, columns: usize) -> io::Result<()> {
    let lines = noun::count(scanned.lines, "line", "lines");
    let matches: u64 = scanned.matches.values().sum();
    writeln!(out, "{}: {lines}, {matches} would block", scanned.file)?;
    if let Some(error) = &scanned.error {
        writeln!(out, "  not read to its end: {error}")?;
    }
    for (rule, count) in &scanned.matches {
        writeln!(out, "  {rule}: {count}")?;
    }
    for (rule, count) in &scanned.accepted {
        writeln!(out, "  accepted mail, {rule}: {count}")?;
    }
    for (rule, count) in &scanned.delivered {
        writeln!(out, "  delivered mail, {rule}: {count}")?;
    }
    for (reason, count) in &scanned.ignored {
        writeln!(out, "  would not block, {reason}: {count}")?;
    }
    if scanned.overlong > 0 {
        writeln!(out, "  too long to be read: {}", scanned.overlong)?;
    }
    for (reason, misses) in &scanned.near_misses {
        writeln!(out, "  near miss, {reason}: {}", misses.count)?;
        for (number, line) in &misses.shown {
            writeln!(
                out,
                "{}",
                cut(format!("    line {number}: {line}"), columns)
            )?;
        }
        match misses.count - misses.shown.len() as u64 {
            0 => {}
            more => writeln!(out, "    and {more} more; --all shows them")?,
        }
    }
    Ok(())
}

const ELLIPSIS: &str = "...";

/// Cuts `text`, which must be ASCII, to `columns` bytes; a cut text ends with dots.
fn cut(mut text: String, columns: usize) -> String {
    if text.len() > columns {
        text.truncate(columns.saturating_sub(ELLIPSIS.len()));
        text.push_str(ELLIPSIS);
    }
    text
}

type AddressRow = (IpAddr, u64);

const COLUMNS: [Column<AddressRow>; 2] = [
    right("LINES", |row, text| write!(text, "{}", row.1)),
    left("ADDRESS", |row, text| write!(text, "{}", row.0)),
];

/// Orders addresses by their matches, the most frequent first.
#[must_use]
pub fn most_frequent(addresses: impl IntoIterator<Item = AddressRow>) -> Vec<AddressRow> {
    let mut rows: Vec<AddressRow> = addresses.into_iter().collect();
    rows.sort_unstable_by_key(|(addr, count)| (Reverse(*count), *addr));
    rows
}

/// Writes the first `shown` addresses, and the number of all.
pub fn addresses(
    out: &mut impl Write,
    style: Style,
    addresses: &[AddressRow],
    shown: usize,
) -> io::Result<()> {
    if addresses.is_empty() {
        return Ok(());
    }
    let rows = addresses.get(..shown).unwrap_or(addresses);
    table::write(out, style, &COLUMNS, rows)?;
    match addresses.len() - rows.len() {
        0 => Ok(()),
        more => {
            let more = noun::count(more, "more address", "more addresses");
            writeln!(out, "and {more}; --all shows them")
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn scanned() -> Scanned {
        let misses = NearMisses {
            count: 12,
            shown: [3, 70]
                .map(|line| (line, "yesterday error,relay=192.0.2.1: 511 x".into()))
                .into(),
        };
        Scanned {
            file: "mail.log".into(),
            lines: 100,
            overlong: 1,
            matches: [("courier-511".into(), 12)].into(),
            accepted: [("courier-newmsg".into(), 5)].into(),
            delivered: [("courier-delivered".into(), 3)].into(),
            ignored: [("loopback".into(), 2)].into(),
            near_misses: [("its stamp is not a time", misses)].into(),
            error: Some("unexpected end of file".into()),
        }
    }

    #[test]
    fn text_has_totals_and_the_first_near_misses() {
        let text = |columns| {
            let mut out = Vec::new();
            write_text(&mut out, &scanned(), columns).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            text(54),
            "\
mail.log: 100 lines, 12 would block
  not read to its end: unexpected end of file
  courier-511: 12
  accepted mail, courier-newmsg: 5
  delivered mail, courier-delivered: 3
  would not block, loopback: 2
  too long to be read: 1
  near miss, its stamp is not a time: 12
    line 3: yesterday error,relay=192.0.2.1: 511 x
    line 70: yesterday error,relay=192.0.2.1: 511 x
    and 10 more; --all shows them
"
        );
        let narrow = text(50);
        let lines: Vec<&str> = narrow.lines().collect();
        assert_eq!(
            lines[8..10],
            [
                "    line 3: yesterday error,relay=192.0.2.1: 511 x",
                "    line 70: yesterday error,relay=192.0.2.1: 5...",
            ]
        );
    }

    #[test]
    fn the_most_frequent_addresses() {
        let all = (1..=22u8).map(|n| (IpAddr::from([192, 0, 2, n]), u64::from(n / 22)));
        let all = most_frequent(all);
        let text = |shown| {
            let mut out = Vec::new();
            addresses(&mut out, Style::Plain, &all, shown).unwrap();
            String::from_utf8(out).unwrap()
        };
        let few = text(20);
        let lines: Vec<&str> = few.lines().collect();
        assert_eq!(
            lines[..3],
            ["LINES  ADDRESS", "    1  192.0.2.22", "    0  192.0.2.1"]
        );
        assert_eq!(
            lines[20..],
            [
                "    0  192.0.2.19",
                "and 2 more addresses; --all shows them"
            ]
        );
        assert_eq!(text(usize::MAX).lines().last(), Some("    0  192.0.2.21"));
    }

    #[test]
    fn json() {
        let text = |record: ScanRecord<'_>| serde_json::to_string(&record).unwrap();
        let addr = "192.0.2.1".parse().unwrap();
        let (file, line) = ("mail.log", 3);
        assert_eq!(
            text(ScanRecord::Match {
                file,
                line,
                addr,
                rule: "courier-511"
            }),
            r#"{"kind":"match","file":"mail.log","line":3,"addr":"192.0.2.1","rule":"courier-511"}"#
        );
        assert_eq!(
            text(ScanRecord::NearMiss {
                file,
                line,
                reason: "its stamp is not a time",
                text: r"\x1b".into()
            }),
            r#"{"kind":"near-miss","file":"mail.log","line":3,"reason":"its stamp is not a time","text":"\\x1b"}"#
        );
        assert_eq!(
            text(ScanRecord::File(&scanned())),
            r#"{"kind":"file","file":"mail.log","lines":100,"overlong":1,"matches":{"courier-511":12},"accepted":{"courier-newmsg":5},"delivered":{"courier-delivered":3},"ignored":{"loopback":2},"near_misses":{"its stamp is not a time":12},"error":"unexpected end of file"}"#
        );
        assert_eq!(
            text(ScanRecord::Address { addr, lines: 7 }),
            r#"{"kind":"address","addr":"192.0.2.1","lines":7}"#
        );
    }
}
