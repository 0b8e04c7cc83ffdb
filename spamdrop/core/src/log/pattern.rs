//! Patterns of the administrator.
//!
//! A pattern is a regular expression over a message, with `<HOST>` in place of
//! the peer's address. Text that a peer can write into a line must not move
//! that place. Therefore a pattern is accepted only if every line, read from
//! its start, has at most one place where `<HOST>` can match, whatever follows
//! it, and the end of that place is unambiguous, too. This is decided exactly,
//! not by heuristics: see [`place`]. Whether the text at that place comes from
//! the kernel cannot be checked.

mod place;

use std::borrow::Cow;

use regex::bytes::{Regex, RegexBuilder};
use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::util::look::{Look, LookSet};
use regex_automata::util::syntax;
use serde::Deserialize;

use super::address;
use super::grammar::Finding;
use crate::event::{Envelope, EventKind};
use place::Ambiguous;

/// The expansion of `<HOST>`: IPv4, or IPv6 with or without an embedded IPv4
/// address and the `IPv6:` of an address literal. It matches more than
/// addresses; a match that is not an address is a near miss.
const ADDRESS: &str = concat!(
    r"(?P<spamdrop_host>(?:[0-9]{1,3}\.){3}[0-9]{1,3}",
    r"|(?:[Ii][Pp][Vv]6:)?[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}",
    r"(?:(?:\.[0-9]{1,3}){3})?)"
);
/// The IPv4 part of [`ADDRESS`], for the example lines in messages, where it is
/// easiest to read.
const IPV4: &str = r"(?P<spamdrop_host>(?:[0-9]{1,3}\.){3}[0-9]{1,3})";
const GROUP: &str = "spamdrop_host";

/// The maximum size of a compiled pattern, in bytes.
const SIZE_LIMIT: usize = 1 << 18;

/// A pattern of the configuration that has passed the check.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "PatternSource")]
pub struct Pattern {
    source: PatternSource,
    regex: Regex,
}

/// `[[pattern]]` as written in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatternSource {
    name: String,
    program: Option<String>,
    r#match: String,
}

/// Patterns are equal if their sources are; the rest is derived from them.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl TryFrom<PatternSource> for Pattern {
    type Error = String;

    fn try_from(source: PatternSource) -> Result<Self, String> {
        let regex = if !is_name(&source.name) {
            Err("`name` must be 1 to 64 letters, digits, `-`, `_` or `.`".into())
        } else if source.program.as_deref() == Some("") {
            Err("`program` is empty; leave it out for lines without a syslog header".into())
        } else {
            compile(&source.r#match)
        };
        match regex {
            Ok(regex) => Ok(Self { source, regex }),
            Err(error) => Err(format!("pattern {:?}: {error}", source.name)),
        }
    }
}

impl Pattern {
    /// The name, which is displayed as the rule.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// The program whose messages it matches. Without one, it matches lines
    /// after their stamp, whatever follows.
    pub(super) fn program(&self) -> Option<&[u8]> {
        self.source.program.as_deref().map(str::as_bytes)
    }

    /// The match in a message. `None` if the pattern does not match; an error
    /// if the text in place of the host is not an address.
    pub(super) fn find<'line>(
        &self,
        message: &'line [u8],
    ) -> Option<Result<Finding<'line>, &'static str>> {
        let host = self.regex.captures(message)?.name(GROUP)?;
        let text = message.get(host.end()..)?;
        Some(match address::tagged(host.as_bytes()) {
            Some(addr) => Ok(Finding {
                addr,
                kind: EventKind::Rejected { text: text.into() },
                rule: Cow::Owned(self.source.name.clone()),
                envelope: Envelope::default(),
            }),
            None => Err("the text in place of <HOST> is not an address"),
        })
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

fn compile(source: &str) -> Result<Regex, String> {
    let expanded = source.replace("<ADDR>", "<HOST>");
    if expanded.matches("<HOST>").count() != 1 {
        return Err(
            "`match` must have one <HOST> (or <ADDR>), where the peer's address stands".into(),
        );
    }
    let [expanded, readable] = [ADDRESS, IPV4].map(|host| expanded.replace("<HOST>", host));
    let regex = RegexBuilder::new(&expanded)
        .unicode(false)
        .size_limit(SIZE_LIMIT)
        .build()
        .map_err(|error| {
            format!("`match` is no regular expression, or too large a one: {error}")
        })?;
    for expression in [readable, expanded] {
        let nfa = automaton(&expression)?;
        anchored(&nfa)?;
        place::certain(&nfa, GROUP).map_err(|ambiguous| explain(&ambiguous))?;
    }
    Ok(regex)
}

fn anchored(nfa: &NFA) -> Result<(), String> {
    if !nfa.is_always_start_anchored() {
        return Err(
            "`match` must start with `^`; otherwise, text that the peer chose could match \
             anywhere in the line. Write out the text before <HOST>"
                .into(),
        );
    }
    let known = [Look::Start, Look::End]
        .into_iter()
        .fold(LookSet::empty(), LookSet::insert);
    if nfa.look_set_any().union(known) != known {
        return Err(
            "`match` may hold no assertion but `^` and `$`, so no `\\b` and no `(?m)`".into(),
        );
    }
    Ok(())
}

/// The same expression as an inspectable state machine.
fn automaton(expanded: &str) -> Result<NFA, String> {
    NFA::compiler()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .configure(
            thompson::Config::new()
                .utf8(false)
                .nfa_size_limit(Some(SIZE_LIMIT)),
        )
        .build(expanded)
        .map_err(|error| format!("`match`: {error}"))
}

fn explain(ambiguous: &Ambiguous) -> String {
    match ambiguous {
        Ambiguous::Start {
            line,
            hosts: [a, b],
        } => format!(
            "the place of <HOST> is not certain: in the line \"{line}\" both {a} and {b} could be \
             <HOST>. A repetition before <HOST> must not match the text that starts <HOST>: write \
             `[^\\[]*\\[<HOST>\\]`, not `.*\\[<HOST>\\]`",
        ),
        Ambiguous::End {
            line,
            hosts: [a, b],
        } => format!(
            "the end of <HOST> is not certain: in the line \"{line}\" both {a} and {b} could be \
             <HOST>. Write the text after the address, such as `<HOST>\\]`, `<HOST> ` or `<HOST>$`",
        ),
        Ambiguous::NotOnce => {
            "<HOST> must stand in every line that matches, and once: not in `(…)?`, `(…)*` or one \
             side of `|`"
                .into()
        }
        Ambiguous::TooLarge => {
            "`match` is too large to be checked; write shorter repetitions, `*` instead of `{0,200}`"
                .into()
        }
    }
}

#[cfg(test)]
mod tests;
