//! Recognizes the mail server that wrote a log.

use std::time::SystemTime;

use super::{MailServer, Parsed, Parser, ParserSettings};

/// Finds out which servers wrote a log: the configured ones or others.
#[derive(Debug)]
pub struct Recognition {
    configured: Parser,
    /// The servers that are not configured, each with the number of its lines.
    others: Vec<(MailServer, Parser, u64)>,
    fits: bool,
    now: SystemTime,
}

impl Recognition {
    /// Starts without any line. `now` decides the year of a stamp without one.
    #[must_use]
    pub fn new(settings: &ParserSettings, now: SystemTime) -> Self {
        let others = MailServer::ALL.into_iter();
        let others = others.filter(|server| !settings.servers.contains(server));
        let alone = |server| {
            let settings = ParserSettings {
                servers: vec![server],
                patterns: Vec::new(),
                ..settings.clone()
            };
            (server, Parser::new(settings), 0)
        };
        Self {
            configured: Parser::new(settings.clone()),
            others: others.map(alone).collect(),
            fits: false,
            now,
        }
    }

    /// Reads the next line.
    pub fn read(&mut self, line: &[u8]) {
        self.fits |= is_taken(&mut self.configured, line, self.now);
        for (_, parser, count) in &mut self.others {
            *count += u64::from(is_taken(parser, line, self.now));
        }
    }

    /// Whether the configured servers or patterns have taken a line.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.fits
    }

    /// The servers that are not configured, but whose lines are in the log. Empty
    /// if the configured servers or patterns have taken a line.
    #[must_use]
    pub fn missing(&self) -> Vec<MailServer> {
        let found = self.others.iter().filter(|(_, _, count)| *count > 0);
        let missing = found.map(|(server, _, _)| *server).collect();
        if self.fits { Vec::new() } else { missing }
    }
}

fn is_taken(parser: &mut Parser, line: &[u8], now: SystemTime) -> bool {
    let is_event = matches!(parser.parse(line, now), Parsed::Event(_));
    parser.take_connection().is_some() || is_event
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSTFIX: &str = "Nov 28 08:50:54 mx1 postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[203.0.113.5]: 554 5.7.1 Service unavailable; Client host [203.0.113.5] blocked using zen.example; from=<a@b.example>";
    const COURIER: &str =
        "Nov 28 08:50:54 mx1 courieresmtpd: error,relay=203.0.113.7,from=<a>: 511 no";

    fn missing(lines: &[&str]) -> Vec<MailServer> {
        let mut recognition = Recognition::new(&ParserSettings::default(), SystemTime::now());
        for line in lines {
            recognition.read(line.as_bytes());
        }
        assert_eq!(recognition.fits(), lines.contains(&COURIER));
        recognition.missing()
    }

    #[test]
    fn a_server_is_recognized_unless_the_configured_one_fits() {
        assert_eq!(missing(&["", POSTFIX, "other"]), [MailServer::Postfix]);
        assert_eq!(missing(&[POSTFIX, COURIER]), []);
        assert_eq!(missing(&["Nov 28 08:50:54 mx1 cron[1]: 511"]), []);
    }
}
