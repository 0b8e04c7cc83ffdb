//! Follows the logs that a wildcard names, as one source.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spamdrop_core::wildcard::Wildcard;

use super::LogLine;
use super::follow::{Follower, HOLD};
use super::positions::Positions;
use super::rotated::{directory_of, listed};
use super::status::{FileStatus, ReadState};

/// Maximum number of logs of one wildcard. Those that were written last are
/// read.
const MOST: usize = 64;
/// How often the directory is listed.
const INTERVAL: Duration = Duration::from_secs(1);

/// The wildcard in the last part of a path, if there is one.
pub(super) fn wildcard(path: &Path) -> Option<Wildcard> {
    Wildcard::new(path.file_name()?.to_str()?)
}

/// The logs for which a path stands: those that match its wildcard now, or the path
/// itself if it has no wildcard.
#[must_use]
pub fn named_by(path: &Path) -> Vec<PathBuf> {
    match wildcard(path) {
        None => vec![path.to_owned()],
        Some(wildcard) => logs(path, &wildcard, &[]).unwrap_or_default(),
    }
}

/// Reads all logs of a wildcard.
pub(super) struct Several {
    wildcard: Wildcard,
    members: Vec<Member>,
    /// The positions in logs that are not read, because others were written
    /// later.
    rest: Positions,
    /// The counters of the logs that are gone.
    gone: FileStatus,
    listed: Option<Instant>,
    /// Index of the member to read next.
    turn: usize,
    status: FileStatus,
}

struct Member {
    log: Follower,
    /// Since when the log is gone, or is not one of the [`MOST`] newest; `None`: it
    /// is one of them.
    missed: Option<Instant>,
}

impl Several {
    /// Looks for the logs for the first time. Reading starts at the positions in
    /// `known`. A log without a position is read from its end if the wildcard is used
    /// for the first time; otherwise the log is new, and is read from its beginning.
    pub fn new(path: &Path, wildcard: Wildcard, known: &Positions) -> Self {
        let directory = directory_of(path);
        let was_read = known.paths().any(|path| {
            let name = path.file_name().unwrap_or_default();
            directory_of(path) == directory && wildcard.is_match(name.as_bytes())
        });
        let saved = |path: &Path| known.get(path).or(was_read.then(Vec::new));
        let found = logs(path, &wildcard, &[]);
        let logs = found.iter().flatten();
        let mut logs = logs.map(|path| Follower::new(path, saved(path)));
        let first = logs.by_ref().take(MOST);
        let members = first.map(|log| Member { log, missed: None }).collect();
        let mut rest = Positions::default();
        logs.for_each(|log| copy_position(&mut rest, &log));
        let mut several = Self {
            members,
            rest,
            wildcard,
            gone: FileStatus::new(path),
            listed: None,
            turn: 0,
            status: FileStatus::new(path),
        };
        several.describe(found.err());
        several
    }

    /// Lists the logs, at most once every [`INTERVAL`], and checks each one.
    pub fn look(&mut self, now: Instant) {
        let is_due = |at| now.saturating_duration_since(at) >= INTERVAL;
        if self.listed.is_none_or(is_due) {
            self.listed = Some(now);
            let error = self.list(now).err();
            self.describe(error);
        }
        let there = self.members.iter_mut().filter(|it| it.missed.is_none());
        there.for_each(|member| member.log.look());
    }

    fn list(&mut self, now: Instant) -> io::Result<()> {
        let read: Vec<&OsStr> = self
            .logs()
            .filter_map(|log| log.path().file_name())
            .collect();
        let found = logs(&self.status.path, &self.wildcard, &read)?;
        self.rest.retain(&found);
        let wanted = &found[..found.len().min(MOST)];
        for path in wanted {
            if self.logs().all(|log| log.path() != path) {
                let saved = self.rest.get(path).unwrap_or_default();
                self.members.push(Member {
                    log: Follower::appeared(path, saved),
                    missed: None,
                });
            }
        }
        for member in &mut self.members {
            let is_wanted = wanted.iter().any(|path| path == member.log.path());
            member.missed = (!is_wanted).then_some(member.missed.unwrap_or(now));
        }
        // Read a log for a while after it is gone: its writers may still have it open.
        let is_gone = |member: &mut Member| {
            let missed = member.missed;
            missed.is_some_and(|at| now.saturating_duration_since(at) >= HOLD)
        };
        for member in self.members.extract_if(.., is_gone) {
            self.gone.add(member.log.status());
            copy_position(&mut self.rest, &member.log);
        }
        Ok(())
    }

    /// Reads once, as [`Follower::read`], from each log in turn.
    pub fn read(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        on_line: &mut dyn FnMut(LogLine<'_>),
    ) -> usize {
        for _ in 0..self.members.len() {
            self.turn = (self.turn + 1) % self.members.len();
            let count = self.members[self.turn].log.read(now, buffer, on_line);
            if count > 0 {
                return count;
            }
        }
        0
    }

    /// Updates the counters.
    pub fn measure(&mut self) {
        self.members.iter_mut().for_each(|it| it.log.measure());
        let mut sum = self.gone.clone();
        self.logs().for_each(|log| sum.add(log.status()));
        self.status.count_as(&sum);
    }

    fn describe(&mut self, error: Option<io::Error>) {
        let is_read = |log: &Follower| log.status().state == ReadState::Reading;
        let first = self.logs().next().map(|log| log.status().state.clone());
        let state = match error {
            Some(error) => ReadState::Missing(error.to_string()),
            None if self.logs().any(is_read) => ReadState::Reading,
            None => first.unwrap_or(ReadState::Missing("no file matches".into())),
        };
        self.status.set(state);
    }

    /// The positions in all logs.
    pub fn positions(&self) -> Positions {
        let mut positions = self.rest.clone();
        self.logs()
            .for_each(|log| copy_position(&mut positions, log));
        positions
    }

    /// The logs that are read.
    pub fn logs(&self) -> impl Iterator<Item = &Follower> {
        self.members.iter().map(|member| &member.log)
    }

    pub fn status(&self) -> &FileStatus {
        &self.status
    }

    pub fn status_mut(&mut self) -> &mut FileStatus {
        &mut self.status
    }
}

/// Copies the position in a log to `positions`.
fn copy_position(positions: &mut Positions, log: &Follower) {
    if let Some(files) = log.positions() {
        positions.set(log.path(), files);
    }
}

/// The logs that match the wildcard of `path` now, those written last first. `read`: the
/// names of the logs that are followed already, whose rotated files are left out.
fn logs(path: &Path, wildcard: &Wildcard, read: &[&OsStr]) -> io::Result<Vec<PathBuf>> {
    let directory = directory_of(path);
    let mut files = listed(directory, |name| wildcard.is_match(name))?;
    files.sort_by(|(a, at), (b, bt)| bt.cmp(at).then_with(|| a.cmp(b)));
    let names: Vec<&[u8]> = files.iter().map(|(name, _)| name.as_bytes()).collect();
    let read: Vec<&[u8]> = read.iter().map(|name| name.as_bytes()).collect();
    let logs = wildcard.logs(&names, &read);
    let join = |name: &[u8]| directory.join(OsStr::from_bytes(name));
    Ok(logs.into_iter().map(join).collect())
}

#[cfg(test)]
mod tests;
