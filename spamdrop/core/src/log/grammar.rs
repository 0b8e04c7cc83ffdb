//! The parts of a server's grammar, and its results.

use std::borrow::Cow;
use std::net::IpAddr;

use regex::bytes::{Regex, RegexBuilder};

use super::header::Header;
use super::queued_senders::QueuedSenders;
use super::refused_queries::RefusedQueries;
use super::sessions::SessionPeers;
use super::slot_line::SlotLine;
use crate::event::{Envelope, EventKind};

/// How the lines of one server are parsed.
pub(super) struct Grammar {
    /// The usual names of the server's program in the log.
    pub(super) programs: &'static [&'static str],
    /// The names of the server's systemd units, without `.service`.
    pub(super) units: &'static [&'static str],
    /// Parses a line whose header has been split off.
    pub(super) read: for<'line> fn(&mut Context<'_>, &Header<'line>) -> GrammarResult<'line>,
    /// Whether a line that was not taken looks like a rejection because of this
    /// server's blocklists. Such a line is a near miss.
    pub(super) looks_rejected: fn(&[u8]) -> bool,
    /// A line without any of these strings is neither an event nor a near miss,
    /// and is not needed to parse a later line.
    pub(super) needles: &'static [&'static str],
    /// Further needles, for a caller that wants to know about connections: each
    /// line that reports a connection contains one of them or of
    /// [`Self::needles`].
    pub(super) connections: &'static [&'static str],
    /// Whether the lines show reliably which peer's mail was accepted.
    pub(super) tells_acceptances: bool,
}

impl Grammar {
    /// Whether the server's program, or one of its units, has this name by default.
    pub(super) fn is_usual(&self, program: &[u8]) -> bool {
        is_in(self.programs, program) || self.is_unit(program)
    }

    /// Whether the program is one of the server's systemd units.
    pub(super) fn is_unit(&self, program: &[u8]) -> bool {
        unit(program).is_some_and(|unit| is_in(self.units, unit))
    }
}

fn is_in(names: &[impl AsRef<[u8]>], name: &[u8]) -> bool {
    names.iter().any(|known| known.as_ref() == name)
}

/// The name of a systemd unit, which `journalctl -o with-unit` shows instead of
/// the program: `postfix` for `postfix@-.service`.
fn unit(program: &[u8]) -> Option<&[u8]> {
    let name = program.strip_suffix(b".service")?;
    let end = memchr::memchr(b'@', name).unwrap_or(name.len());
    name.get(..end)
}

/// The data of a grammar besides the line: the configured names, the state from
/// earlier lines, and the fields that the grammar sets beside its result.
pub(super) struct Context<'a> {
    /// The configured names of the server's program; `None`: the usual ones.
    pub(super) names: Option<&'a [String]>,
    /// Set by a grammar that does not take the line: the peer whose connection
    /// the line reports.
    pub(super) connected: Option<IpAddr>,
    /// Set by a grammar: the peer's address and port, if the line reports that the
    /// listening process has handed the peer's connection to another process.
    pub(super) handed_over: Option<(IpAddr, u16)>,
    /// Set by a grammar: what the line says about the server's slots.
    pub(super) slot: Option<SlotLine>,
    pub(super) queued_senders: &'a mut QueuedSenders,
    pub(super) refused_queries: &'a mut RefusedQueries,
    pub(super) sessions: &'a mut SessionPeers,
}

impl Context<'_> {
    /// Whether the program belongs to the server, by the configured or usual names.
    pub(super) fn is_own(&self, grammar: &Grammar, program: Option<&[u8]>) -> bool {
        program.is_some_and(|program| match self.names {
            Some(names) => is_in(names, program) || grammar.is_unit(program),
            None => grammar.is_usual(program),
        })
    }
}

/// The event of a line, without its time.
#[derive(Debug)]
pub(super) struct Finding<'line> {
    pub(super) addr: IpAddr,
    pub(super) kind: EventKind<'line>,
    pub(super) rule: Cow<'static, str>,
    pub(super) envelope: Envelope<'line>,
}

/// The result of a grammar for a line, or the reason why the line is not taken.
pub(super) type GrammarResult<'line> = Result<Finding<'line>, &'static str>;

impl<'line> Finding<'line> {
    pub(super) fn rejected(
        addr: IpAddr,
        text: impl Into<Cow<'line, [u8]>>,
        rule: &'static str,
    ) -> Self {
        let text = text.into();
        Self::new(addr, EventKind::Rejected { text }, rule)
    }

    pub(super) fn accepted(addr: IpAddr, rule: &'static str) -> Self {
        Self::new(addr, EventKind::Accepted, rule)
    }

    pub(super) fn delivered(addr: IpAddr, rule: &'static str) -> Self {
        Self::new(addr, EventKind::Delivered, rule)
    }

    fn new(addr: IpAddr, kind: EventKind<'line>, rule: &'static str) -> Self {
        Self {
            addr,
            kind,
            rule: rule.into(),
            envelope: Envelope::default(),
        }
    }

    /// Adds the line's other fields about the message.
    pub(super) fn with_envelope(self, envelope: Envelope<'line>) -> Self {
        Self { envelope, ..self }
    }
}

/// Compiles an expression of a built-in grammar. It matches bytes.
pub(super) fn expression(pattern: &str) -> Regex {
    let built = RegexBuilder::new(pattern).unicode(false).build();
    built.expect("grammars are constants, and each is used in a test")
}
