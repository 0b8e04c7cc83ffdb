//! A log as it lies on the disk: plain or gzipped, a file or a pipe.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::exit::{Exit, Failure};
use crate::tail::{Piece, Splitter};
use spamdrop_core::escape::escape;
use spamdrop_core::log::Needles;

/// Bytes read at once: few system calls, and within the processor's cache.
const CHUNK: usize = 256 << 10;

/// Compressions by their first bytes: those of the formats' specifications,
/// and the program that undoes them. Gzip is undone here.
const GZIP: &[u8] = b"\x1f\x8b";
const OTHERS: [(&[u8], &str); 3] = [
    (b"\x28\xb5\x2f\xfd", "zstdcat"),
    (b"\xfd7zXZ\0", "xzcat"),
    (b"BZh", "bzcat"),
];
/// Bytes that tell all of them apart.
const MAGIC: u64 = 6;

/// A shorter file is read in no time; in bytes, compressed or not.
const LONG: u64 = 16 << 20;

/// An opened log.
pub(super) struct Input {
    /// As it was given, escaped.
    pub(super) name: String,
    /// What it begins with, which is no longer in `rest`.
    head: Vec<u8>,
    rest: Box<dyn Read>,
    /// In bytes; 0 if nobody knows.
    size: u64,
}

/// Opens files for a verb, so that one that is missing is told of before any
/// is read.
///
/// # Errors
///
/// As [`Input::open`]; or standard input is named twice ([`Exit::Usage`]).
pub(super) fn open_all(paths: &[PathBuf], verb: &str) -> Result<Vec<Input>> {
    if paths.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        let message = "`-` is standard input, which can be read only once";
        return Err(Failure::new(Exit::Usage, message));
    }
    paths.iter().map(|path| Input::open(path, verb)).collect()
}

impl Input {
    /// Opens a file, or standard input for `-`, and reads its first bytes.
    ///
    /// # Errors
    ///
    /// It cannot be opened or read, or its compression is not gzip's; the
    /// message names it.
    fn open(path: &Path, verb: &str) -> Result<Self> {
        let name = escape(path.as_os_str().as_encoded_bytes());
        let (mut rest, size): (Box<dyn Read>, u64) = if name == "-" {
            (Box::new(io::stdin().lock()), 0)
        } else {
            let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
            let size = file.metadata().map_or(0, |metadata| metadata.len());
            (Box::new(file), size)
        };
        let mut head = Vec::new();
        rest.by_ref()
            .take(MAGIC)
            .read_to_end(&mut head)
            .with_context(|| format!("cannot read {name}"))?;
        for (magic, program) in OTHERS {
            if head.starts_with(magic) {
                bail!(
                    "{name} is compressed, and not by gzip; use `{program} {name} | spamdrop {verb} -`"
                );
            }
        }
        Ok(Self {
            name,
            head,
            rest,
            size,
        })
    }

    /// Its text. With `progress`, a bar on standard error, if that is a
    /// terminal, shows how much of a long file has been read, until the text
    /// is dropped.
    pub(super) fn text(self, progress: bool) -> Box<dyn Read> {
        let is_gzip = self.head.starts_with(GZIP);
        let raw = Cursor::new(self.head).chain(self.rest);
        let bar = if progress && self.size >= LONG {
            bar(self.name, self.size)
        } else {
            ProgressBar::hidden()
        };
        let raw = bar.wrap_read(raw);
        if is_gzip {
            Box::new(MultiGzDecoder::new(raw))
        } else {
            Box::new(raw)
        }
    }
}

/// Hands over the lines that hold what is looked for, and counts the others.
///
/// # Errors
///
/// The text cannot be read to its end; an unfinished line has lost its own.
pub(super) fn each_piece(
    text: &mut impl Read,
    needles: &Needles,
    on_piece: &mut dyn FnMut(Piece<'_>),
) -> io::Result<()> {
    let mut lines = Splitter::at(0);
    let mut buffer = vec![0; CHUNK];
    loop {
        match text.read(&mut buffer) {
            Ok(0) => {
                lines.finish(on_piece);
                return Ok(());
            }
            Ok(count) => {
                let bytes = &buffer[..count];
                lines.feed_wanted(bytes, &mut |at| needles.find(bytes, at), on_piece);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
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
