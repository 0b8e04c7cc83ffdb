//! The mail log, as rsyslog writes it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use jiff::Zoned;
use spamdrop_lab::smtpd::{Options, Stamp};

/// The name that the server gives itself.
pub const HOST: &str = "mx1";

/// Where the lines go.
pub struct Log {
    path: PathBuf,
    stamp: Stamp,
}

impl Log {
    /// The log that `options` names.
    pub fn new(options: &Options) -> Self {
        Self {
            path: options.log.clone(),
            stamp: options.stamp,
        }
    }

    /// Appends a line of `program`, in a single write as other sessions write
    /// too.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn line(&self, program: &str, message: &str) -> Result<()> {
        let stamp = Zoned::now().strftime(match self.stamp {
            Stamp::Rfc3339 => "%Y-%m-%dT%H:%M:%S.%6f%:z",
            Stamp::Bsd => "%b %e %H:%M:%S",
        });
        let line = format!("{stamp} {HOST} {program}: {message}\n");
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|error| anyhow!("write {}: {error}", self.path.display()))
    }
}
