//! Courier's log lines, and the parts that a peer can choose.
//!
//! The grammar follows `courieresmtpd.C`, `cdmsgq.C`, `comctlfile.c`,
//! `libesmtp.C` and `lcclog.c` of Courier 0.72 to 2.0.4. Courier passes every
//! string through one sanitiser: control bytes become `.`, and a string is
//! truncated after 128 bytes and marked with `...`. A bare carriage return
//! makes the sanitiser read past the end of the string, so stale memory can
//! follow a field. Therefore a field is accepted only if it ends as Courier
//! ends it.

use std::net::IpAddr;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::address;
use super::bytes::{count_digits, token};
use super::grammar::{Context, Finding, Grammar, GrammarResult};
use super::header::Header;
use super::slot_line::{SlotChange, SlotLine};
use crate::event::Envelope;

pub(super) const GRAMMAR: Grammar = Grammar {
    programs: &["courieresmtpd"],
    units: &["courier-mta", "courier"],
    read,
    looks_rejected,
    needles: &["error,relay=", "newmsg,id=", ",success: delivered: "],
    connections: &["started,ip=["],
    tells_acceptances: true,
};

/// Parses a line of the SMTP server, of `courierd`, or of the SMTP client.
fn read<'line>(context: &mut Context<'_>, header: &Header<'line>) -> GrammarResult<'line> {
    let message = header.message;
    match header.program {
        // A unit's name does not tell which program wrote the line, but the line's
        // first word does: no program starts a line with a peer's words.
        Some(unit) if GRAMMAR.is_unit(unit) => match message {
            [b'n', ..] => by_courierd(message),
            [b'i', ..] => by_client(message),
            _ => by_server(context, message),
        },
        Some(b"courierd") => by_courierd(message),
        Some(b"courieresmtp") => by_client(message),
        program if context.is_own(&GRAMMAR, program) => by_server(context, message),
        _ => Err(header.not_its()),
    }
}

fn by_server<'line>(context: &mut Context<'_>, message: &'line [u8]) -> GrammarResult<'line> {
    context.slot = started(message);
    context.connected = context.slot.map(|slot| slot.addr);
    let (addr, text, envelope) = rejected(message)?;
    Ok(Finding::rejected(addr, text, "courier-511").with_envelope(envelope))
}

fn by_courierd(message: &[u8]) -> GrammarResult<'_> {
    let addr = accepted(message).ok_or(match is_cut_off(message) {
        true => CUT_OFF,
        false => "it is not a newmsg line",
    })?;
    Ok(Finding::accepted(addr, "courier-newmsg"))
}

fn by_client(message: &[u8]) -> GrammarResult<'_> {
    let (addr, envelope) = delivered(message).ok_or("it is not the delivery of a message")?;
    Ok(Finding::delivered(addr, "courier-delivered").with_envelope(envelope))
}

const CLIENTS_COMMAND: &str = "it ends in a command that the client chose";
const CUT_OFF: &str = "it is accepted mail, but Courier cut the address off behind long host names";

/// The reasons for near misses that a client can cause.
pub(crate) const CAUSED_BY_CLIENTS: [&str; 2] = [CLIENTS_COMMAND, CUT_OFF];

/// Whether the line is accepted mail without its address, or `511` follows
/// `error,relay=` at a place where a reply could start:
/// not inside a word, nor as a port.
fn looks_rejected(line: &[u8]) -> bool {
    static RELAY: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("error,relay="));
    static CODE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("511"));
    let Some(start) = RELAY.find(line) else {
        return is_cut_off(line);
    };
    let tail = line.get(start..).unwrap_or_default();
    CODE.find_iter(tail).any(|at| {
        let before = at.checked_sub(1).and_then(|at| tail.get(at));
        let after = tail.get(at + 3);
        before.is_some_and(|byte| !byte.is_ascii_alphanumeric())
            && matches!(after, None | Some(b' ' | b'-'))
    })
}

/// Parses `started,ip=[IP][,port=[N]]`, which reports a new connection. Courier
/// logs no end of it.
fn started(message: &[u8]) -> Option<SlotLine> {
    let rest = message.strip_prefix(b"started,ip=[")?;
    let (addr, rest) = rest.split_at_checked(memchr::memchr(b']', rest)?)?;
    let port = rest.strip_prefix(b"],port=[").and_then(|port| {
        let (port, _) = port.split_at_checked(memchr::memchr(b']', port)?)?;
        str::from_utf8(port).ok()?.parse().ok()
    });
    let slot = SlotLine::new(address::plain(addr)?, SlotChange::OpenedWithoutEnd);
    Some(slot.with_port(port))
}

/// Parses the refusal of a message,
/// `error,relay=IP[,port=N][,ident=X],from=<…>[,to=<…>]: 511` and a text.
/// Returns the peer, the text and the fields about the message, or the reason for
/// a near miss.
fn rejected(message: &[u8]) -> Result<(IpAddr, &[u8], Envelope<'_>), &'static str> {
    let rest = message
        .strip_prefix(b"error,relay=")
        .ok_or("its message does not start with error,relay=")?;
    let (relay, rest) = until_comma(rest).ok_or("no field follows the relay")?;
    let addr = address::plain(relay).ok_or("its relay is not an address")?;
    let (envelope, reply) = fields(rest)?;
    match reply.strip_prefix(b"511") {
        Some([]) => Ok((addr, &[], envelope)),
        Some([b' ' | b'-', text @ ..]) => Ok((addr, text, envelope)),
        _ => Err("the code of its reply is not 511"),
    }
}

/// Parses the acceptance of a message, `newmsg,id=ID[, auth=NAME]: dns; HELO
/// ([NAME ][IP])`, and returns the peer. A message of an authenticated user
/// says nothing about the address, so it is not taken.
///
/// Courier replaces blanks in HELO by `_`, so the first blank ends it. A line
/// that was truncated at 128 bytes is not taken, even if its address is whole.
fn accepted(message: &[u8]) -> Option<IpAddr> {
    let rest = message.strip_prefix(b"newmsg,id=")?;
    let (id, rest) = rest.split_at_checked(memchr::memchr(b':', rest)?)?;
    if id.contains(&b',') {
        return None;
    }
    let (_helo, rest) = token(rest.strip_prefix(b": dns; ")?)?;
    named(rest.strip_prefix(b"(")?.strip_suffix(b")")?)
}

/// Whether Courier has truncated the line of [`accepted`], with or without a header.
fn is_cut_off(line: &[u8]) -> bool {
    static NEW: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("newmsg,id="));
    line.ends_with(b"...") && NEW.find(line).is_some()
}

/// Parses a delivery, `id=ID,from=<…>,addr=<…>[,size=N],success: delivered:
/// [NAME ][IP]`, and returns the host that accepted the message, and its
/// mailboxes.
///
/// Courier keeps `<`, `>` and `:` in these two mailboxes, and the sender of a
/// forwarded mail chooses its own. Therefore a mailbox with a bracket is not
/// taken, and the address must end the line. The host's reply is on separate
/// lines after `addr=<…>: `. A bounce has no sender and is not taken, because
/// the sender of the bounced mail chose its destination.
fn delivered(message: &[u8]) -> Option<(IpAddr, Envelope<'_>)> {
    let rest = message.strip_prefix(b"id=")?;
    let (_id, rest) = until_comma(rest)?;
    let (sender, rest) = bracketed(rest.strip_prefix(b",from=<")?)?;
    let (recipient, rest) = bracketed(rest.strip_prefix(b",addr=<")?)?;
    let rest = match rest.strip_prefix(b",size=") {
        Some(size) => size.get(count_digits(size)..)?,
        None => rest,
    };
    let addr = named(rest.strip_prefix(b",success: delivered: ")?)?;
    let envelope = Envelope {
        sender: Some(sender.into()),
        recipient: Some(recipient.into()),
        port: None,
    };
    Some((addr, envelope))
}

/// Splits off a non-empty mailbox; the input starts after its `<`.
fn bracketed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr2(b'<', b'>', bytes).filter(|end| *end > 0)?;
    let (mailbox, rest) = bytes.split_at_checked(end)?;
    Some((mailbox, rest.strip_prefix(b">")?))
}

/// Parses `[NAME ][IP]`: an address in brackets after an optional host name.
fn named(host: &[u8]) -> Option<IpAddr> {
    let addr = match token(host) {
        Some((_name, addr)) => addr,
        None => host,
    };
    address::plain(addr.strip_prefix(b"[")?.strip_suffix(b"]")?)
}

fn until_comma(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(memchr::memchr(b',', bytes)?)
}

/// Parses the fields and skips the `: ` after them. `rest` starts with the comma
/// after the relay. A line that ends in the client's command is not taken; only
/// such a line quotes the ident, which Courier does not escape there.
fn fields(rest: &[u8]) -> Result<(Envelope<'_>, &[u8]), &'static str> {
    let (port, rest) = port(rest).ok_or("its port is not a number")?;
    if rest.starts_with(b",msg=") || rest.starts_with(b",ident=\"") {
        return Err(CLIENTS_COMMAND);
    }
    let rest = skip_ident(rest).ok_or("its ident is not as Courier writes it")?;
    let (sender, rest) = mailboxes(rest).ok_or("its from and to are not as Courier writes them")?;
    let envelope = Envelope {
        sender: Some(sender.into()),
        recipient: None,
        port,
    };
    Ok((envelope, rest))
}

/// Parses the port, which Courier logs since 1.0.9; the port is `None` without the
/// field or above 65535.
fn port(rest: &[u8]) -> Option<(Option<u16>, &[u8])> {
    let Some(port) = rest.strip_prefix(b",port=") else {
        return Some((None, rest));
    };
    let (port, rest) = until_comma(port)?;
    (1..=5).contains(&port.len()).then_some(())?;
    let number = str::from_utf8(port).ok()?.parse().ok();
    (count_digits(port) == port.len()).then_some((number, rest))
}

/// Skips the ident. Courier replaces each `,` and `:` in it by a blank.
fn skip_ident(rest: &[u8]) -> Option<&[u8]> {
    let Some(ident) = rest.strip_prefix(b",ident=") else {
        return Some(rest);
    };
    let (ident, rest) = until_comma(ident)?;
    (!ident.contains(&b':')).then_some(rest)
}

/// Parses the sender, and skips the recipient and the `: ` after it.
fn mailboxes(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sender, rest) = mailbox(rest.strip_prefix(b",from=<")?)?;
    let rest = match rest.strip_prefix(b",to=<") {
        Some(to) => mailbox(to)?.1,
        None => rest,
    };
    Some((sender, rest.strip_prefix(b": ")?))
}

/// Splits off a mailbox; the input starts after its `<`. Courier replaces each
/// `<`, `>` and `:` in it by a blank. A truncated mailbox has no `>`.
fn mailbox(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr3(b'<', b'>', b':', bytes)?;
    let (mailbox, rest) = bytes.split_at_checked(at)?;
    match rest.first()? {
        b'>' => Some((mailbox, rest.get(1..)?)),
        b':' => mailbox.ends_with(b"...").then_some((mailbox, rest)),
        _ => {
            let mailbox = mailbox.strip_suffix(b",to=")?;
            let rest = bytes.get(mailbox.len()..)?;
            mailbox.ends_with(b"...").then_some((mailbox, rest))
        }
    }
}
