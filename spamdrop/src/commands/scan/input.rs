//! A log as it lies on the disk: plain or gzipped, a file or a pipe.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::report::escape::escape;

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

impl Input {
    /// Opens a file, or standard input for `-`, and reads its first bytes.
    ///
    /// # Errors
    ///
    /// It cannot be opened or read, or its compression is not gzip's; the
    /// message names it.
    pub(super) fn open(path: &Path) -> Result<Self> {
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
                    "{name} is compressed, and not by gzip; use `{program} {name} | spamdrop scan -`"
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
