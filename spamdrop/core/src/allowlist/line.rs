//! A line of the allowlist's file.
//!
//! The end of an entry is a word of its comment, `until=2026-12-07T12:00:00Z`, so an
//! older version reads it as a comment, and the entry as one without an end.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::escape::escape;
use crate::invalid::Invalid;
use crate::target::parse_net;
use crate::time::UnixSeconds;

/// The beginning of the word with the end.
const UNTIL: &str = "until=";
/// The longest comment that a command writes, in bytes.
const LONGEST_COMMENT: usize = 200;
/// How long the line of an entry stays in the file after its end. So a wall clock that
/// is ahead by less than this removes no line too soon.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// 2026-11-01. A wall clock that shows an earlier time has not been set yet.
const EARLIEST: UnixSeconds = UnixSeconds::new(1_793_491_200);

/// The end of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AllowEnd {
    /// The entry has no end.
    #[default]
    Never,
    /// The first second in which the entry is no longer allowed.
    At(UnixSeconds),
    /// The end cannot be read, so the entry is allowed without one.
    Unreadable,
}

impl AllowEnd {
    /// The time, if there is one.
    #[must_use]
    pub fn time(self) -> Option<UnixSeconds> {
        match self {
            Self::At(at) => Some(at),
            Self::Never | Self::Unreadable => None,
        }
    }
}

/// The end and the comment of new entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowTerm<'a> {
    /// The end; `None`: without one.
    pub until: Option<UnixSeconds>,
    /// The comment; `None`: an entry keeps the one that it has.
    pub comment: Option<&'a str>,
    /// Whether an entry that ends later, or has no end, gets this end and comment.
    /// Otherwise it keeps its own.
    pub shortens: bool,
}

/// A line as it stands in the file, and its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AllowLine {
    text: String,
    net: Option<IpNet>,
    end: AllowEnd,
    /// The comment without the end.
    comment: String,
}

/// An entry whose comment has a word that begins as an end, but cannot be read.
pub(super) struct EndMistake<'a> {
    net: IpNet,
    comment: &'a str,
}

impl AllowLine {
    /// The error is the word that is not a prefix.
    pub(super) fn parse(text: &str) -> Result<Self, &str> {
        // Before the `\n` of a rewritten line, a last `\r` would become part of the
        // line's end.
        let text = text.trim_end_matches('\r');
        let (word, comment) = text.split_once('#').unwrap_or((text, ""));
        let word = word.trim();
        let net = match word {
            "" => None,
            word => Some(parse_net(word).ok_or(word)?),
        };
        let (end, comment) = match net {
            Some(_) => split(comment.trim()),
            None => (AllowEnd::Never, String::new()),
        };
        Ok(Self {
            text: text.into(),
            net,
            end,
            comment,
        })
    }

    pub(super) fn new(net: IpNet, term: AllowTerm<'_>) -> Self {
        let (end, comment) = (
            term.until.map_or(AllowEnd::Never, AllowEnd::At),
            term.comment.unwrap_or_default(),
        );
        let mut text = show(net);
        let until = term.until.map(|until| format!("{UNTIL}{}", time(until)));
        let words = [until.as_deref().unwrap_or_default(), comment];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        if !words.is_empty() {
            text += &format!("  # {}", words.join(" "));
        }
        Self {
            text,
            net: Some(net),
            end,
            comment: comment.into(),
        }
    }

    /// The line of the same prefix with another end, and another comment if one is
    /// given.
    pub(super) fn replaced(&self, net: IpNet, term: AllowTerm<'_>) -> Self {
        // A word that looks like an end would be read as one again.
        let kept: Vec<&str> = words(&self.comment).filter(|word| !is_end(word)).collect();
        let kept = match self.end {
            AllowEnd::Unreadable => kept.join(" "),
            _ => self.comment.clone(),
        };
        let comment = term.comment.or(Some(&kept));
        Self::new(net, AllowTerm { comment, ..term })
    }

    pub(super) fn net(&self) -> Option<IpNet> {
        self.net
    }

    pub(super) fn end(&self) -> AllowEnd {
        self.end
    }

    pub(super) fn comment(&self) -> &str {
        &self.comment
    }

    /// Whether the line's entry has not ended at `now`; true without an entry.
    pub(super) fn is_live(&self, now: UnixSeconds) -> bool {
        self.end.time().is_none_or(|end| now < end)
    }

    /// Whether the line's entry ended [`KEPT`] ago or earlier.
    pub(super) fn is_over(&self, now: UnixSeconds) -> bool {
        self.end.time().is_some_and(|end| end.plus(KEPT) <= now)
    }

    /// Whether the line has this end and comment already.
    pub(super) fn fits(&self, term: AllowTerm<'_>) -> bool {
        let is_end = match self.end {
            AllowEnd::Unreadable => false,
            end => end.time() == term.until,
        };
        is_end && term.comment.is_none_or(|comment| comment == self.comment)
    }

    pub(super) fn mistake(&self) -> Option<EndMistake<'_>> {
        let is_mistake = self.end == AllowEnd::Unreadable;
        let net = self.net.filter(|_| is_mistake)?;
        Some(EndMistake {
            net,
            comment: &self.comment,
        })
    }
}

impl fmt::Display for AllowLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl EndMistake<'_> {
    pub(super) fn describe(&self, name: &str, number: usize) -> String {
        let ends: Vec<&str> = words(self.comment).filter(|word| is_end(word)).collect();
        format!(
            "{name}:{number}: `{}` is not one time such as until=2026-12-07T12:00:00Z, so {} is allowed without an end",
            escape(ends.join(" ").as_bytes()),
            show(self.net),
        )
    }
}

/// Checks and trims the comment that a command is to write into an entry.
///
/// # Errors
///
/// It has a control character such as a line break, is too long, or has a word that
/// is an end.
pub fn checked_comment(text: &str) -> Result<String, Invalid> {
    let text = text.trim();
    let message = if text.chars().any(char::is_control) {
        "a comment is one line without control characters".into()
    } else if text.len() > LONGEST_COMMENT {
        format!("a comment has at most {LONGEST_COMMENT} bytes")
    } else if words(text).any(is_end) {
        format!("a comment has no word that begins with `{UNTIL}`; `--for` sets the end")
    } else {
        return Ok(text.into());
    };
    Err(Invalid::new(message))
}

/// The end of entries that are allowed for a time from now on.
///
/// # Errors
///
/// The wall clock has not been set yet, so the end would be in the past once it is.
pub fn end_after(term: Duration, now: UnixSeconds) -> Result<UnixSeconds, Invalid> {
    if now < EARLIEST {
        let message = format!(
            "the clock says {}, so it has not been set yet; nothing was allowed; without `--for`, an entry has no end",
            time(now)
        );
        return Err(Invalid::new(message));
    }
    Ok(now.plus(term))
}

/// Splits a comment into the end that it sets and the rest. If that end cannot be
/// read, the rest is the whole comment.
fn split(comment: &str) -> (AllowEnd, String) {
    let mut ends = words(comment).filter(|word| is_end(word));
    let Some(end) = ends.next() else {
        return (AllowEnd::Never, comment.into());
    };
    let at = end.strip_prefix(UNTIL).and_then(parse_time);
    match at.filter(|_| ends.next().is_none()) {
        Some(at) => {
            let rest = around(comment, end).into_iter().flatten().map(str::trim);
            let rest: Vec<&str> = rest.filter(|part| !part.is_empty()).collect();
            (AllowEnd::At(at), rest.join(" "))
        }
        None => (AllowEnd::Unreadable, comment.into()),
    }
}

/// The text before and after `word`; `None`: the text does not have this word.
fn around<'a>(text: &'a str, word: &str) -> Option<[&'a str; 2]> {
    let is_of_word = |char: char| !char.is_whitespace();
    text.match_indices(word).find_map(|(at, _)| {
        let (before, rest) = text.split_at_checked(at)?;
        let after = rest.strip_prefix(word)?;
        let is_word = !before.ends_with(is_of_word) && !after.starts_with(is_of_word);
        is_word.then_some([before, after])
    })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// Whether a word is meant as an end.
fn is_end(word: &str) -> bool {
    let begin = word.get(..UNTIL.len());
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(UNTIL))
}

/// A time before 1970 becomes 1970.
fn parse_time(text: &str) -> Option<UnixSeconds> {
    let time: Timestamp = text.parse().ok()?;
    let seconds = u64::try_from(time.as_second()).unwrap_or_default();
    Some(UnixSeconds::new(seconds))
}

/// A time in UTC, as [`parse_time`] reads it.
fn time(at: UnixSeconds) -> String {
    let seconds = i64::try_from(at.get()).unwrap_or(i64::MAX);
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A prefix as the file shows it: a host without its length.
fn show(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}
