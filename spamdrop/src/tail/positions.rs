//! Where reading stands, across restarts.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result};
use log::warn;
use serde::{Deserialize, Serialize};

use super::file::Id;
use super::head::Head;
use super::journal::Place;
use crate::durable;

/// A file and how far it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    #[serde(flatten)]
    pub id: Id,
    pub head: Head,
    /// Start of the first line that was not handed over.
    pub offset: u64,
    /// Whether it is what copytruncate left of another file.
    #[serde(default)]
    pub copy: bool,
}

impl Position {
    /// Whether it tells its file from any other that gets the inode number
    /// later. An unread file has no fingerprint, and nothing to remember.
    pub fn is_telling(&self) -> bool {
        self.head.length > 0
    }
}

/// The positions file. A path of a log stands in it once its beginning is settled; its
/// files are ordered, the one last read at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Positions {
    paths: BTreeMap<String, Entry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    files: Vec<Position>,
}

impl Positions {
    /// An unusable file costs the lines of the time between two runs, so it
    /// is no reason not to watch.
    pub fn load(path: &Path) -> Self {
        let read = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::default(),
            Err(error) => Err(error.to_string()),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
        };
        read.unwrap_or_else(|reason| {
            warn!(
                target: "spamdrop::tail",
                "ignoring the read positions in {}: {reason}; starting at the end of each log",
                path.display()
            );
            Self::default()
        })
    }

    /// Replaces the file in one step.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.replace(path).with_context(|| {
            format!(
                "cannot keep read positions in {}; make its directory writable for spamdrop",
                path.display()
            )
        })
    }

    fn replace(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(durable::replace(path, &text)?)
    }

    /// The files of a path, or `None` if it was never read.
    pub fn get(&self, path: &Path) -> Option<Vec<Position>> {
        self.paths.get(&key(path)).map(|entry| entry.files.clone())
    }

    pub fn set(&mut self, path: &Path, files: Vec<Position>) {
        self.paths.insert(key(path), Entry { files });
    }
}

fn key(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
