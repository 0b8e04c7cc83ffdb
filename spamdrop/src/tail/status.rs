//! State and counters of a log that is read: a file, the journal or standard input.
//! Here each is called a source.

use std::fmt;
use std::path::{Path, PathBuf};

use log::{info, warn};

use super::LogLine;
use super::split::Piece;
use spamdrop_core::silence::Silence;

/// Whether a source is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadState {
    /// The source is being read.
    Reading,
    /// The source cannot be read, for this reason; it is retried.
    Missing(String),
    /// Standard input ended.
    Ended,
}

impl fmt::Display for ReadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading => f.write_str("reading"),
            Self::Missing(reason) => write!(f, "missing: {reason}"),
            Self::Ended => f.write_str("ended"),
        }
    }
}

/// State and counters of one source. The counters begin at 0 with the run.
#[derive(Clone, Debug)]
pub struct FileStatus {
    /// The configured path; `-` for standard input, `journal` for the journal.
    pub path: PathBuf,
    /// Whether its lines cannot be forged by a local user.
    pub trusted: bool,
    /// Whether the source is being read.
    pub state: ReadState,
    /// Lines delivered.
    pub lines: u64,
    /// Lines longer than [`super::MAX_LINE`], which were skipped.
    pub overlong: u64,
    /// Entries of the journal that no program writes through syslog(3). They
    /// were skipped.
    pub unfit: u64,
    /// Bytes read.
    pub bytes: u64,
    /// How often another file appeared at the path.
    pub rotations: u64,
    /// How often a file was truncated in place, as by copytruncate.
    pub truncations: u64,
    /// Unread bytes.
    pub lag: u64,
    /// Whether the journal had no entry of the mail server in the seven days
    /// before the start, and has had none since.
    pub is_empty: bool,
    /// How long no line has come.
    pub silence: Silence,
    /// [`FileStatus::lines`] when the silence was last updated.
    counted_lines: u64,
}

impl FileStatus {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            trusted: false,
            state: ReadState::Reading,
            lines: 0,
            overlong: 0,
            unfit: 0,
            bytes: 0,
            rotations: 0,
            truncations: 0,
            lag: 0,
            is_empty: false,
            silence: Silence::default(),
            counted_lines: 0,
        }
    }

    pub(super) fn of_journal(path: &Path) -> Self {
        Self {
            trusted: true,
            ..Self::new(path)
        }
    }

    /// Adds time during which the source was watched. Time during which it could not be
    /// read does not count as silence.
    pub(super) fn watch(&mut self, elapsed_s: u64) {
        if self.state == ReadState::Reading {
            self.silence
                .watch(elapsed_s, self.lines > self.counted_lines);
            self.counted_lines = self.lines;
        }
    }

    /// Adds the counters of another source.
    pub(super) fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.overlong += other.overlong;
        self.bytes += other.bytes;
        self.rotations += other.rotations;
        self.truncations += other.truncations;
        self.lag += other.lag;
    }

    /// Sets the counters to those of another source.
    pub(super) fn count_as(&mut self, other: &Self) {
        (self.lines, self.overlong, self.bytes) = (0, 0, 0);
        (self.rotations, self.truncations, self.lag) = (0, 0, 0);
        self.add(other);
    }

    /// A phrase about missing lines; `None` if lines come, or none is expected yet.
    pub fn trouble(&self) -> Option<String> {
        let empty = || {
            "no entry of the last seven days matches; does the mail server log to the journal? \
             If so, set `journal_match`"
        };
        let empty = self.is_empty.then(empty).map(str::to_owned);
        empty.or_else(|| self.silence.trouble())
    }

    /// Changes the state, and logs the change.
    pub(super) fn set(&mut self, state: ReadState) {
        if self.state == state {
            return;
        }
        let path = self.path.display();
        match &state {
            ReadState::Missing(reason) => {
                warn!(target: "spamdrop::tail", "cannot read {path}: {reason}; trying again");
            }
            state => info!(target: "spamdrop::tail", "{path}: {state}"),
        }
        self.state = state;
    }

    /// Counts a piece and delivers its line. A line is backlog if it ends
    /// within the first `backlog` bytes.
    pub(super) fn deliver(
        &mut self,
        backlog: u64,
        on_line: &mut dyn FnMut(LogLine<'_>),
    ) -> impl FnMut(Piece<'_>) {
        move |piece| match piece {
            Piece::Line { bytes, start, end } => {
                self.lines += 1;
                on_line(LogLine {
                    bytes,
                    path: &self.path,
                    offset: start,
                    backlog: end <= backlog,
                });
            }
            Piece::Overlong => self.overlong += 1,
            Piece::Skipped { lines } => self.lines += lines,
        }
    }
}
