//! How `scan` and `learn` read a log: whose lines, and in which time zone.

use std::io::{self, Cursor, Read};

use anyhow::Result;
use spamdrop_core::engine::EngineSettings;
use spamdrop_core::log::{MailServer, ParserSettings, Recognition};

use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::tail::{Piece, Splitter};

/// Bytes of a log that are searched for the lines of a mail server.
const SAMPLE: usize = 1 << 20;
/// Bytes per read of the sample.
const CHUNK: usize = 64 << 10;

/// The settings of the configuration, with those of the flags in their place.
///
/// # Errors
///
/// As [`Config::engine`].
pub(super) fn settings(config: &Config, flags: &cli::Reading) -> Result<EngineSettings> {
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
    /// The servers that are to be read in addition.
    missing: Vec<MailServer>,
}

impl Recognized {
    /// Reads as much of a log as it takes to know whether the servers of
    /// `settings` wrote it.
    pub(super) fn new(mut rest: Box<dyn Read + Send>, settings: &ParserSettings) -> Self {
        let mut recognition = Recognition::new(settings, clock::wall());
        let mut lines = Splitter::at(0);
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

    /// The settings with which the log is read. What was recognized is named.
    pub(super) fn settings(&self, name: &str, settings: &EngineSettings) -> EngineSettings {
        let mut settings = settings.clone();
        if !self.missing.is_empty() {
            let names = names(&self.missing);
            log::warn!(
                "{name}: recognised {names}, which `servers` does not name; read as such (`--server` and `servers` set it)"
            );
            settings.parser.servers.extend(&self.missing);
        }
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
