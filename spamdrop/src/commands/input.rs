//! Reads a log from disk: plain or compressed, a file or a pipe.

use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Error, Result, bail};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::clock;
use crate::exit::{Exit, Failure};
use crate::unpack::{Compression, MAGIC};
use spamdrop_core::escape::escape;

/// Minimum size of a file on disk, in bytes, for a progress bar. Smaller files are
/// read too fast to need one.
const LONG: u64 = 16 << 20;

/// An opened log.
pub(super) struct Input {
    /// The name as it was given, escaped.
    pub(super) name: String,
    format: Compression,
    /// The first bytes, which are no longer in `rest`.
    head: Vec<u8>,
    rest: Box<dyn Read + Send>,
    /// Size in bytes; 0 if unknown.
    size: u64,
    /// The time of the last change; `None` for standard input, and if it is unknown.
    changed: Option<SystemTime>,
}

/// Ensures that at most one of the files is standard input.
///
/// # Errors
///
/// Standard input is named twice ([`Exit::Usage`]).
pub(super) fn check(paths: &[PathBuf]) -> Result<()> {
    if paths.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        let message = "`-` is standard input, which can be read only once";
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(())
}

/// Logs all errors but the last, which is returned to end the command.
pub(super) fn last_of(mut errors: Vec<Error>) -> Result<()> {
    let last = errors.pop();
    for error in errors {
        log::error!("{error:#}");
    }
    last.map_or(Ok(()), Err)
}

impl Input {
    /// Opens a file, or standard input for `-`, and reads its first bytes.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or read, or is compressed in an unknown format.
    /// The message names it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = escape(path.as_os_str().as_encoded_bytes());
        let (mut rest, metadata): (Box<dyn Read + Send>, _) = if name == "-" {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
            let metadata = file.metadata().ok();
            (Box::new(file), metadata)
        };
        let mut head = Vec::new();
        rest.by_ref()
            .take(MAGIC as u64)
            .read_to_end(&mut head)
            .with_context(|| format!("cannot read {name}"))?;
        let format = Compression::recognize(&head);
        if format == Compression::Bzip2 {
            bail!("{name} is compressed by bzip2; use `bzcat {name} |` with the file `-`");
        }
        Ok(Self {
            name,
            format,
            head,
            rest,
            size: metadata.as_ref().map_or(0, Metadata::len),
            changed: metadata.and_then(|metadata| metadata.modified().ok()),
        })
    }

    /// The time before which the log was written: a rotated log may be older than a year,
    /// and its stamps may have no year.
    pub(super) fn present(&self) -> SystemTime {
        let now = clock::wall();
        self.changed.map_or(now, |changed| changed.min(now))
    }

    /// The decompressed text. With `progress`, a bar on standard error, if that
    /// is a terminal, shows how much of a long file has been read, until the
    /// text is dropped.
    pub(super) fn into_reader(self, progress: bool) -> Box<dyn Read + Send> {
        let raw = Cursor::new(self.head).chain(self.rest);
        let bar = if progress && self.size >= LONG {
            bar(self.name, self.size)
        } else {
            ProgressBar::hidden()
        };
        match self.format.unpack(bar.wrap_read(raw)) {
            Ok(text) => Box::new(text),
            Err(error) => Box::new(ErrorReader(Some(error))),
        }
    }
}

/// A reader that returns the error once, then the end of the file.
struct ErrorReader(Option<io::Error>);

impl Read for ErrorReader {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

fn bar(name: String, size: u64) -> ProgressBar {
    let template = "{wide_msg} {bytes:>10} of {total_bytes} [{bar:20}] {eta:>4}";
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(size)
        .with_style(style)
        .with_message(name)
        .with_finish(ProgressFinish::AndClear)
}
