//! Text in lines of a limited width.

use std::io::{self, Write};

/// Divides a text at its spaces into lines of at most `width` characters. A word
/// that is longer than a line is divided as well. Every line but the first
/// begins with `indent` spaces.
#[must_use]
pub fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    let width = width.max(indent + 1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    let mut is_first = true;
    for word in text.split(' ') {
        let length = word.chars().count();
        if !is_first && used + 1 + length > width {
            lines.push(" ".repeat(indent));
            used = indent;
        } else if !is_first {
            push(&mut lines, " ");
            used += 1;
        }
        is_first = false;
        let mut rest = word;
        while used + rest.chars().count() > width {
            let at = rest
                .char_indices()
                .nth(width - used)
                .map_or(rest.len(), |(at, _)| at);
            let (head, tail) = rest.split_at(at);
            push(&mut lines, head);
            lines.push(" ".repeat(indent));
            (used, rest) = (indent, tail);
        }
        push(&mut lines, rest);
        used += rest.chars().count();
    }
    lines
}

fn push(lines: &mut [String], text: &str) {
    if let Some(line) = lines.last_mut() {
        line.push_str(text);
    }
}

/// Writes a text as [`wrap`] divides it.
pub fn write(out: &mut impl Write, text: &str, width: usize, indent: usize) -> io::Result<()> {
    let mut lines = wrap(text, width, indent).into_iter();
    lines.try_for_each(|line| writeln!(out, "{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_spaces() {
        assert_eq!(wrap("one two three", 80, 2), ["one two three"]);
        assert_eq!(wrap("one two three", 7, 2), ["one two", "  three"]);
        assert_eq!(
            wrap("one two three", 6, 2),
            ["one", "  two", "  thre", "  e"]
        );
        assert_eq!(wrap("one  two", 80, 0), ["one  two"]);
        assert_eq!(wrap("  one two", 6, 2), ["  one", "  two"]);
        assert_eq!(wrap("", 80, 2), [""]);
        assert_eq!(wrap("äöü äöü", 3, 0), ["äöü", "äöü"]);
        assert_eq!(wrap("abc", 0, 1), ["ab", " c"]);
    }

    #[test]
    fn no_line_is_wider() {
        let text = "refused 1412 SYNs of 900 sources: 700 turned out to be listed";
        for width in 3..70 {
            let lines = wrap(text, width, 2);
            assert!(lines.iter().all(|line| line.chars().count() <= width));
            let words = lines.concat().replace(' ', "");
            assert_eq!(words, text.replace(' ', ""));
        }
    }
}
