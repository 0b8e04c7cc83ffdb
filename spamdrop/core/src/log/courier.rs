//! Courier's own words, and what a peer can make it say.
//!
//! The grammar follows `courieresmtpd.C`, `cdmsgq.C`, `comctlfile.c`,
//! `libesmtp.C` and `lcclog.c` of Courier 0.72 to 2.0.4. Courier writes every string through one sanitiser: control
//! bytes become `.`, and what exceeds 128 bytes is cut and marked with `...`.
//! A bare carriage return makes the sanitiser read past the string's end, so
//! stale memory can follow a field; only a field that ends as Courier ends it
//! is taken.

use std::net::IpAddr;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::address;
use super::bytes::{count_digits, token};
use super::grammar::{Context, Finding, Grammar, GrammarResult};
use super::header::Header;

/// How its lines are read.
pub(super) const GRAMMAR: Grammar = Grammar {
    read,
    looks_rejected,
    needles: &["error,relay=", "newmsg,id=", ",success: delivered: "],
    tells_acceptances: true,
};

/// Reads a line of the SMTP server, of `courierd`, or of the SMTP client.
fn read<'line>(context: &mut Context<'_>, header: &Header<'line>) -> GrammarResult<'line> {
    if header.program == Some(context.courier_program) {
        let (addr, text) = rejected(header.message)?;
        Ok(Finding::rejected(addr, text, "courier-511"))
    } else if header.program == Some(b"courierd") {
        let addr = accepted(header.message).ok_or("it is no newmsg line")?;
        Ok(Finding::accepted(addr, "courier-newmsg"))
    } else if header.program == Some(b"courieresmtp") {
        let addr = delivered(header.message).ok_or("it is no delivery of a message")?;
        Ok(Finding::delivered(addr, "courier-delivered"))
    } else {
        Err(header.not_its())
    }
}

/// Whether `511` stands behind `error,relay=` where a reply could start: not
/// inside a word, nor as a port.
fn looks_rejected(line: &[u8]) -> bool {
    static RELAY: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("error,relay="));
    static CODE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("511"));
    let Some(start) = RELAY.find(line) else {
        return false;
    };
    let tail = line.get(start..).unwrap_or_default();
    CODE.find_iter(tail).any(|at| {
        let before = at.checked_sub(1).and_then(|at| tail.get(at));
        let after = tail.get(at + 3);
        before.is_some_and(|byte| !byte.is_ascii_alphanumeric())
            && matches!(after, None | Some(b' ' | b'-'))
    })
}

/// Reads the refusal of a message, which is
/// `error,relay=IP[,port=N][,ident=X],from=<…>[,to=<…>]: 511` and a text.
/// Returns the peer and the text.
///
/// # Errors
///
/// What is wrong with the message.
fn rejected(message: &[u8]) -> Result<(IpAddr, &[u8]), &'static str> {
    let rest = message
        .strip_prefix(b"error,relay=")
        .ok_or("its message does not start with error,relay=")?;
    let (relay, rest) = until_comma(rest).ok_or("no field follows the relay")?;
    let addr = address::plain(relay).ok_or("its relay is not an address")?;
    let reply = skip_fields(rest)?;
    match reply.strip_prefix(b"511") {
        Some([]) => Ok((addr, &[])),
        Some([b' ' | b'-', text @ ..]) => Ok((addr, text)),
        _ => Err("the code of its reply is not 511"),
    }
}

/// Reads the acceptance of a message, which is
/// `newmsg,id=ID[, auth=NAME]: dns; HELO ([NAME ][IP])`, and returns the peer.
/// That of a user of our own, who logged in somewhere, says nothing about the
/// address.
///
/// Courier turns blanks in HELO into `_`, so the first blank ends it. A line
/// cut at 128 bytes is not taken, though its address may be whole.
fn accepted(message: &[u8]) -> Option<IpAddr> {
    let rest = message.strip_prefix(b"newmsg,id=")?;
    let (id, rest) = rest.split_at_checked(memchr::memchr(b':', rest)?)?;
    if id.contains(&b',') {
        return None;
    }
    let (_helo, rest) = token(rest.strip_prefix(b": dns; ")?)?;
    named(rest.strip_prefix(b"(")?.strip_suffix(b")")?)
}

/// Reads a delivery, which is
/// `id=ID,from=<…>,addr=<…>[,size=N],success: delivered: [NAME ][IP]`, and
/// returns the host that took the message.
///
/// Courier leaves `<`, `>` and `:` in these two mailboxes, and a sender whose
/// mail is forwarded chooses his: one that holds a bracket is not taken, and
/// the address must end the line. What the host replies stands on lines of its
/// own, behind `addr=<…>: `. A bounce has no sender, and goes where the
/// bounced mail said.
fn delivered(message: &[u8]) -> Option<IpAddr> {
    let rest = message.strip_prefix(b"id=")?;
    let (_id, rest) = until_comma(rest)?;
    let rest = skip_bracketed(rest.strip_prefix(b",from=<")?)?;
    let rest = skip_bracketed(rest.strip_prefix(b",addr=<")?)?;
    let rest = match rest.strip_prefix(b",size=") {
        Some(size) => size.get(count_digits(size)..)?,
        None => rest,
    };
    named(rest.strip_prefix(b",success: delivered: ")?)
}

/// What follows a mailbox that is not empty, given from behind its `<`.
fn skip_bracketed(bytes: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr2(b'<', b'>', bytes).filter(|end| *end > 0)?;
    bytes.get(end..)?.strip_prefix(b">")
}

/// Reads `[NAME ][IP]`: an address in brackets, and before it the host's name,
/// if it has one.
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

/// What follows the fields and their `: `. `rest` starts with the comma
/// behind the relay. Only the line that ends in the client's command quotes
/// the ident, and leaves it as it came.
fn skip_fields(rest: &[u8]) -> Result<&[u8], &'static str> {
    let rest = skip_port(rest).ok_or("its port is not a number")?;
    if rest.starts_with(b",msg=") || rest.starts_with(b",ident=\"") {
        return Err("it ends in a command of the client's choosing");
    }
    let rest = skip_ident(rest).ok_or("its ident is not as Courier writes it")?;
    skip_sender(rest).ok_or("its from and to are not as Courier writes them")
}

/// Since Courier 1.0.9.
fn skip_port(rest: &[u8]) -> Option<&[u8]> {
    let Some(port) = rest.strip_prefix(b",port=") else {
        return Some(rest);
    };
    let (port, rest) = until_comma(port)?;
    (1..=5).contains(&port.len()).then_some(())?;
    (count_digits(port) == port.len()).then_some(rest)
}

/// Courier writes a blank for each `,` and `:` in it.
fn skip_ident(rest: &[u8]) -> Option<&[u8]> {
    let Some(ident) = rest.strip_prefix(b",ident=") else {
        return Some(rest);
    };
    let (ident, rest) = until_comma(ident)?;
    (!ident.contains(&b':')).then_some(rest)
}

fn skip_sender(rest: &[u8]) -> Option<&[u8]> {
    let rest = skip_mailbox(rest.strip_prefix(b",from=<")?)?;
    let rest = match rest.strip_prefix(b",to=<") {
        Some(to) => skip_mailbox(to)?,
        None => rest,
    };
    rest.strip_prefix(b": ")
}

/// What follows a mailbox, given from behind its `<`. Courier writes a blank
/// for each `<`, `>` and `:` in it; one that was cut has no `>`.
fn skip_mailbox(bytes: &[u8]) -> Option<&[u8]> {
    let at = memchr::memchr3(b'<', b'>', b':', bytes)?;
    let (mailbox, rest) = bytes.split_at_checked(at)?;
    match rest.first()? {
        b'>' => rest.get(1..),
        b':' => mailbox.ends_with(b"...").then_some(rest),
        _ => mailbox
            .ends_with(b"...,to=")
            .then(|| bytes.get(at - ",to=".len()..))?,
    }
}
