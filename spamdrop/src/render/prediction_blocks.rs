//! The blocks of a prediction as a table.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::SystemTime;

use jiff::tz::TimeZone;

use super::show::local_time;
use super::table::{Column, Style, left, right};
use spamdrop_core::engine::PredictedBlock;
use spamdrop_core::time::unix_seconds;

/// Maximum number of entries of a list that are shown without `--all`.
pub(super) const SHOWN: usize = 20;

/// How the text is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Whether lists are shown in full.
    pub all: bool,
    /// Whether the logs were read while they were written, as by `run --dry-run`.
    pub is_live: bool,
    /// How headings are shown.
    pub style: Style,
    /// The reader's time zone.
    pub zone: TimeZone,
}

/// A time in the reader's zone.
pub(super) fn date(at: SystemTime, zone: &TimeZone) -> String {
    local_time(unix_seconds(at), zone)
}

/// Writes how many of `all` entries of a list are not among those `listed`.
pub(super) fn more(
    out: &mut impl Write,
    [all, listed]: [usize; 2],
    what: &str,
    shown: &Shown,
) -> io::Result<()> {
    // A dry run has no `--all`.
    let how = if shown.is_live { "--json" } else { "--all" };
    match all.saturating_sub(listed) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more {what}; {how} shows them"),
    }
}

type BlockRow<'a> = (String, String, &'a PredictedBlock);

pub(super) const fn block_columns<'a>() -> [Column<BlockRow<'a>>; 6] {
    [
        left("ADDRESS", |(_, _, block), text| {
            write!(text, "{}", block.target)
        }),
        left("FROM", |(from, _, _), text| text.write_str(from)),
        left("UNTIL", |(_, until, _), text| text.write_str(until)),
        right("REJECTIONS", |(_, _, block), text| {
            write!(text, "{}", block.offences)
        }),
        right("DROPPED", |(_, _, block), text| {
            write!(text, "{}", block.dropped)
        }),
        left("RULE", |(_, _, block), text| text.write_str(&block.rule)),
    ]
}

pub(super) fn block_row<'a>(block: &'a PredictedBlock, zone: &TimeZone) -> BlockRow<'a> {
    (date(block.from, zone), date(block.until, zone), block)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn the_rest_of_a_list_is_had_by_an_option_of_the_command() {
        for (is_live, listed, expected) in [
            (false, 20, "and 5 more blocks; --all shows them\n"),
            (true, 20, "and 5 more blocks; --json shows them\n"),
            (true, 25, ""),
        ] {
            let shown = Shown {
                all: false,
                is_live,
                style: Style::Plain,
                zone: TimeZone::UTC,
            };
            let mut out = Vec::new();
            more(&mut out, [25, listed], "blocks", &shown).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
