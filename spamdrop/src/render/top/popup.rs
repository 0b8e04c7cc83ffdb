//! The windows above the picture: help, questions, details.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style as CellStyle;
use ratatui::symbols::border;
use ratatui::widgets::{Block, Clear, Paragraph, Widget as _, Wrap};
use spamdrop_core::top::{TopMode, TopView};

use super::look::TerminalLook;

/// The lines of a window in ASCII.
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
/                 show only an address, a prefix, or what begins so
p                 freeze the picture, or go on
r                 remove: unblock the selected source (asks first)
a                 allow: unblock it, and never block it again (asks first)
q, Ctrl-C         quit

slots    connections that the server holds, of those that it can serve
refused  SYNs that the gate refused, per second, in the last minute
dropped  packets of blocked senders, per second, in the last minute

A million entries take long to read. So all are read within 0.4 % of a
processor, and in between the top ones every second.";

/// Draws the window of the mode, if it has one.
pub(super) fn draw(screen: &mut Buffer, area: Rect, view: &TopView, look: TerminalLook) {
    match &view.mode {
        TopMode::List | TopMode::Filter(_) => {}
        TopMode::Help => window(screen, area, "help", &lines(HELP), 0, look),
        TopMode::Confirm(action) => {
            let text = format!("spamdrop {}", action.words().join(" "));
            let question = "Do it? y: yes, any other key: no";
            window(
                screen,
                area,
                "confirm",
                &lines(&format!("{text}\n{question}")),
                0,
                look,
            );
        }
        TopMode::Text(title, text, above) => window(screen, area, title, text, *above, look),
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn window(
    screen: &mut Buffer,
    area: Rect,
    title: &str,
    text: &[String],
    above: usize,
    look: TerminalLook,
) {
    let longest = text
        .iter()
        .map(String::len)
        .max()
        .unwrap_or(0)
        .max(title.len());
    let width = u16::try_from(longest + 4)
        .unwrap_or(u16::MAX)
        .min(area.width);
    // Long lines are wrapped.
    let inside = usize::from(width.saturating_sub(4)).max(1);
    let rows: usize = text
        .iter()
        .map(|line| line.len().div_ceil(inside).max(1))
        .sum();
    let height = u16::try_from(rows + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    Clear.render(place, screen);
    let block = Block::bordered()
        .title(format!(" {title} "))
        .border_set(if look.is_utf8 { border::PLAIN } else { ASCII });
    let inner = block.inner(place);
    block.render(place, screen);
    let inner = Rect {
        x: inner.x + 1,
        width: inner.width.saturating_sub(2),
        ..inner
    };
    let shown: Vec<&str> = text.iter().skip(above).map(String::as_str).collect();
    Paragraph::new(shown.join("\n"))
        .style(CellStyle::new())
        .wrap(Wrap { trim: false })
        .render(inner, screen);
}
