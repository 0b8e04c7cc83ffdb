//! Log line → event.
//!
//! Any client of the mail server chooses parts of its log. So a line is parsed
//! from its start by a fixed grammar: syslog header, program name, the mail
//! server's own words. An address elsewhere in the line is never believed. Each
//! server has a module, which documents the parts of its lines that a peer can
//! choose. [`Pattern`] is for servers without a module.
//!
//! Only a permanent rejection because of a blocklist is taken. A 4xx is taken
//! only from a server that refuses every listed peer with a 4xx. From other
//! servers, a 4xx means that a list did not answer or is not trusted yet.
//!
//! Deliveries are taken from Courier, Postfix and Exim. The delivery of a bounce
//! is not taken, because the sender of the bounced mail chooses its destination.
//! Only Courier names the sender in the line of the delivery. For Postfix and
//! Exim, the sender is remembered from an earlier line, see [`queued_senders`].

mod address;
mod bytes;
mod courier;
mod exim;
mod grammar;
mod haraka;
mod header;
mod listing_text;
mod needles;
mod opensmtpd;
mod pattern;
mod postfix;
mod programs;
mod queued_senders;
mod rblsmtpd;
mod recognition;
mod refused_queries;
mod reply_patterns;
mod rspamd;
mod sendmail;
mod server;
mod sessions;
mod slot_line;
mod stamp;
mod wrapper;

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::SystemTime;

use jiff::tz::TimeZone;

pub(crate) use courier::CAUSED_BY_CLIENTS;
pub use needles::Needles;
pub use pattern::Pattern;
pub use programs::ProgramNames;
pub use recognition::Recognition;
pub use server::MailServer;
pub use slot_line::{DatedSlotLine, SlotChange, SlotLine};

use crate::event::Event;
use grammar::{Context, Finding, Grammar};
use header::Header;
use queued_senders::QueuedSenders;
use refused_queries::RefusedQueries;
use sessions::SessionPeers;
use stamp::Stamp;
use wrapper::Unwrapped;

/// The result of parsing a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<'line> {
    /// A rejection, an acceptance or a delivery.
    Event(Event<'line>),
    /// The line is neither an event nor a near miss.
    Nothing,
    /// The line looks like a rejection but was not taken, for this reason.
    NearMiss(&'static str),
}

/// Settings of the parser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParserSettings {
    /// The mail servers whose lines are parsed.
    pub servers: Vec<MailServer>,
    /// The configured names of the servers' programs in the log.
    pub programs: ProgramNames,
    /// Patterns, tried in this order on lines that no server's grammar takes.
    pub patterns: Vec<Pattern>,
    /// The time zone of stamps without a zone.
    pub zone: TimeZone,
}

impl Default for ParserSettings {
    /// The settings for Courier's lines, with stamps in UTC.
    fn default() -> Self {
        Self {
            servers: vec![MailServer::Courier],
            programs: ProgramNames::default(),
            patterns: Vec::new(),
            zone: TimeZone::UTC,
        }
    }
}

/// Parses the log of mail servers.
#[derive(Debug)]
pub struct Parser {
    settings: ParserSettings,
    sessions: SessionPeers,
    queued_senders: QueuedSenders,
    refused_queries: RefusedQueries,
    connection: Option<Connection>,
    handed_over: Option<(IpAddr, u16)>,
    slot: Option<DatedSlotLine>,
}

/// A connection that a line reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The peer.
    pub addr: IpAddr,
    /// The time of the line's stamp, if it has a usable one.
    pub at: Option<SystemTime>,
}

impl Parser {
    /// A parser that has seen no line.
    #[must_use]
    pub fn new(settings: ParserSettings) -> Self {
        Self {
            settings,
            sessions: SessionPeers::default(),
            queued_senders: QueuedSenders::default(),
            refused_queries: RefusedQueries::default(),
            connection: None,
            handed_over: None,
            slot: None,
        }
    }

    /// Applies other settings. If they differ, the connections that the parser
    /// has seen are forgotten.
    pub fn reconfigure(&mut self, settings: ParserSettings) {
        if settings != self.settings {
            *self = Self::new(settings);
        }
    }

    /// Starts with another log: forgets the connections and messages of the
    /// last one.
    pub fn start_log(&mut self) {
        self.sessions = SessionPeers::default();
        self.queued_senders = QueuedSenders::default();
        self.refused_queries = RefusedQueries::default();
    }

    /// The connection that the last line reported, if that line was no event.
    pub fn take_connection(&mut self) -> Option<Connection> {
        self.connection.take()
    }

    /// The peer's address and port, if the last line reported that the listening
    /// process has handed the peer's connection to another process.
    pub fn take_handed_over(&mut self) -> Option<(IpAddr, u16)> {
        self.handed_over.take()
    }

    /// The last line's report about the server's slots, if it had one.
    pub fn take_slot_line(&mut self) -> Option<DatedSlotLine> {
        self.slot.take()
    }

    /// Parses one line, without its line end. `now` decides the year of a stamp
    /// without one. Lines must come in the order of the log, because some
    /// servers name the peer only when it connects.
    #[must_use]
    pub fn parse<'line>(&mut self, line: &'line [u8], now: SystemTime) -> Parsed<'line> {
        self.slot = None;
        let Unwrapped { text, stamp } = wrapper::unwrap(line);
        match text {
            Cow::Borrowed(text) => self.unwrapped(text, stamp, now),
            Cow::Owned(text) => self.unwrapped(&text, stamp, now).into_owned(),
        }
    }

    /// The time of a line, whatever it reports; `None` without a usable stamp.
    #[must_use]
    pub fn time(&self, line: &[u8], now: SystemTime) -> Option<SystemTime> {
        let Unwrapped { text, stamp } = wrapper::unwrap(line);
        let (_, header) = split(&text);
        let time = header.within(stamp).time(&self.settings.zone, now);
        time.ok().flatten().map(|(at, _)| at)
    }

    /// The strings to search a log for, so that other lines need not be parsed.
    /// If there is a pattern, which may match any line, every line must be
    /// parsed.
    #[must_use]
    pub fn needles(&self) -> Needles {
        self.search(|grammar| [grammar.needles, grammar.connections].concat())
    }

    /// As [`Self::needles`], without the strings of lines that only report a
    /// connection. For each event, a server logs several such lines.
    #[must_use]
    pub fn event_needles(&self) -> Needles {
        self.search(|grammar| grammar.needles.to_vec())
    }

    fn search(&self, needles: impl Fn(&Grammar) -> Vec<&'static str>) -> Needles {
        if !self.settings.patterns.is_empty() {
            return Needles::everything();
        }
        let servers = self.settings.servers.iter();
        Needles::any(servers.flat_map(|server| needles(server.grammar())))
    }

    /// Parses a line whose wrapper was removed. `outer` is the wrapper's stamp.
    fn unwrapped<'line>(
        &mut self,
        line: &'line [u8],
        outer: Option<Stamp<'line>>,
        now: SystemTime,
    ) -> Parsed<'line> {
        let (line, header) = split(line);
        let header = header.within(outer);
        let parsed = self.headed(line, &header, now);
        if matches!(parsed, Parsed::Event(_)) {
            return parsed;
        }
        // A mail server passes no other program's lines on.
        let names = &self.settings.programs;
        let passes_on = |program| !names.is_mail_servers(program);
        let inner = header.program.filter(|program| passes_on(program));
        match inner.and_then(|_| header.nested()) {
            Some(inner) => self.headed(line, &inner, now),
            None => parsed,
        }
    }

    /// Parses a line with this header.
    fn headed<'line>(
        &mut self,
        line: &'line [u8],
        header: &Header<'line>,
        now: SystemTime,
    ) -> Parsed<'line> {
        let (mut near_miss, mut connected, mut slot) = (None, None, None);
        for server in &self.settings.servers {
            let grammar = server.grammar();
            let mut context = Context {
                names: self.settings.programs.names(*server),
                connected: None,
                handed_over: None,
                slot: None,
                queued_senders: &mut self.queued_senders,
                refused_queries: &mut self.refused_queries,
                sessions: &mut self.sessions,
            };
            let found = (grammar.read)(&mut context, header);
            connected = connected.or(context.connected);
            slot = slot.or(context.slot);
            self.handed_over = context.handed_over.or(self.handed_over);
            match found.and_then(|found| event(found, header, &self.settings.zone, now)) {
                Ok(event) => {
                    self.slot = slot.map(|slot| (slot, event.at));
                    return Parsed::Event(event);
                }
                Err(reason) if near_miss.is_none() && (grammar.looks_rejected)(line) => {
                    near_miss = Some(reason);
                }
                Err(_) => {}
            }
        }
        if connected.is_some() || slot.is_some() {
            let time = header.time(&self.settings.zone, now).ok().flatten();
            let at = time.map(|(at, _)| at);
            self.connection = connected.map(|addr| Connection { addr, at });
            self.slot = slot.map(|slot| (slot, at));
        }
        self.by_pattern(line, header, now)
            .unwrap_or_else(|| near_miss.map_or(Parsed::Nothing, Parsed::NearMiss))
    }

    fn by_pattern<'line>(
        &self,
        line: &'line [u8],
        header: &Header<'line>,
        now: SystemTime,
    ) -> Option<Parsed<'line>> {
        let bare = || Header::bare(line).within(header.outer);
        let (found, header) = self.settings.patterns.iter().find_map(|pattern| {
            let header = match pattern.program() {
                None => bare(),
                program if program == header.program => *header,
                Some(_) => return None,
            };
            Some((pattern.find(header.message)?, header))
        })?;
        let event = found.and_then(|found| event(found, &header, &self.settings.zone, now));
        Some(event.map_or_else(Parsed::NearMiss, Parsed::Event))
    }
}

impl Parsed<'_> {
    fn into_owned(self) -> Parsed<'static> {
        match self {
            Self::Event(event) => Parsed::Event(event.into_owned()),
            Self::Nothing => Parsed::Nothing,
            Self::NearMiss(reason) => Parsed::NearMiss(reason),
        }
    }
}

/// Splits off the header. Returns the line without a container's name at its
/// start, and the header.
fn split(line: &[u8]) -> (&[u8], Header<'_>) {
    let header = Header::split(line);
    if header.stamp.is_none()
        && let Some(rest) = wrapper::strip_name(line)
    {
        return (rest, Header::split(rest));
    }
    (line, header)
}

/// Converts a finding to an event by adding its time.
fn event<'line>(
    found: Finding<'line>,
    header: &Header<'line>,
    zone: &TimeZone,
    now: SystemTime,
) -> Result<Event<'line>, &'static str> {
    let (at, clock) = header.time(zone, now)?.unzip();
    let Finding {
        addr,
        kind,
        rule,
        envelope,
    } = found;
    Ok(Event {
        addr,
        kind,
        at,
        clock: clock.unwrap_or_default(),
        rule,
        envelope,
    })
}

#[cfg(test)]
mod delivery_properties;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
