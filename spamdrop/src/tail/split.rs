//! Bytes → lines.

use memchr::memchr;

/// Longest line in bytes, without its newline. Courier's end at 1,024.
pub const MAX_LINE: usize = 8192;

/// What a stream of bytes holds.
pub enum Piece<'a> {
    /// A line without its newline or CR LF.
    Line {
        /// The line.
        bytes: &'a [u8],
        /// Where the line begins.
        start: u64,
        /// Where the next one does.
        end: u64,
    },
    /// A line longer than [`MAX_LINE`], said once, as soon as that is known.
    Overlong,
}

/// Cuts a stream into lines, however its bytes are portioned. An unfinished
/// line is kept up to [`MAX_LINE`]; a longer one costs no memory.
pub struct Splitter {
    position: u64,
    start: u64,
    partial: Vec<u8>,
    skipping: bool,
}

impl Splitter {
    /// Begins at `offset`, which must be the start of a line.
    pub fn at(offset: u64) -> Self {
        Self {
            position: offset,
            start: offset,
            partial: Vec::new(),
            skipping: false,
        }
    }

    /// Where the next bytes come from.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Where the unfinished line begins; the position if there is none.
    pub fn line_start(&self) -> u64 {
        self.start
    }

    /// Takes the bytes at the position.
    pub fn feed(&mut self, mut bytes: &[u8], emit: &mut dyn FnMut(Piece<'_>)) {
        while let Some(newline) = memchr(b'\n', bytes) {
            self.end_line(&bytes[..newline], emit);
            bytes = &bytes[newline + 1..];
        }
        self.keep(bytes, emit);
    }

    /// Hands over the unfinished line: nothing will follow.
    pub fn finish(&mut self, emit: &mut dyn FnMut(Piece<'_>)) {
        if !self.partial.is_empty() {
            emit(self.line(&self.partial));
        }
        *self = Self::at(self.position);
    }

    fn end_line(&mut self, rest: &[u8], emit: &mut dyn FnMut(Piece<'_>)) {
        if self.partial.is_empty() && !self.skipping && rest.len() <= MAX_LINE {
            self.position += rest.len() as u64 + 1;
            emit(self.line(rest));
        } else {
            self.keep(rest, emit);
            self.position += 1;
            if !self.skipping {
                emit(self.line(&self.partial));
            }
        }
        self.partial.clear();
        self.skipping = false;
        self.start = self.position;
    }

    fn keep(&mut self, bytes: &[u8], emit: &mut dyn FnMut(Piece<'_>)) {
        self.position += bytes.len() as u64;
        if self.skipping || bytes.is_empty() {
            return;
        }
        if self.partial.len() + bytes.len() > MAX_LINE {
            self.skipping = true;
            self.partial.clear();
            emit(Piece::Overlong);
            return;
        }
        if self.partial.capacity() == 0 {
            self.partial.reserve_exact(MAX_LINE);
        }
        self.partial.extend_from_slice(bytes);
    }

    fn line<'a>(&self, bytes: &'a [u8]) -> Piece<'a> {
        Piece::Line {
            bytes: bytes.strip_suffix(b"\r").unwrap_or(bytes),
            start: self.start,
            end: self.position,
        }
    }
}

#[cfg(test)]
mod tests;
