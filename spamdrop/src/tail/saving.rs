//! Saves read positions.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::positions::Positions;

/// The path of the positions file, and the positions that were last passed to a
/// write.
#[derive(Debug)]
pub(super) struct Saving {
    path: PathBuf,
    saved: Option<Positions>,
}

impl Saving {
    pub fn new(path: PathBuf) -> Self {
        Self { path, saved: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a function that writes `positions`; `None` if they have not changed since
    /// the last call.
    pub fn begin(
        &mut self,
        positions: Positions,
    ) -> Option<impl FnOnce() -> Result<()> + Send + use<>> {
        if self.saved.as_ref() == Some(&positions) {
            return None;
        }
        self.saved = Some(positions.clone());
        let path = self.path.clone();
        Some(move || positions.save(&path))
    }

    /// Records that the last write failed, so that the next one is due.
    pub fn forget(&mut self) {
        self.saved = None;
    }
}
