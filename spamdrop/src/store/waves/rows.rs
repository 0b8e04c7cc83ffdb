//! SQL of the tables of waves.

use anyhow::{Context as _, Result};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use spamdrop_common::time::UnixSeconds;

use spamdrop_core::wave::{Point, Snapshot, Wave};

/// `wave` is the JSON of a `Wave`, as in `report --json`. A row of `points` is a
/// `Point`.
pub(in crate::store) const TABLES: &str = "
CREATE TABLE waves (
    id INTEGER PRIMARY KEY,
    end_unix_s INTEGER NOT NULL,
    wave TEXT NOT NULL
) STRICT;
CREATE TABLE points (
    wave_id INTEGER NOT NULL,
    at_s INTEGER NOT NULL,
    open INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    admitted INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    PRIMARY KEY (wave_id, at_s)
) STRICT, WITHOUT ROWID";

pub(in crate::store) fn write(db: &Connection, base: i64, snapshot: &Snapshot) -> Result<()> {
    let Snapshot { id, wave, points } = snapshot;
    let id = base.saturating_add(*id);
    write_wave(db, id, wave)?;
    let Some(first) = points.first() else {
        return Ok(());
    };
    db.prepare_cached("DELETE FROM points WHERE wave_id = ?1 AND at_s >= ?2")?
        .execute(params![id, first.at_s])?;
    let mut insert = db.prepare_cached("INSERT INTO points VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for point in points {
        let Point {
            at_s,
            open,
            waiting,
            admitted,
            refused,
            answered,
        } = point;
        insert.execute(params![
            id, at_s, open, waiting, admitted, refused, answered
        ])?;
    }
    Ok(())
}

fn write_wave(db: &Connection, id: i64, wave: &Wave) -> Result<()> {
    let end = i64::try_from(wave.end_unix_s())?;
    let text = serde_json::to_string(wave)?;
    db.prepare_cached("REPLACE INTO waves VALUES (?1, ?2, ?3)")?
        .execute(params![id, end, text])?;
    Ok(())
}

/// Ends every ongoing wave.
pub(super) fn end(db: &Connection) -> Result<()> {
    for (id, mut wave) in since(db, UnixSeconds::default())? {
        if wave.ongoing {
            wave.ongoing = false;
            write_wave(db, id, &wave)?;
        }
    }
    Ok(())
}

pub(in crate::store) fn newest(db: &Connection) -> Result<i64> {
    let query = "SELECT coalesce(max(id), 0) FROM waves";
    Ok(db.query_row(query, [], |row| row.get(0))?)
}

/// Keeps the newest `waves` waves, and the points of the newest `courses`;
/// deletes all others.
pub(super) fn forget(db: &Connection, waves: u32, courses: u32) -> Result<()> {
    for (count, from) in [
        (waves, "DELETE FROM waves WHERE id"),
        (courses, "DELETE FROM points WHERE wave_id"),
    ] {
        // With fewer waves the query gives NULL, and no number compares less
        // than NULL.
        let oldest = "(SELECT id FROM waves ORDER BY id DESC LIMIT 1 OFFSET ?1 - 1)";
        db.prepare_cached(&format!("{from} < {oldest}"))?
            .execute([count])?;
    }
    Ok(())
}

pub(super) fn last(db: &Connection) -> Result<Option<Wave>> {
    let query = "SELECT id, wave FROM waves ORDER BY id DESC LIMIT 1";
    let found = db.query_row(query, [], wave).optional()?;
    found.map(|row| Ok(read(row)?.1)).transpose()
}

pub(in crate::store) fn since(db: &Connection, time: UnixSeconds) -> Result<Vec<(i64, Wave)>> {
    let query = "SELECT id, wave FROM waves WHERE end_unix_s >= ?1 ORDER BY id";
    let mut query = db.prepare(query)?;
    let mut rows = query.query([i64::try_from(time.get()).unwrap_or(i64::MAX)])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(wave(row)?)?);
    }
    Ok(all)
}

fn wave(row: &Row<'_>) -> rusqlite::Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn read((id, text): (i64, String)) -> Result<(i64, Wave)> {
    let wave = serde_json::from_str(&text).with_context(|| format!("wave {id}"))?;
    Ok((id, wave))
}

pub(in crate::store) fn points(db: &Connection, id: i64) -> Result<Vec<Point>> {
    let query = "SELECT at_s, open, waiting, admitted, refused, answered \
                 FROM points WHERE wave_id = ?1 ORDER BY at_s";
    let mut query = db.prepare_cached(query)?;
    let points = query.query_map([id], point)?;
    Ok(points.collect::<Result<_, _>>()?)
}

fn point(row: &Row<'_>) -> rusqlite::Result<Point> {
    Ok(Point {
        at_s: row.get(0)?,
        open: row.get(1)?,
        waiting: row.get(2)?,
        admitted: row.get(3)?,
        refused: row.get(4)?,
        answered: row.get(5)?,
    })
}
