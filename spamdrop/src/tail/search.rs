//! Finds the place in a new file behind the lines that were read before: the
//! file may be a copy, as `sed -i`, rsync and editors leave it.
//!
//! A file is searched in the portions in which it is read, so that a large one
//! delays no other log.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use super::content::Content;
use super::head::{Head, MAX};
use super::positions::Position;
use super::trace::{LEAST, Mark, Trace};

/// If a file looks like a copy but lacks the line that was read last, the copy may be
/// under way. The search ends when the file has not grown for this time.
const SETTLED: Duration = Duration::from_secs(1);
/// After this time, the search ends although the file grows. It is shorter than `HOLD`,
/// so that the original is still open then.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The lines that were read from other files of a path, or from the same file
/// before a truncation.
#[derive(Debug, Default)]
pub(super) struct KnownLines {
    pairs: HashSet<u64>,
    lines: HashSet<u64>,
    /// The marks of the last lines.
    last: Vec<Mark>,
    /// Fingerprints that identify a copy, each with the offset up to which its
    /// file was read.
    heads: Vec<(Head, u64)>,
}

impl KnownLines {
    pub fn add(&mut self, position: &Position) {
        self.pairs
            .extend(position.trace.marks().map(|mark| mark.pair));
        let lines = position.trace.marks().map(|mark| mark.line);
        self.lines.extend(lines.filter(|line| *line != 0));
        self.last.extend(position.trace.last());
        if position.head.length >= LEAST {
            self.heads.push((position.head, position.offset));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }
}

/// The size and the first bytes of a file that is searched. If the size shrinks or the
/// bytes change, the file was truncated, however much it has grown since.
#[derive(Debug, Default)]
pub(super) struct SearchedFile {
    size: u64,
    head: Head,
}

impl SearchedFile {
    pub fn from_content(content: &Content) -> io::Result<Self> {
        Ok(Self {
            size: content.size(),
            head: content.head(MAX as u64)?,
        })
    }

    /// Whether the file was truncated since the last call. If not, records its size and
    /// first bytes.
    pub fn is_replaced(&mut self, content: &Content) -> io::Result<bool> {
        let is_shorter = content.size() < self.size;
        if is_shorter || content.head(self.head.length as u64)? != self.head {
            return Ok(true);
        }
        *self = Self::from_content(content)?;
        Ok(false)
    }
}

/// A search in a file.
#[derive(Debug)]
pub(super) struct Search {
    known: KnownLines,
    trace: Trace,
    /// Offset of the next byte to search.
    offset: u64,
    /// Whether two successive lines are known. One line alone may be chance.
    has_pair: bool,
    /// The end of the last known line.
    found: Option<u64>,
    /// The end of the last known line before the first unknown one.
    lead: Option<u64>,
    /// Whether there was a line that is not known.
    has_new: bool,
    /// Whether the last line of another file was found.
    is_complete: bool,
    began: Option<Instant>,
    grew: Option<Instant>,
}

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResumePoint {
    /// The place is not known yet.
    Pending,
    /// All lines of the file are new.
    Start,
    /// The lines up to this offset were read before.
    Behind(u64),
}

impl Search {
    pub fn new(known: KnownLines) -> Self {
        Self {
            known,
            trace: Trace::default(),
            offset: 0,
            has_pair: false,
            found: None,
            lead: None,
            has_new: false,
            is_complete: false,
            began: None,
            grew: None,
        }
    }

    /// Offset of the next byte to search.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Searches the next bytes of the file.
    pub fn extend(&mut self, bytes: &[u8]) {
        let offset = self.offset;
        let mut trace = std::mem::take(&mut self.trace);
        trace.extend(bytes, &mut |end, mark| {
            self.see(offset + end as u64, mark);
        });
        self.trace = trace;
        self.offset += bytes.len() as u64;
        self.grew = None;
    }

    /// Compares the line that ends at `end`.
    fn see(&mut self, end: u64, mark: Mark) {
        let is_pair = self.known.pairs.contains(&mark.pair);
        self.has_pair |= is_pair;
        if !is_pair && !self.known.lines.contains(&mark.line) {
            self.has_new = true;
            return;
        }
        self.found = Some(end);
        self.is_complete |= self.known.last.iter().any(|last| last.is_like(mark));
        if !self.has_new {
            self.lead = self.found;
        }
    }

    /// The greatest offset up to which a file was read that begins as this one; `None` if
    /// none does. `start`: the first bytes of this file.
    fn old(&self, start: &[u8]) -> Option<u64> {
        let is_like = |head: &Head| {
            start.len() >= head.length && Head::from_start(&start[..head.length]) == *head
        };
        let like = self.known.heads.iter().filter(|(head, _)| is_like(head));
        like.map(|(_, offset)| *offset).max()
    }

    /// The result at the current end of the file, which begins with `start`.
    pub fn place(&mut self, now: Instant, start: &[u8]) -> ResumePoint {
        let began = *self.began.get_or_insert(now);
        let grew = *self.grew.get_or_insert(now);
        let is_settled = now.saturating_duration_since(grew) >= SETTLED
            || now.saturating_duration_since(began) >= TIMEOUT;
        let old = self.old(start);
        let found = match self.has_pair || old.is_some() {
            true => self.found,
            false => self.lead,
        };
        match (found, old) {
            _ if self.offset == 0 => ResumePoint::Pending,
            (Some(found), _) if self.is_complete => ResumePoint::Behind(found),
            (None, None) => ResumePoint::Start,
            _ if !is_settled => ResumePoint::Pending,
            (Some(found), _) => ResumePoint::Behind(found),
            // The file is an older state of one that was read, as from a backup.
            (None, Some(read)) => ResumePoint::Behind(read.min(self.offset)),
        }
    }
}
