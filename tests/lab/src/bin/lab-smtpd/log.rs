//! The mail log, in rsyslog's format.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use jiff::Zoned;
use spamdrop_lab::smtpd::{Options, Stamp};

/// The server's host name.
pub const HOST: &str = "mx1";

/// The destination of the log lines.
pub struct Log {
    path: PathBuf,
    stamp: Stamp,
}

impl Log {
    /// The log file from `options`.
    pub fn new(options: &Options) -> Self {
        Self {
            path: options.log.clone(),
            stamp: options.stamp,
        }
    }

    /// Appends a line of `program`. It is a single write, because other
    /// sessions write at the same time.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_line(&self, program: &str, message: &str) -> Result<()> {
        let stamp = format(self.stamp, &Zoned::now());
        let line = format!("{stamp} {HOST} {program}: {message}\n");
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|error| anyhow!("write {}: {error}", self.path.display()))
    }
}

fn format(stamp: Stamp, at: &Zoned) -> String {
    at.strftime(match stamp {
        Stamp::Rfc3339 => "%Y-%m-%dT%H:%M:%S.%6f%:z",
        Stamp::Bsd => "%b %e %H:%M:%S",
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::tz::{TimeZone, offset};

    use super::*;

    #[test]
    fn stamps_are_those_of_rsyslog() {
        let zone = TimeZone::fixed(offset(1));
        let at = date(2026, 11, 3)
            .at(8, 5, 9, 15_769_999)
            .to_zoned(zone)
            .expect("it exists");
        assert_eq!(
            format(Stamp::Rfc3339, &at),
            "2026-11-03T08:05:09.015769+01:00"
        );
        assert_eq!(format(Stamp::Bsd, &at), "Nov  3 08:05:09");
    }
}
