//! SQL of the saved blocks.

use std::net::IpAddr;

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use spamdrop_core::saved::{SavedEntry, SavedOrigin};
use spamdrop_core::target::{Target, from_full_key, full_key};
use spamdrop_core::time::UnixSeconds;

use super::Blocks;
use super::table::Table;
use crate::store::columns::{number, seconds};
use crate::store::target_key::{key, target};

/// `target` is the key of an entry, see [`key`]. `addr` is an IPv6 address, or
/// an IPv4 address as `::ffff:a.b.c.d`. Times are seconds since 1970; 0: none.
/// `last_save` has one row.
pub(super) const TABLES: &str = "
CREATE TABLE entries (
    target BLOB PRIMARY KEY,
    ends INTEGER NOT NULL,
    hard_end INTEGER NOT NULL,
    ttl_s INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    refreshes INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    owners INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE reasons (
    addr BLOB PRIMARY KEY,
    first_blocked INTEGER NOT NULL,
    offences INTEGER NOT NULL,
    text BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    packets INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE last_save (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL,
    boot TEXT NOT NULL
) STRICT;";

/// The names of the tables.
pub(super) const NAMES: [&str; 4] = ["entries", "reasons", "counters", "last_save"];

pub(super) const ENTRIES: Table<Target, SavedEntry> = Table {
    query: "SELECT * FROM entries ORDER BY target",
    row: entry,
    key: |entry| entry.target,
};
pub(super) const REASONS: Table<[u8; 16], Reason> = Table {
    query: "SELECT * FROM reasons ORDER BY addr",
    row: reason,
    key: |(addr, _)| *addr,
};

/// The reason for the block of an address, by its [`full_key`].
pub(super) type Reason = ([u8; 16], SavedOrigin);

/// All that is saved; `None` if nothing was saved yet.
pub(super) fn all(db: &Connection) -> Result<Option<Blocks>> {
    let last = "SELECT at, boot FROM last_save";
    let last = db.query_row(last, [], |row| Ok((number(row, 0)?, row.get(1)?)));
    let Some((saved, boot)) = last.optional()? else {
        return Ok(None);
    };
    let mut counters = db.prepare("SELECT name, packets FROM counters ORDER BY name")?;
    let counters = counters.query_map([], |row| Ok((row.get(0)?, number(row, 1)?)))?;
    let mut entries = db.prepare(ENTRIES.query)?;
    let entries = entries.query_map([], entry)?;
    let mut reasons = db.prepare(REASONS.query)?;
    let origins = reasons.query_map([], |row| {
        reason(row).map(|(key, origin)| (from_full_key(key), origin))
    })?;
    Ok(Some(Blocks {
        entries: entries.collect::<Result<_, _>>()?,
        origins: origins.collect::<Result<_, _>>()?,
        counters: counters.collect::<Result<_, _>>()?,
        saved: UnixSeconds::new(saved),
        boot,
    }))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<SavedEntry> {
    let target = target(row, 0)?;
    let owners: i64 = row.get(7)?;
    Ok(SavedEntry {
        target,
        ends: UnixSeconds::new(number(row, 1)?),
        hard_end: UnixSeconds::new(number(row, 2)?),
        ttl_s: row.get(3)?,
        hits: row.get(4)?,
        refreshes: row.get(5)?,
        flags: row.get(6)?,
        owners: owners.cast_unsigned(),
    })
}

fn reason(row: &Row<'_>) -> rusqlite::Result<Reason> {
    let origin = SavedOrigin {
        first_blocked: UnixSeconds::new(number(row, 1)?),
        offences: row.get(2)?,
        text: row.get(3)?,
    };
    Ok((row.get(0)?, origin))
}

pub(super) fn write_entry(db: &Connection, entry: &SavedEntry) -> Result<()> {
    db.prepare_cached("REPLACE INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            key(&entry.target),
            seconds(entry.ends),
            seconds(entry.hard_end),
            entry.ttl_s,
            entry.hits,
            entry.refreshes,
            entry.flags,
            entry.owners.cast_signed(),
        ])?;
    Ok(())
}

pub(super) fn write_reason(db: &Connection, (key, origin): &Reason) -> Result<()> {
    db.prepare_cached("REPLACE INTO reasons VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            key,
            seconds(origin.first_blocked),
            origin.offences,
            origin.text,
        ])?;
    Ok(())
}

pub(super) fn write_rest(db: &Connection, blocks: &Blocks) -> Result<()> {
    let mut counter = db.prepare_cached("REPLACE INTO counters VALUES (?1, ?2)")?;
    for (name, packets) in &blocks.counters {
        counter.execute(params![name, i64::try_from(*packets).unwrap_or(i64::MAX)])?;
    }
    db.execute(
        "REPLACE INTO last_save VALUES (1, ?1, ?2)",
        params![seconds(blocks.saved), blocks.boot],
    )?;
    Ok(())
}

pub(super) fn set_boot(db: &Connection, boot: &str) -> Result<()> {
    db.execute("UPDATE last_save SET boot = ?1", [boot])?;
    Ok(())
}

/// Deletes an entry. Returns how many there were, 0 or 1.
pub(super) fn delete_entry(db: &Connection, target: &Target) -> Result<usize> {
    let mut delete = db.prepare_cached("DELETE FROM entries WHERE target = ?1")?;
    Ok(delete.execute([key(target)])?)
}

pub(super) fn delete_reason(db: &Connection, key: [u8; 16]) -> Result<()> {
    db.prepare_cached("DELETE FROM reasons WHERE addr = ?1")?
        .execute([key])?;
    Ok(())
}

/// Deletes an entry, and the reasons for it that no other entry needs. Returns how many
/// entries there were.
pub(super) fn delete(db: &Connection, target: &Target) -> Result<usize> {
    let number = delete_entry(db, target)?;
    match target {
        Target::V6(net) => delete_reasons(db, *net)?,
        _ => match target.origin() {
            Some(addr) if !is_blocked(db, addr)? => delete_reason(db, full_key(addr))?,
            _ => {}
        },
    }
    Ok(number)
}

/// Deletes the reasons of the addresses in a /64 that have no entry of their own.
fn delete_reasons(db: &Connection, net: [u8; 8]) -> Result<()> {
    let address = |fill: u8| {
        let mut bytes = [fill; 16];
        bytes.iter_mut().zip(net).for_each(|(to, from)| *to = from);
        bytes
    };
    let (first, last) = (address(0), address(0xff));
    // The key of an address's own entry is a byte and the address.
    db.prepare_cached(
        "DELETE FROM reasons WHERE addr BETWEEN ?1 AND ?2 AND addr NOT IN \
         (SELECT substr(target, 2) FROM entries WHERE target BETWEEN ?3 AND ?4)",
    )?
    .execute(params![
        first,
        last,
        key(&Target::V6Address(first)),
        key(&Target::V6Address(last)),
    ])?;
    Ok(())
}

/// Whether the address or its /64 has an entry.
fn is_blocked(db: &Connection, addr: IpAddr) -> Result<bool> {
    let mut entry = db.prepare_cached("SELECT 1 FROM entries WHERE target = ?1")?;
    for target in Target::covering(addr) {
        if entry.exists([key(&target)])? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn clear(db: &Connection) -> Result<()> {
    db.execute_batch("DELETE FROM entries; DELETE FROM reasons")?;
    Ok(())
}
