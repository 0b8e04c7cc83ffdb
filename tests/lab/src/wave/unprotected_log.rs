//! The log that the server would have written without a filter: the lines that it wrote,
//! and lines for the connections that the filter dropped.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};

use super::session::Session;

/// Time from the beginning of a connection to its rejection.
const TALK: SignedDuration = SignedDuration::from_millis(120);

/// Lines with their stamps.
#[derive(Clone, Debug, Default)]
pub struct UnprotectedLog(Vec<(Timestamp, String)>);

impl UnprotectedLog {
    /// The lines of a log.
    ///
    /// # Errors
    ///
    /// A line has no stamp.
    pub fn new(log: &str) -> Result<Self> {
        let lines = log.lines().map(|line| {
            let (stamp, rest) = line.split_once(' ').context("a line without stamp")?;
            let at = stamp.parse().context("a line without stamp")?;
            Ok((at, rest.to_owned()))
        });
        lines.collect::<Result<_>>().map(Self)
    }

    /// Adds the line with which the server logs the start of the session.
    pub fn add_start(&mut self, session: &Session) {
        let (addr, port) = (session.sender.addr, session.port);
        let line = format!("mx1 courieresmtpd: started,ip=[::ffff:{addr}],port=[{port}]");
        self.0.push((session.called_at, line));
    }

    /// Adds the line with which the server logs the session's rejection, if the sender is
    /// listed.
    pub fn add_rejection(&mut self, session: &Session) {
        let (addr, port) = (session.sender.addr, session.port);
        if session.sender.is_listed() {
            let line = format!(
                "mx1 courieresmtpd: error,relay=::ffff:{addr},port={port},from=<a@sender.example>,\
                 to=<b@here.example>: 511 Blacklisted by zone.example"
            );
            self.0.push((session.called_at + TALK, line));
        }
    }

    /// The lines in the order of their stamps, which `stamp` then converts.
    #[must_use]
    pub fn into_text(mut self, stamp: impl Fn(Timestamp) -> Timestamp) -> String {
        self.0.sort();
        let mut text = String::new();
        for (at, line) in self.0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {line}", stamp(at));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_in_the_order_of_their_stamps() {
        let log = "2026-11-23T09:00:05.5+01:00 mx1 b\n2026-11-23T08:00:04Z mx1 a\n";
        let log = UnprotectedLog::new(log).expect("lines with stamps");
        let text = log.into_text(|at| at + SignedDuration::from_secs(1));
        assert_eq!(
            text,
            "2026-11-23T08:00:05Z mx1 a\n2026-11-23T08:00:06.5Z mx1 b\n"
        );
        assert!(UnprotectedLog::new("no stamp").is_err());
    }
}
