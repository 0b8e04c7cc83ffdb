//! Postfix's settings: `main.cf` and `master.cf`, or what postconf(1) prints of
//! them (postconf(5), master(5), access(5)).

mod access;
mod master;
mod parameters;
mod postscreen;
mod restrictions;
mod settings;

pub use parameters::NAMES;
pub use settings::{PostfixTexts, read};

/// The logical lines of a file: a line that begins with a blank continues the
/// one before. Comments and empty lines are left out.
fn logical_lines(text: &str) -> Vec<String> {
    let lines = numbered_lines(text).into_iter();
    lines.map(|(_, line)| line).collect()
}

/// The logical lines with the numbers of the lines on which they begin.
fn numbered_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, last)) if line.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(content);
            }
            _ => lines.push((number, content.to_owned())),
        }
    }
    lines
}

/// Splits at blanks and commas, but not within braces. The outer braces of a
/// word are removed.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut depth) = (String::new(), 0_usize);
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (c.is_ascii_whitespace() || c == ',') {
            words.push(std::mem::take(&mut word));
        } else {
            word.push(c);
        }
    }
    words.push(word);
    let inner = |word: String| match word.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
        Some(inner) => inner.trim().to_owned(),
        None => word,
    };
    let words = words.into_iter().filter(|word| !word.is_empty());
    words.map(inner).collect()
}

#[cfg(test)]
mod tests;
