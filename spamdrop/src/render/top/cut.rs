//! Cuts texts to the width of the screen. Each character takes one cell, because
//! texts from outside the program are escaped to ASCII.

use super::look::TerminalLook;
use crate::render::wrap::wrap;

/// As [`wrap`], in at most this number of rows; a text that is cut ends with dots.
pub(super) fn wrap_within(
    text: &str,
    width: usize,
    most: usize,
    look: TerminalLook,
) -> Vec<String> {
    let mut rows = wrap(text, width, 0);
    if rows.len() > most {
        rows.truncate(most);
        if let Some(last) = rows.last_mut() {
            last.push_str(dots(look));
            *last = match last.chars().count() > width {
                true => mark_cut(last, width, look),
                false => last.clone(),
            };
        }
    }
    rows
}

/// Cuts a text to a width; a text that is cut ends with dots.
pub(super) fn fit(text: &str, width: usize, look: TerminalLook) -> String {
    match text.chars().count() > width {
        true => mark_cut(text, width, look),
        false => text.to_owned(),
    }
}

fn mark_cut(text: &str, width: usize, look: TerminalLook) -> String {
    let dots = dots(look);
    let kept = width.saturating_sub(dots.chars().count());
    let text = text.chars().take(kept).chain(dots.chars());
    text.take(width).collect()
}

fn dots(look: TerminalLook) -> &'static str {
    match look.is_utf8 {
        true => "…",
        false => "...",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::table::Style;

    const UTF8: TerminalLook = TerminalLook {
        style: Style::Plain,
        is_utf8: true,
    };
    const ASCII: TerminalLook = TerminalLook {
        is_utf8: false,
        ..UTF8
    };

    #[test]
    fn a_cut_text_says_so() {
        assert_eq!(fit("one two", 7, UTF8), "one two");
        assert_eq!(fit("one two three", 7, UTF8), "one tw…");
        assert_eq!(fit("one two three", 7, ASCII), "one ...");
        assert_eq!(fit("one two", 2, ASCII), "..");
        assert_eq!(
            wrap_within("one two three", 7, 2, UTF8),
            ["one two", "three"]
        );
        assert_eq!(wrap_within("one two three", 7, 1, UTF8), ["one tw…"]);
        assert_eq!(wrap_within("one two three", 9, 1, UTF8), ["one two…"]);
    }
}
