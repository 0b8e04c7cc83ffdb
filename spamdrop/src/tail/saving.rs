//! Read positions on their way to the disk, which may be slow.

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};

use super::positions::Positions;

/// Writes positions to a file, also in a thread of its own.
#[derive(Debug)]
pub(super) struct Saving {
    path: PathBuf,
    saved: Option<Positions>,
    writing: Option<JoinHandle<Result<Positions>>>,
}

impl Saving {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            saved: None,
            writing: None,
        }
    }

    /// Writes them, after what is being written.
    pub fn write(&mut self, positions: Positions) -> Result<()> {
        // Whatever became of it, it was older.
        let _ = self.finish();
        if self.saved.as_ref() != Some(&positions) {
            self.saved = Some(write(positions, &self.path)?);
        }
        Ok(())
    }

    /// Begins to write them, unless the last ones are still being written.
    /// `None`: they are; else what became of the last ones.
    pub fn begin(&mut self, positions: Positions) -> Option<Result<()>> {
        if self.writing.as_ref().is_some_and(|it| !it.is_finished()) {
            return None;
        }
        let last = self.finish();
        if self.saved.as_ref() != Some(&positions) {
            let path = self.path.clone();
            self.writing = Some(thread::spawn(move || write(positions, &path)));
        }
        Some(last)
    }

    fn finish(&mut self) -> Result<()> {
        let Some(writing) = self.writing.take() else {
            return Ok(());
        };
        let written = writing.join();
        self.saved = Some(written.unwrap_or_else(|_| Err(anyhow!("the writer panicked")))?);
        Ok(())
    }
}

fn write(positions: Positions, path: &Path) -> Result<Positions> {
    positions.save(path)?;
    Ok(positions)
}
