//! Log line → event.
//!
//! Anyone who can speak to the mail server chooses parts of its log, so a
//! line is read from its start by a fixed grammar: syslog header, program
//! name, the mail server's own words. An address found elsewhere in the line
//! is never believed.

mod courier;
mod header;
mod stamp;

use std::time::SystemTime;

use jiff::tz::TimeZone;
use memchr::memmem::Finder;

use crate::event::{Event, Kind};
use header::Header;

/// What a line turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'line> {
    /// A rejection or an acceptance.
    Event(Event<'line>),
    /// Neither.
    Nothing,
    /// Not taken, though it looks like a rejection; and why.
    NearMiss(&'static str),
}

/// Reads the log of a Courier mail server.
#[derive(Debug)]
pub struct Parser {
    program: Vec<u8>,
    zone: TimeZone,
    relay: Finder<'static>,
    code: Finder<'static>,
}

impl Parser {
    /// A parser for the lines of the SMTP server named `program`
    /// (`courieresmtpd`, unless `SYSLOGNAME` renames it). Stamps that name no
    /// time zone are taken to be in `zone`.
    #[must_use]
    pub fn new(program: &str, zone: TimeZone) -> Self {
        Self {
            program: program.into(),
            zone,
            relay: Finder::new("error,relay="),
            code: Finder::new("511"),
        }
    }

    /// Reads one line, without its end. `now` decides the year of a stamp
    /// that has none.
    #[must_use]
    pub fn parse<'line>(&self, line: &'line [u8], now: SystemTime) -> Parsed<'line> {
        match self.event(line, now) {
            Ok(event) => Parsed::Event(event),
            Err(reason) if self.looks_rejected(line) => Parsed::NearMiss(reason),
            Err(_) => Parsed::Nothing,
        }
    }

    fn event<'line>(
        &self,
        line: &'line [u8],
        now: SystemTime,
    ) -> Result<Event<'line>, &'static str> {
        let header = Header::split(line).ok_or("it does not start with a syslog header")?;
        let (addr, kind, rule) = if header.program == self.program {
            let (addr, text) = courier::rejected(header.message)?;
            (addr, Kind::Rejected { text }, "courier-511")
        } else if header.program == b"courierd" {
            let addr = courier::accepted(header.message).ok_or("it is no newmsg line")?;
            (addr, Kind::Accepted, "courier-newmsg")
        } else {
            return Err("another program wrote it");
        };
        let at = match header.stamp {
            Some(stamp) => Some(
                stamp
                    .time(&self.zone, now)
                    .ok_or("its stamp is not a time")?,
            ),
            None => None,
        };
        Ok(Event {
            addr,
            kind,
            at,
            rule,
        })
    }

    /// Whether `511` stands behind `error,relay=` where a reply could start:
    /// not inside a word, nor as a port.
    fn looks_rejected(&self, line: &[u8]) -> bool {
        let Some(start) = self.relay.find(line) else {
            return false;
        };
        let tail = line.get(start..).unwrap_or_default();
        self.code.find_iter(tail).any(|at| {
            let before = at.checked_sub(1).and_then(|at| tail.get(at));
            let after = tail.get(at + 3);
            before.is_some_and(|byte| !byte.is_ascii_alphanumeric())
                && matches!(after, None | Some(b' ' | b'-'))
        })
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
