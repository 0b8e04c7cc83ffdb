//! rblsmtpd's log lines: the blocklist program of qmail (ucspi-tcp).
//!
//! ```text
//! @400000005a0e3c8e0e6b2800 rblsmtpd: IP pid 1234: 451 TEXT
//! rblsmtpd: IP pid 1234 ZONE: 421 TEXT          patched versions
//! rblsmtpd:  pid 1234 from IP: 451 TEXT         indimail
//! rblsmtpd: blocked IP ZONE -                   patched versions
//! ```
//!
//! No text of the peer precedes IP, which tcpserver passes on (`TCPREMOTEIP`).
//! TEXT is the blocklist's TXT record, or the value of `RBLSMTPD`, with which an
//! administrator refuses a peer for any reason, such as a missing host name.
//! Therefore a line without ZONE is taken only if TEXT says that the peer is listed.
//! The line has the TAI64N stamp of multilog, the readable stamp of `tai64nlocal`, or
//! none. Through syslog it is logged under the name of the service.
//!
//! A 451 is taken like a 553: it is rblsmtpd's default for every listed peer
//! (`-b` makes it a 553), and lasts as long as the listing. Only the 451 for a
//! failed look-up (`-c`) is not taken.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::address;
use super::bytes::{count_digits, token};
use super::grammar::{Context, Finding, Grammar, GrammarResult};
use super::header::Header;
use super::listing_text::says_listed;
use super::stamp::Stamp;

const NAME: &[u8] = b"rblsmtpd: ";

/// The reply codes: rblsmtpd's default, that of its option `-b`, and that of
/// patched versions that close the connection.
const CODES: [&[u8]; 3] = [b"451 ", b"553 ", b"421 "];

pub(super) const GRAMMAR: Grammar = Grammar {
    programs: &["rblsmtpd"],
    units: &["rblsmtpd"],
    read,
    looks_rejected,
    needles: &["rblsmtpd"],
    connections: &[],
    tells_acceptances: false,
};

/// Parses a line. Syslog treats a leading `rblsmtpd: ` as the program's name.
fn read<'line>(context: &mut Context<'_>, header: &Header<'line>) -> GrammarResult<'line> {
    let named = unstamped(header.message).strip_prefix(NAME);
    let message = match header.program {
        program if context.is_own(&GRAMMAR, program) => named.unwrap_or(header.message),
        None | Some(b"smtpd" | b"qmail" | b"qmail-smtpd" | b"tcpserver") => {
            named.ok_or("its message does not start with rblsmtpd:")?
        }
        Some(_) => return Err(header.not_its()),
    };
    let report = RblsmtpdReport::parse(message.trim_ascii_start())?;
    let addr = address::plain(report.addr).ok_or("its client is not an IP address")?;
    if report.text == b"temporary RBL lookup error" {
        return Err("the blocklist did not answer");
    }
    if !report.names_zone {
        says_listed(report.text, addr, b"", b"")?;
    }
    Ok(Finding::rejected(addr, report.text, "rblsmtpd"))
}

/// A report about a peer.
struct RblsmtpdReport<'line> {
    addr: &'line [u8],
    text: &'line [u8],
    /// Whether the zone that lists the peer stands before the text.
    names_zone: bool,
}

impl<'line> RblsmtpdReport<'line> {
    fn parse(message: &'line [u8]) -> Result<Self, &'static str> {
        if let Some(rest) = message.strip_prefix(b"blocked ") {
            let (addr, text) = token(rest).unwrap_or((rest, b""));
            return Ok(Self {
                addr: addr.strip_suffix(b":").unwrap_or(addr),
                text,
                names_zone: !text.is_empty(),
            });
        }
        const PID: &str = "its pid is not as rblsmtpd writes it";
        let (addr, text, names_zone) = match message.strip_prefix(b"pid ") {
            Some(rest) => {
                let (addr, text) = from_address(rest).ok_or(PID)?;
                (addr, text, false)
            }
            None => {
                let (addr, rest) = token(message).ok_or("it has no address")?;
                let (text, names_zone) = skip_pid(rest).ok_or(PID)?;
                (addr, text, names_zone)
            }
        };
        let text = CODES.iter().find_map(|code| text.strip_prefix(*code));
        let text = text.ok_or("the code of its reply is not one of rblsmtpd")?;
        Ok(Self {
            addr,
            text,
            names_zone,
        })
    }
}

/// Parses `N from IP: `.
fn from_address(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = rest.get(count_digits(rest)..)?.strip_prefix(b" from ")?;
    let (addr, text) = token(rest)?;
    Some((addr.strip_suffix(b":")?, text))
}

/// Whether the line is rblsmtpd's report about a peer.
fn looks_rejected(line: &[u8]) -> bool {
    static LOOKS: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("rblsmtpd"));
    static PID: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(" pid "));
    static BLOCKED: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(": blocked "));
    let reports = || PID.find(line).is_some() || BLOCKED.find(line).is_some();
    LOOKS.find(line).is_some() && reports()
}

/// Removes a stamp before the name, such as the seconds with decimals that
/// splogger writes.
fn unstamped(message: &[u8]) -> &[u8] {
    match Stamp::split(message) {
        Some((Stamp::Unix(_) | Stamp::Tai64n(_), rest)) => rest,
        _ => Stamp::own(message).map_or(message, |(_, rest)| rest),
    }
}

/// Skips `pid N: `, or `pid N ZONE: ` of some patched versions. Returns the rest, and
/// whether there was a zone.
fn skip_pid(rest: &[u8]) -> Option<(&[u8], bool)> {
    let rest = rest.strip_prefix(b"pid ")?;
    let rest = rest.get(count_digits(rest)..)?;
    match rest.strip_prefix(b": ") {
        Some(text) => Some((text, false)),
        None => {
            let (zone, text) = token(rest.strip_prefix(b" ")?)?;
            (zone.ends_with(b":") && zone.contains(&b'.')).then_some((text, true))
        }
    }
}
