//! Imports the files of spamdrop 0.1, `known.db` and `waves.db`, into the one
//! database.
//!
//! Both are read under their own write locks, copied in one transaction, and
//! removed only when the copy is on disk. Copying a file again changes nothing.
//! So a crash in between is harmless, as is an older spamdrop that creates the
//! files again.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Error, Result};
use rusqlite::{Connection, ErrorCode, Transaction};
use spamdrop_common::time::UnixSeconds;

use super::REMEDY;
use super::database::{self, Database, NotOurs, connect, explain, identity};
use super::{known, waves};
use spamdrop_core::reputation::Record;
use spamdrop_core::target::Target;
use spamdrop_core::wave::{Point, Snapshot, Wave};

/// The `application_id` of `known.db`, and its newest version.
const KNOWN: (i32, i32) = (0x5344_6b67, 2);
/// The `application_id` of `waves.db`, and its newest version.
const WAVES: (i32, i32) = (0x5344_7776, 1);

type RecordedWave = (Wave, Vec<Point>);

/// The paths of the old files beside the database.
pub(super) fn files(path: &Path) -> [PathBuf; 2] {
    ["known.db", "waves.db"].map(|name| path.with_file_name(name))
}

/// Imports the content of the old files, if they exist.
///
/// A damaged `waves.db` is renamed, so that it does not prevent the import of the
/// known senders.
///
/// # Errors
///
/// One of the old files cannot be read, except for a damaged `waves.db`; or the new
/// file cannot be written.
pub(super) fn take_over(database: &mut Database, wait: Duration) -> Result<()> {
    let [known_path, waves_path] = files(database.path());
    let known = LegacyFile::open(&known_path, KNOWN, wait, senders)?;
    let waves = match LegacyFile::open(&waves_path, WAVES, wait, courses) {
        Err(error) if is_damage(&error) => {
            set_aside(&waves_path, &error)?;
            None
        }
        opened => opened?,
    };
    if known.is_none() && waves.is_none() {
        return Ok(());
    }
    database.change(|tx| {
        for (source, record) in known.iter().flat_map(|file| &file.content) {
            let record = match known::rows::read(tx, *source)? {
                Some(newer) => newer.join(*record),
                None => *record,
            };
            known::rows::write(tx, *source, record)?;
        }
        let courses = waves.iter().flat_map(|file| &file.content);
        add_courses(tx, courses)
    })?;
    for path in [known.map(LegacyFile::remove), waves.map(LegacyFile::remove)] {
        if let Some(path) = path.transpose()? {
            log::info!(
                "imported {} into {}, and removed the old file",
                path.display(),
                database.path().display()
            );
        }
    }
    Ok(())
}

/// An old file and its content. It stays locked, so that no other process can
/// write to it.
struct LegacyFile<T> {
    #[expect(dead_code, reason = "holds the write lock until it is closed")]
    db: Connection,
    path: PathBuf,
    content: T,
}

impl<T> LegacyFile<T> {
    fn open(
        path: &Path,
        (id, newest): (i32, i32),
        wait: Duration,
        read: impl FnOnce(&Connection, i32) -> Result<T>,
    ) -> Result<Option<Self>> {
        if !path.try_exists()? {
            return Ok(None);
        }
        let open = || {
            let db = connect(path, wait)?;
            db.execute_batch("BEGIN IMMEDIATE")?;
            let (found, version) = identity(&db)?;
            if found != id {
                return Err(NotOurs::foreign());
            }
            if version > newest {
                return Err(NotOurs::version(version, newest));
            }
            database::check(&db, None)?;
            let content = read(&db, version)?;
            let path = path.to_owned();
            Ok(Self { db, path, content })
        };
        open()
            .map(Some)
            .map_err(|error| explain(error, path, REMEDY))
    }

    fn remove(self) -> Result<PathBuf> {
        match fs::remove_file(&self.path) {
            // Another process removed it first.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(self.path),
            removed => removed
                .map(|()| self.path.clone())
                .with_context(|| format!("cannot remove {}", self.path.display())),
        }
    }
}

fn senders(db: &Connection, version: i32) -> Result<Vec<(Target, Record)>> {
    // Version 2 of `known.db` added one column, the deliveries. The database that
    // replaced the file added `NEW_COLUMNS` more. The missing ones are read as 0.
    let missing = known::rows::NEW_COLUMNS + usize::from(version < 2);
    let columns = format!("*{}", ", 0".repeat(missing));
    known::rows::select(db, &format!("SELECT {columns} FROM known"))
}

fn courses(db: &Connection, _version: i32) -> Result<Vec<RecordedWave>> {
    let waves = waves::rows::since(db, UnixSeconds::default())?.into_iter();
    waves
        .map(|(id, wave)| Ok((wave, waves::rows::points(db, id)?)))
        .collect()
}

/// Adds the waves that are not stored yet, numbered after the newest stored
/// one.
fn add_courses<'a>(
    tx: &Transaction<'_>,
    new: impl Iterator<Item = &'a RecordedWave>,
) -> Result<()> {
    let old = waves::rows::since(tx, UnixSeconds::default())?;
    let starts: HashSet<u64> = old.iter().map(|(_, wave)| wave.start_unix_s).collect();
    let base = waves::rows::newest(tx)?;
    let new = new.filter(|(wave, _)| !starts.contains(&wave.start_unix_s));
    for (id, (wave, points)) in (1..).zip(new) {
        let snapshot = Snapshot {
            id,
            wave: wave.clone(),
            points: points.clone(),
        };
        waves::rows::write(tx, base, &snapshot)?;
    }
    Ok(())
}

/// Whether the content is damaged, as opposed to an error of the disk, a
/// permission or a lock.
fn is_damage(error: &Error) -> bool {
    let mut causes = error.chain();
    match causes.find_map(|cause| cause.downcast_ref::<rusqlite::Error>()) {
        Some(cause) => !matches!(
            cause.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::PermissionDenied
                    | ErrorCode::ReadOnly
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::DiskFull
                    | ErrorCode::CannotOpen
                    | ErrorCode::OutOfMemory
            )
        ),
        None => !error.chain().any(|cause| cause.is::<io::Error>()),
    }
}

fn set_aside(path: &Path, error: &Error) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    let aside = PathBuf::from(aside);
    fs::rename(path, &aside)
        .with_context(|| format!("cannot rename {} to {}", path.display(), aside.display()))?;
    log::warn!(
        "cannot import the waves of an older version; their file was renamed to {}: {error:#}",
        aside.display()
    );
    Ok(())
}
