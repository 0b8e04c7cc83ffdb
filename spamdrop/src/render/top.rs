//! `top`: the picture of one second, as text and JSON.

pub mod look;
mod popup;
pub mod screen;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};
use spamdrop_core::duration::human;
use spamdrop_core::top::{SourceFilter, SourceKey, SourceOrder};

use super::entries::LiveEntry;
use super::history::{self, HistoryRow};
use super::status::Status;
use super::table::{self, Column, Style, left, right};
use super::{json, wave};

/// Everything that `top` shows at one second. `top --json` prints one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopPicture {
    /// As `status --json` prints it; `maps` is of the last read of all entries.
    pub status: Status,
    /// `entries_read_s_ago`: seconds since all entries were read; `null` without a
    /// filter.
    #[serde(
        rename = "entries_read_s_ago",
        serialize_with = "json::optional_seconds"
    )]
    pub entries_read: Option<Duration>,
    /// The gate.
    pub gate: TopGate,
    /// The connections, SYNs and packets of the last minute.
    pub figures: TopFigures,
    /// The blocked sources of the most hits per second, as in `list --json`; at most
    /// 100.
    pub sources: Vec<TopRow>,
    /// The newest events except refusals at the gate, the newest first, as in
    /// `history --json`.
    pub events: Vec<HistoryRow>,
    /// The parts that could not be read, and why.
    pub unknown: Vec<String>,
}

/// The gate and the slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TopGate {
    /// `"off"`, `"observe"` or `"on"`, as the filter has it: `"off"` without a daemon.
    pub mode: &'static str,
    /// Whether strangers have to wait, or would have to.
    pub waits: bool,
    /// The connections that the server holds; `null`: unknown, because the gate is
    /// off or no daemon counts them.
    pub open: Option<u32>,
    /// The connections that it can serve at once; 0: unknown.
    pub slots: u32,
}

/// The course of the last minute, a number for each second, the oldest first, and
/// the counters behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TopFigures {
    /// Connections that the server held.
    pub open: Vec<u64>,
    /// SYNs that the gate refused, or would have refused in observe mode.
    pub refused_per_s: Vec<u64>,
    /// Packets of blocked senders that were dropped.
    pub dropped_per_s: Vec<u64>,
    /// All SYNs that were refused since the filter was attached.
    pub refused: u64,
    /// All packets that were dropped because of a block.
    pub dropped: u64,
}

/// A blocked source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopRow {
    /// Its entry.
    #[serde(flatten)]
    pub entry: LiveEntry,
    /// Its hits per second in the last ten seconds.
    #[serde(serialize_with = "tenths")]
    pub hits_per_s: f64,
    /// The zone that its rejection names; `null`: unknown.
    pub zone: Option<String>,
    /// The log line, or the reason given by hand, as in `show --json`; empty:
    /// unknown.
    pub reason: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn tenths<S: Serializer>(rate: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((rate * 10.0).round() / 10.0)
}

/// A figure with its course.
pub struct TopFigure<'a> {
    /// Its name.
    pub name: &'static str,
    /// Its value now.
    pub now: String,
    /// Its points.
    pub points: &'a [u64],
    /// The value of a full bar; 0: the highest point.
    pub full: u64,
}

impl TopPicture {
    /// The sources that match a filter.
    pub fn shown<'a>(&'a self, filter: &'a SourceFilter) -> impl Iterator<Item = &'a TopRow> {
        let rows = self.sources.iter();
        rows.filter(|row| filter.matches(row.entry.target))
    }

    /// Sorts the sources.
    pub fn sort(&mut self, order: SourceOrder) {
        let key = |row: &TopRow| SourceKey {
            hits_per_s: row.hits_per_s,
            hits: row.entry.hits,
            expires: row.entry.expires_in,
            target: row.entry.target,
        };
        self.sources.sort_by(|a, b| order.compare(&key(a), &key(b)));
    }

    /// The figures with a course.
    #[must_use]
    pub fn figures(&self) -> [TopFigure<'_>; 3] {
        let TopFigures {
            open,
            refused_per_s,
            dropped_per_s,
            ..
        } = &self.figures;
        let rate = |points: &[u64]| points.last().map_or("-".into(), |now| format!("{now}/s"));
        let slots = self.gate.slots;
        let taken = match (self.gate.open, slots) {
            (Some(open), 0) => format!("{open} of ?"),
            (Some(open), slots) => format!("{open} of {slots}"),
            (None, 0) => "-".into(),
            (None, slots) => format!("- of {slots}"),
        };
        let figure = |name, now, points, full| TopFigure {
            name,
            now,
            points,
            full,
        };
        [
            figure("slots", taken, open.as_slice(), slots.into()),
            figure("refused", rate(refused_per_s), refused_per_s.as_slice(), 0),
            figure("dropped", rate(dropped_per_s), dropped_per_s.as_slice(), 0),
        ]
    }

    /// The state of the gate.
    #[must_use]
    pub fn gate(&self) -> String {
        let TopGate { mode, waits, .. } = self.gate;
        let state = match (mode, waits) {
            ("off", _) => "off".to_owned(),
            ("observe", true) => "observe: strangers would have to wait".to_owned(),
            (mode, true) => format!("{mode}: strangers have to wait"),
            (mode, false) => format!("{mode}: everybody passes"),
        };
        let refused = self.figures.refused;
        match mode {
            "off" if refused == 0 => state,
            "observe" => format!("{state}; {refused} SYNs would have been refused"),
            _ => format!("{state}; {refused} SYNs were refused"),
        }
    }

    /// The wave in one sentence.
    #[must_use]
    pub fn wave(&self, zone: &TimeZone) -> String {
        let wave = self.status.wave.as_ref();
        wave.map_or("none was recorded".into(), |wave| wave::line(wave, zone))
    }

    /// What the list of sources is of.
    #[must_use]
    pub fn title(&self) -> String {
        let Some((maps, ago)) = self.status.maps.zip(self.entries_read) else {
            return "no filter is attached, so nothing is blocked".into();
        };
        let all = maps.all();
        let entries = if all == 1 { "entry" } else { "entries" };
        match ago.as_secs() {
            0 => format!("top of {all} {entries}"),
            _ => format!("top of {all} {entries}, all read {} ago", human(ago)),
        }
    }
}

const COLUMNS: [Column<TopRow>; 8] = [
    left("ADDRESS", |row, text| write!(text, "{}", row.entry.target)),
    right("HITS/S", |row, text| write!(text, "{:.1}", row.hits_per_s)),
    right("HITS", |row, text| write!(text, "{}", row.entry.hits)),
    left("EXPIRES", |row, text| {
        write!(text, "{}", human(row.entry.expires_in))
    }),
    left("STATE", |row, text| text.write_str(row.entry.state())),
    left("BY", |row, text| text.write_str(row.entry.origin.name())),
    left("ZONE", |row, text| {
        text.write_str(row.zone.as_deref().unwrap_or("-"))
    }),
    left("REASON", |row, text| text.write_str(&row.reason)),
];

/// Writes the picture as text, with times in `zone`.
pub fn text(
    out: &mut impl Write,
    style: Style,
    picture: &TopPicture,
    zone: &TimeZone,
) -> io::Result<()> {
    writeln!(out, "{}", picture.status.report)?;
    for figure in picture.figures() {
        write_field(out, figure.name, &figure.now)?;
    }
    write_field(out, "gate", &picture.gate())?;
    write_field(out, "wave", &picture.wave(zone))?;
    for part in &picture.unknown {
        write_field(out, "unknown", part)?;
    }
    writeln!(out, "\n{}", picture.title())?;
    table::write(out, style, &COLUMNS, &picture.sources)?;
    writeln!(out, "\nrecent events")?;
    history::text(out, style, &picture.events, zone)
}

fn write_field(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "{name:<8} {value}")
}

/// The line of one second of `status --watch`, after its time.
#[must_use]
pub fn watch_line(picture: &TopPicture) -> String {
    let mut line = picture.status.report.to_string();
    let [slots, refused, dropped] = picture.figures();
    let (refused, dropped) = (refused.now, dropped.now);
    let _ = write!(
        line,
        "; slots {}, SYNs refused {refused}, packets dropped {dropped}",
        slots.now
    );
    line
}

#[cfg(test)]
mod tests;
