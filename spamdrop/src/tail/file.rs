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

/// A fingerprint must cover this many bytes to know a copy by it alone.
const COPY_HEAD: usize = 64;

/// How a read went.
pub(super) enum Progress {
    /// This many bytes were taken.
    Bytes(usize),
    /// Everything there is was read.
    End,
    /// The file was truncated; what stands in it now is new.
    Replaced,
}

/// A file and where reading it stands.
pub(super) struct OpenFile {
    file: File,
    id: Id,
    head: Head,
    lines: Splitter,
    /// Bytes that stood in it before this run.
    backlog: u64,
    /// As [`Position::copy`].
    copy: bool,
    /// Since when a file that has left its path gives nothing.
    idle_since: Option<Instant>,
}

impl OpenFile {
    /// Opens the regular file at `path`, to be read from its beginning. One
    /// that can be opened but not read is refused as well.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Another kind of file may block or act when it is opened.
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

    /// Bytes that are there and not read yet.
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
    /// was read so far; then there is nothing in it.
    pub fn resume(&mut self, position: &Position) {
        self.copy = position.copy || self.id != position.id;
        self.head = position.head;
        self.lines = Splitter::at(position.offset.min(self.size()));
    }

    /// Skips all lines that are complete. An unfinished one arrives when it
    /// is finished, unless it is overlong already.
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

    /// Takes what stands in the file now as older than this run.
    pub fn mark_backlog(&mut self) {
        self.backlog = self.size();
    }

    /// Starts over after a truncation; returns where reading stood.
    pub fn restart(&mut self) -> Position {
        let position = self.position();
        self.head = Head::EMPTY;
        self.lines = Splitter::at(0);
        self.backlog = 0;
        self.copy = false;
        position
    }

    /// Reads once, as much as `buffer` holds, and hands over its lines.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        status: &mut FileStatus,
        on_line: &mut dyn FnMut(Line<'_>),
    ) -> io::Result<Progress> {
        let offset = self.lines.position();
        let count = self.file.read_at(buffer, offset)?;
        // Checked behind the read: as the head still stands, the bytes are no
        // part of what was written after a truncation.
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

    /// Whether the file, at its end now, has given nothing for `hold`.
    pub fn is_idle(&mut self, now: Instant, hold: Duration) -> bool {
        let since = *self.idle_since.get_or_insert(now);
        now.saturating_duration_since(since) >= hold
    }

    /// Forgets how long the file has given nothing.
    pub fn wake(&mut self) {
        self.idle_since = None;
    }

    /// Hands over the unfinished line. That of a copy goes on in the
    /// original, so it is no line.
    pub fn finish(&mut self, status: &mut FileStatus, on_line: &mut dyn FnMut(Line<'_>)) {
        if !self.copy {
            self.lines
                .finish(&mut status.deliver(self.backlog, on_line));
        }
    }
}
