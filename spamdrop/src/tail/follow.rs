//! One path through rotations, truncations and absences.

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

/// How long a file that has left its path is kept open after it last gave
/// something: its writers may still hold it.
const HOLD: Duration = Duration::from_secs(5);
/// Most files of one path that are kept open only for late writers.
const HELD: usize = 16;
/// Most files of one path that are remembered after they were given up.
const LEFT: usize = 16;
/// How far names are followed: `PATH.1` to `PATH.9`.
const CHAIN: u32 = 9;

/// Reads the file at a path, and those that were rotated away from it.
pub(super) struct Follower {
    path: PathBuf,
    /// Oldest first.
    open: Vec<OpenFile>,
    /// Whether the path names the last one of them.
    attached: bool,
    /// Files that were given up, oldest first: one may come back, by rename,
    /// by symlink, or after a restart.
    left: Vec<Position>,
    /// Whether lines that are there already are not wanted.
    from_end: bool,
    status: FileStatus,
}

impl Follower {
    /// Takes a first look. Without `saved`, reading starts at the end.
    pub fn new(path: &Path, saved: Option<Vec<Position>>) -> Self {
        let mut follower = Self {
            path: path.to_owned(),
            open: Vec::new(),
            // So that what the last run read is looked for even if the path
            // names nothing now.
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

    /// What to save: nothing as long as reading would start at the end.
    pub fn positions(&self) -> Option<Vec<Position>> {
        let open = self.open.iter().map(OpenFile::position);
        (!self.from_end).then(|| self.left.iter().copied().chain(open).collect())
    }

    /// Brings [`FileStatus::lag`] up to date.
    pub fn measure(&mut self) {
        self.status.lag = self.open.iter().map(OpenFile::lag).sum();
    }

    /// Looks which file the path names now.
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

    /// Reads once, as much as `buffer` holds, the oldest file first; returns
    /// the bytes read, 0 if there is nothing to read.
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

    /// Takes the file that is new at the path, behind those that were there
    /// for a moment between two looks, or between two runs.
    fn adopt(&mut self) -> io::Result<()> {
        let mut file = OpenFile::open(&self.path)?;
        if self.open.iter().any(|open| open.id() == file.id()) {
            // Renamed since the path was looked at; the next look finds it.
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

    /// Follows the names that rotation gives, `PATH.1` and on, and returns
    /// the files to read, oldest first: known ones, each from where it was
    /// left, and those newer than the newest known one, which came and went
    /// unseen. If none is known, nothing tells how old they are.
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
            // A rotation that is under way renames what was just looked at.
            if found.iter().any(|found| found.id() == file.id()) {
                continue;
            }
            let is_open = |open: &OpenFile| open.id() == file.id() || file.copies(&open.position());
            // Its inode is known and its content is not: it came later.
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

    /// Continues a file where it was left, if it was.
    fn resume(&mut self, file: &mut OpenFile, is: impl Fn(&OpenFile, &Position) -> bool) -> bool {
        let Some(i) = self.left.iter().rposition(|left| is(file, left)) else {
            return false;
        };
        file.resume(&self.left.remove(i));
        true
    }

    /// Starts a truncated file over. What copytruncate moved out of it before
    /// it was read stands in the copy.
    fn restart(&mut self, i: usize) {
        let position = self.open[i].restart();
        self.status.truncations += 1;
        info!(target: "spamdrop::tail", "{}: truncated, reading from its start", self.path.display());
        self.remember(position);
        let earlier = self.rotated(false);
        self.open.splice(i..i, earlier);
    }

    /// Gives a file up.
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

    /// The path names no file that can be read.
    fn detach(&mut self, error: &io::Error) {
        if mem::take(&mut self.attached) {
            let earlier = self.rotated(false);
            self.open.extend(earlier);
        }
        // Only a file that cannot be opened was there from the beginning.
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
