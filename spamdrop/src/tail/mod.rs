//! Log files, the journal and standard input → lines.
//!
//! [`Tail::poll`] is what makes it correct: called once a second, it finds
//! whatever happened to a file by looking. [`Tail::changed`] only makes it
//! quicker.
//!
//! Reading a path starts at its end the first time, and later where it
//! stopped. A file is known again by device, inode and the hash of its first
//! bytes; any other file is read from its beginning. What becomes of a file:
//!
//! - renamed away: read to its end, and on until it gave nothing for 5 s; the
//!   new file is read meanwhile. Files that came and went between two looks
//!   are found as `PATH.1` to `PATH.9`.
//! - truncated: read from its start. Lines that copytruncate took away before
//!   they were read are found in `PATH.1`; only those written between copy
//!   and truncation are lost.
//! - deleted: as renamed away; the path is then waited for.
//!
//! A file that is created, and deleted or replaced without a rotated name,
//! between two looks, is never seen. A truncated file is taken for the old
//! one if it grew past the old offset with the same first bytes.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::clock;

mod ahead;
mod file;
mod follow;
mod head;
mod id;
mod journal;
mod pipe;
mod positions;
mod saving;
mod split;
mod status;
mod wake;

use follow::Follower;
use journal::Journal;
pub use journal::Matches;
use pipe::Pipe;
use positions::Positions;
use saving::Saving;
pub use split::{MAX_LINE, Piece, Splitter};
pub use status::{FileStatus, State};
use wake::Wake;

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// A complete line of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The line without its newline or CR LF, at most [`MAX_LINE`] bytes, of
    /// any value.
    pub bytes: &'a [u8],
    /// The source as it was configured, also for a line of `PATH.1`.
    pub path: &'a Path,
    /// Where the line begins in its file, in bytes.
    pub offset: u64,
    /// Whether it stood in the file before this run.
    pub backlog: bool,
}

/// Follows logs.
pub struct Tail {
    sources: Vec<Source>,
    /// Whose turn it is to be read.
    turn: usize,
    buffer: Vec<u8>,
    wake: Wake,
    /// Positions as the last run left them.
    known: Positions,
    saving: Option<Saving>,
}

enum Source {
    File(Follower),
    Pipe(Pipe),
    Journal(Box<Journal>),
}

impl Tail {
    /// Starts to follow `paths`: log files, or `-` for standard input. How
    /// far they were read is kept in the file `positions`, if there is one;
    /// one that is damaged counts as none.
    ///
    /// # Errors
    ///
    /// No thread can be started to read standard input. A file that cannot be
    /// read is no error: it is waited for.
    pub fn open(paths: &[PathBuf], positions: Option<PathBuf>) -> Result<Self> {
        let known = positions
            .as_deref()
            .map(Positions::load)
            .unwrap_or_default();
        Self::open_at(paths, positions, known)
    }

    /// Follows other paths, each from where this one has read it.
    ///
    /// # Errors
    ///
    /// As [`Tail::open`].
    pub fn reopen(&self, paths: &[PathBuf]) -> Result<Self> {
        let positions = self.saving.as_ref().map(|saving| saving.path().to_owned());
        Self::open_at(paths, positions, self.read_positions())
    }

    fn open_at(paths: &[PathBuf], positions: Option<PathBuf>, known: Positions) -> Result<Self> {
        let wake = Wake::default();
        let mut seen = HashSet::new();
        let mut sources = Vec::new();
        for path in paths.iter().filter(|path| seen.insert(path.as_path())) {
            sources.push(if path == Path::new("-") {
                let pipe = Pipe::spawn(path, io::stdin(), wake.input.clone());
                Source::Pipe(pipe.context("cannot start a thread to read standard input")?)
            } else {
                Source::File(Follower::new(path, known.get(path)))
            });
        }
        Ok(Self {
            sources,
            turn: 0,
            buffer: vec![0; CHUNK],
            wake,
            known,
            saving: positions.map(Saving::new),
        })
    }

    /// Follows the systemd journal as well: the entries that `matches`, as
    /// journalctl understands them, choose. The first time, reading starts at
    /// the journal's end.
    #[must_use]
    pub fn with_journal(mut self, matches: Vec<String>) -> Self {
        let place = self.known.journal.take();
        let wake = Arc::clone(&self.wake.input);
        let journal = Journal::new("journalctl", matches, place, clock::wall(), wake);
        self.sources.push(Source::Journal(Box::new(journal)));
        self
    }

    /// Resolves when a source may have changed, in a storm 100 times a second,
    /// or never if inotify is not available. Cancel safe. Needs a tokio
    /// runtime with I/O and time.
    pub async fn changed(&mut self) {
        let paths = self.sources.iter().filter_map(|source| match source {
            Source::File(file) => Some(file.status().path.as_path()),
            Source::Pipe(_) | Source::Journal(_) => None,
        });
        self.wake.wait(paths).await;
    }

    /// Reads at most `budget` bytes, in turns from every source, and hands
    /// over the lines that became complete. Returns whether the budget ran
    /// out: there may be more. `now` decides when a rotated file is closed.
    pub fn poll(&mut self, now: Instant, budget: usize, on_line: &mut dyn FnMut(Line<'_>)) -> bool {
        self.files_mut().for_each(Follower::look);
        let more = self.read(now, budget, on_line);
        self.files_mut().for_each(Follower::measure);
        more
    }

    /// State and counters of every source, in the order of the paths.
    pub fn files(&self) -> impl Iterator<Item = &FileStatus> {
        self.sources.iter().map(Source::status)
    }

    /// What writes the read positions to disk, if they have changed; for
    /// another thread, since a disk may be slow. A crash leaves the old or the
    /// new file; lines handed over since the last save are handed over again
    /// by the next run.
    pub fn begin_save(&mut self) -> Option<impl FnOnce() -> Result<()> + Send + use<>> {
        let positions = self.read_positions();
        self.saving.as_mut()?.begin(positions)
    }

    /// The last save failed, so [`Tail::begin_save`] tries again.
    pub fn forget_save(&mut self) {
        if let Some(saving) = &mut self.saving {
            saving.forget();
        }
    }

    fn read_positions(&self) -> Positions {
        let mut positions = Positions::default();
        for source in &self.sources {
            match source {
                Source::File(file) => {
                    if let Some(files) = file.positions() {
                        positions.set(&file.status().path, files);
                    }
                }
                Source::Journal(journal) => positions.journal = Some(journal.place().clone()),
                Source::Pipe(_) => {}
            }
        }
        positions
    }

    fn read(&mut self, now: Instant, budget: usize, on_line: &mut dyn FnMut(Line<'_>)) -> bool {
        let mut left = budget;
        // Sources in a row that had nothing.
        let mut idle = 0;
        while idle < self.sources.len() {
            if left == 0 {
                return true;
            }
            self.turn %= self.sources.len();
            let room = left.min(self.buffer.len());
            let buffer = &mut self.buffer[..room];
            let count = match &mut self.sources[self.turn] {
                Source::File(file) => file.read(now, buffer, on_line),
                Source::Pipe(pipe) => pipe.read(room, on_line),
                Source::Journal(journal) => journal.read(now, room, on_line),
            };
            idle = if count == 0 { idle + 1 } else { 0 };
            left -= count;
            self.turn += 1;
        }
        false
    }

    fn files_mut(&mut self) -> impl Iterator<Item = &mut Follower> {
        self.sources.iter_mut().filter_map(|source| match source {
            Source::File(file) => Some(file),
            Source::Pipe(_) | Source::Journal(_) => None,
        })
    }
}

impl Source {
    fn status(&self) -> &FileStatus {
        match self {
            Self::File(file) => file.status(),
            Self::Pipe(pipe) => pipe.status(),
            Self::Journal(journal) => journal.status(),
        }
    }
}

#[cfg(test)]
mod tests;
