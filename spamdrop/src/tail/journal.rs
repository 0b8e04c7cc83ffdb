//! The systemd journal, read through journalctl.
//!
//! A line of the journal is more reliable than the same line in a file, because
//! journald itself records the writer, in fields that the writer cannot set. journalctl
//! selects entries by such fields, see [`Matches`].

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use log::warn;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::LogLine;
use super::ahead::Taken;
use super::split::{Piece, Splitter};
use super::status::{FileStatus, ReadState};

mod child;
mod entry;
mod matches;

use child::Journalctl;
pub use entry::{JournalEntry, Unfit};
pub use matches::Matches;

/// The name of this source, where other sources have a path.
const NAME: &str = "journal";
/// Maximum size of an entry in bytes of JSON. A message of 4,096 bytes, the
/// longest that journalctl shows, takes a quarter of this if every byte is
/// written as a number.
const MAX_ENTRY: usize = 64 << 10;
/// How long journalctl must run, without a new entry, to count as running.
const SETTLED: Duration = Duration::from_secs(1);
/// The pause before journalctl is restarted: the first one, and the maximum.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The read position in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JournalPosition {
    /// Receipt time of the last entry that was read, in microseconds since
    /// 1970. Reading continues from this time if there is no cursor, or if the
    /// cursor's entry is gone.
    time_us: u64,
    cursor: Option<String>,
    /// The matches that selected the entry. Other matches may not select it.
    #[serde(default)]
    matches: Vec<String>,
}

impl JournalPosition {
    /// The end of the journal. It is stored as a time, so that entries written
    /// before journalctl is ready are found.
    fn from_time(now: SystemTime, matches: &[String]) -> Self {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        Self {
            time_us: u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX),
            cursor: None,
            matches: matches.into(),
        }
    }

    /// Adapts the position to other matches. They may not select the cursor's
    /// entry, so reading continues right after its time.
    fn with_matches(self, matches: &[String]) -> Self {
        if self.matches == matches {
            return self;
        }
        Self {
            time_us: self
                .time_us
                .saturating_add(u64::from(self.cursor.is_some())),
            cursor: None,
            matches: matches.into(),
        }
    }

    /// The argument that starts journalctl at the position. Both forms include
    /// the entry at the position. `--after-cursor` would skip the next entry if
    /// the cursor's own entry is gone.
    fn arg(&self) -> String {
        match &self.cursor {
            Some(cursor) => format!("--cursor={cursor}"),
            None => {
                let (seconds, rest) = (self.time_us / 1_000_000, self.time_us % 1_000_000);
                format!("--since=@{seconds}.{rest:06}")
            }
        }
    }
}

/// The arguments that print the newest entry of the last seven days.
const RECENT: [&str; 5] = [
    "--no-pager",
    "--quiet",
    "--output=cat",
    "--since=-7d",
    "--lines=1",
];

/// Whether the journal has an entry of the last seven days that `matches`
/// select.
///
/// # Errors
///
/// journalctl cannot be started, or fails.
pub fn has_recent_entry(matches: &[String]) -> Result<bool> {
    let output = Command::new("journalctl")
        .args(RECENT)
        .args(matches)
        .stdin(Stdio::null())
        .output()
        .context("cannot start journalctl")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "journalctl failed: {}",
        errors.trim()
    );
    Ok(!output.stdout.is_empty())
}

/// Follows the journal.
pub(super) struct Journal {
    program: OsString,
    matches: Vec<String>,
    wake: Arc<Notify>,
    reader: Option<Journalctl>,
    history: History,
    started: Option<Instant>,
    retry: Option<Instant>,
    pause: Duration,
    entries: Splitter,
    taker: Taker,
}

/// Whether the journal has been asked for an entry of the last seven days.
enum History {
    Unasked,
    Asked(Journalctl),
    Known,
}

/// Converts entries to lines.
struct Taker {
    place: JournalPosition,
    /// Whether the next entry should be that of the cursor, which was read before.
    resuming: bool,
    status: FileStatus,
}

impl Journal {
    /// Runs `program`, which is journalctl, with `matches` as arguments when
    /// first read, and notifies `wake` of its output. Without a place, reading
    /// starts at `now`.
    pub fn new(
        program: impl Into<OsString>,
        matches: Vec<String>,
        place: Option<JournalPosition>,
        now: SystemTime,
        wake: Arc<Notify>,
    ) -> Self {
        let place = place.map_or_else(
            || JournalPosition::from_time(now, &matches),
            |place| place.with_matches(&matches),
        );
        Self {
            program: program.into(),
            matches,
            wake,
            reader: None,
            history: History::Unasked,
            started: None,
            retry: None,
            pause: PAUSE,
            entries: Splitter::new(0, MAX_ENTRY),
            taker: Taker {
                place,
                resuming: false,
                status: FileStatus::of_journal(Path::new(NAME)),
            },
        }
    }

    pub fn status(&self) -> &FileStatus {
        &self.taker.status
    }

    pub fn status_mut(&mut self) -> &mut FileStatus {
        &mut self.taker.status
    }

    /// The position to save.
    pub fn place(&self) -> &JournalPosition {
        &self.taker.place
    }

    /// Reads at most `budget` bytes of journalctl's output; starts journalctl
    /// if it does not run. Returns the number of bytes, 0 if there are none.
    pub fn read(
        &mut self,
        now: Instant,
        budget: usize,
        on_line: &mut dyn FnMut(LogLine<'_>),
    ) -> usize {
        if self.reader.is_none() && self.retry.is_none_or(|retry| now >= retry) {
            self.start(now);
        }
        self.ask_history();
        let Some(reader) = &mut self.reader else {
            return 0;
        };
        let count = match reader.take(budget) {
            Taken::Bytes(bytes) => {
                let taker = &mut self.taker;
                self.entries
                    .feed(bytes, &mut |piece| taker.take(piece, on_line));
                bytes.len()
            }
            Taken::Nothing => 0,
            Taken::End => {
                self.ended(now);
                return 0;
            }
        };
        let left = reader.left();
        let status = &mut self.taker.status;
        status.bytes += count as u64;
        status.lag = left;
        if self
            .started
            .is_some_and(|at| now.saturating_duration_since(at) >= SETTLED)
        {
            status.set(ReadState::Reading);
        }
        count
    }

    fn start(&mut self, now: Instant) {
        let place = &self.taker.place;
        let fields = format!("--output-fields={}", entry::FIELDS);
        let place_arg = place.arg();
        let args = ["--follow", "--no-tail", "--no-pager", "--output=json"];
        let args = args.into_iter().chain([fields.as_str(), &place_arg]);
        let args = args.chain(self.matches.iter().map(String::as_str));
        self.taker.resuming = place.cursor.is_some();
        self.entries = Splitter::new(0, MAX_ENTRY);
        self.started = Some(now);
        match Journalctl::spawn(&self.program, args, Arc::clone(&self.wake)) {
            Ok(reader) => self.reader = Some(reader),
            Err(error) => self.failed(now, &format!("cannot start journalctl: {error}")),
        }
    }

    /// Finds out once whether the matches have selected an entry in the last
    /// seven days.
    fn ask_history(&mut self) {
        let has_none = match &mut self.history {
            History::Unasked => {
                let matches = self.matches.iter().map(String::as_str);
                let args = RECENT.into_iter().chain(matches);
                let asked = Journalctl::spawn(&self.program, args, Arc::clone(&self.wake));
                // An error is reported by the reader of the entries.
                self.history = asked.map_or(History::Known, History::Asked);
                return;
            }
            History::Asked(reader) => match reader.take(MAX_ENTRY) {
                Taken::Nothing => return,
                Taken::Bytes(_) => false,
                Taken::End => match reader.success() {
                    None => return,
                    Some(success) => success,
                },
            },
            History::Known => return,
        };
        self.history = History::Known;
        let status = &mut self.taker.status;
        status.is_empty = has_none && status.lines == 0;
    }

    fn ended(&mut self, now: Instant) {
        let Some(reader) = self.reader.take() else {
            return;
        };
        let reason = reader.end();
        let place = &mut self.taker.place;
        // journalctl prints "Failed to seek to cursor: Invalid argument".
        if place.cursor.is_some() && reason.contains("cursor") {
            warn!(target: "spamdrop::tail", "journalctl cannot find the entry that was read last; continuing after its time");
            place.cursor = None;
            place.time_us = place.time_us.saturating_add(1);
        }
        self.failed(now, &format!("journalctl ended: {reason}"));
    }

    fn failed(&mut self, now: Instant, reason: &str) {
        let ran = self.started.map(|at| now.saturating_duration_since(at));
        if ran.is_some_and(|ran| ran >= MAX_PAUSE) {
            self.pause = PAUSE;
        }
        self.retry = Some(now + self.pause);
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        self.taker.status.set(ReadState::Missing(reason.into()));
    }
}

impl Taker {
    fn take(&mut self, piece: Piece<'_>, on_line: &mut dyn FnMut(LogLine<'_>)) {
        let Piece::Line { bytes, start, .. } = piece else {
            self.status.overlong += 1;
            return;
        };
        let Some(entry) = JournalEntry::parse(bytes) else {
            self.status.unfit += 1;
            return;
        };
        let known = self.place.cursor.as_ref() == Some(&entry.cursor);
        if std::mem::take(&mut self.resuming) && !known {
            warn!(target: "spamdrop::tail", "the journal no longer holds the entry that was read last; later entries may be lost");
        }
        if known {
            return;
        }
        self.status.set(ReadState::Reading);
        match entry.line {
            Ok(line) => {
                self.status.lines += 1;
                self.status.is_empty = false;
                on_line(LogLine {
                    bytes: &line,
                    path: &self.status.path,
                    offset: start,
                    backlog: false,
                });
            }
            Err(Unfit::TooLong) => self.status.overlong += 1,
            Err(Unfit::NotSyslog) => self.status.unfit += 1,
        }
        self.place.time_us = entry.time_us;
        self.place.cursor = Some(entry.cursor);
    }
}

#[cfg(test)]
mod tests;
