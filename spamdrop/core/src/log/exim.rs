//! Exim's log lines, in its main or reject log or through syslog.
//!
//! ```text
//! 2026-11-23 08:50:54 H=NAME (HELO) [IP]:PORT I=[…]:25 F=<SENDER> rejected RCPT <RECIPIENT>: TEXT
//! 2026-11-23 08:50:54 1vNDf2-0000000012y-3abc <= SENDER H=NAME (HELO) [IP] P=esmtp S=1234
//! 2026-11-23 08:50:54 1vNDf2-0000000012y-3abc => RECIPIENT R=ROUTER T=TRANSPORT H=NAME [IP] …
//! ```
//!
//! The administrator chooses TEXT. It must name a blocklist, see
//! [`super::listing_text`]. A later refusal (`rejected after DATA`) concerns
//! content, which a forwarder passes on, so it is not taken.
//!
//! A peer chooses HELO, which precedes the address and by default is a host
//! name or an address literal. With `helo_accept_junk_hosts` it may contain
//! blanks, and so a whole forged `x) [9.9.9.9]`. But then Exim's own `) [IP]`
//! follows, with the address from the kernel, and a line with two different
//! addresses is not taken. A rejection is not taken either if the sender contains a
//! blank, a quote, `<` or `>`, or the recipient a blank or a quote: a text could be
//! forged with them, at the expense of the forwarder that sends them. The reject log
//! contains message headers unchanged, but after a letter and a blank or, if folded,
//! after a blank: no stamp starts like that.
//!
//! A delivery (`=>`, or `->` for a further recipient) is not taken if the
//! message's `<=` line was not seen or has no sender: then the message may be a
//! bounce, whose destination is chosen by whoever sent the bounced mail. The
//! sender of a forwarded mail may choose the mailboxes in both lines, so a mailbox
//! with a blank, a quote, `<` or `>` is not taken there either. The text of the
//! remote host (`C="…"`) follows its address.
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
use super::listing_text::{says_listed, speaks_of_list, without_false_complaint};
use super::slot_line::{SlotChange, SlotLine};
use super::stamp::Stamp;
use crate::event::Envelope;

/// A rejection before the message. Groups: the host, the fields with the command, the
/// text.
static REJECTED: LazyLock<Regex> = LazyLock::new(|| {
    expression(&format!(
        r#"^{HOST}((?:{FIELD})* rejected (?:connection in "connect" ACL|(?:MAIL|RCPT|EHLO or HELO) [^ "]+)): (.*)"#
    ))
});

/// The acceptance of a message from another mail server. Mail of an authenticated user does
/// not match: its protocol ends in `a`, as in `P=esmtpsa`. Group: the host.
static ACCEPTED: LazyLock<Regex> = LazyLock::new(|| {
    expression(&format!(
        r#"^{ID} <= [^ "]+ {HOST}(?:{FIELD})*? P=[a-z0-9]*smtps?(?: |$)"#
    ))
});

/// The arrival of a message, from a host or from this machine. Groups: the id, the sender.
static ARRIVED: LazyLock<Regex> =
    LazyLock::new(|| expression(&format!(r#"^({ID}) <= (?:<>|([^ "<>]+))(?: |$)"#)));

/// A delivery to a host. Groups: the id, the recipient, the host.
static DELIVERED: LazyLock<Regex> = LazyLock::new(|| {
    expression(&format!(
        r#"^({ID}) [=-]> ([^ "<>]+)(?: <[^ "<>]+>)?(?: [FP]=<[^ "<>]*>)* R=[^ "<>=]+ T=[^ "<>=]+(?: S=[0-9]+)? H=(?:[^ ()\[\]]+ )?\[([0-9A-Za-z:.]+)\](?::25)?(?: |$)"#
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
    // Docker escapes `<` and `>` in JSON.
    needles: &[
        " <= ",
        " \\u003c= ",
        " => ",
        " =\\u003e ",
        " -> ",
        " -\\u003e ",
        " rejected ",
    ],
    connections: &["SMTP connection from ["],
    tells_acceptances: true,
};

/// Parses a line. In a line from syslog, Exim's own stamp may follow the header.
fn read<'line>(context: &mut Context<'_>, header: &Header<'line>) -> GrammarResult<'line> {
    let message = match header.program {
        program if context.is_own(&GRAMMAR, program) => {
            Stamp::own(header.message).map_or(header.message, |(_, message)| message)
        }
        None if header.stamp.is_some() => header.message,
        _ => return Err(header.not_its()),
    };
    let message = skip_pid(message);
    if let Some((id, sender)) = arrived(message) {
        context.queued_senders.queued(id, sender);
    }
    if let Some(found) = DELIVERED.captures(message) {
        return delivered(context, message, &found);
    }
    context.slot = connected(message);
    context.connected = context.slot.map(|slot| slot.addr);
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
    context.connected = Some(addr);
    let (_, [_, fields, text]) = found.extract();
    let names = found.get(1).and_then(|host| message.get(..host.start()));
    let names = names.unwrap_or_default();
    says_listed(text, addr, envelope(fields), names)?;
    let text = without_false_complaint(text, names);
    Ok(Finding::rejected(addr, text, "exim-dnslists"))
}

/// The id and the sender of a message that arrives; no sender for a bounce.
fn arrived(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let found = ARRIVED.captures(message)?;
    let sender = found.get(2).map(|sender| sender.as_bytes());
    Some((found.get(1)?.as_bytes(), sender.unwrap_or_default()))
}

fn delivered<'line>(
    context: &Context<'_>,
    message: &'line [u8],
    found: &Captures<'_>,
) -> GrammarResult<'line> {
    let part = |number| found.get(number).and_then(|part| message.get(part.range()));
    let (id, recipient, host) = (part(1), part(2), part(3));
    let addr = host.and_then(address::plain);
    let addr = addr.filter(|addr| !addr.is_loopback());
    let addr = addr.ok_or("its host is not another machine's address")?;
    let sender = id.and_then(|id| context.queued_senders.sender(id));
    let sender = sender.ok_or("the message is a bounce, or its sender is not known")?;
    let envelope = Envelope {
        sender: Some(sender.to_owned().into()),
        recipient: recipient.map(Into::into),
        port: None,
    };
    Ok(Finding::delivered(addr, "exim-delivered").with_envelope(envelope))
}

/// Parses `SMTP connection from [IP] (TCP/IP connection count = N)`, which
/// `log_selector = +smtp_connection` adds when a host connects.
fn connected(message: &[u8]) -> Option<SlotLine> {
    let (addr, rest) = address::bracketed(message.strip_prefix(b"SMTP connection from ")?)?;
    let addr = addr.filter(|_| rest.contains(&b'('))?;
    let words = b"connection count = ";
    let count = memmem::find(rest, words).and_then(|at| rest.get(at + words.len()..));
    let count = count.and_then(|count| {
        let digits = count.get(..count_digits(count))?;
        str::from_utf8(digits).ok()?.parse().ok()
    });
    let change = count.map_or(SlotChange::OpenedWithoutEnd, SlotChange::Counted);
    Some(SlotLine::new(addr, change))
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
