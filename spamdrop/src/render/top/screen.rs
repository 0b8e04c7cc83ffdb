//! Draws the snapshot on a terminal.

use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style as CellStyle};
use ratatui::symbols::bar;
use ratatui::widgets::{RenderDirection, Sparkline, Widget as _};
use spamdrop_core::duration::human;
use spamdrop_core::health::Health;
use spamdrop_core::target::Target;
use spamdrop_core::time::UnixSeconds;
use spamdrop_core::top::{TopMode, TopView};

use super::columns::SourceColumns;
use super::cut::{fit, wrap_within};
use super::look::TerminalLook;
use super::popup;
use super::{TopFigure, TopSnapshot};
use crate::render::history::HistoryRow;
use crate::render::show::local_time;

/// The bars of a sparkline in ASCII.
const ASCII: bar::Set<'_> = bar::Set {
    full: "#",
    seven_eighths: "#",
    three_quarters: "+",
    five_eighths: "+",
    half: "-",
    three_eighths: "-",
    one_quarter: ".",
    one_eighth: ".",
    empty: " ",
};

/// The width of the names of the figures, and of their values.
const NAME: u16 = 8;
const NOW: u16 = 12;
/// Maximum number of rows of the health line.
const HEALTH: usize = 4;
/// Events may take this many rows even if it is more than a third of the free ones.
const EVENTS: u16 = 4;

/// Shown when no source matches the filter.
const NO_MATCH: &str =
    "none of the top entries matches; `spamdrop list PREFIX` searches all entries";

const BOLD: CellStyle = CellStyle::new().add_modifier(Modifier::BOLD);
const REVERSED: CellStyle = CellStyle::new().add_modifier(Modifier::REVERSED);

/// The failure of the last attempt to take a snapshot, so that an old one is drawn.
#[derive(Clone, Copy, Debug)]
pub struct ReadFailure<'a> {
    /// The error.
    pub error: &'a str,
    /// The age of the snapshot that is drawn.
    pub age: Duration,
}

/// Draws the snapshot. `row` is the index of the selected source among those that the
/// filter shows. `failure`: the snapshot is old.
pub fn draw(
    frame: &mut Frame<'_>,
    snapshot: &TopSnapshot,
    failure: Option<ReadFailure<'_>>,
    view: &TopView,
    row: Option<usize>,
    look: TerminalLook,
    zone: &TimeZone,
) {
    let area = frame.area();
    let screen = frame.buffer_mut();
    let mut rest = Rows::new(area);
    draw_health(screen, &mut rest, snapshot, failure, look);
    for figure in snapshot.list_figures() {
        draw_figure(screen, rest.take(1), &figure, look);
    }
    write_named(screen, &mut rest, "gate", &snapshot.describe_gate(), look);
    write_named(
        screen,
        &mut rest,
        "wave",
        &snapshot.describe_wave(zone),
        look,
    );
    for part in snapshot.unknown.iter().take(2) {
        write_named(screen, &mut rest, "unknown", part, look);
    }
    let footer = rest.take_last(1);
    let wanted = u16::try_from(snapshot.events.len()).unwrap_or(u16::MAX);
    let most = EVENTS.max(rest.0.height / 3);
    let events = rest.take_last(wanted.clamp(1, most) + 1);
    draw_sources(screen, rest.0, snapshot, view, row, look);
    draw_events(screen, events, snapshot, zone, look);
    draw_footer(screen, footer, view, look);
    popup::draw(screen, area, view, look);
}

/// Writes the health line. If the snapshot is old, the error comes first, and the
/// health line has no colour.
fn draw_health(
    screen: &mut Buffer,
    rows: &mut Rows,
    snapshot: &TopSnapshot,
    failure: Option<ReadFailure<'_>>,
    look: TerminalLook,
) {
    let bold = |colour| look.colour(colour).add_modifier(Modifier::BOLD);
    let report = &snapshot.status.report;
    if let Some(ReadFailure { error, age }) = failure {
        let text = format!("CANNOT READ: {error}; the figures are {} old", human(age));
        write_wrapped(screen, rows, &text, bold(Color::Red), HEALTH, look);
        let before = format!("before: {report}");
        return write_wrapped(screen, rows, &before, CellStyle::new(), 2, look);
    }
    let colour = match report.health {
        Health::Protected => Color::Green,
        Health::Degraded => Color::Yellow,
        Health::Unprotected => Color::Red,
    };
    write_wrapped(
        screen,
        rows,
        &report.to_string(),
        bold(colour),
        HEALTH,
        look,
    );
}

/// The rows of the screen that are still free.
struct Rows(Rect);

impl Rows {
    fn new(area: Rect) -> Self {
        Self(area)
    }

    fn take(&mut self, height: u16) -> Rect {
        let height = height.min(self.0.height);
        let taken = Rect { height, ..self.0 };
        self.0.y += height;
        self.0.height -= height;
        taken
    }

    fn take_last(&mut self, height: u16) -> Rect {
        let height = height.min(self.0.height);
        self.0.height -= height;
        Rect {
            y: self.0.y + self.0.height,
            height,
            ..self.0
        }
    }
}

/// Writes a text into one row.
fn write(screen: &mut Buffer, area: Rect, text: &str, style: CellStyle, look: TerminalLook) {
    if area.height > 0 {
        let text = fit(text, area.width.into(), look);
        screen.set_stringn(area.x, area.y, text, area.width.into(), style);
    }
}

fn right_of(area: Rect, width: u16) -> Rect {
    let width = width.min(area.width);
    Rect {
        x: area.x + width,
        width: area.width - width,
        ..area
    }
}

/// Writes a text into as many rows as it takes, up to a number.
fn write_wrapped(
    screen: &mut Buffer,
    rows: &mut Rows,
    text: &str,
    style: CellStyle,
    most: usize,
    look: TerminalLook,
) {
    for row in wrap_within(text, rows.0.width.into(), most, look) {
        write(screen, rows.take(1), &row, style, look);
    }
}

/// Writes a value in up to two rows, after its name.
fn write_named(screen: &mut Buffer, rows: &mut Rows, name: &str, value: &str, look: TerminalLook) {
    let mut column = Rows(right_of(rows.0, NAME));
    let before = column.0.height;
    write_wrapped(screen, &mut column, value, CellStyle::new(), 2, look);
    let area = rows.take(before - column.0.height);
    write(screen, area, name, CellStyle::new(), look);
}

fn draw_figure(screen: &mut Buffer, area: Rect, figure: &TopFigure<'_>, look: TerminalLook) {
    write(screen, area, figure.name, CellStyle::new(), look);
    write(screen, right_of(area, NAME), &figure.now, BOLD, look);
    let place = right_of(area, NAME + NOW);
    let course = Sparkline::default()
        .absent_value_symbol(" ")
        .data(figure.points.iter().rev().copied())
        .direction(RenderDirection::RightToLeft)
        .bar_set(if look.is_utf8 {
            bar::NINE_LEVELS
        } else {
            ASCII
        })
        .style(look.colour(Color::Cyan));
    let width = u16::try_from(spamdrop_core::top::SECONDS).unwrap_or(u16::MAX);
    let place = Rect {
        width: place.width.min(width),
        ..place
    };
    match figure.full {
        0 => course.render(place, screen),
        full => course.max(full).render(place, screen),
    }
}

fn draw_sources(
    screen: &mut Buffer,
    area: Rect,
    snapshot: &TopSnapshot,
    view: &TopView,
    selected: Option<usize>,
    look: TerminalLook,
) {
    let mut rows = Rows(area);
    rows.take(1);
    let title = snapshot.describe_sources(&view.filter);
    let title = format!("{title}, by {}", view.order.name());
    write(screen, rows.take(1), &title, BOLD, look);
    let addresses = snapshot.sources.iter().map(|row| length(row.entry.target));
    let columns = SourceColumns::new(area.width, addresses.max().unwrap_or(0), look);
    write(
        screen,
        rows.take(1),
        &columns.format_heading(),
        REVERSED,
        look,
    );
    let height = usize::from(rows.0.height);
    // The selected row stays in sight.
    let above = selected.map_or(0, |row| (row + 1).saturating_sub(height));
    if !view.filter.is_empty() && snapshot.shown(&view.filter).next().is_none() {
        write(screen, rows.take(1), NO_MATCH, CellStyle::new(), look);
    }
    let shown = snapshot.shown(&view.filter).enumerate();
    for (index, row) in shown.skip(above).take(height) {
        let style = match selected == Some(index) {
            true => REVERSED,
            false => CellStyle::new(),
        };
        write(screen, rows.take(1), &columns.format_row(row), style, look);
    }
}

fn length(target: Target) -> usize {
    target.to_string().len()
}

fn draw_events(
    screen: &mut Buffer,
    area: Rect,
    snapshot: &TopSnapshot,
    zone: &TimeZone,
    look: TerminalLook,
) {
    let mut rows = Rows(area);
    write(screen, rows.take(1), "recent events", BOLD, look);
    let plain = CellStyle::new();
    if snapshot.events.is_empty() {
        write(
            screen,
            rows.take(1),
            snapshot.describe_absence(),
            plain,
            look,
        );
    }
    for event in snapshot.events.iter().take(rows.0.height.into()) {
        let line = format_event(event, zone);
        write(screen, rows.take(1), &line, plain, look);
    }
}

fn format_event(event: &HistoryRow, zone: &TimeZone) -> String {
    let time = local_time(UnixSeconds::new(event.last_unix_s), zone);
    // The first 19 characters: without the offset from UTC.
    let time = time.get(..19).unwrap_or(&time);
    let addr = event.addr.map(|addr| addr.to_string()).unwrap_or_default();
    let by = match event.by.as_str() {
        "" => String::new(),
        by => format!("by {by}: "),
    };
    let count = match event.count {
        1 => String::new(),
        count => format!("{count} times "),
    };
    format!(
        "{time}  {:<8}  {addr:<15}  {count}{by}{}",
        event.event, event.text
    )
}

fn draw_footer(screen: &mut Buffer, area: Rect, view: &TopView, look: TerminalLook) {
    if let TopMode::Filter(text) = &view.mode {
        let text = format!("filter: {text}_   (Enter keeps it, Esc clears it)");
        return write(screen, area, &text, BOLD, look);
    }
    let state = match (view.is_paused, view.filter.is_empty()) {
        (true, _) => "PAUSED, p goes on  ".to_owned(),
        (false, true) => String::new(),
        (false, false) => format!("FILTER {}  ", view.filter.as_str()),
    };
    let keys = "q quit  s sort  / filter  p pause  Enter show  r remove  a allow  ? help";
    let text = format!("{state}{keys}");
    write(screen, area, &text, CellStyle::new(), look);
}
