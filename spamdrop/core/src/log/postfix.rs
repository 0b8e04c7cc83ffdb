//! Postfix's log lines: of `smtpd`, `postscreen` and `dnsblog`, and for deliveries
//! of `qmgr` and `smtp`.
//!
//! ```text
//! NOQUEUE: reject: RCPT from NAME[IP]: 554 5.7.1 Service unavailable; Client host [IP] blocked using ZONE; TEXT; from=<…> …
//! NOQUEUE: reject: RCPT from [IP]:PORT: 550 5.7.1 Service unavailable; client [IP] blocked using ZONE; from=<…>, …
//! disconnect from NAME[IP] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5
//! QUEUE_ID: from=<…>, size=1234, nrcpt=1 (queue active)
//! QUEUE_ID: to=<…>, relay=NAME[IP]:25, …, status=sent (REPLY)
//! ```
//!
//! The program name in the log is `SYSLOG_NAME/smtpd`. `syslog_name` may be any
//! text, also several words with slashes, so only the last part counts. NAME is
//! the verified PTR name, which Postfix accepts only as a host name: no blank,
//! no bracket. Everything else that a client chooses (HELO, sender, recipient)
//! follows the reply. The reply repeats the client's address, and the two must
//! agree. So a listed HELO, sender domain or PTR name (`reject_rhsbl_*`) is not
//! taken, because a good forwarder may send any of them.
//!
//! postscreen logs the answers of its blocklists before the rejection, on lines
//! `addr IP listed by domain ZONE as ADDRESS` of `dnsblog`. An ADDRESS in
//! 127.255.255.0/24 means that ZONE refused the query.
//!
//! A 4xx is not taken: an administrator who does not trust the list yet sets
//! `maps_rbl_reject_code = 454` or `soft_bounce`. `DNSBL rank` of postscreen is
//! not taken either, because it is logged also if the action is `ignore`, the
//! default.
//!
//! The line of a delivery does not tell the sender. The queue manager logs it
//! whenever it begins to deliver the message. A bounce has no sender, and whoever
//! sent the bounced mail chose its destination, so its delivery is not taken. A
//! forwarded mail's sender chooses the mailboxes in both lines, and before
//! Postfix 3.5 no quotes mark where a mailbox ends. Therefore a mailbox with a
//! quote, a bracket or a blank is not taken, nor a line that names a second
//! relay, because the first one may be part of a mailbox. Only deliveries to
//! port 25 are taken, because other ports are those of content filters and LMTP.

mod slots;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use memchr::memmem::{self, Finder};

use super::address::{self, bracketed};
use super::bytes::{count_digits, token};
use super::grammar::{Context, Finding, Grammar, GrammarResult};
use super::header::Header;
use super::listing_text::is_allowlist;
use crate::event::{Envelope, EventKind};

pub(super) const GRAMMAR: Grammar = Grammar {
    programs: &[],
    units: &["postfix"],
    read,
    looks_rejected,
    needles: &[
        "disconnect from ",
        "LISTED [",
        " blocked using ",
        ": DNSBL rank ",
        " listed by domain ",
        ", nrcpt=",
        ", status=sent (",
    ],
    connections: &[
        " connect from ",
        "CONNECT from ",
        "DISCONNECT [",
        "PASS NEW ",
        "PASS OLD ",
    ],
    tells_acceptances: true,
};

/// The words before the zone.
const BLOCKED_USING: &[u8] = b" blocked using ";
/// The text of a rejection whose blocklist refused the query.
const REFUSED_QUERY: &[u8] = b"the blocklist answered 127.255.255.0/24";

fn read<'line>(context: &mut Context<'_>, header: &Header<'line>) -> GrammarResult<'line> {
    let message = header.message;
    match header.program {
        // A unit's name does not tell which process wrote the line. The form
        // does: no process starts a line with a peer's words.
        Some(unit) if GRAMMAR.is_unit(unit) => by_smtpd(context, message)
            .or_else(|reason| by_postscreen(context, message).map_err(|_| reason))
            .or_else(|reason| by_dnsblog(context, message).map_err(|_| reason))
            .or_else(|reason| by_queue_manager(context, message).map_err(|_| reason))
            .or_else(|reason| by_client(context, message).map_err(|_| reason)),
        program => match program.and_then(|program| process(program, context.names)) {
            Some(b"smtpd") => {
                let found = by_smtpd(context, message);
                context.slot = context.slot.filter(|_| slots::is_public(program));
                found
            }
            Some(b"postscreen") => by_postscreen(context, message),
            Some(b"dnsblog") => by_dnsblog(context, message),
            Some(b"qmgr" | b"oqmgr") => by_queue_manager(context, message),
            Some(b"smtp") => by_client(context, message),
            _ => Err(header.not_its()),
        },
    }
}

fn by_smtpd<'line>(context: &mut Context<'_>, message: &'line [u8]) -> GrammarResult<'line> {
    context.connected = connected(message, b"connect from ");
    context.slot = slots::of_smtpd(message);
    match message.strip_prefix(b"disconnect from ") {
        Some(rest) => {
            let addr = accepted(rest).ok_or("no message was accepted")?;
            Ok(Finding::accepted(addr, "postfix-disconnect"))
        }
        None => rejected(message, b"Client host ", "postfix-rbl"),
    }
}

fn by_postscreen<'line>(context: &mut Context<'_>, message: &'line [u8]) -> GrammarResult<'line> {
    context.connected = context
        .connected
        .or_else(|| connected(message, b"CONNECT from "));
    context.handed_over = slots::handed_over(message);
    context.slot = slots::of_postscreen(message);
    let found = rejected(message, b"client ", "postscreen-dnsbl")?;
    Ok(unless_refused(found, context))
}

/// Remembers the answer of a blocklist, which precedes postscreen's rejection.
fn by_dnsblog<'line>(context: &mut Context<'_>, message: &'line [u8]) -> GrammarResult<'line> {
    if let Some((client, zone, address)) = answered(message) {
        context.refused_queries.answered(client, zone, address);
    }
    Err("it is the answer of a blocklist")
}

/// Remembers the sender of a message that is about to be delivered.
fn by_queue_manager<'line>(
    context: &mut Context<'_>,
    message: &'line [u8],
) -> GrammarResult<'line> {
    if let Some((id, sender)) = activated(message) {
        context
            .queued_senders
            .queued(id, sender.unwrap_or_default());
    }
    Err("it is no delivery")
}

fn by_client<'line>(context: &mut Context<'_>, message: &'line [u8]) -> GrammarResult<'line> {
    let (id, addr, recipient) = delivered(message).ok_or("it is not the delivery of a message")?;
    let sender = context.queued_senders.sender(id);
    let sender = sender.ok_or("the message is a bounce, or its sender is not known")?;
    let envelope = Envelope {
        sender: Some(sender.to_owned().into()),
        recipient: Some(recipient.into()),
        port: None,
    };
    Ok(Finding::delivered(addr, "postfix-delivered").with_envelope(envelope))
}

/// Processes of Postfix, from `master.cf`, that log text which a sender chose.
const PROCESSES: [&[u8]; 14] = [
    b"smtpd",
    b"postscreen",
    b"cleanup",
    b"qmgr",
    b"smtp",
    b"lmtp",
    b"local",
    b"virtual",
    b"pipe",
    b"error",
    b"bounce",
    b"trivial-rewrite",
    b"tlsproxy",
    b"verify",
];

/// Whether the name is that of a process of Postfix.
pub(super) fn is_process(program: &[u8]) -> bool {
    GRAMMAR.is_unit(program)
        || program.starts_with(b"postfix/")
        || process(program, None).is_some_and(|name| PROCESSES.contains(&name))
}

/// Whether the line mentions the answer of a blocklist.
fn looks_rejected(line: &[u8]) -> bool {
    static BLOCKED: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(" blocked using "));
    static RANK: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(": DNSBL rank "));
    BLOCKED.find(line).is_some() || RANK.find(line).is_some()
}

/// The part after the last slash of `SYSLOG_NAME/PROCESS`. Without configured
/// names, any `syslog_name` is taken. master.cf may add a part to it, as in
/// `postfix/submission/smtpd`.
fn process<'name>(program: &'name [u8], names: Option<&[String]>) -> Option<&'name [u8]> {
    let slash = memchr::memrchr(b'/', program)?;
    let (name, process) = program.split_at_checked(slash)?;
    let starts_with = |known: &String| {
        let rest = name.strip_prefix(known.as_bytes());
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    };
    let is_own = names.is_none_or(|names| names.iter().any(starts_with));
    (is_own && !name.is_empty()).then(|| process.get(1..))?
}

fn rejected<'line>(message: &'line [u8], class: &[u8], rule: &'static str) -> GrammarResult<'line> {
    if message.starts_with(b"DNSBL rank ") {
        return Err("a rank alone does not tell whether the client was refused");
    }
    let rest = skip_stage(message).ok_or("its message does not start with a reject")?;
    let (addr, rest) = client(rest).ok_or("its client is not as Postfix writes it")?;
    let addr = addr.ok_or("its client is not an address")?;
    let text = skip_code(rest).ok_or("the code of its reply is not 5xx")?;
    let (listed, zone) = text
        .strip_prefix(b"Service unavailable; ")
        .and_then(|rest| rest.strip_prefix(class))
        .and_then(bracketed)
        .filter(|(_, rest)| rest.starts_with(BLOCKED_USING))
        .ok_or("its reply does not say that the client's address is on a blocklist")?;
    if listed.ok_or("the listed host is not an address")? != addr {
        return Err("the listed host is not its client");
    }
    // Before MAIL, the line has no sender.
    let end = memmem::find(text, b"; from=<").or_else(|| memmem::find(text, b"; proto="));
    let end = end.unwrap_or(text.len());
    let text = text.get(..end).unwrap_or_default();
    if is_allowlist(zone) {
        return Err("the list that it names is an allow-list");
    }
    Ok(Finding::rejected(addr, text, rule))
}

/// Parses `addr IP listed by domain ZONE as ADDRESS`.
fn answered(message: &[u8]) -> Option<(IpAddr, &[u8], Ipv4Addr)> {
    let (client, rest) = token(message.strip_prefix(b"addr ")?)?;
    let (zone, address) = token(rest.strip_prefix(b"listed by domain ")?)?;
    let address = str::from_utf8(address.strip_prefix(b"as ")?).ok()?;
    Some((address::plain(client)?, zone, address.parse().ok()?))
}

/// Returns the rejection, with [`REFUSED_QUERY`] as its text if its blocklist refused the
/// query.
fn unless_refused<'line>(found: Finding<'line>, context: &Context<'_>) -> Finding<'line> {
    let EventKind::Rejected { text } = &found.kind else {
        return found;
    };
    let zone = memmem::find(text, BLOCKED_USING).map(|at| at + BLOCKED_USING.len());
    let zone = zone.and_then(|at| text.get(at..)).unwrap_or_default();
    let zone = &zone[..count(zone, |byte| !matches!(byte, b';' | b' '))];
    if context.refused_queries.is_refused(found.addr, zone) {
        let text = REFUSED_QUERY.into();
        return Finding {
            kind: EventKind::Rejected { text },
            ..found
        };
    }
    found
}

/// Parses `QUEUE_ID: ` and returns the id and the rest.
fn queue_id(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = count(message, |byte| byte.is_ascii_alphanumeric());
    let (id, rest) = message.split_at_checked(end)?;
    Some((id, rest.strip_prefix(b": ")?))
}

/// Parses `QUEUE_ID: reject: STAGE from `.
fn skip_stage(message: &[u8]) -> Option<&[u8]> {
    let (_, rest) = queue_id(message)?;
    let rest = rest.strip_prefix(b"reject: ")?;
    let stage = count(rest, |byte| byte.is_ascii_uppercase() || byte == b'-');
    rest.get(stage..)?.strip_prefix(b" from ")
}

/// The peer of a line that reports a new connection.
fn connected(message: &[u8], words: &[u8]) -> Option<IpAddr> {
    named(message.strip_prefix(words)?)?.0
}

/// Parses `QUEUE_ID: from=<SENDER>, size=N, nrcpt=N (queue active)`. The sender
/// is `None` if its end is not certain, and empty for a bounce.
fn activated(message: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (id, rest) = queue_id(message)?;
    let rest = rest.strip_prefix(b"from=<")?;
    // A search for the needles skips a line without it.
    memmem::find(rest, b", nrcpt=")?;
    let sender = mailbox(rest).filter(|(_, rest)| rest.starts_with(b", size="));
    Some((id, sender.map(|(sender, _)| sender)))
}

/// The longest message of a delivery that is taken, in bytes. syslogd may truncate
/// a longer one, so that a second relay in it would be missed.
const DELIVERY: usize = 768;

/// Parses `QUEUE_ID: to=<RECIPIENT>, orig_to=<…>, relay=NAME[IP]:25, …,
/// status=sent (REPLY)`; not every line has `orig_to`. Returns the id, the host
/// that accepted the message and the recipient.
fn delivered(message: &[u8]) -> Option<(&[u8], IpAddr, &[u8])> {
    const RELAY: &[u8] = b", relay=";
    let (id, rest) = queue_id(message)?;
    let (recipient, rest) = mailbox(rest.strip_prefix(b"to=<")?)?;
    let relay = match rest.strip_prefix(b", orig_to=<") {
        Some(original) => mailbox(original)?.1,
        None => rest,
    };
    let (addr, rest) = named(relay.strip_prefix(RELAY)?)?;
    let rest = rest.strip_prefix(b":25, ")?;
    let sent = memmem::find(rest, b", status=sent (")?;
    let is_certain = message.len() <= DELIVERY
        && message.ends_with(b")")
        && memmem::find(rest, RELAY).is_none()
        && memchr::memchr3(b'<', b'>', b'(', rest.get(..sent)?).is_none();
    let addr = addr.filter(|addr| is_certain && !addr.is_loopback())?;
    (!recipient.is_empty()).then_some((id, addr, recipient))
}

/// Splits off a mailbox; the input starts after its `<`.
fn mailbox(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = count(bytes, |byte| !matches!(byte, b'<' | b'>' | b'"' | b' '));
    let (mailbox, rest) = bytes.split_at_checked(end)?;
    Some((mailbox, rest.strip_prefix(b">")?))
}

/// Parses `NAME[IP]` or `NAME[IP]:PORT`, followed by `: `.
fn client(bytes: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let (addr, rest) = named(bytes)?;
    Some((addr, skip_port(rest).strip_prefix(b": ")?))
}

fn named(bytes: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let name = count(bytes, |byte| !matches!(byte, b'[' | b' ' | b':'));
    bracketed(bytes.get(name..)?)
}

/// Skips the port, which `smtpd_client_port_logging` adds and postscreen always
/// logs.
fn skip_port(bytes: &[u8]) -> &[u8] {
    let port = bytes
        .strip_prefix(b":")
        .map(|rest| (count_digits(rest), rest));
    match port {
        Some((digits @ 1.., rest)) => rest.get(digits..).unwrap_or_default(),
        _ => bytes,
    }
}

/// Parses `5xx ` and an optional enhanced status code.
fn skip_code(reply: &[u8]) -> Option<&[u8]> {
    let [b'5', b'0'..=b'9', b'0'..=b'9', b' ', text @ ..] = reply else {
        return None;
    };
    let status = count(text, |byte| byte.is_ascii_digit() || byte == b'.');
    Some(match text.get(status..)?.strip_prefix(b" ") {
        Some(rest) if status > 0 => rest,
        _ => text,
    })
}

/// Parses the counts of commands, as `OK/ALL` or, if all succeeded, `ALL`.
/// Returns the client if it sent a message and did not authenticate.
fn accepted(client: &[u8]) -> Option<IpAddr> {
    let (addr, rest) = named(client)?;
    let counts = skip_port(rest).strip_prefix(b" ")?;
    let done = |command: &[u8]| {
        let mut counts = counts.split(|byte| *byte == b' ');
        counts.any(|count| matches!(count.strip_prefix(command), Some([b'1'..=b'9', ..])))
    };
    let stored = done(b"data=") || done(b"bdat=");
    if stored && !done(b"auth=") {
        addr
    } else {
        None
    }
}

fn count(bytes: &[u8], class: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| class(**byte)).count()
}
