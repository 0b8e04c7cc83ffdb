//! The read position of each log, kept across restarts.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use log::warn;
use serde::{Deserialize, Serialize};

use super::head::Head;
use super::id::Id;
use super::journal::JournalPosition;
use super::trace::Trace;
use crate::durable;
use spamdrop_core::silence::Silence;
use spamdrop_core::status::StateVersion;

/// A file and its read position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    #[serde(flatten)]
    pub id: Id,
    pub head: Head,
    /// Offset of the first line that was not delivered.
    pub offset: u64,
    /// Whether the file is a copy of another one, or a copy continues it. Its unfinished
    /// line then goes on in the other file.
    #[serde(default)]
    pub copy: bool,
    /// The last lines that were read.
    #[serde(default)]
    pub trace: Trace,
    /// Whether the file had been rotated away and was read to its end.
    #[serde(default)]
    pub done: bool,
}

impl Position {
    /// Whether the position has a fingerprint, which distinguishes its file from a
    /// later one with the same inode number. The position of an unread file has none
    /// and is not worth saving.
    pub fn is_telling(&self) -> bool {
        self.head.length > 0
    }

    /// The position with the part of its trace that is saved.
    pub fn saved(&self) -> Self {
        Self {
            trace: self.trace.saved(),
            ..self.clone()
        }
    }
}

/// [`Positions::version`] as this program writes it. A file without a version
/// was written by spamdrop 0.1, in the same format.
const VERSION: u32 = 1;

/// The positions file. A path is included once its start position is settled;
/// its files are in the order in which they were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Positions {
    #[serde(default)]
    version: u32,
    paths: BTreeMap<String, PathFiles>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) journal: Option<JournalPosition>,
    /// The silences of each source, by its path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    silences: BTreeMap<String, Silence>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PathFiles {
    files: Vec<Position>,
}

impl Default for Positions {
    fn default() -> Self {
        Self {
            version: VERSION,
            paths: BTreeMap::new(),
            journal: None,
            silences: BTreeMap::new(),
        }
    }
}

impl Positions {
    /// Reads the file. An unusable file counts as empty, with a warning: that
    /// loses the lines between two runs, but must not prevent the start.
    pub(super) fn load(path: &Path) -> Self {
        let read = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::default(),
            Err(error) => Err(error.to_string()),
            Ok(bytes) => Self::parse(&bytes),
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

    /// Reads the content of the file.
    ///
    /// # Errors
    ///
    /// The file is not a positions file, or a newer version has written it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let StateVersion { version } =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if version > VERSION {
            return Err(format!(
                "it has version {version}, and this spamdrop reads version {VERSION} and older"
            ));
        }
        let read: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        Ok(Self {
            version: VERSION,
            ..read
        })
    }

    /// Replaces the file atomically.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        self.replace(path).with_context(|| {
            format!(
                "cannot save read positions in {}; make its directory writable for spamdrop",
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
    pub(super) fn get(&self, path: &Path) -> Option<Vec<Position>> {
        self.paths.get(&key(path)).map(|entry| entry.files.clone())
    }

    /// The paths that were read.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.keys().map(Path::new)
    }

    /// Adds the paths of other positions.
    pub(super) fn extend(&mut self, others: Self) {
        self.paths.extend(others.paths);
    }

    /// Forgets every path that is not in `paths`.
    pub(super) fn retain(&mut self, paths: &[PathBuf]) {
        let keys: Vec<String> = paths.iter().map(|path| key(path)).collect();
        self.paths.retain(|path, _| keys.contains(path));
    }

    pub(super) fn set(&mut self, path: &Path, files: Vec<Position>) {
        self.paths.insert(key(path), PathFiles { files });
    }

    /// The positions with silences in steps of ten minutes, so that they change seldom.
    pub(super) fn with_coarse_silences(mut self) -> Self {
        for silence in self.silences.values_mut() {
            *silence = silence.saved();
        }
        self
    }

    /// The silences of a source; none if it was never read.
    pub(super) fn silence(&self, path: &Path) -> Silence {
        self.silences.get(&key(path)).cloned().unwrap_or_default()
    }

    pub(super) fn set_silence(&mut self, path: &Path, silence: Silence) {
        self.silences.insert(key(path), silence);
    }
}

fn key(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_newer_version_is_not_misread_and_an_older_one_is_read() {
        let none = Positions::default();
        assert_eq!(Positions::parse(br#"{"paths":{}}"#), Ok(none.clone()));
        assert_eq!(
            Positions::parse(br#"{"version":1,"paths":{}}"#),
            Ok(none.clone())
        );
        let newer = Positions::parse(br#"{"version":2,"paths":[]}"#).unwrap_err();
        let expected = "it has version 2, and this spamdrop reads version 1 and older";
        assert_eq!(newer, expected);
        let text = serde_json::to_string(&none).unwrap();
        assert_eq!(text, r#"{"version":1,"paths":{}}"#);
    }
}
