//! Exim's log lines, in its main or reject log or through syslog.
//!
//! ```text
//! 2026-11-23 08:50:54 H=NAME (HELO) [IP]:PORT I=[…]:25 F=<SENDER> rejected RCPT <RECIPIENT>: TEXT
//! 2026-11-23 08:50:54 1vNDf2-0000000012y-3abc <= SENDER H=NAME (HELO) [IP] P=esmtp S=1234
//! ```
//!
//! The administrator chooses TEXT. It must name a blocklist, see
//! [`super::listing_text`]. A later refusal (`rejected after DATA`) concerns
//! content, which a forwarder passes on, so it is not taken.
//!
//! A peer chooses HELO, which precedes the address and by default is a host
//! name or an address literal. With `helo_accept_junk_hosts` it may contain
//! blanks, and so a whole forged `x) [9.9.9.9]`. But then the kernel's own `)
//! [IP]` follows, and a line with two different addresses is not taken. Senders
//! and recipients with a blank, a quote or another bracket are not taken
//! either: a text could be forged with them, at the expense of the forwarder
//! that sends them. The reject log contains message headers unchanged, but
//! after a letter and a blank or, if folded, after a blank: no stamp starts
//! like that.
//!
//! `temporarily rejected` (a 4xx) is not taken: Exim logs it when the blocklist
//! did not answer.

use std::net::IpAddr;
use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use regex::bytes::{Captures, Regex};

use super::address;
use super::bytes::count_digits;
use super::grammar::{Context, Finding, Grammar, GrammarResult, expression};
use super::header::Header;
use super::listing_text::{says_listed, speaks_of_list};
use super::stamp::Stamp;

/// A rejection before the message: the host, the fields with the command, the
/// text.
static REJECTED: LazyLock<Regex> = LazyLock::new(|| {
    expression(&format!(
        r#"^{HOST}((?:{FIELD})* rejected (?:connection in "connect" ACL|(?:MAIL|RCPT|EHLO or HELO) [^ "]+)): (.*)"#
    ))
});

/// An acceptance. The protocol of an authenticated user ends in `a`.
static ACCEPTED: LazyLock<Regex> = LazyLock::new(|| {
    expression(&format!(
        r#"^{ID} <= [^ "]+ {HOST}(?:{FIELD})*? P=[a-z0-9]*smtps?(?: |$)"#
    ))
});

const ID: &str = "[0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}";
const HOST: &str = r"H=(?:[^ ()\[\]]+ )?(?:\([^() ]*\) )?\[([0-9A-Za-z:.]+)\](?::[0-9]+)?";
/// Matches a field between host and command: interface, ident, TLS, sender,
/// authenticator, or `DS` for DNSSEC.
const FIELD: &str = r#" (?:[A-Za-z]+=(?:"[^"]*"|<[^<>" ]*>|[^<>" ]+)|DS)"#;

pub(super) const GRAMMAR: Grammar = Grammar {
    programs: &["exim", "exim4"],
    units: &["exim", "exim4"],
    read,
    looks_rejected,
    // Docker escapes `<` in JSON.
    needles: &[" <= ", " \\u003c= ", " rejected "],
    tells_acceptances: true,
};

/// Parses a line. A line from syslog may repeat Exim's own stamp.
fn read<'line>(context: &mut Context<'_>, header: &Header<'line>) -> GrammarResult<'line> {
    let message = match header.program {
        program if context.is_own(&GRAMMAR, program) => {
            Stamp::own(header.message).map_or(header.message, |(_, message)| message)
        }
        None if header.stamp.is_some() => header.message,
        _ => return Err(header.not_its()),
    };
    let message = skip_pid(message);
    if let Some(found) = ACCEPTED.captures(message) {
        let addr = host(message, &found)?;
        return Ok(Finding::accepted(addr, "exim-accepted"));
    }
    if !rejects(message) {
        return Err("it rejects nothing");
    }
    if memmem::find(message, b" temporarily rejected ").is_some() {
        return Err("the rejection is only temporary");
    }
    let found = REJECTED.captures(message);
    let found =
        found.ok_or("it is not a rejection at connect, HELO, MAIL or RCPT in Exim's form")?;
    let addr = host(message, &found)?;
    let (_, [_, fields, text]) = found.extract();
    let names = found.get(1).and_then(|host| message.get(..host.start()));
    says_listed(text, addr, envelope(fields), names.unwrap_or_default())?;
    Ok(Finding::rejected(addr, text, "exim-dnslists"))
}

/// Whether the line is a rejection that mentions a list.
fn looks_rejected(line: &[u8]) -> bool {
    rejects(line) && speaks_of_list(line)
}

fn rejects(line: &[u8]) -> bool {
    static REJECTED: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(" rejected "));
    REJECTED.find(line).is_some()
}

/// The part of the fields from the sender on, including the command.
fn envelope(fields: &[u8]) -> &[u8] {
    let start = memmem::find(fields, b" F=<").or_else(|| memmem::rfind(fields, b" rejected "));
    start.and_then(|at| fields.get(at..)).unwrap_or(fields)
}

/// The address of the host. The error applies if more than one address could be
/// the host's.
fn host(message: &[u8], found: &Captures<'_>) -> Result<IpAddr, &'static str> {
    static BRACKET: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(") ["));
    let host = found.get(1).ok_or("it has no host")?;
    let rest = message.get(host.end()..).unwrap_or_default();
    let mut others = BRACKET.find_iter(rest).filter_map(|at| rest.get(at + 3..));
    if others.any(|other| {
        !other
            .strip_prefix(host.as_bytes())
            .is_some_and(|rest| rest.starts_with(b"]"))
    }) {
        return Err("it has two hosts, and one may be forged");
    }
    address::tagged(host.as_bytes()).ok_or("its host is not an address")
}

/// Skips the process id that `log_selector = +pid` adds.
fn skip_pid(message: &[u8]) -> &[u8] {
    let digits = message.strip_prefix(b"[").map_or(0, count_digits);
    let behind = message
        .get(digits + 1..)
        .and_then(|rest| rest.strip_prefix(b"] "));
    if digits > 0 {
        behind.unwrap_or(message)
    } else {
        message
    }
}
