//! One open log file.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use log::info;
use memchr::memrchr;

use super::LogLine;
use super::content::Content;
use super::head::{Head, MAX};
use super::id::Id;
use super::positions::Position;
use super::search::{KnownLines, ResumePoint, Search, SearchedFile};
use super::split::{MAX_LINE, Splitter};
use super::status::FileStatus;
use super::trace::{LEAST, Mark, Trace, mark};

/// The result of a read.
pub(super) enum Progress {
    /// Bytes read.
    Bytes(usize),
    /// Bytes read before the place to read from is reached; they deliver no line.
    Searched(usize),
    /// The file is a copy, and the place to read from is found.
    Found,
    /// The end of the file is reached.
    End,
    /// The file was truncated; its content is new.
    Replaced,
}

/// An open file and its read position.
pub(super) struct OpenFile {
    content: Content,
    id: Id,
    head: Head,
    lines: Splitter,
    trace: Trace,
    /// Whether it is still to be checked if the file is a copy of one that was read.
    is_unknown: bool,
    search: Option<Search>,
    /// Size and first bytes of the file, as the search last saw them.
    seen: SearchedFile,
    /// Bytes that were in the file before this run.
    backlog: u64,
    /// As [`Position::copy`].
    copy: bool,
    /// The time since which a file that is no longer at its path has not grown.
    idle_since: Option<Instant>,
}

impl OpenFile {
    /// Opens the regular file at `path` at its beginning.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (content, id) = Content::open(path)?;
        Ok(Self::at_start(content, id))
    }

    /// As [`OpenFile::open`], for a file that may be compressed.
    pub fn open_rotated(path: &Path) -> io::Result<Self> {
        let (content, id) = Content::open_rotated(path)?;
        Ok(Self::at_start(content, id))
    }

    fn at_start(content: Content, id: Id) -> Self {
        // A compressed file does not grow, so all its lines are backlog.
        let backlog = if content.is_packed() { u64::MAX } else { 0 };
        Self {
            seen: SearchedFile::default(),
            content,
            id,
            head: Head::EMPTY,
            lines: Splitter::from_offset(0),
            trace: Trace::default(),
            is_unknown: false,
            search: None,
            backlog,
            copy: false,
            idle_since: None,
        }
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
            trace: self.trace.clone(),
            done: false,
        }
    }

    /// Unread bytes.
    pub fn lag(&self) -> u64 {
        self.size().saturating_sub(self.lines.position())
    }

    fn size(&self) -> u64 {
        self.content.size()
    }

    pub fn is_packed(&self) -> bool {
        self.content.is_packed()
    }

    /// Whether this is the file of `position`, unchanged up to its offset.
    pub fn continues(&self, position: &Position) -> bool {
        self.id == position.id
            && self.begins(position)
            && (self.is_packed() || (self.size() >= position.offset && self.has_last(position)))
    }

    /// Whether this is a copy of the file of `position`. A compressed file is
    /// compared by its first bytes only.
    pub fn copies(&self, position: &Position) -> bool {
        self.resembles(position)
            && (self.is_packed() || self.size() <= position.offset || self.has_last(position))
    }

    /// Whether this is another file than that of `position`, but begins like it.
    pub fn resembles(&self, position: &Position) -> bool {
        self.id != position.id && position.head.length >= LEAST && self.begins(position)
    }

    /// Whether both files begin with the same bytes.
    pub fn begins_as(&self, other: &Self) -> bool {
        let (Ok(a), Ok(b)) = (self.content.start(MAX), other.content.start(MAX)) else {
            return false;
        };
        let length = a.len().min(b.len());
        length >= LEAST && a[..length] == b[..length]
    }

    /// Whether the first bytes of the file have changed, so that the next read will
    /// return [`Progress::Replaced`].
    pub fn is_truncated(&self) -> bool {
        !self.begins(&self.position())
    }

    /// Whether this is a copy of `other` without further lines. A compressed file is
    /// assumed to be such a copy if both files begin with the same bytes.
    pub fn is_part_of(&self, other: &Self) -> bool {
        match self.is_packed() {
            true => self.begins_as(other),
            false => self.size() <= other.size() && self.copies(&other.position()),
        }
    }

    fn begins(&self, position: &Position) -> bool {
        let head = self.content.head(position.head.length as u64);
        head.is_ok_and(|head| head == position.head)
    }

    /// Whether the last line before the offset of `position` is in this file, at
    /// the same place.
    fn has_last(&self, position: &Position) -> bool {
        self.has_mark(position.trace.last(), position.offset)
            .unwrap_or(false)
    }

    /// Whether the line that ends at `offset` has the mark `expected`. Also true if
    /// either mark is missing, because then nothing shows a difference.
    fn has_mark(&self, expected: Option<Mark>, offset: u64) -> io::Result<bool> {
        let found = mark(&self.content.before(offset)?);
        Ok(expected.is_none() || found.is_none() || found == expected)
    }

    /// Continues at `position`. A copy that is shorter has no new line, because it was made
    /// before its original was read up to `position`: it continues at its end.
    pub fn resume(&mut self, position: &Position) {
        self.copy = position.copy || self.id != position.id;
        if !position.is_telling() {
            self.suspect();
        }
        self.head = position.head;
        let offset = match self.is_packed() {
            true => position.offset,
            false => position.offset.min(self.size()),
        };
        let before = self.content.before(offset).unwrap_or_default();
        self.trace = match offset == position.offset {
            true => position.trace.resumed(before),
            false => Trace::after(before),
        };
        self.lines = Splitter::from_offset(offset);
    }

    /// Whether [`OpenFile::recognize`] is due.
    pub fn is_unknown(&self) -> bool {
        self.is_unknown
    }

    /// Whether the file has content, and it is not known yet which of its lines were
    /// read before.
    pub fn is_unrecognized(&self) -> bool {
        (self.is_unknown || self.search.is_some()) && self.size() > 0
    }

    /// Lets the next read search the file for lines that were read before. A
    /// compressed file can be read only once, so it is not searched.
    pub fn suspect(&mut self) {
        self.is_unknown = !self.is_packed();
        self.seen = SearchedFile::from_content(&self.content).unwrap_or_default();
    }

    /// As [`OpenFile::suspect`], for a copy of a file that was read up to
    /// `position`. A compressed copy continues at `position`.
    pub fn suspect_copy(&mut self, position: &Position) {
        match self.is_packed() {
            true => self.resume(position),
            false => self.suspect(),
        }
        self.copy = true;
    }

    /// Records that a copy continues this file, and has its unfinished line.
    pub fn continues_elsewhere(&mut self) {
        self.copy = true;
    }

    /// Whether the search has begun and has no result yet.
    pub fn is_undecided(&self) -> bool {
        matches!(&self.search, Some(search) if search.offset() > 0)
    }

    /// Starts the search for the known lines.
    pub fn recognize(&mut self, known: KnownLines) {
        self.is_unknown = false;
        self.search = Some(known)
            .filter(|known| !known.is_empty())
            .map(Search::new);
    }

    /// Continues at the start of a line.
    fn continue_at(&mut self, offset: u64) -> io::Result<()> {
        self.head = self.content.head(offset)?;
        self.trace = Trace::after(self.content.before(offset)?);
        self.lines = Splitter::from_offset(offset);
        Ok(())
    }

    /// Skips all complete lines. An unfinished line is delivered when it is
    /// complete, unless it is already overlong.
    pub fn skip_to_end(&mut self) -> io::Result<()> {
        let start = self.line_start(self.size())?;
        self.continue_at(start)
    }

    /// The start of the line at `offset`, or a place in it if it is overlong.
    fn line_start(&mut self, offset: u64) -> io::Result<u64> {
        let mut tail = vec![0; MAX_LINE + 1];
        let from = offset.saturating_sub(tail.len() as u64);
        let wanted = usize::try_from(offset - from).unwrap_or(tail.len());
        let read = self.content.read_at(&mut tail[..wanted], from)?;
        let newline = memrchr(b'\n', &tail[..read]);
        Ok(newline.map_or(from, |newline| from + newline as u64 + 1))
    }

    /// Marks the current content as older than this run.
    pub fn mark_backlog(&mut self) {
        self.backlog = self.backlog.max(self.size());
    }

    /// Starts over after a truncation. Returns the previous read position.
    pub fn restart(&mut self) -> Position {
        let position = self.position();
        self.head = Head::EMPTY;
        self.lines = Splitter::from_offset(0);
        self.trace = Trace::default();
        self.search = None;
        self.seen = SearchedFile::default();
        self.is_unknown = false;
        self.backlog = 0;
        self.copy = false;
        position
    }

    /// Reads once, at most `buffer.len()` bytes, and delivers the lines. `now`
    /// decides how long a search lasts.
    pub fn read(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        status: &mut FileStatus,
        on_line: &mut dyn FnMut(LogLine<'_>),
    ) -> io::Result<Progress> {
        if let Some(progress) = self.search(now, buffer, &status.path)? {
            return Ok(progress);
        }
        if let Some(progress) = self.skip(buffer)? {
            return Ok(progress);
        }
        let offset = self.lines.position();
        let count = self.content.read_at(buffer, offset)?;
        // Check after the read: if the file was truncated before the read, the bytes are
        // new, and `offset` is not their place.
        if !self.is_packed() && self.is_replaced(offset)? {
            return Ok(Progress::Replaced);
        }
        if count == 0 {
            return Ok(Progress::End);
        }
        let bytes = &buffer[..count];
        self.idle_since = None;
        self.head.extend(offset, bytes);
        self.trace.extend(bytes, &mut |_, _| ());
        self.lines
            .feed(bytes, &mut status.deliver(self.backlog, on_line));
        Ok(Progress::Bytes(count))
    }

    /// Whether the file no longer has the bytes that were read up to `offset`.
    fn is_replaced(&self, offset: u64) -> io::Result<bool> {
        if self.size() < offset || self.content.head(self.head.length as u64)? != self.head {
            return Ok(true);
        }
        let is_same = self.has_mark(self.trace.last(), self.lines.line_start())?;
        Ok(!is_same)
    }

    /// Searches for the known lines; `None` if no search is under way any more.
    fn search(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        path: &Path,
    ) -> io::Result<Option<Progress>> {
        let Some(search) = &mut self.search else {
            return Ok(None);
        };
        let count = self.content.read_at(buffer, search.offset())?;
        // This is checked after the read, as in `read`.
        if self.seen.is_replaced(&self.content)? {
            return Ok(Some(Progress::Replaced));
        }
        if count > 0 {
            search.extend(&buffer[..count]);
            return Ok(Some(Progress::Searched(count)));
        }
        let start = self.content.start(MAX)?;
        let place = search.place(now, &start);
        if place == ResumePoint::Pending {
            return Ok(Some(Progress::End));
        }
        self.search = None;
        let ResumePoint::Behind(offset) = place else {
            info!(target: "spamdrop::tail", "{}: reading a new file", path.display());
            return Ok(None);
        };
        let offset = self.line_start(offset)?;
        self.continue_at(offset)?;
        info!(
            target: "spamdrop::tail",
            "{}: this file is a copy of one that was read; continuing at byte {offset}",
            path.display()
        );
        Ok(Some(Progress::Found))
    }

    /// Reads past the known part of a compressed file; `None`: no known part is left.
    fn skip(&mut self, buffer: &mut [u8]) -> io::Result<Option<Progress>> {
        let wanted = self.lines.position();
        let Some(at) = self.content.next().filter(|at| *at < wanted) else {
            return Ok(None);
        };
        let room = usize::try_from(wanted - at).unwrap_or(usize::MAX);
        let room = room.min(buffer.len());
        let count = self.content.read_at(&mut buffer[..room], at)?;
        self.trace.extend(&buffer[..count], &mut |_, _| ());
        Ok((count > 0).then_some(Progress::Searched(count)))
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

    /// Delivers the unfinished line. If the file is a copy, or continued in one, the
    /// line is discarded, because it continues in the other file.
    pub fn finish(&mut self, status: &mut FileStatus, on_line: &mut dyn FnMut(LogLine<'_>)) {
        if !self.copy {
            self.lines
                .finish(&mut status.deliver(self.backlog, on_line));
            self.trace.finish();
        }
    }
}
