//! Follows one path through rotations, truncations and absences.

use std::fs;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::info;

use super::Line;
use super::file::{OpenFile, Progress};
use super::id::Id;
use super::positions::Position;
use super::status::{FileStatus, State};

/// How long a file that is no longer at its path stays open after it last grew:
/// its writers may still hold it.
const HOLD: Duration = Duration::from_secs(5);
/// Maximum number of files per path that stay open only for late writers.
const HELD: usize = 16;
/// Maximum number of closed files per path that are remembered.
const LEFT: usize = 16;
/// The last rotated name that is looked up: `PATH.1` to `PATH.9`.
const CHAIN: u32 = 9;

/// Reads the file at a path, and the files that were rotated away from it.
pub(super) struct Follower {
    path: PathBuf,
    /// The open files, oldest first.
    open: Vec<OpenFile>,
    /// Whether the path names the last of the open files.
    attached: bool,
    /// Closed files, oldest first. One may reappear, by a rename, by a symlink,
    /// or after a restart.
    left: Vec<Position>,
    /// Whether existing lines are skipped.
    from_end: bool,
    status: FileStatus,
}

impl Follower {
    /// Checks the path for the first time. Without `saved`, reading starts at
    /// the end.
    pub fn new(path: &Path, saved: Option<Vec<Position>>) -> Self {
        let mut follower = Self {
            path: path.to_owned(),
            open: Vec::new(),
            // Makes the first check search for the files of the last run, even
            // if the path names nothing now.
            attached: true,
            from_end: saved.is_none(),
            left: saved.unwrap_or_default(),
            status: FileStatus::new(path),
        };
        follower.look();
        follower.open.iter_mut().for_each(OpenFile::mark_backlog);
        follower.left.retain(Position::is_telling);
        follower
    }

    pub fn status(&self) -> &FileStatus {
        &self.status
    }

    pub fn status_mut(&mut self) -> &mut FileStatus {
        &mut self.status
    }

    /// The positions to save; `None` while reading would start at the end.
    pub fn positions(&self) -> Option<Vec<Position>> {
        let open = self.open.iter().map(OpenFile::position);
        (!self.from_end).then(|| self.left.iter().copied().chain(open).collect())
    }

    /// Updates [`FileStatus::lag`].
    pub fn measure(&mut self) {
        self.status.lag = self.open.iter().map(OpenFile::lag).sum();
    }

    /// Checks which file the path names now.
    pub fn look(&mut self) {
        let id = match Id::at(&self.path) {
            Ok(id) => id,
            Err(error) => return self.detach(&error),
        };
        match self.open.iter().position(|file| file.id() == id) {
            Some(i) if self.attached && i + 1 == self.open.len() => {}
            Some(i) => {
                let mut file = self.open.remove(i);
                file.wake();
                self.open.push(file);
                self.attached = true;
            }
            None => self.adopt().unwrap_or_else(|error| self.detach(&error)),
        }
    }

    /// Reads once, at most `buffer.len()` bytes, from the oldest file first.
    /// Returns the number of bytes read, 0 if there is nothing to read.
    pub fn read(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        on_line: &mut dyn FnMut(Line<'_>),
    ) -> usize {
        let mut i = 0;
        while i < self.open.len() {
            let attached = self.attached && i + 1 == self.open.len();
            let hold = self.hold();
            let result = self.open[i].read(buffer, &mut self.status, on_line);
            if attached && result.is_ok() {
                self.status.set(State::Reading);
            }
            match result {
                Ok(Progress::Bytes(count)) => {
                    self.status.bytes += count as u64;
                    return count;
                }
                Ok(Progress::End) if !attached && self.open[i].is_idle(now, hold) => {
                    self.open[i].finish(&mut self.status, on_line);
                    self.leave(i);
                }
                Ok(Progress::End) => i += 1,
                Ok(Progress::Replaced) => self.restart(i),
                Err(error) => {
                    self.leave(i);
                    if attached {
                        self.detach(&error);
                    }
                }
            }
        }
        0
    }

    fn hold(&self) -> Duration {
        let few = self.open.len() <= HELD;
        if few { HOLD } else { Duration::ZERO }
    }

    /// Opens the new file at the path. Files that were at the path between two
    /// checks or two runs are queued before it.
    fn adopt(&mut self) -> io::Result<()> {
        let mut file = OpenFile::open(&self.path)?;
        if self.open.iter().any(|open| open.id() == file.id()) {
            // The file was renamed since the path was checked; the next check
            // finds it.
            return Ok(());
        }
        let first = self.open.is_empty() && self.left.is_empty();
        if self.from_end {
            file.skip_to_end()?;
            self.from_end = false;
        }
        let known = self.resume(&mut file, OpenFile::continues);
        let earlier = self.rotated(known);
        if !first && !known {
            self.status.rotations += 1;
            info!(target: "spamdrop::tail", "{}: reading a new file", self.path.display());
        }
        self.open.extend(earlier);
        self.open.push(file);
        self.attached = true;
        Ok(())
    }

    /// Looks up the names that rotation gives, `PATH.1` and on. Returns the
    /// files to read, oldest first: known ones, each from its last position,
    /// and those newer than the newest known one, which appeared and vanished
    /// between two checks. If none is known, their age is unknown and they are
    /// skipped.
    fn rotated(&mut self, mut known: bool) -> Vec<OpenFile> {
        if self.open.is_empty() && self.left.is_empty() {
            return Vec::new();
        }
        let base = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut found: Vec<OpenFile> = Vec::new();
        let mut certain = 0;
        for n in 1..=CHAIN {
            let Ok(mut file) = OpenFile::open(&base.with_added_extension(n.to_string())) else {
                break;
            };
            // A concurrent rotation renamed a file that was already found.
            if found.iter().any(|found| found.id() == file.id()) {
                continue;
            }
            let is_open = |open: &OpenFile| open.id() == file.id() || file.copies(&open.position());
            // The inode number of a remembered file has been reused, so this
            // file is newer.
            let is_newer = self.left.iter().any(|left| left.id == file.id());
            if self.open.iter().any(is_open) {
                known = true;
            } else if self.resume(&mut file, OpenFile::continues)
                || self.resume(&mut file, OpenFile::copies)
            {
                known = true;
                found.push(file);
            } else if !known || is_newer {
                found.push(file);
            }
            if known || is_newer {
                certain = found.len();
            }
        }
        found.truncate(certain);
        found.reverse();
        found
    }

    /// Continues a file at its last position, if that is remembered.
    fn resume(&mut self, file: &mut OpenFile, is: impl Fn(&OpenFile, &Position) -> bool) -> bool {
        let Some(i) = self.left.iter().rposition(|left| is(file, left)) else {
            return false;
        };
        file.resume(&self.left.remove(i));
        true
    }

    /// Reads a truncated file from its start. Lines that copytruncate removed
    /// before they were read are in the copy.
    fn restart(&mut self, i: usize) {
        let position = self.open[i].restart();
        self.status.truncations += 1;
        info!(target: "spamdrop::tail", "{}: truncated, reading from its start", self.path.display());
        self.remember(position);
        let earlier = self.rotated(false);
        self.open.splice(i..i, earlier);
    }

    /// Closes a file and remembers its position.
    fn leave(&mut self, i: usize) {
        let file = self.open.remove(i);
        self.remember(file.position());
    }

    fn remember(&mut self, position: Position) {
        self.left
            .extend(Some(position).filter(Position::is_telling));
        let surplus = self.left.len().saturating_sub(LEFT);
        self.left.drain(..surplus);
    }

    /// Records that the path names no readable file.
    fn detach(&mut self, error: &io::Error) {
        if mem::take(&mut self.attached) {
            let earlier = self.rotated(false);
            self.open.extend(earlier);
        }
        // A file that appears later is read from its beginning. One that exists
        // but cannot be opened is still read from its end.
        self.from_end &= error.kind() == io::ErrorKind::PermissionDenied;
        self.status.set(State::Missing(match error.kind() {
            io::ErrorKind::NotFound => "it does not exist".into(),
            io::ErrorKind::PermissionDenied => "permission denied".into(),
            _ => error.to_string(),
        }));
    }
}

#[cfg(test)]
mod tests;
