//! The windows above the snapshot: help, questions, details.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style as CellStyle;
use ratatui::symbols::border;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Widget as _};
use spamdrop_core::top::{TopMode, TopView};

use super::cut::fit;
use super::look::TerminalLook;
use crate::render::wrap::wrap;

/// The border of a window in ASCII.
const ASCII: border::Set<'_> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

const HELP: &str = "\
Up, Down, j, k    select a source     PageUp, PageDown, Home, End  go far
Enter             show it             Esc  select none; again: no filter
s                 sort by hits/s, hits or expiry
/                 show only sources in a prefix, or that begin with a text
p                 freeze the snapshot, or go on
r                 remove: unblock the selected source (asks first)
a                 allow: unblock it, and never block it again (asks first)
q, Ctrl-C         quit                Ctrl-L  draw the screen anew
                  Ctrl-Z does nothing: quit, or use another terminal

slots    connections that the server holds, of those that it can serve
refused  SYNs that the gate refused (observe: would have), per second
dropped  packets of blocked senders, per second, in the last minute

To read a million entries takes long. So all entries are read only as
often as 0.4 % of a processor allows, but the top ones every second. A
sort order and a filter choose among the top ones. A filter that is a
whole address, or the prefix of an entry, is looked up among all entries
at once.";

/// Draws the window of the mode, if it has one.
pub(super) fn draw(screen: &mut Buffer, area: Rect, view: &TopView, look: TerminalLook) {
    match &view.mode {
        TopMode::List | TopMode::Filter(_) => {}
        TopMode::Help => draw_window(screen, area, "help", &lines(HELP), 0, look),
        TopMode::Confirm(action) => {
            let text = format!("spamdrop {}", action.words().join(" "));
            let question = "Do it? y: yes, any other key: no";
            draw_window(
                screen,
                area,
                "confirm",
                &lines(&format!("{text}\n{question}")),
                0,
                look,
            );
        }
        TopMode::Text(title, text, above) => draw_window(screen, area, title, text, *above, look),
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The number of rows of the text that its window has no room for; 0 without a text.
#[must_use]
pub fn hidden_rows(area: Rect, view: &TopView) -> usize {
    match &view.mode {
        TopMode::Text(title, text, _) => {
            let (rows, place) = lay_out(area, title, text);
            rows.len().saturating_sub(room(place))
        }
        _ => 0,
    }
}

/// Wraps a text into the rows of its window, and returns them with the window's place.
fn lay_out(area: Rect, title: &str, text: &[String]) -> (Vec<String>, Rect) {
    let lines = text.iter().map(String::as_str).chain([title]);
    let longest = lines.map(|line| line.chars().count()).max().unwrap_or(0);
    let width = u16::try_from(longest + 4).unwrap_or(u16::MAX);
    let width = width.min(area.width);
    let inside = usize::from(width.saturating_sub(4));
    let rows: Vec<String> = text.iter().flat_map(|line| wrap(line, inside, 0)).collect();
    let height = u16::try_from(rows.len() + 2).unwrap_or(u16::MAX);
    let height = height.min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    (rows, place)
}

/// The number of rows inside the border of a window.
fn room(place: Rect) -> usize {
    place.height.saturating_sub(2).into()
}

fn draw_window(
    screen: &mut Buffer,
    area: Rect,
    title: &str,
    text: &[String],
    above: usize,
    look: TerminalLook,
) {
    let (rows, place) = lay_out(area, title, text);
    Clear.render(place, screen);
    let title = fit(title, place.width.saturating_sub(4).into(), look);
    let mut block = Block::bordered()
        .title(format!(" {title} "))
        .border_set(if look.is_utf8 { border::PLAIN } else { ASCII });
    let shown = room(place);
    if rows.len() > shown {
        let last = rows.len().min(above + shown);
        let scrolled = format!(" rows {} to {last} of {}, j, k ", above + 1, rows.len());
        block = block.title_bottom(Line::from(scrolled));
    }
    let inner = block.inner(place);
    block.render(place, screen);
    let width = inner.width.saturating_sub(2).into();
    for (row, y) in rows.iter().skip(above).zip(inner.y..inner.bottom()) {
        screen.set_stringn(inner.x + 1, y, row, width, CellStyle::new());
    }
}
