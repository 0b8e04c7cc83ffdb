//! Splits bytes into lines.

use memchr::{memchr, memchr_iter, memrchr};

/// Maximum length of a line in bytes, without its newline. Courier's lines have
/// at most 1,024.
pub const MAX_LINE: usize = 8192;

/// A part of a stream.
pub enum Piece<'a> {
    /// A line.
    Line {
        /// The line without its newline or CR LF, at most [`MAX_LINE`] bytes.
        bytes: &'a [u8],
        /// Offset of the line.
        start: u64,
        /// Offset of the next line.
        end: u64,
    },
    /// A line that is too long; reported once, as soon as it exceeds the limit.
    Overlong,
    /// Lines without a wanted sequence, see [`Splitter::feed_wanted`].
    Skipped {
        /// The number of these lines.
        lines: u64,
    },
}

/// Splits a stream into lines, whatever the sizes of its chunks. An unfinished
/// line is buffered up to the limit; of a longer one, nothing is kept.
pub struct Splitter {
    limit: usize,
    position: u64,
    start: u64,
    partial: Vec<u8>,
    skipping: bool,
}

impl Splitter {
    /// Starts at `offset`, which must be the start of a line, and accepts lines
    /// of up to [`MAX_LINE`] bytes.
    #[must_use]
    pub fn from_offset(offset: u64) -> Self {
        Self::new(offset, MAX_LINE)
    }

    /// As [`Splitter::from_offset`], for lines of up to `limit` bytes.
    #[must_use]
    pub fn new(offset: u64, limit: usize) -> Self {
        Self {
            limit,
            position: offset,
            start: offset,
            partial: Vec::new(),
            skipping: false,
        }
    }

    /// Offset of the next byte to feed.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Offset of the unfinished line; the position if there is none.
    #[must_use]
    pub fn line_start(&self) -> u64 {
        self.start
    }

    /// Processes the next bytes of the stream.
    pub fn feed(&mut self, mut bytes: &[u8], emit: &mut dyn FnMut(Piece<'_>)) {
        while let Some(newline) = memchr(b'\n', bytes) {
            self.end_line(&bytes[..newline], emit);
            bytes = &bytes[newline + 1..];
        }
        self.buffer_bytes(bytes, emit);
    }

    /// As [`Splitter::feed`], but lines without a wanted sequence are only
    /// counted. `next` returns the index in `bytes`, at or after the given one,
    /// of the next wanted sequence. A line that is not completely in `bytes` is
    /// delivered whatever it contains.
    pub fn feed_wanted(
        &mut self,
        bytes: &[u8],
        next: &mut dyn FnMut(usize) -> Option<usize>,
        emit: &mut dyn FnMut(Piece<'_>),
    ) {
        let mut at = 0;
        if (self.skipping || !self.partial.is_empty())
            && let Some(newline) = memchr(b'\n', bytes)
        {
            self.end_line(&bytes[..newline], emit);
            at = newline + 1;
        }
        let whole = memrchr(b'\n', bytes).map_or(0, |newline| newline + 1);
        while let Some(found) = next(at).filter(|found| *found < whole) {
            let start = memrchr(b'\n', &bytes[at..found]).map_or(at, |newline| at + newline + 1);
            self.skip(&bytes[at..start], emit);
            let length = memchr(b'\n', &bytes[start..whole]).unwrap_or_default();
            self.end_line(&bytes[start..start + length], emit);
            at = start + length + 1;
        }
        self.skip(&bytes[at..whole], emit);
        self.buffer_bytes(&bytes[whole..], emit);
    }

    /// Delivers the unfinished line at the end of the stream.
    pub fn finish(&mut self, emit: &mut dyn FnMut(Piece<'_>)) {
        if !self.partial.is_empty() {
            emit(self.piece(&self.partial));
        }
        *self = Self::new(self.position, self.limit);
    }

    /// Counts whole lines in strides of the maximum line length: a stride
    /// without a newline belongs to an overlong line.
    fn skip(&mut self, mut bytes: &[u8], emit: &mut dyn FnMut(Piece<'_>)) {
        let mut lines = 0;
        while !bytes.is_empty() {
            let stride = &bytes[..bytes.len().min(self.limit + 1)];
            let end = memrchr(b'\n', stride).or_else(|| memchr(b'\n', bytes));
            let end = end.unwrap_or(bytes.len() - 1);
            if end < stride.len() {
                lines += memchr_iter(b'\n', &stride[..=end]).count() as u64;
                self.position += end as u64 + 1;
                self.start = self.position;
            } else {
                self.end_line(&bytes[..end], emit);
            }
            bytes = &bytes[end + 1..];
        }
        emit(Piece::Skipped { lines });
    }

    fn end_line(&mut self, rest: &[u8], emit: &mut dyn FnMut(Piece<'_>)) {
        if self.partial.is_empty() && !self.skipping && rest.len() <= self.limit {
            self.position += rest.len() as u64 + 1;
            emit(self.piece(rest));
        } else {
            self.buffer_bytes(rest, emit);
            self.position += 1;
            if !self.skipping {
                emit(self.piece(&self.partial));
            }
        }
        self.partial.clear();
        self.skipping = false;
        self.start = self.position;
    }

    fn buffer_bytes(&mut self, bytes: &[u8], emit: &mut dyn FnMut(Piece<'_>)) {
        self.position += bytes.len() as u64;
        if self.skipping || bytes.is_empty() {
            return;
        }
        if self.partial.len() + bytes.len() > self.limit {
            self.skipping = true;
            self.partial.clear();
            emit(Piece::Overlong);
            return;
        }
        if self.partial.capacity() == 0 {
            self.partial.reserve_exact(self.limit);
        }
        self.partial.extend_from_slice(bytes);
    }

    fn piece<'a>(&self, bytes: &'a [u8]) -> Piece<'a> {
        Piece::Line {
            bytes: bytes.strip_suffix(b"\r").unwrap_or(bytes),
            start: self.start,
            end: self.position,
        }
    }
}

#[cfg(test)]
mod tests;
