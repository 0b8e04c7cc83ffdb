//! The table of reply patterns: `reply_patterns.txt` beside this file.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::grammar::expression;

const TABLE: &str = include_str!("reply_patterns.txt");

/// All patterns, compiled. All but `hint` match text in lower case.
pub(super) static REPLY_PATTERNS: LazyLock<ReplyPatterns> =
    LazyLock::new(|| ReplyPatterns::from_lines(lines()));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplyPatternKind {
    Label,
    List,
    Some,
    Not,
    Other,
    Peer,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyPattern {
    kind: ReplyPatternKind,
    pattern: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "for the test of each line"))]
    example: &'static str,
}

/// The patterns of each kind.
#[derive(Debug)]
pub(super) struct ReplyPatterns {
    /// Names a DNS blocklist.
    pub(super) list: Regex,
    /// Mentions some list, which may list something other than hosts.
    pub(super) some: Regex,
    /// The web page of a list.
    pub(super) page: Regex,
    /// Mentions an allow-list, a delay, or that something is not listed.
    pub(super) not: Regex,
    /// Mentions something other than the peer that a list can hold, such as a sender.
    pub(super) other: Regex,
    /// Means the peer, although it has a word of [`Self::other`].
    pub(super) peer: Regex,
    /// A prefilter: it matches every text that could name a list, and others.
    pub(super) hint: Regex,
}

impl ReplyPatterns {
    pub(super) fn from_lines(lines: impl Iterator<Item = ReplyPattern>) -> Self {
        let lines: Vec<_> = lines.collect();
        let any = |kind| {
            let of_kind = lines.iter().filter(|line| line.kind == kind);
            let patterns: Vec<_> = of_kind.map(|line| line.pattern).collect();
            if patterns.is_empty() {
                // Never matches: there is no boundary inside a word.
                return r"x\bx".to_owned();
            }
            patterns.join("|")
        };
        let label = format!(r"\b(?:{})\b", any(ReplyPatternKind::Label));
        let compile = |kind| {
            let pattern = any(kind)
                .replace("LABEL", &format!("[a-z0-9.-]*{label}"))
                .replace("ZONE", r"(?:https?://)?[a-z0-9-]+\.[a-z0-9.-]*[a-z]")
                .replace("ADDR", r"[(\[]?(?:ipv6:)?[0-9a-f:.]*[0-9]");
            expression(&pattern)
        };
        Self {
            list: compile(ReplyPatternKind::List),
            some: compile(ReplyPatternKind::Some),
            page: expression(&format!(r"\bhttps?://[^ ]*{label}[^ ]*")),
            not: compile(ReplyPatternKind::Not),
            other: compile(ReplyPatternKind::Other),
            peer: compile(ReplyPatternKind::Peer),
            hint: expression(&format!(
                r"(?i){label}|\bdns-?bl|\b(?:black|block|deny)[ -]?list|\bblackhole|listet\b|\blisted\b|\bblocked\b|\b(?:sperrliste|liste noire|lista negra)\b|\bhttps?://[^ ]*[0-9]+\.[0-9]+\.[0-9]+\.[0-9]"
            )),
        }
    }
}

/// The lines of the table. An invalid line is left out; a test makes sure that
/// there is none.
pub(super) fn lines() -> impl Iterator<Item = ReplyPattern> {
    let lines = TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| {
        let mut parts = line.split(" ;; ");
        Some(ReplyPattern {
            kind: kind(parts.next()?)?,
            pattern: parts.next()?,
            example: parts.next()?,
        })
    })
}

fn kind(name: &str) -> Option<ReplyPatternKind> {
    Some(match name {
        "label" => ReplyPatternKind::Label,
        "list" => ReplyPatternKind::List,
        "some" => ReplyPatternKind::Some,
        "not" => ReplyPatternKind::Not,
        "other" => ReplyPatternKind::Other,
        "peer" => ReplyPatternKind::Peer,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::log::listing_text::says_listed_by;

    fn is_taken(patterns: &ReplyPatterns, text: &str) -> bool {
        let addr = IpAddr::from([192, 0, 2, 1]);
        says_listed_by(patterns, text.as_bytes(), addr, b"", b"").is_ok()
    }

    #[test]
    fn each_line_decides_about_its_example() {
        let mut wrong = Vec::new();
        for (index, line) in lines().enumerate() {
            let all_others = lines().enumerate().filter(|(other, _)| *other != index);
            let without = ReplyPatterns::from_lines(all_others.map(|(_, line)| line));
            let is_for = !matches!(line.kind, ReplyPatternKind::Not | ReplyPatternKind::Other);
            if is_taken(&REPLY_PATTERNS, line.example) != is_for {
                wrong.push(format!("with {line:?}"));
            }
            if is_taken(&without, line.example) == is_for {
                wrong.push(format!("without {line:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn each_line_has_four_parts() {
        let text = TABLE
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in text.clone() {
            assert_eq!(line.split(" ;; ").count(), 4, "{line}");
        }
        assert_eq!(text.count(), lines().count());
    }
}
