//! One open log file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use memchr::memrchr;
use rustix::fs::OFlags;

use super::Line;
use super::head::Head;
use super::id::Id;
use super::positions::Position;
use super::split::{MAX_LINE, Splitter};
use super::status::FileStatus;

/// Minimum number of bytes that a fingerprint must cover to identify a copy,
/// which has another inode.
const COPY_HEAD: usize = 64;

/// The result of a read.
pub(super) enum Progress {
    /// Bytes read.
    Bytes(usize),
    /// The end of the file is reached.
    End,
    /// The file was truncated; its content is new.
    Replaced,
}

/// An open file and its read position.
pub(super) struct OpenFile {
    file: File,
    id: Id,
    head: Head,
    lines: Splitter,
    /// Bytes that were in the file before this run.
    backlog: u64,
    /// As [`Position::copy`].
    copy: bool,
    /// The time since which a file that is no longer at its path has not grown.
    idle_since: Option<Instant>,
}

impl OpenFile {
    /// Opens the regular file at `path` at its beginning. A file that can be
    /// opened but not read is refused.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Other kinds of files may block or have side effects when opened.
        Id::at(path)?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path)?;
        let id = Id::of(&file.metadata()?)?;
        file.read_at(&mut [0], 0)?;
        Ok(Self {
            file,
            id,
            head: Head::EMPTY,
            lines: Splitter::at(0),
            backlog: 0,
            copy: false,
            idle_since: None,
        })
    }

    pub fn id(&self) -> Id {
        self.id
    }

    pub fn position(&self) -> Position {
        Position {
            id: self.id,
            head: self.head,
            offset: self.lines.line_start(),
            copy: self.copy,
        }
    }

    /// Unread bytes.
    pub fn lag(&self) -> u64 {
        self.size().saturating_sub(self.lines.position())
    }

    fn size(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Whether this is the file of `position`, unchanged up to its offset.
    pub fn continues(&self, position: &Position) -> bool {
        self.id == position.id && self.size() >= position.offset && self.begins(position)
    }

    /// Whether this is a copy of the file of `position`.
    pub fn copies(&self, position: &Position) -> bool {
        self.id != position.id && position.head.length >= COPY_HEAD && self.begins(position)
    }

    fn begins(&self, position: &Position) -> bool {
        position.head.begins(&self.file).unwrap_or(false)
    }

    /// Continues at `position`. A copy may have been made before its original
    /// was read up to there; then it contains nothing new.
    pub fn resume(&mut self, position: &Position) {
        self.copy = position.copy || self.id != position.id;
        self.head = position.head;
        self.lines = Splitter::at(position.offset.min(self.size()));
    }

    /// Skips all complete lines. An unfinished line is delivered when it is
    /// complete, unless it is already overlong.
    pub fn skip_to_end(&mut self) -> io::Result<()> {
        let size = self.size();
        let mut tail = vec![0; MAX_LINE + 1];
        let from = size.saturating_sub(tail.len() as u64);
        let read = self.file.read_at(&mut tail, from)?;
        let start = memrchr(b'\n', &tail[..read]).map_or(from, |newline| from + newline as u64 + 1);
        self.head = Head::read(&self.file, start)?;
        self.lines = Splitter::at(start);
        Ok(())
    }

    /// Marks the current content as older than this run.
    pub fn mark_backlog(&mut self) {
        self.backlog = self.size();
    }

    /// Starts over after a truncation. Returns the previous read position.
    pub fn restart(&mut self) -> Position {
        let position = self.position();
        self.head = Head::EMPTY;
        self.lines = Splitter::at(0);
        self.backlog = 0;
        self.copy = false;
        position
    }

    /// Reads once, at most `buffer.len()` bytes, and delivers the lines.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        status: &mut FileStatus,
        on_line: &mut dyn FnMut(Line<'_>),
    ) -> io::Result<Progress> {
        let offset = self.lines.position();
        let count = self.file.read_at(buffer, offset)?;
        // The head is checked after the read: if it is unchanged, the bytes
        // were not written after a truncation.
        if self.size() < offset || !self.head.begins(&self.file)? {
            return Ok(Progress::Replaced);
        }
        if count == 0 {
            return Ok(Progress::End);
        }
        let bytes = &buffer[..count];
        self.idle_since = None;
        self.head.extend(offset, bytes);
        self.lines
            .feed(bytes, &mut status.deliver(self.backlog, on_line));
        Ok(Progress::Bytes(count))
    }

    /// Whether the file, which is read to its end, has not grown for `hold`.
    pub fn is_idle(&mut self, now: Instant, hold: Duration) -> bool {
        let since = *self.idle_since.get_or_insert(now);
        now.saturating_duration_since(since) >= hold
    }

    /// Restarts the idle time.
    pub fn wake(&mut self) {
        self.idle_since = None;
    }

    /// Delivers the unfinished line. In a copy it is discarded, because it
    /// continues in the original.
    pub fn finish(&mut self, status: &mut FileStatus, on_line: &mut dyn FnMut(Line<'_>)) {
        if !self.copy {
            self.lines
                .finish(&mut status.deliver(self.backlog, on_line));
        }
    }
}
