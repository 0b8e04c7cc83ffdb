//! Read positions on their way to the disk.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::positions::Positions;

/// The file of read positions, and what was handed over to be written last.
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

    /// What writes these positions; `None` if they have not changed.
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

    /// The last write failed, so the next one is due.
    pub fn forget(&mut self) {
        self.saved = None;
    }
}
