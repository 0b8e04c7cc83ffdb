//! Identifies a file.

use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Device and inode, which distinguish the files that exist at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Id {
    device: u64,
    inode: u64,
}

impl Id {
    /// The identity of the regular file at `path`; symlinks are followed.
    pub fn from_path(path: &Path) -> io::Result<Self> {
        Self::from_metadata(&fs::metadata(path)?)
    }

    pub fn from_metadata(metadata: &Metadata) -> io::Result<Self> {
        if let Some(kind) = other_kind(metadata.file_type()) {
            return Err(io::Error::other(format!("it is {kind}, not a file")));
        }
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

/// The kind of a file, in words; `None` for a regular file.
#[must_use]
pub fn other_kind(kind: FileType) -> Option<&'static str> {
    let kinds = [
        (kind.is_dir(), "a directory"),
        (kind.is_fifo(), "a FIFO"),
        (kind.is_socket(), "a socket"),
        (kind.is_char_device(), "a character device"),
        (kind.is_block_device(), "a block device"),
        (!kind.is_file(), "of another kind"),
    ];
    let found = kinds.iter().find(|(is_kind, _)| *is_kind);
    found.map(|(_, name)| *name)
}
