//! Breaks and cuts texts to the width of the screen. A character takes one cell:
//! texts from elsewhere are escaped to ASCII.

use super::look::TerminalLook;

/// Breaks a text into rows at blanks. A word that is longer than a row is split.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut rest: Vec<char> = text.chars().collect();
    let mut rows = Vec::new();
    while rest.len() > width {
        // Blanks at the beginning are an indentation, and no place for a break.
        let start = rest.iter().position(|char| *char != ' ').unwrap_or(0);
        let blank = rest.iter().take(width + 1).rposition(|char| *char == ' ');
        let end = blank.filter(|blank| *blank > start).unwrap_or(width);
        let next = rest.split_off(end);
        rows.push(String::from_iter(&rest).trim_end().to_owned());
        rest = next.into_iter().skip_while(|char| *char == ' ').collect();
    }
    if !rest.is_empty() || rows.is_empty() {
        rows.push(String::from_iter(rest));
    }
    rows
}

/// As [`wrap`], in at most this number of rows; a text that is cut ends with dots.
pub(super) fn wrap_within(
    text: &str,
    width: usize,
    most: usize,
    look: TerminalLook,
) -> Vec<String> {
    let mut rows = wrap(text, width);
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
    fn rows_break_at_blanks_and_nothing_is_lost() {
        assert_eq!(wrap("one two three", 13), ["one two three"]);
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a longerword", 5), ["a", "longe", "rword"]);
        assert_eq!(wrap("  indented text", 10), ["  indented", "text"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("ab", 0), ["a", "b"]);
    }

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
