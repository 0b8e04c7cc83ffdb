//! The bytes of a log on disk, plain or compressed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::head::{Head, MAX};
use super::id::Id;
use super::trace::WINDOW;
use crate::unpack::{Compression, MAGIC, Unpacked};

/// An open log.
pub(super) enum Content {
    /// A file that is read at any offset.
    Plain(File),
    /// A compressed file, which is read from its beginning, and does not change.
    Packed(Box<Packed>),
}

pub(super) struct Packed {
    text: io::Chain<io::Cursor<Vec<u8>>, Unpacked<File>>,
    /// The first bytes, at most [`MAX`].
    start: Vec<u8>,
    /// Offset of the next byte.
    offset: u64,
}

impl Content {
    /// Opens the regular file at `path` without decompression. An error of a first read
    /// is returned as well.
    pub fn open(path: &Path) -> io::Result<(Self, Id)> {
        // Other kinds of files may block or have side effects when opened.
        Id::from_path(path)?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path)?;
        let id = Id::from_metadata(&file.metadata()?)?;
        file.read_at(&mut [0], 0)?;
        Ok((Self::Plain(file), id))
    }

    /// As [`Content::open`], for a file that may be compressed.
    pub fn open_rotated(path: &Path) -> io::Result<(Self, Id)> {
        let (content, id) = Self::open(path)?;
        let Self::Plain(file) = content else {
            return Ok((content, id));
        };
        let mut magic = [0; MAGIC];
        let count = file.read_at(&mut magic, 0)?;
        let content = match Compression::recognize(&magic[..count]) {
            Compression::Plain => Self::Plain(file),
            format => Self::Packed(Box::new(Packed::open(format, file)?)),
        };
        Ok((content, id))
    }

    pub fn is_packed(&self) -> bool {
        matches!(self, Self::Packed(_))
    }

    /// Size in bytes; for a compressed file, the number of decompressed bytes that were
    /// read.
    pub fn size(&self) -> u64 {
        match self {
            Self::Plain(file) => file.metadata().map_or(0, |metadata| metadata.len()),
            Self::Packed(packed) => packed.offset,
        }
    }

    /// Reads once at `offset`, which must be [`Content::next`] for a compressed file.
    pub fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read_at(buffer, offset),
            Self::Packed(packed) => packed.read(buffer),
        }
    }

    /// The offset at which the next read must be; `None`: any.
    pub fn next(&self) -> Option<u64> {
        match self {
            Self::Plain(_) => None,
            Self::Packed(packed) => Some(packed.offset),
        }
    }

    /// The first bytes, at most `length` and at most [`MAX`].
    pub fn start(&self, length: usize) -> io::Result<Vec<u8>> {
        let length = length.min(MAX);
        match self {
            Self::Plain(file) => read_fully(file, 0, length),
            Self::Packed(packed) => Ok(packed.start[..length.min(packed.start.len())].to_vec()),
        }
    }

    /// The fingerprint of the first bytes, up to `length`.
    pub fn head(&self, length: u64) -> io::Result<Head> {
        let length = usize::try_from(length).unwrap_or(MAX);
        Ok(Head::from_start(&self.start(length)?))
    }

    /// The last bytes before `offset`, at most [`WINDOW`]; always empty for a compressed
    /// file.
    pub fn before(&self, offset: u64) -> io::Result<Vec<u8>> {
        let Self::Plain(file) = self else {
            return Ok(Vec::new());
        };
        let start = offset.saturating_sub(WINDOW as u64);
        let length = usize::try_from(offset - start).unwrap_or(WINDOW);
        read_fully(file, start, length)
    }
}

impl Packed {
    fn open(format: Compression, file: File) -> io::Result<Self> {
        let mut text = format.unpack(file)?;
        let mut start = Vec::new();
        text.by_ref().take(MAX as u64).read_to_end(&mut start)?;
        Ok(Self {
            text: io::Cursor::new(start.clone()).chain(text),
            start,
            offset: 0,
        })
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.text.read(buffer)?;
        self.offset += count as u64;
        Ok(count)
    }
}

fn read_fully(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
