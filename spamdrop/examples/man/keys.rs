//! The commented configuration, in man's macros.
//!
//! `## Title` begins a section. Comment lines describe the keys that follow
//! them without a blank line; without such keys they are a paragraph. A line
//! with five blanks or more behind its `#` is an example, shown as it is. A key
//! is `key = value`, or `#key = value` where that is its default.

use std::iter::Peekable;

use anyhow::{Result, bail, ensure};
use clap_mangen::roff::{Inline, Roff, bold, roman};

/// The blanks behind `# ` that mark a line as an example.
const EXAMPLE: &str = "    ";

/// Every section of the configuration.
pub fn sections(configuration: &str) -> Result<String> {
    let mut roff = Roff::new();
    let mut lines = configuration.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() {
        } else if let Some(title) = line.strip_prefix("## ") {
            roff.control("SH", [title.to_uppercase().as_str()]);
        } else if let Some(comment) = prose(line) {
            let comment = block(comment, &mut lines, prose);
            let keys = block("", &mut lines, key);
            describe(&mut roff, &keys, &comment);
        } else {
            bail!("spamdrop.toml: no comment describes `{line}`");
        }
    }
    let text = roff.to_roff();
    ensure!(text.contains(".TP"), "spamdrop.toml has no key");
    Ok(text)
}

/// A line of a comment, without its `#`.
fn prose(line: &str) -> Option<&str> {
    match line.strip_prefix('#') {
        Some("") => Some(""),
        Some(rest) => rest.strip_prefix(' '),
        None => None,
    }
}

/// A key with its value.
fn key(line: &str) -> Option<&str> {
    let pair = line.strip_prefix('#').unwrap_or(line);
    let is_key = pair.starts_with(|first: char| first.is_ascii_lowercase());
    (is_key && pair.contains(" = ")).then_some(pair)
}

/// `first`, unless it is empty, and for each line behind it the text that `alike` returns,
/// up to the first line for which `alike` returns none.
fn block<'a>(
    first: &'a str,
    lines: &mut Peekable<std::str::Lines<'a>>,
    alike: fn(&str) -> Option<&str>,
) -> Vec<&'a str> {
    let mut block: Vec<&str> = Some(first)
        .filter(|line| !line.is_empty())
        .into_iter()
        .collect();
    while let Some(line) = lines.next_if(|line| alike(line).is_some()) {
        block.extend(alike(line));
    }
    block
}

fn describe(roff: &mut Roff, keys: &[&str], comment: &[&str]) {
    for (index, pair) in keys.iter().enumerate() {
        roff.control(if index == 0 { "TP" } else { "TQ" }, []);
        roff.text([bold(*pair)]);
    }
    if keys.is_empty() {
        roff.control("PP", []);
    }
    let mut lines = comment.iter().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            roff.control(if keys.is_empty() { "PP" } else { "IP" }, []);
        } else if let Some(first) = line.strip_prefix(EXAMPLE) {
            example(roff, first, &mut lines);
        } else {
            roff.text(marked(line));
        }
    }
}

fn example<'a>(
    roff: &mut Roff,
    first: &str,
    lines: &mut Peekable<impl Iterator<Item = &'a &'a str>>,
) {
    roff.control("RS", ["4"]);
    roff.control("EX", []);
    roff.text([roman(first)]);
    while let Some(line) = lines.next_if(|line| line.starts_with(EXAMPLE)) {
        roff.text([roman(line.strip_prefix(EXAMPLE).unwrap_or(line))]);
    }
    roff.control("EE", []);
    roff.control("RE", []);
}

/// Text between backquotes becomes bold.
fn marked(line: &str) -> Vec<Inline> {
    let parts = line.split('`').enumerate();
    let font = |(index, part): (usize, &str)| {
        if index % 2 == 1 {
            bold(part)
        } else {
            roman(part)
        }
    };
    parts.map(font).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn comments_describe_the_keys_behind_them() {
        let text = "\
# About.

## Watch

# How `long`,
# and why.
#
#     .example = 1
#a = \"1s\"
b = [2]
";
        assert_eq!(
            sections(text).unwrap(),
            "\
.PP
About.
.SH WATCH
.TP
\\fBa = \"1s\"\\fR
.TQ
\\fBb = [2]\\fR
How \\fBlong\\fR,
and why.
.IP
.RS 4
.EX
\\&.example = 1
.EE
.RE
"
        );
    }

    #[test]
    fn a_key_without_a_comment_is_an_error() {
        let error = sections("# About.\n\n#a = 1\n").unwrap_err();
        assert!(error.to_string().contains("`#a = 1`"), "{error}");
    }
}
