//! Log line → event.
//!
//! Any client of the mail server chooses parts of its log. So a line is parsed
//! from its start by a fixed grammar: syslog header, program name, the mail
//! server's own words. An address elsewhere in the line is never believed. Each
//! server has a module, which documents the parts of its lines that a peer can
//! choose. [`Pattern`] is for servers without a module.
//!
//! Only a permanent rejection because of a blocklist is taken. A 4xx is taken
//! only from a server that refuses every listed peer with one. From other
//! servers, a 4xx means that a list did not answer or is not trusted yet.
//!
//! Deliveries are taken from Courier only. The delivery lines of the other
//! servers do not contain the sender (Exim's only on request), and the
//! destination of a bounce is chosen by the sender of the bounced mail.

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
mod rblsmtpd;
mod refused_queries;
mod rspamd;
mod sendmail;
mod server;
mod sessions;
mod stamp;

use std::net::IpAddr;
use std::time::SystemTime;

use jiff::tz::TimeZone;

pub(crate) use courier::CLIENTS_COMMAND;
pub use needles::Needles;
pub use pattern::Pattern;
pub use server::MailServer;

use crate::event::Event;
use grammar::{Context, Finding};
use header::Header;
use refused_queries::RefusedQueries;
use sessions::SessionPeers;
use stamp::Stamp;

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
    /// The name of Courier's SMTP server in the log: `courieresmtpd`, unless
    /// `SYSLOGNAME` renames it.
    pub courier_program: String,
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
            courier_program: "courieresmtpd".into(),
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
    refused_queries: RefusedQueries,
    connection: Option<Connection>,
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
            refused_queries: RefusedQueries::default(),
            connection: None,
        }
    }

    /// Applies other settings. If they differ, the connections that the parser
    /// has seen are forgotten.
    pub fn reconfigure(&mut self, settings: ParserSettings) {
        if settings != self.settings {
            *self = Self::new(settings);
        }
    }

    /// Starts with another log: forgets the connections of the last one.
    pub fn start_log(&mut self) {
        self.sessions = SessionPeers::default();
        self.refused_queries = RefusedQueries::default();
    }

    /// The connection that the last line reported, if it was no event.
    pub fn take_connection(&mut self) -> Option<Connection> {
        self.connection.take()
    }

    /// Parses one line, without its line end. `now` decides the year of a stamp
    /// without one. Lines must come in the order of the log, because some
    /// servers name the peer only when it connects.
    #[must_use]
    pub fn parse<'line>(&mut self, line: &'line [u8], now: SystemTime) -> Parsed<'line> {
        let header = Header::split(line);
        let mut context = Context {
            courier_program: self.settings.courier_program.as_bytes(),
            connected: None,
            refused_queries: &mut self.refused_queries,
            sessions: &mut self.sessions,
        };
        let mut near_miss = None;
        for server in &self.settings.servers {
            let grammar = server.grammar();
            let found = (grammar.read)(&mut context, &header);
            match found.and_then(|found| event(found, header.stamp, &self.settings.zone, now)) {
                Ok(event) => return Parsed::Event(event),
                Err(reason) if near_miss.is_none() && (grammar.looks_rejected)(line) => {
                    near_miss = Some(reason);
                }
                Err(_) => {}
            }
        }
        if let Some(addr) = context.connected {
            let at = |stamp: Stamp<'_>| stamp.time(&self.settings.zone, now);
            let at = header.stamp.and_then(at);
            self.connection = Some(Connection { addr, at });
        }
        self.by_pattern(line, &header, now)
            .unwrap_or_else(|| near_miss.map_or(Parsed::Nothing, Parsed::NearMiss))
    }

    /// The strings to search a log for, so that other lines need not be parsed.
    /// If there is a pattern, which may match any line, every line must be
    /// parsed.
    #[must_use]
    pub fn needles(&self) -> Needles {
        if !self.settings.patterns.is_empty() {
            return Needles::everything();
        }
        let servers = self.settings.servers.iter();
        Needles::any(servers.flat_map(|server| server.grammar().needles.iter().copied()))
    }

    fn by_pattern<'line>(
        &self,
        line: &'line [u8],
        header: &Header<'line>,
        now: SystemTime,
    ) -> Option<Parsed<'line>> {
        let bare = || Header::bare(line);
        let (found, stamp) = self.settings.patterns.iter().find_map(|pattern| {
            let header = match pattern.program() {
                None => bare(),
                program if program == header.program => *header,
                Some(_) => return None,
            };
            Some((pattern.find(header.message)?, header.stamp))
        })?;
        let event = found.and_then(|found| event(found, stamp, &self.settings.zone, now));
        Some(event.map_or_else(Parsed::NearMiss, Parsed::Event))
    }
}

/// Converts a finding to an event by adding its time.
fn event<'line>(
    found: Finding<'line>,
    stamp: Option<Stamp<'line>>,
    zone: &TimeZone,
    now: SystemTime,
) -> Result<Event<'line>, &'static str> {
    let at = match stamp {
        Some(stamp) => Some(stamp.time(zone, now).ok_or("its stamp is not a time")?),
        None => None,
    };
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
        rule,
        envelope,
    })
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
