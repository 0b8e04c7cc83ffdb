//! How `scan`, `learn` and `replay` read a log: whose lines, and in which time
//! zone.

use std::io::{self, Cursor, Read};

use anyhow::Result;
use spamdrop_core::engine::EngineSettings;
use spamdrop_core::log::{MailServer, ParserSettings, Recognition};

use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::tail::{Piece, Splitter};

/// Maximum number of bytes that are read from a log to recognize its mail server.
const SAMPLE: usize = 1 << 20;
/// Bytes per read of the sample.
const CHUNK: usize = 64 << 10;

/// The settings of the configuration, except those that flags override.
///
/// # Errors
///
/// As [`Config::engine`].
pub(super) fn settings(config: &Config, flags: &cli::LogOptions) -> Result<EngineSettings> {
    let mut settings = config.engine()?;
    if !flags.servers.is_empty() {
        settings.parser.servers.clone_from(&flags.servers);
    }
    if let Some(zone) = &flags.timezone {
        settings.parser.zone = zone.clone();
    }
    Ok(settings)
}

/// A log whose first bytes were read to recognize its mail server.
pub(super) struct Recognized {
    sample: Cursor<Vec<u8>>,
    /// The error that ended the sample.
    error: Option<io::Error>,
    rest: Box<dyn Read + Send>,
    /// The servers that were recognized in the log, but are not configured. Their
    /// lines are read, too.
    missing: Vec<MailServer>,
}

impl Recognized {
    /// Reads as much of a log as it takes to know whether the servers of
    /// `settings` wrote it.
    pub(super) fn new(mut rest: Box<dyn Read + Send>, settings: &ParserSettings) -> Self {
        let mut recognition = Recognition::new(settings, clock::wall());
        let mut lines = Splitter::from_offset(0);
        let (mut sample, mut error) = (Vec::new(), None);
        let mut buffer = vec![0; CHUNK];
        while sample.len() < SAMPLE && !recognition.fits() {
            let mut see = |piece: Piece<'_>| {
                if let Piece::Line { bytes, .. } = piece {
                    recognition.read(bytes);
                }
            };
            match rest.read(&mut buffer) {
                Ok(0) => {
                    lines.finish(&mut see);
                    break;
                }
                Ok(count) => {
                    sample.extend_from_slice(&buffer[..count]);
                    lines.feed(&buffer[..count], &mut see);
                }
                Err(failed) if failed.kind() == io::ErrorKind::Interrupted => {}
                Err(failed) => {
                    error = Some(failed);
                    break;
                }
            }
        }
        Self {
            sample: Cursor::new(sample),
            error,
            rest,
            missing: recognition.missing(),
        }
    }

    /// Warns about recognized servers that are not configured. `name` is that of the
    /// log.
    pub(super) fn warn(&self, name: &str) {
        if !self.missing.is_empty() {
            let names = names(&self.missing);
            log::warn!(
                "{name}: recognised {names}, which `servers` does not name; such lines are read, too (name the mail server by `--server` or in `servers`)"
            );
        }
    }

    /// `settings`, with the recognized servers added.
    pub(super) fn settings(&self, settings: &EngineSettings) -> EngineSettings {
        let mut settings = settings.clone();
        let servers = &mut settings.parser.servers;
        let missing = self.missing.iter();
        let new: Vec<_> = missing
            .filter(|it| !servers.contains(it))
            .copied()
            .collect();
        servers.extend(new);
        settings
    }
}

impl Read for Recognized {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.sample.read(buffer)? {
            0 => self
                .error
                .take()
                .map_or_else(|| self.rest.read(buffer), Err),
            count => Ok(count),
        }
    }
}

fn names(servers: &[MailServer]) -> String {
    let names: Vec<_> = servers.iter().map(|server| server.name()).collect();
    names.join(", ")
}
