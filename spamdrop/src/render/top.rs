//! `top`: the snapshot of one second, as text and JSON.

mod columns;
mod cut;
pub mod look;
pub mod popup;
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
pub struct TopSnapshot {
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
    /// The blocked sources with the most hits per second, as in `list --json`; at most
    /// 100.
    pub sources: Vec<TopRow>,
    /// The newest events except refusals at the gate and ends of blocks, those that ended
    /// last first, as in `history --json`.
    pub events: Vec<HistoryRow>,
    /// Whether the events and the wave could be read.
    #[serde(skip)]
    pub is_database_read: bool,
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
    /// The connections that the server can serve at once; 0: unknown.
    pub slots: u32,
}

/// The last minute, a number for each second, the oldest first (`null`: not
/// measured); and the totals of two of these figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TopFigures {
    /// Connections that the server held.
    pub open: Vec<Option<u64>>,
    /// SYNs that the gate refused, or would have refused in observe mode.
    pub refused_per_s: Vec<Option<u64>>,
    /// Packets of blocked senders that were dropped.
    pub dropped_per_s: Vec<Option<u64>>,
    /// All SYNs that were refused, or would have been, since the filter was attached.
    pub refused: u64,
    /// All packets that were dropped because of a block: the sum of `open_dropped`,
    /// `sealed_dropped` and `cidr_dropped` in `stats`.
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

/// A figure of which `top` shows the value and draws the last minute.
pub struct TopFigure<'a> {
    /// Its name.
    pub name: &'static str,
    /// Its value now.
    pub now: String,
    /// Its course: a value for each second, the oldest first; `None`: not measured.
    pub points: &'a [Option<u64>],
    /// The value for which a bar has its full height; 0: the highest of `points`.
    pub full: u64,
}

impl TopSnapshot {
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

    /// The figures whose last minute is drawn: slots, refused and dropped.
    #[must_use]
    pub fn list_figures(&self) -> [TopFigure<'_>; 3] {
        let TopFigures {
            open,
            refused_per_s,
            dropped_per_s,
            ..
        } = &self.figures;
        let rate = |points: &[Option<u64>]| {
            let now = points.last().copied().flatten();
            now.map_or("-".into(), |now| format!("{now}/s"))
        };
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
    pub fn describe_gate(&self) -> String {
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
            // The filter counts refused SYNs and those only observed together, and the
            // mode may have changed meanwhile.
            _ => format!("{state}; {refused} SYNs were refused or would have been"),
        }
    }

    /// The current or the last wave, in one sentence.
    #[must_use]
    pub fn describe_wave(&self, zone: &TimeZone) -> String {
        match &self.status.wave {
            Some(wave) => wave::format_line(wave, zone),
            None => self.describe_absence().into(),
        }
    }

    /// The words that are shown if there is no wave, or if there are no events.
    fn describe_absence(&self) -> &'static str {
        match self.is_database_read {
            true => "none was recorded",
            false => "unknown: the database cannot be read",
        }
    }

    /// The title of the list of sources. It says how many entries there are, and whether the
    /// list shows the top ones or, of these, only the matches of `filter`.
    #[must_use]
    pub fn describe_sources(&self, filter: &SourceFilter) -> String {
        let Some((maps, ago)) = self.status.maps.zip(self.entries_read) else {
            return "no filter is attached, so nothing is blocked".into();
        };
        let all = maps.all();
        let entries = if all == 1 { "entry" } else { "entries" };
        let what = match filter.is_empty() {
            true => "top of",
            false => "matches among the top of",
        };
        match ago.as_secs() {
            0 => format!("{what} {all} {entries}"),
            _ => format!("{what} {all} {entries}, all read {} ago", human(ago)),
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
    left("BY", |row, text| write!(text, "{}", row.entry.owners)),
    left("ZONE", |row, text| {
        text.write_str(row.zone.as_deref().unwrap_or("-"))
    }),
    left("REASON", |row, text| text.write_str(&row.reason)),
];

/// Writes the snapshot as text, with times in `zone`.
pub fn write_text(
    out: &mut impl Write,
    style: Style,
    snapshot: &TopSnapshot,
    zone: &TimeZone,
) -> io::Result<()> {
    writeln!(out, "{}", snapshot.status.report)?;
    for figure in snapshot.list_figures() {
        write_field(out, figure.name, &figure.now)?;
    }
    write_field(out, "gate", &snapshot.describe_gate())?;
    write_field(out, "wave", &snapshot.describe_wave(zone))?;
    for part in &snapshot.unknown {
        write_field(out, "unknown", part)?;
    }
    writeln!(
        out,
        "\n{}",
        snapshot.describe_sources(&SourceFilter::default())
    )?;
    table::write(out, style, &COLUMNS, &snapshot.sources)?;
    writeln!(out, "\nrecent events")?;
    match snapshot.is_database_read {
        true => history::write_text(out, style, &snapshot.events, zone),
        false => writeln!(out, "{}", snapshot.describe_absence()),
    }
}

fn write_field(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "{name:<8} {value}")
}

/// The line that `status --watch` writes each second, without the time before it.
#[must_use]
pub fn watch_line(snapshot: &TopSnapshot) -> String {
    let mut line = snapshot.status.report.to_string();
    let [slots, refused, dropped] = snapshot.list_figures();
    let refused_as = match snapshot.gate.mode {
        "observe" => "SYNs that would be refused",
        _ => "SYNs refused",
    };
    let _ = write!(
        line,
        "; slots {}, {refused_as} {}, packets dropped {}",
        slots.now, refused.now, dropped.now
    );
    line
}

#[cfg(test)]
mod tests;
