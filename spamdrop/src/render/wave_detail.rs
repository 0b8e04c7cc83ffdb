//! `report WAVE`: one wave in full.

use std::fmt::Write as _;
use std::io::{self, Write};

use jiff::tz::TimeZone;
use serde::Serialize;
use spamdrop_core::gate::limits;
use spamdrop_core::time::UnixSeconds;
use spamdrop_core::wave::{CourseColumns, Point, Wave};

use super::local::CLOCK;
use super::show::local_time;
use super::table::{self, Column, Style, right};
use super::waves::{NO_COURSE, NumberedWave, known_senders, length};
use super::{local, wrap};

/// The width of the names of the figures, and the gap behind them.
const INDENT: usize = 14;
/// Maximum number of rows of the course.
const LINES: u64 = 24;
/// Maximum number of waits that are named.
const WAITS: usize = 10;

/// A wave and its course. `report WAVE --json` prints one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WaveDetail {
    /// The number and the figures, as in `report --json`.
    #[serde(flatten)]
    pub numbered: NumberedWave,
    /// The course: usually a point a second; empty for all but the newest 50
    /// waves.
    pub points: Vec<Point>,
}

/// A row of the course: a number of seconds, combined into one point.
struct CourseRow {
    time: String,
    point: Point,
}

const COLUMNS: [Column<CourseRow>; 6] = [
    right("FROM", |row, text| text.write_str(&row.time)),
    right("OPEN", |row, text| write!(text, "{}", row.point.open)),
    right("WAITING", |row, text| write!(text, "{}", row.point.waiting)),
    right("PASSED", |row, text| write!(text, "{}", row.point.admitted)),
    right("REFUSED", |row, text| write!(text, "{}", row.point.refused)),
    right("ANSWERED", |row, text| {
        write!(text, "{}", row.point.answered)
    }),
];
const LEFT_OUT: [&str; 4] = ["WAITING", "PASSED", "ANSWERED", "REFUSED"];

/// Writes a wave in lines of at most `width` characters, with times in `zone`.
pub fn write_detail(
    out: &mut impl Write,
    style: Style,
    width: usize,
    detail: &WaveDetail,
    zone: &TimeZone,
) -> io::Result<()> {
    let wave = &detail.numbered.wave;
    for (name, text) in figures(&detail.numbered, zone) {
        wrap::write(out, &format!("{name:INDENT$}{text}"), width, INDENT)?;
    }
    wrap::write(out, &known_senders(wave.known_delayed), width, 2)?;
    writeln!(out)?;
    if detail.points.is_empty() {
        return wrap::write(out, NO_COURSE, width, 2);
    }
    let rows = course(wave, &detail.points, zone);
    table::write_within(out, style, &COLUMNS, &rows, width, &LEFT_OUT)?;
    Ok(())
}

/// The figures of a wave: the name of each, and a sentence.
pub(super) fn figures(numbered: &NumberedWave, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let NumberedWave { number, wave } = numbered;
    let (who, totals) = (&wave.who, &wave.totals);
    let going = if wave.ongoing { " so far" } else { "" };
    let more = if who.more_sources { " or more" } else { "" };
    let would = if wave.observed {
        "would have had"
    } else {
        "had"
    };
    let mode = match wave.observed {
        true => "observe: nobody was refused, the numbers count SYNs that would have been",
        false => "on",
    };
    let [best, middle, worst] = limits(wave.slots);
    let [of_best, of_middle, of_worst] = totals.refused;
    let mut figures = vec![
        ("wave", number.to_string()),
        (
            "start",
            local_time(UnixSeconds::new(wave.start_unix_s), zone),
        ),
        ("length", format!("{}{going}", length(wave.length_s))),
        ("mode", mode.into()),
        (
            "connections",
            format!(
                "at most {} at a time; at most {} of them waited to be accepted",
                wave.peak_open, wave.peak_waiting
            ),
        ),
        (
            "slots",
            format!(
                "{}; class 2 waits from {worst} connections on, class 1 from {middle}, class 0 from {best}",
                wave.slots
            ),
        ),
        (
            "sources",
            format!(
                "{}{more}: {} listed, {} with mail accepted",
                who.sources, who.listed, who.accepted
            ),
        ),
        (
            "delayed",
            format!(
                "{} sources {would} to wait: {} turned out to be listed, {} had mail accepted",
                who.delayed, who.delayed_listed, who.delayed_accepted
            ),
        ),
        (
            "refused",
            format!(
                "{} SYNs: {of_best} of class 0, {of_middle} of class 1, {of_worst} of class 2",
                totals.all_refused(),
            ),
        ),
        (
            "passed",
            format!(
                "{} SYNs: {} of known or allowlisted senders, {} of strangers that had waited longest",
                totals.admitted, totals.known_or_allowed, totals.starvation_admits
            ),
        ),
        (
            "repeated",
            format!(
                "{} SYNs, refused or of strangers that had waited longest, were not their source's first",
                wave.repeats
            ),
        ),
        (
            "answered",
            format!("{} SYNs went to the responder", totals.answered),
        ),
        (
            "blocked",
            format!(
                "{} blocks by log lines; {} packets of all blocked sources dropped, {} of their connections ended",
                totals.blocked, totals.dropped, totals.released
            ),
        ),
    ];
    figures.extend(waits(wave));
    figures
}

/// The longest waits of wanted mail and of listed senders; empty for a wave in observe
/// mode, because nobody waited.
fn waits(wave: &Wave) -> Vec<(&'static str, String)> {
    if wave.observed {
        return Vec::new();
    }
    let mut lines = Vec::new();
    let most = [
        ("wanted mail", wave.longest_wait_s),
        ("listed senders", wave.longest_listed_wait_s),
    ];
    let part = |(whose, wait): (&str, Option<f64>)| {
        wait.map(|wait| format!("{whose} at most {}", length(wait)))
    };
    let parts: Vec<String> = most.into_iter().filter_map(part).collect();
    if !parts.is_empty() {
        lines.push(("waits", parts.join(", ")));
    }
    let mut waits = wave.waits.clone();
    waits.sort_by(|a, b| b.wait_s.total_cmp(&a.wait_s));
    let longest = waits.iter().take(WAITS);
    let longest: Vec<_> = longest
        .map(|wait| length(wait.wait_s).to_string())
        .collect();
    if longest.len() > 1 {
        lines.push((
            "",
            format!("the longest of wanted mail: {}", longest.join(", ")),
        ));
    }
    lines
}

/// The course of a wave in at most `LINES` rows. Each row covers the same span of
/// time; spans without data are left out.
fn course(wave: &Wave, points: &[Point], zone: &TimeZone) -> Vec<CourseRow> {
    let CourseColumns {
        every_s: least,
        point_s,
        ..
    } = CourseColumns::at_most(wave, points, LINES);
    let enough = || CLOCK.into_iter().filter(|step| *step >= least);
    let every_s = enough()
        .find(|step| step.is_multiple_of(point_s))
        .or_else(|| enough().next());
    let columns = CourseColumns::new(wave, points, every_s.unwrap_or(least));
    let end = wave.start_unix_s.saturating_add(columns.span_s() - 1);
    let has_seconds = [wave.start_unix_s, columns.every_s]
        .iter()
        .any(|s| s % 60 != 0);
    let format = local::format_within(wave.start_unix_s, end, has_seconds, zone);
    let row = |(index, point): (usize, Option<Point>)| {
        let after = columns.every_s.saturating_mul(index as u64);
        let at = wave.start_unix_s.saturating_add(after);
        Some(CourseRow {
            time: local::format(at, zone, &format),
            point: point?,
        })
    };
    columns
        .all
        .iter()
        .copied()
        .enumerate()
        .filter_map(row)
        .collect()
}

#[cfg(test)]
mod tests;
