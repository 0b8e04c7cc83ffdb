//! Draws the picture on a terminal.

use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style as CellStyle};
use ratatui::symbols::bar;
use ratatui::widgets::{Paragraph, RenderDirection, Sparkline, Widget as _, Wrap};
use spamdrop_core::duration::human;
use spamdrop_core::health::Health;
use spamdrop_core::target::Target;
use spamdrop_core::time::UnixSeconds;
use spamdrop_core::top::{TopMode, TopView};

use super::look::TerminalLook;
use super::popup;
use super::{TopFigure, TopPicture, TopRow};
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
/// The least rows of events.
const EVENTS: u16 = 4;
/// From this width on, a source's zone and its reason have columns of their own.
const WIDE: u16 = 110;

/// Shown when no source matches the filter.
const NO_MATCH: &str = "none of the top ones matches; only a whole address is looked up at once";

const BOLD: CellStyle = CellStyle::new().add_modifier(Modifier::BOLD);
const REVERSED: CellStyle = CellStyle::new().add_modifier(Modifier::REVERSED);

/// Draws the picture. `row` is that of the selected source.
pub fn draw(
    frame: &mut Frame<'_>,
    picture: &TopPicture,
    view: &TopView,
    row: Option<usize>,
    look: TerminalLook,
    zone: &TimeZone,
) {
    let area = frame.area();
    let screen = frame.buffer_mut();
    let mut rest = Rows::new(area);
    let report = picture.status.report.to_string();
    let health = look
        .colour(match picture.status.report.health {
            Health::Protected => Color::Green,
            Health::Degraded => Color::Yellow,
            Health::Unprotected => Color::Red,
        })
        .add_modifier(Modifier::BOLD);
    wrapped(screen, &mut rest, &report, health, 2);
    for figure in picture.figures() {
        draw_figure(screen, rest.take(1), &figure, look);
    }
    named(screen, &mut rest, "gate", &picture.gate(), 1);
    named(screen, &mut rest, "wave", &picture.wave(zone), 2);
    for part in picture.unknown.iter().take(1) {
        named(screen, &mut rest, "unknown", part, 1);
    }
    let footer = rest.take_last(1);
    let wanted = u16::try_from(picture.events.len()).unwrap_or(u16::MAX);
    let most = EVENTS.max(rest.0.height / 3);
    let events = rest.take_last(wanted.clamp(1, most) + 1);
    draw_sources(screen, rest.0, picture, view, row);
    draw_events(screen, events, &picture.events, zone);
    draw_footer(screen, footer, view);
    popup::draw(screen, area, view, look);
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

/// Writes a text into one row, cut at its end.
fn write(screen: &mut Buffer, area: Rect, text: &str, style: CellStyle) {
    if area.height > 0 {
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
fn wrapped(screen: &mut Buffer, rows: &mut Rows, text: &str, style: CellStyle, most: u16) {
    let paragraph = Paragraph::new(text).style(style).wrap(Wrap { trim: true });
    let lines = text.len().div_ceil(usize::from(rows.0.width).max(1));
    // A word that does not fit moves to the next line.
    let lines = u16::try_from(lines).unwrap_or(u16::MAX);
    let lines = if lines > 1 { most } else { 1 };
    paragraph.render(rows.take(lines), screen);
}

fn named(screen: &mut Buffer, rows: &mut Rows, name: &str, value: &str, most: u16) {
    let mut column = Rows(right_of(rows.0, NAME));
    let before = column.0.height;
    wrapped(screen, &mut column, value, CellStyle::new(), most);
    let area = rows.take(before - column.0.height);
    write(screen, area, name, CellStyle::new());
}

fn draw_figure(screen: &mut Buffer, area: Rect, figure: &TopFigure<'_>, look: TerminalLook) {
    write(screen, area, figure.name, CellStyle::new());
    write(screen, right_of(area, NAME), &figure.now, BOLD);
    let place = right_of(area, NAME + NOW);
    let course = Sparkline::default()
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
    picture: &TopPicture,
    view: &TopView,
    selected: Option<usize>,
) {
    let mut rows = Rows(area);
    rows.take(1);
    let title = format!("{}, by {}", picture.title(), view.order.name());
    write(screen, rows.take(1), &title, BOLD);
    let addresses = picture.sources.iter().map(|row| length(row.entry.target));
    let columns = Columns::new(area.width, addresses.max().unwrap_or(0));
    write(screen, rows.take(1), &columns.heading(), REVERSED);
    let height = usize::from(rows.0.height);
    // The selected row stays in sight.
    let above = selected.map_or(0, |row| (row + 1).saturating_sub(height));
    if !view.filter.is_empty() && picture.shown(&view.filter).next().is_none() {
        write(screen, rows.take(1), NO_MATCH, CellStyle::new());
    }
    let shown = picture.shown(&view.filter).enumerate();
    for (index, row) in shown.skip(above).take(height) {
        let style = match selected == Some(index) {
            true => REVERSED,
            false => CellStyle::new(),
        };
        write(screen, rows.take(1), &columns.format_row(row), style);
    }
}

fn length(target: Target) -> usize {
    target.to_string().len()
}

/// The widths of the columns of the sources.
struct Columns {
    address: usize,
    why: usize,
    is_wide: bool,
}

/// The columns between the address and the reason, with the blanks between them.
const BETWEEN: usize = "  HITS/S       HITS  EXPIRES   BY    ".len();
/// The width of a zone on a wide screen.
const ZONE: usize = 28;

impl Columns {
    fn new(width: u16, address: usize) -> Self {
        let is_wide = width >= WIDE;
        let width = usize::from(width);
        let address = address.clamp(15, (width / 3).max(15));
        let zone = if is_wide { ZONE + 2 } else { 0 };
        Self {
            address,
            why: width.saturating_sub(address + BETWEEN + zone),
            is_wide,
        }
    }

    fn heading(&self) -> String {
        let address = self.address;
        let mut line = format!(
            "{:<address$}  HITS/S       HITS  EXPIRES   BY    ",
            "ADDRESS"
        );
        match self.is_wide {
            true => line += &format!("{:<ZONE$}  {:<2$}", "ZONE", "REASON", self.why),
            false => line += &format!("{:<1$}", "ZONE OR REASON", self.why),
        }
        line
    }

    fn format_row(&self, row: &TopRow) -> String {
        let address = self.address;
        let target = row.entry.target.to_string();
        let mut line = format!(
            "{:<address$}  {:>6.1} {:>10}  {:<8}  {:<4}  ",
            cut(&target, address),
            row.hits_per_s,
            row.entry.hits,
            human(row.entry.expires_in).to_string(),
            row.entry.origin.name()
        );
        let zone = row.zone.as_deref();
        let why = match self.is_wide {
            true => {
                line += &format!("{:<ZONE$}  ", cut(zone.unwrap_or("-"), ZONE));
                end_of(&row.reason, self.why)
            }
            false => match zone {
                Some(zone) => cut(zone, self.why).to_owned(),
                None => end_of(&row.reason, self.why),
            },
        };
        line + &format!("{why:<0$}", self.why)
    }
}

fn cut(text: &str, width: usize) -> &str {
    text.get(..width).unwrap_or(text)
}

/// The end of a text: that of a log line tells why.
fn end_of(text: &str, width: usize) -> String {
    if text.len() <= width {
        return text.to_owned();
    }
    let start = text.len() - width.saturating_sub(2);
    format!("..{}", text.get(start..).unwrap_or_default())
}

fn draw_events(screen: &mut Buffer, area: Rect, events: &[HistoryRow], zone: &TimeZone) {
    let mut rows = Rows(area);
    write(screen, rows.take(1), "recent events", BOLD);
    if events.is_empty() {
        write(screen, rows.take(1), "none was recorded", CellStyle::new());
    }
    for event in events.iter().take(rows.0.height.into()) {
        write(
            screen,
            rows.take(1),
            &event_line(event, zone),
            CellStyle::new(),
        );
    }
}

fn event_line(event: &HistoryRow, zone: &TimeZone) -> String {
    let time = local_time(UnixSeconds::new(event.last_unix_s), zone);
    // Without the offset.
    let time = cut(&time, 19);
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

fn draw_footer(screen: &mut Buffer, area: Rect, view: &TopView) {
    if let TopMode::Filter(text) = &view.mode {
        let text = format!("filter: {text}_   (Enter keeps it, Esc clears it)");
        return write(screen, area, &text, BOLD);
    }
    let state = match (view.is_paused, view.filter.is_empty()) {
        (true, _) => "PAUSED, p goes on  ".to_owned(),
        (false, true) => String::new(),
        (false, false) => format!("FILTER {}  ", view.filter.text()),
    };
    let keys = "q quit  s sort  / filter  p pause  Enter show  r remove  a allow  ? help";
    write(screen, area, &format!("{state}{keys}"), CellStyle::new());
}
