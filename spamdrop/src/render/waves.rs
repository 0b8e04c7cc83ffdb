//! `report`: the waves, one a line, and their totals.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Serialize;
use spamdrop_common::time::UnixSeconds;

use super::local;
use super::noun;
use super::show::local_time;
use super::table::{self, Column, Style, left, right};
use super::wrap;
use spamdrop_core::duration::human;
use spamdrop_core::wave::{SourceCounts, Totals, Wave};

/// The waves of a period. `report --json` prints one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WaveReport {
    /// Whether waves are recorded; `false` with `admit = "off"`.
    pub recording: bool,
    /// The start of the period, in seconds since 1970.
    pub since_unix_s: u64,
    /// The end of the period, in seconds since 1970.
    pub until_unix_s: u64,
    /// Whether the command line gives the end; otherwise the period ends now.
    #[serde(skip)]
    pub has_end: bool,
    /// The waves that ended after the start or are ongoing, and that began before
    /// the end, oldest first.
    pub waves: Vec<NumberedWave>,
}

/// A wave, with its number in the database.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NumberedWave {
    /// Its number, which it keeps.
    pub number: i64,
    /// Its figures.
    #[serde(flatten)]
    pub wave: Wave,
}

/// A wave, and its start in the reader's time zone.
pub(super) struct WaveRow<'a> {
    numbered: &'a NumberedWave,
    start: String,
}

/// The columns that a narrow table leaves out, the first one first.
pub(super) const LEFT_OUT: [&str; 10] = [
    "STARVATION",
    "REPEATS",
    "RELEASED",
    "SOURCES",
    "LISTED",
    "MODE",
    "ANSWERED",
    "REFUSED",
    "LENGTH",
    "WAIT",
];
/// Shown in place of the course of a wave that has none.
pub(super) const NO_COURSE: &str =
    "its course was deleted; only those of the newest 50 waves are kept";
/// The width from which on the start of a wave has a year and seconds.
const ROOMY: usize = 80;

pub(super) const fn columns<'a>() -> [Column<WaveRow<'a>>; 13] {
    [
        right("WAVE", |row, text| write!(text, "{}", row.numbered.number)),
        left("START", |row, text| text.write_str(&row.start)),
        right("LENGTH", |row, text| {
            let going = if row.numbered.wave.ongoing { "+" } else { "" };
            write!(text, "{}{going}", length(row.numbered.wave.length_s))
        }),
        right("PEAK", |row, text| {
            write!(
                text,
                "{}/{}",
                row.numbered.wave.peak_open, row.numbered.wave.slots
            )
        }),
        right("SOURCES", |row, text| {
            let who = &row.numbered.wave.who;
            let more = if who.more_sources { "+" } else { "" };
            write!(text, "{}{more}", who.sources)
        }),
        right("LISTED", |row, text| share(&row.numbered.wave.who, text)),
        right("REFUSED", |row, text| {
            let [best, middle, worst] = row.numbered.wave.totals.refused;
            write!(text, "{best}/{middle}/{worst}")
        }),
        right("REPEATS", |row, text| {
            write!(text, "{}", row.numbered.wave.repeats)
        }),
        right("STARVATION", |row, text| {
            write!(text, "{}", row.numbered.wave.totals.starvation_admits)
        }),
        right("ANSWERED", |row, text| {
            write!(text, "{}", row.numbered.wave.totals.answered)
        }),
        right("RELEASED", |row, text| {
            write!(text, "{}", row.numbered.wave.totals.released)
        }),
        right("WAIT", |row, text| {
            match longest_wait_s(&row.numbered.wave) {
                Some(wait) => write!(text, "{}", length(wait)),
                None => text.write_str("-"),
            }
        }),
        left("MODE", |row, text| text.write_str(mode(&row.numbered.wave))),
    ]
}

/// The rows of the table, with times in `zone`.
pub(super) fn rows<'a>(
    waves: &'a [NumberedWave],
    zone: &TimeZone,
    width: usize,
) -> Vec<WaveRow<'a>> {
    let format = match width < ROOMY {
        true => "%m-%d %H:%M",
        false => "%Y-%m-%d %H:%M:%S",
    };
    let row = |numbered: &'a NumberedWave| WaveRow {
        numbered,
        start: local::format(numbered.wave.start_unix_s, zone, format),
    };
    waves.iter().map(row).collect()
}

/// Writes the waves as a table and their totals, with times in the reader's
/// zone. No line is wider than `width`: the table leaves out columns if needed.
pub fn write_report(
    out: &mut impl Write,
    style: Style,
    width: usize,
    report: &WaveReport,
    zone: &TimeZone,
) -> io::Result<()> {
    if !report.waves.is_empty() {
        let rows = rows(&report.waves, zone, width);
        let left_out = table::write_within(out, style, &columns(), &rows, width, &LEFT_OUT)?;
        if left_out > 0 {
            let more = "`spamdrop report WAVE` shows all of a wave";
            wrap::write(out, more, width, 2)?;
        }
    }
    let mut lines = summary(report, zone).into_iter();
    lines.try_for_each(|line| wrap::write(out, &line, width, 2))
}

/// The totals of a report, in sentences.
pub(super) fn summary(report: &WaveReport, zone: &TimeZone) -> Vec<String> {
    let mut lines = Vec::new();
    if !report.recording {
        lines.push("nothing is recorded: `admit` is \"off\" in the configuration".into());
    }
    let waves = || report.waves.iter().map(|numbered| &numbered.wave);
    if report.waves.is_empty() {
        let [since, until] = [report.since_unix_s, report.until_unix_s]
            .map(|end| local_time(UnixSeconds::new(end), zone));
        lines.push(match report.has_end {
            true => format!("no waves from {since} to {until}"),
            false => format!("no waves since {since}"),
        });
        return lines;
    }
    let total: f64 = waves().map(|wave| wave.length_s).sum();
    lines.push(format!(
        "{}, {} in all",
        count(report.waves.len()),
        length(total)
    ));
    lines.extend(
        [false, true].into_iter().filter_map(|observed| {
            sums(waves().filter(|wave| wave.observed == observed), observed)
        }),
    );
    let delayed = waves().map(|wave| wave.known_delayed);
    lines.push(known_senders(delayed.fold(0, u64::saturating_add)));
    lines
}

/// Says whether known senders had to wait.
pub(super) fn known_senders(delayed: u64) -> String {
    match delayed {
        0 => "no known sender had to wait".into(),
        number => {
            let syns = noun::count(number, "SYN", "SYNs");
            format!("warning: {syns} of known senders had to wait; the number must be 0")
        }
    }
}

/// A sentence with the totals of `waves`; `None` if there are no waves. `observed`: the
/// gate only counted the SYNs that it would have refused.
fn sums<'a>(waves: impl Iterator<Item = &'a Wave>, observed: bool) -> Option<String> {
    let zero = (SourceCounts::default(), Totals::default(), 0.0_f64);
    let mut waves = waves.peekable();
    waves.peek()?;
    let (who, totals, longest) = waves.fold(zero, |(who, totals, longest), wave| {
        let wait = wave.longest_wait_s.unwrap_or(0.0);
        (
            who.plus(&wave.who),
            totals.plus(&wave.totals),
            longest.max(wait),
        )
    });
    let SourceCounts {
        delayed,
        delayed_listed: listed,
        delayed_accepted: accepted,
        ..
    } = who;
    let (begin, end) = if observed {
        ("would have refused", "would have waited".into())
    } else {
        ("refused", format!("waited {} at most", length(longest)))
    };
    Some(format!(
        "{begin} {} of {}: {listed} turned out to be listed; {accepted} had mail accepted and {end}",
        noun::count(totals.all_refused(), "SYN", "SYNs"),
        noun::count(delayed, "source", "sources")
    ))
}

/// The longest wait of wanted mail; `None` if the gate only observed, or none waited.
pub(super) fn longest_wait_s(wave: &Wave) -> Option<f64> {
    wave.longest_wait_s.filter(|_| !wave.observed)
}

/// A number of waves in words.
pub(super) fn count(waves: usize) -> String {
    match waves {
        0 => "no waves".into(),
        number => noun::count(number, "wave", "waves"),
    }
}

pub(super) fn mode(wave: &Wave) -> &'static str {
    if wave.observed { "observe" } else { "on" }
}

pub(super) fn length(seconds: f64) -> impl fmt::Display {
    human(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

fn share(who: &SourceCounts, text: &mut String) -> fmt::Result {
    match who.listed.saturating_mul(100).checked_div(who.sources) {
        Some(percent) => write!(text, "{percent}%"),
        None => text.write_str("-"),
    }
}

#[cfg(test)]
pub(super) mod tests;
