//! The blocks of a prediction as a table.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::SystemTime;

use jiff::tz::TimeZone;

use super::show::local_time;
use super::table::{Column, Style, left, right};
use spamdrop_core::engine::PredictedBlock;
use spamdrop_core::time::unix_seconds;

/// How the text is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Whether lists are shown in full.
    pub all: bool,
    /// Whether the logs were read while they were written.
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

/// Writes how many entries of a list are not shown.
pub(super) fn more(out: &mut impl Write, all: usize, shown: usize, what: &str) -> io::Result<()> {
    match all.saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more {what}; --all shows them"),
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
        right("REFUSED", |(_, _, block), text| {
            write!(text, "{}", block.refused)
        }),
        left("RULE", |(_, _, block), text| text.write_str(&block.rule)),
    ]
}

pub(super) fn block_row<'a>(block: &'a PredictedBlock, zone: &TimeZone) -> BlockRow<'a> {
    (date(block.from, zone), date(block.until, zone), block)
}
