//! Reads log files, the journal and standard input as lines.
//!
//! [`Tail::poll`] alone ensures correctness: called once a second, it detects
//! every change of a file by checking the file itself. [`Tail::changed`] only
//! reduces the delay.
//!
//! Reading a path starts at its end the first time, and later where it stopped.
//! A file is recognized by device, inode, the hash of its first bytes and marks
//! of its last lines. A file may be:
//!
//! - renamed: it is read until it has not grown for 5 s; the new file is read
//!   in the meantime. Files that appeared and vanished between two checks are
//!   found by the names that rotation gives, such as `PATH.1`, also if they are
//!   compressed.
//! - replaced by a copy, or rewritten, as by an editor: it is searched for the
//!   lines that were read before, and read from behind the last of them. If the
//!   line that was read last is not in it, the copy may be under way, so it is
//!   read only when it has not grown for 1 s, or after 4 s.
//! - truncated: it is read from its start. Lines that copytruncate removed
//!   before they were read are found in `PATH.1`; only lines written between
//!   copy and truncation are lost.
//! - deleted: it is read as if renamed; then the path is awaited.
//!
//! A path whose last part has a wildcard stands for all logs that match. A log that
//! appears later is read from its beginning; rotated files are read as above.
//!
//! Files are searched and decompressed in portions of the size of a read, so that
//! a large one delays no other log.
//!
//! A file is never seen if it is created between two checks, and deleted or
//! replaced without a rotated name before the second one.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::clock;

mod ahead;
mod content;
mod file;
mod follow;
mod head;
mod id;
mod journal;
mod pipe;
mod positions;
mod rotated;
mod saving;
mod search;
mod several;
mod split;
mod status;
mod trace;
mod wake;

use follow::Follower;
pub use id::other_kind;
use journal::Journal;
pub use journal::{JournalEntry, Matches, Unfit, has_recent_entry};
use pipe::Pipe;
pub use positions::Positions;
use saving::Saving;
pub use several::named_by;
use several::{Several, wildcard};
pub use split::{MAX_LINE, Piece, Splitter};
pub use status::{FileStatus, ReadState};
use wake::Wake;

/// Bytes per read.
const CHUNK: usize = 64 << 10;

/// A complete line of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// The line without its newline or CR LF, at most [`MAX_LINE`] bytes. The
    /// bytes may have any value.
    pub bytes: &'a [u8],
    /// The configured path of the source, also for a line of `PATH.1`.
    pub path: &'a Path,
    /// Offset of the line in its file, in bytes.
    pub offset: u64,
    /// Whether the line was in the file before this run.
    pub backlog: bool,
}

/// Follows logs.
pub struct Tail {
    sources: Vec<Source>,
    /// Index of the source to read next.
    turn: usize,
    buffer: Vec<u8>,
    wake: Wake,
    /// Positions that the last run saved.
    known: Positions,
    saving: Option<Saving>,
    /// The time up to which the silences of the sources are counted.
    watched: Instant,
}

enum Source {
    File(Follower),
    Several(Box<Several>),
    Pipe(Pipe),
    Journal(Box<Journal>),
}

impl Tail {
    /// Follows `paths`: log files, wildcards, or `-` for standard input. The file
    /// `positions`, if given, stores the read positions; a damaged one counts
    /// as empty.
    ///
    /// # Errors
    ///
    /// The thread that reads standard input cannot be started. A file that
    /// cannot be read is no error: it is retried.
    pub fn open(paths: &[PathBuf], positions: Option<PathBuf>) -> Result<Self> {
        let known = positions
            .as_deref()
            .map(Positions::load)
            .unwrap_or_default();
        Self::open_at(paths, positions, known)
    }

    /// Follows other paths, each from where this `Tail` has read it.
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
            } else if let Some(wildcard) = wildcard(path) {
                let mut files = Several::new(path, wildcard, &known);
                files.status_mut().silence = known.silence(path);
                Source::Several(Box::new(files))
            } else {
                let mut file = Follower::new(path, known.get(path));
                file.status_mut().silence = known.silence(path);
                Source::File(file)
            });
        }
        Ok(Self {
            sources,
            turn: 0,
            buffer: vec![0; CHUNK],
            wake,
            known,
            saving: positions.map(Saving::new),
            watched: clock::instant(),
        })
    }

    /// Follows the systemd journal as well. `matches` select entries, in the
    /// syntax of journalctl. The first time, reading starts at the journal's
    /// end.
    #[must_use]
    pub fn with_journal(mut self, matches: Vec<String>) -> Self {
        let place = self.known.journal.take();
        let wake = Arc::clone(&self.wake.input);
        let mut journal = Journal::new("journalctl", matches, place, clock::wall(), wake);
        let status = journal.status_mut();
        status.silence = self.known.silence(&status.path);
        self.sources.push(Source::Journal(Box::new(journal)));
        self
    }

    /// Resolves when a source may have changed: for files at most 100 times a second in
    /// the long run, and never without inotify. Cancel safe. Needs a tokio runtime with
    /// I/O and time.
    pub async fn changed(&mut self) {
        let files = self.sources.iter().flat_map(Source::files);
        self.wake.wait(files.map(Follower::path)).await;
    }

    /// Reads at most `budget` bytes, in turn from every source, and delivers
    /// the completed lines. Returns whether the budget ran out, so that more
    /// may be available. `now` decides when a rotated file is closed.
    pub fn poll(
        &mut self,
        now: Instant,
        budget: usize,
        on_line: &mut dyn FnMut(LogLine<'_>),
    ) -> bool {
        self.sources.iter_mut().for_each(|source| source.look(now));
        let more = self.read(now, budget, on_line);
        self.sources.iter_mut().for_each(Source::measure);
        more
    }

    /// Adds the time since the last call to the silences of the sources.
    pub fn watch_silence(&mut self, now: Instant) {
        let elapsed_s = now.saturating_duration_since(self.watched).as_secs();
        self.watched += Duration::from_secs(elapsed_s);
        for source in &mut self.sources {
            match source {
                Source::File(file) => file.status_mut().watch(elapsed_s),
                Source::Several(files) => files.status_mut().watch(elapsed_s),
                Source::Journal(journal) => journal.status_mut().watch(elapsed_s),
                Source::Pipe(_) => {}
            }
        }
    }

    /// State and counters of every source, in the order of the paths.
    pub fn files(&self) -> impl Iterator<Item = &FileStatus> {
        self.sources.iter().map(Source::status)
    }

    /// Returns a function that writes the read positions to disk, if they have
    /// changed. It should run in another thread, since a disk may be slow. A
    /// crash leaves the old or the new file; lines delivered since the last
    /// save are delivered again by the next run.
    pub fn begin_save(&mut self) -> Option<impl FnOnce() -> Result<()> + Send + use<>> {
        let positions = self.read_positions().with_coarse_silences();
        self.saving.as_mut()?.begin(positions)
    }

    /// Records that the last save failed, so that [`Tail::begin_save`] tries
    /// again.
    pub fn forget_save(&mut self) {
        if let Some(saving) = &mut self.saving {
            saving.forget();
        }
    }

    fn read_positions(&self) -> Positions {
        let mut positions = Positions::default();
        for source in &self.sources {
            let status = source.status();
            if !matches!(source, Source::Pipe(_)) {
                positions.set_silence(&status.path, status.silence.clone());
            }
            match source {
                Source::File(file) => {
                    if let Some(files) = file.positions() {
                        positions.set(file.path(), files);
                    }
                }
                Source::Several(files) => positions.extend(files.positions()),
                Source::Journal(journal) => positions.journal = Some(journal.place().clone()),
                Source::Pipe(_) => {}
            }
        }
        positions
    }

    fn read(&mut self, now: Instant, budget: usize, on_line: &mut dyn FnMut(LogLine<'_>)) -> bool {
        let mut left = budget;
        // Number of consecutive sources without data.
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
                Source::Several(files) => files.read(now, buffer, on_line),
                Source::Pipe(pipe) => pipe.read(room, on_line),
                Source::Journal(journal) => journal.read(now, room, on_line),
            };
            idle = if count == 0 { idle + 1 } else { 0 };
            left -= count;
            self.turn += 1;
        }
        false
    }
}

impl Source {
    /// The followed files.
    fn files(&self) -> impl Iterator<Item = &Follower> {
        let (one, several) = match self {
            Self::File(file) => (Some(file), None),
            Self::Several(files) => (None, Some(files.logs())),
            Self::Pipe(_) | Self::Journal(_) => (None, None),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }

    fn look(&mut self, now: Instant) {
        match self {
            Self::File(file) => file.look(),
            Self::Several(files) => files.look(now),
            Self::Pipe(_) | Self::Journal(_) => {}
        }
    }

    fn measure(&mut self) {
        match self {
            Self::File(file) => file.measure(),
            Self::Several(files) => files.measure(),
            Self::Pipe(_) | Self::Journal(_) => {}
        }
    }

    fn status(&self) -> &FileStatus {
        match self {
            Self::File(file) => file.status(),
            Self::Several(files) => files.status(),
            Self::Pipe(pipe) => pipe.status(),
            Self::Journal(journal) => journal.status(),
        }
    }
}

#[cfg(test)]
mod tests;
