//! OpenSMTPD's log lines. A refusal does not name the peer, only its session:
//!
//! ```text
//! 6a3f5c1b9d2e4f70 smtp connected address=IP host=NAME
//! 6a3f5c1b9d2e4f70 smtp failed-command command="RCPT TO:<…>" result="554 5.7.1 TEXT"
//! 6a3f5c1b9d2e4f70 smtp disconnected reason=quit
//! ```
//!
//! Before 6.4 the verbs follow `event=`, and each line names the address. The
//! session's id is random and comes first, so a peer can only affect its own
//! session. The administrator or a filter chooses TEXT, which must name a
//! blocklist. A refusal after RCPT is not taken, because it concerns content.
//! The peer chooses the command. If it contains a whole forged `" result="`,
//! the true one follows. A line with two is not taken, so that a forwarder is
//! not blocked for a recipient that it passes on.
//!
//! A 4xx is not taken, with one exception: filter-dnsbl closes the connection
//! of a listed peer with 421 and `Host listed at`.

use std::net::IpAddr;
use std::sync::LazyLock;

use memchr::memmem::{self, Finder};

use super::address;
use super::bytes::token;
use super::grammar::{Context, Finding, Grammar, GrammarResult};
use super::header::Header;
use super::listing_text::{says_listed, speaks_of_list};

pub(super) const GRAMMAR: Grammar = Grammar {
    programs: &["smtpd"],
    units: &["opensmtpd", "smtpd"],
    read,
    looks_rejected,
    needles: &["connected address=", "failed-command "],
    connections: &[],
    tells_acceptances: false,
};

fn read<'line>(context: &mut Context<'_>, header: &Header<'line>) -> GrammarResult<'line> {
    if !context.is_own(&GRAMMAR, header.program) {
        return Err(header.not_its());
    }
    let (id, rest) = session(header.message).ok_or("it does not start with a session's id")?;
    let rest = rest.strip_prefix(b"event=").unwrap_or(rest);
    if let Some(peer) = rest.strip_prefix(b"connected address=") {
        if let Some(addr) = token(peer).and_then(|(addr, _)| peer_address(addr)) {
            context.sessions.opened(id, addr);
        }
        return Err("it only reports a connection");
    }
    let rest = rest
        .strip_prefix(b"failed-command ")
        .ok_or("no command failed")?;
    let FailedCommand {
        command,
        code,
        text,
    } = failed(rest)?;
    let addr = context
        .sessions
        .peer(id)
        .or_else(|| own_address(rest))
        .ok_or("its session is not known")?;
    let closed = code == b"421" && text.starts_with(b"Host listed at ");
    if !closed && !code.starts_with(b"5") {
        return Err("the code of its result is not 5xx");
    }
    let early = is_early(command) || closed && command.is_empty();
    if !early {
        return Err("its command is none of HELO, EHLO, MAIL and RCPT");
    }
    says_listed(text, addr, command, b"")?;
    Ok(Finding::rejected(addr, text, "opensmtpd-dnsbl"))
}

/// Whether a command was refused permanently, or the connection closed, and the
/// line mentions a list.
fn looks_rejected(line: &[u8]) -> bool {
    static FAILED: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("failed-command "));
    static REFUSED: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(" result=\"5"));
    static CLOSED: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(" result=\"421 "));
    let refused = || REFUSED.find(line).is_some() || CLOSED.find(line).is_some();
    FAILED.find(line).is_some() && refused() && speaks_of_list(line)
}

/// Parses `ID smtp `; the id has 16 hexadecimal digits.
fn session(message: &[u8]) -> Option<(u64, &[u8])> {
    let (id, rest) = token(message)?;
    let digits = id.len() == 16 && id.iter().all(u8::is_ascii_hexdigit);
    let id = digits.then(|| str::from_utf8(id).ok())??;
    let id = u64::from_str_radix(id, 16).ok()?;
    Some((id, rest.strip_prefix(b"smtp ")?))
}

/// Whether the command precedes the message. An empty command does not count: a
/// filter that closes the connection, at any time, leaves it empty.
fn is_early(command: &[u8]) -> bool {
    let verb = command
        .split(|byte| *byte == b' ')
        .next()
        .unwrap_or_default();
    let verbs: [&[u8]; 4] = [b"HELO", b"EHLO", b"MAIL", b"RCPT"];
    verbs.iter().any(|known| verb.eq_ignore_ascii_case(known))
}

/// A command and its result.
struct FailedCommand<'line> {
    command: &'line [u8],
    code: &'line [u8],
    text: &'line [u8],
}

/// Parses the command and its `result`, which must be the only one and end the
/// line.
fn failed(rest: &[u8]) -> Result<FailedCommand<'_>, &'static str> {
    const COMMAND: &[u8] = b"command=\"";
    const RESULT: &[u8] = b"\" result=\"";
    let mut results = memmem::find_iter(rest, RESULT);
    let (at, other) = (results.next(), results.next());
    if other.is_some() {
        return Err("it has two results, and one may be forged");
    }
    let parts = || {
        let (before, result) = rest.split_at_checked(at?)?;
        let command = before.get(memmem::find(before, COMMAND)? + COMMAND.len()..)?;
        let result = result.strip_prefix(RESULT)?.strip_suffix(b"\"")?;
        let (code, text) = token(result)?;
        Some(FailedCommand {
            command,
            code,
            text,
        })
    };
    parts().ok_or("its command and result are not as OpenSMTPD writes them")
}

/// The address in the line itself: `address=IP host=NAME command=` before 6.4,
/// `addr=IP command=` as proposed for a later version.
fn own_address(rest: &[u8]) -> Option<IpAddr> {
    let (addr, rest) = if let Some(rest) = rest.strip_prefix(b"addr=") {
        token(rest)?
    } else {
        let (addr, rest) = token(rest.strip_prefix(b"address=")?)?;
        let (_name, rest) = token(rest.strip_prefix(b"host=")?)?;
        (addr, rest)
    };
    rest.starts_with(b"command=\"")
        .then(|| peer_address(addr))?
}

/// Parses an address with or without the brackets of a literal.
fn peer_address(bytes: &[u8]) -> Option<IpAddr> {
    match address::bracketed(bytes) {
        Some((addr, [])) => addr,
        _ => address::tagged(bytes),
    }
}
