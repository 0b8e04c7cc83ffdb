//! Which file it is.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What tells apart the files that exist at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Id {
    device: u64,
    inode: u64,
}

impl Id {
    /// The regular file at `path`, symlinks followed.
    pub fn at(path: &Path) -> io::Result<Self> {
        Self::of(&fs::metadata(path)?)
    }

    pub fn of(metadata: &Metadata) -> io::Result<Self> {
        if !metadata.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}
