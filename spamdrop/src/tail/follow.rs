//! Follows one path through rotations, truncations and absences.

use std::fs;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::{info, warn};

use super::LogLine;
use super::file::{OpenFile, Progress};
use super::id::Id;
use super::positions::Position;
use super::rotated::rotated;
use super::search::KnownLines;
use super::status::{FileStatus, ReadState};
use super::trace::LEAST;

/// How long a file that is no longer at its path stays open after it last grew:
/// its writers may still hold it.
pub(super) const HOLD: Duration = Duration::from_secs(5);
/// Maximum number of open files per path, with those that wait for late writers.
const HELD: usize = 16;
/// Maximum number of closed files per path that are remembered.
const LEFT: usize = 16;
/// Maximum number of rotated files that are looked up, newest first.
const CHAIN: usize = 16;

/// The relation of a rotated file to the files that were read.
enum Relation {
    /// It was read to its end, or is open.
    Read,
    /// A part of it was read; [`Follower::relation`] has chosen where it continues.
    Known,
    /// It was never read.
    New,
}

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
        let mut follower = Self::from_saved(path, saved);
        follower.open.iter_mut().for_each(OpenFile::mark_backlog);
        follower
    }

    /// As [`Follower::new`], for a log that appeared or grew during this run, so
    /// that no line is backlog.
    pub fn appeared(path: &Path, saved: Vec<Position>) -> Self {
        Self::from_saved(path, Some(saved))
    }

    fn from_saved(path: &Path, saved: Option<Vec<Position>>) -> Self {
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
        follower.left.retain(Position::is_telling);
        follower
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn status(&self) -> &FileStatus {
        &self.status
    }

    pub fn status_mut(&mut self) -> &mut FileStatus {
        &mut self.status
    }

    /// The positions to save; `None` while reading would start at the end.
    pub fn positions(&self) -> Option<Vec<Position>> {
        let open = self.open.iter().map(|file| file.position().saved());
        let left = self.left.iter().map(Position::saved);
        (!self.from_end).then(|| left.chain(open).collect())
    }

    /// Updates [`FileStatus::lag`].
    pub fn measure(&mut self) {
        self.status.lag = self.open.iter().map(OpenFile::lag).sum();
    }

    /// Checks which file the path names now.
    pub fn look(&mut self) {
        let id = match Id::from_path(&self.path) {
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
        on_line: &mut dyn FnMut(LogLine<'_>),
    ) -> usize {
        let mut i = 0;
        while i < self.open.len() {
            let attached = self.attached && i + 1 == self.open.len();
            let hold = self.hold();
            self.recognize(i);
            let result = self.open[i].read(now, buffer, &mut self.status, on_line);
            if attached && result.is_ok() {
                self.status.set(ReadState::Reading);
            }
            match result {
                Ok(Progress::Bytes(count)) => {
                    self.status.bytes += count as u64;
                    return count;
                }
                Ok(Progress::Searched(count)) => return count,
                Ok(Progress::Found) => self.leave_originals(i),
                Ok(Progress::End) if !attached && self.open[i].is_idle(now, hold) => {
                    self.open[i].finish(&mut self.status, on_line);
                    self.leave(i, true);
                }
                // A newer file may be a copy of this one, so no newer file is read yet.
                Ok(Progress::End) if self.open[i].is_undecided() => return 0,
                Ok(Progress::End) => i += 1,
                Ok(Progress::Replaced) => self.restart(i),
                Err(error) => {
                    self.leave(i, false);
                    match attached {
                        true => self.detach(&error),
                        false => warn!(
                            target: "spamdrop::tail",
                            "{}: cannot read a rotated file to its end: {error}",
                            self.path.display()
                        ),
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
        let resumed = self.resume_latest(&mut file);
        // If nothing was read of the file, it may have been truncated, and its copy unread.
        let earlier = self.rotated(resumed && file.position().is_telling());
        if !first && !resumed {
            self.status.rotations += 1;
            file.suspect();
        }
        self.open.extend(earlier);
        self.open.push(file);
        self.attached = true;
        Ok(())
    }

    /// Looks up the names that rotation gives, such as `PATH.1`. Returns the files to read,
    /// oldest first: each file that was read in part, from its last position on, and each
    /// file newer than the newest one that was read: it came and went between two checks. If
    /// no rotated file was read, the age of all is unknown, and they are skipped. `known`:
    /// whether the file now at the path was read before, so that any unread file is older.
    fn rotated(&mut self, mut known: bool) -> Vec<OpenFile> {
        if self.open.is_empty() && self.left.is_empty() {
            return Vec::new();
        }
        let base = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut found: Vec<OpenFile> = Vec::new();
        let mut certain = 0;
        for path in rotated(&base, CHAIN) {
            let mut file = match OpenFile::open_rotated(&path) {
                Ok(file) => file,
                // A concurrent rotation renamed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    warn!(
                        target: "spamdrop::tail",
                        "cannot read {}: {error}; lines in it are lost if it was not read before",
                        path.display()
                    );
                    continue;
                }
            };
            // A concurrent rotation renamed a file that was already found, or
            // the file is being compressed.
            let is_same = |other: &OpenFile| {
                other.id() == file.id() || (file.is_packed() && file.begins_as(other))
            };
            if found.iter().any(is_same) {
                continue;
            }
            // If the inode number of a remembered file has been reused, this file is
            // newer than that one.
            let is_newer = self.left.iter().any(|left| left.id == file.id());
            match self.relation(&mut file) {
                Relation::Read => known = true,
                Relation::Known => {
                    known = true;
                    found.push(file);
                }
                Relation::New if !known || is_newer => found.push(file),
                Relation::New => {}
            }
            if known || is_newer {
                certain = found.len();
            }
        }
        found.truncate(certain);
        found.reverse();
        found
    }

    /// Compares a rotated file with those that were read. A known one continues
    /// at its last position.
    fn relation(&mut self, file: &mut OpenFile) -> Relation {
        let is_open = |open: &OpenFile| {
            open.id() == file.id()
                || (file.is_part_of(open) && (file.is_packed() || open.lag() > 0))
        };
        let is_done = |left: &Position| {
            left.done && file.is_packed() && (file.continues(left) || file.copies(left))
        };
        if self.open.iter().any(is_open) || self.left.iter().any(is_done) {
            return Relation::Read;
        }
        // The file may be a copy of an open one that was read to its end. Such a copy
        // may have replaced its original, and may grow.
        if let Some(original) = self.open.iter().find(|open| file.is_part_of(open)) {
            file.resume(&original.position());
            return Relation::Known;
        }
        for open in &self.open {
            let position = open.position();
            if open.is_truncated() && file.copies(&position) {
                file.resume(&position);
                return Relation::Known;
            }
            if file.resembles(&position) {
                file.suspect_copy(&position);
                return Relation::Known;
            }
        }
        // An open file that may be a copy has no certain position yet.
        let is_clear = file.is_packed() || !self.open.iter().any(OpenFile::is_unrecognized);
        let is_copy = |file: &OpenFile, left: &Position| is_clear && file.copies(left);
        if self.resume(file, |file, left| {
            file.continues(left) || is_copy(file, left)
        }) {
            return Relation::Known;
        }
        if let Some(position) = self.left.iter().find(|left| file.resembles(left)) {
            file.suspect_copy(position);
            return Relation::Known;
        }
        file.suspect();
        Relation::New
    }

    /// Continues the file at the path at its remembered position. Returns whether
    /// there is one. If another file was read since, the inode number may have been
    /// reused for a copy of that file, so the file is searched instead.
    fn resume_latest(&mut self, file: &mut OpenFile) -> bool {
        let Some(i) = self.left.iter().rposition(|left| file.continues(left)) else {
            return false;
        };
        let is_newest = self.open.is_empty() && i + 1 == self.left.len();
        let is_short = self.left[i].head.length < LEAST;
        if is_newest || is_short {
            file.resume(&self.left.remove(i));
        } else {
            file.suspect();
        }
        true
    }

    /// Returns whether `is` accepts a remembered position; the file then continues at it.
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
        info!(target: "spamdrop::tail", "{}: truncated", self.path.display());
        self.remember(position);
        let earlier = self.rotated(false);
        self.open[i].suspect();
        self.open.splice(i..i, earlier);
    }

    /// Starts the search of a file that may be a copy, for the lines of all other
    /// files. Older files were read to their ends before, so their lines are known.
    fn recognize(&mut self, i: usize) {
        if !self.open[i].is_unknown() {
            return;
        }
        let mut known = KnownLines::default();
        self.left.iter().for_each(|left| known.add(left));
        let others = self.open.iter().enumerate().filter(|(n, _)| *n != i);
        let others = others.map(|(_, file)| file.position());
        others.for_each(|position| known.add(&position));
        self.open[i].recognize(known);
    }

    /// Records for older files that file `i`, which is a copy of them, continues them.
    fn leave_originals(&mut self, i: usize) {
        let (older, copy) = self.open.split_at_mut(i);
        let originals = older.iter_mut().filter(|file| copy[0].begins_as(file));
        originals.for_each(OpenFile::continues_elsewhere);
    }

    /// Closes a file and remembers its position. `done`: it was read to its end.
    fn leave(&mut self, i: usize, done: bool) {
        let position = self.open.remove(i).position();
        self.remember(Position { done, ..position });
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
        self.status.set(ReadState::Missing(match error.kind() {
            io::ErrorKind::NotFound => "it does not exist".into(),
            io::ErrorKind::PermissionDenied => "permission denied".into(),
            _ => error.to_string(),
        }));
    }
}

#[cfg(test)]
mod tests;
