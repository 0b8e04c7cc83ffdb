//! SQL of the saved blocks.

use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension as _, Row, params};
use spamdrop_core::saved::{SavedEntry, SavedOrigin};
use spamdrop_core::target::{Target, from_full_key, full_key};
use spamdrop_core::time::UnixSeconds;

use super::Blocks;
use crate::store::columns::{number, seconds};

/// `target` is an IPv4 address, an IPv6 /64 (8 bytes), an IPv6 address, or a
/// prefix: an address and one byte for its length. `addr` is an IPv6 address, or
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

pub(super) const ENTRIES: &str = "SELECT * FROM entries ORDER BY target";
pub(super) const REASONS: &str = "SELECT * FROM reasons ORDER BY addr";

/// The key of an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Vec<u8>);

impl From<&Target> for Key {
    fn from(target: &Target) -> Self {
        Self(match target {
            Target::V4(bytes) => bytes.to_vec(),
            Target::V6(bytes) => bytes.to_vec(),
            Target::V6Address(bytes) => bytes.to_vec(),
            Target::Net(net) => {
                let mut bytes = match net.addr() {
                    IpAddr::V4(addr) => addr.octets().to_vec(),
                    IpAddr::V6(addr) => addr.octets().to_vec(),
                };
                bytes.push(net.prefix_len());
                bytes
            }
        })
    }
}

impl Key {
    fn target(&self) -> Option<Target> {
        let bytes = self.0.as_slice();
        if let Ok(bytes) = bytes.try_into() {
            return Some(Target::V4(bytes));
        }
        if let Ok(bytes) = bytes.try_into() {
            return Some(Target::V6(bytes));
        }
        if let Ok(bytes) = bytes.try_into() {
            return Some(Target::V6Address(bytes));
        }
        let (length, addr) = bytes.split_last()?;
        let addr: IpAddr = match addr.len() {
            4 => <[u8; 4]>::try_from(addr).ok()?.into(),
            _ => <[u8; 16]>::try_from(addr).ok()?.into(),
        };
        IpNet::new(addr, *length).ok().map(Target::Net)
    }
}

/// All that is saved; `None` if nothing was saved yet.
pub(super) fn all(db: &Connection) -> Result<Option<Blocks>> {
    let last = "SELECT at, boot FROM last_save";
    let last = db.query_row(last, [], |row| Ok((number(row, 0)?, row.get(1)?)));
    let Some((saved, boot)) = last.optional()? else {
        return Ok(None);
    };
    let mut counters = db.prepare("SELECT name, packets FROM counters ORDER BY name")?;
    let counters = counters.query_map([], |row| Ok((row.get(0)?, number(row, 1)?)))?;
    let mut entries = db.prepare(ENTRIES)?;
    let entries = entries.query_map([], |row| entry(row).map(|(_, entry)| entry))?;
    let mut reasons = db.prepare(REASONS)?;
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

pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<(Key, SavedEntry)> {
    let key = Key(row.get(0)?);
    let target = key.target().ok_or_else(|| {
        Error::FromSqlConversionFailure(0, Type::Blob, "it is no address or prefix".into())
    })?;
    let owners: i64 = row.get(7)?;
    let entry = SavedEntry {
        target,
        ends: UnixSeconds::new(number(row, 1)?),
        hard_end: UnixSeconds::new(number(row, 2)?),
        ttl_s: row.get(3)?,
        hits: row.get(4)?,
        refreshes: row.get(5)?,
        flags: row.get(6)?,
        owners: owners.cast_unsigned(),
    };
    Ok((key, entry))
}

pub(super) fn reason(row: &Row<'_>) -> rusqlite::Result<([u8; 16], SavedOrigin)> {
    let origin = SavedOrigin {
        first_blocked: UnixSeconds::new(number(row, 1)?),
        offences: row.get(2)?,
        text: row.get(3)?,
    };
    Ok((row.get(0)?, origin))
}

pub(super) fn write_entry(db: &Connection, key: &Key, entry: &SavedEntry) -> Result<()> {
    db.prepare_cached("REPLACE INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            key.0,
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

pub(super) fn write_reason(db: &Connection, key: [u8; 16], origin: &SavedOrigin) -> Result<()> {
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

pub(super) fn delete_entry(db: &Connection, key: &Key) -> Result<()> {
    db.prepare_cached("DELETE FROM entries WHERE target = ?1")?
        .execute([&key.0])?;
    Ok(())
}

pub(super) fn delete_reason(db: &Connection, key: [u8; 16]) -> Result<()> {
    db.prepare_cached("DELETE FROM reasons WHERE addr = ?1")?
        .execute([key])?;
    Ok(())
}

/// Deletes an entry, and the reason for it.
pub(super) fn delete(db: &Connection, target: &Target) -> Result<()> {
    delete_entry(db, &target.into())?;
    match target {
        Target::Net(_) => Ok(()),
        // A reason is that of an address; those in a /64 begin like it.
        Target::V6(net) => {
            let mut first = [0; 16];
            let mut last = [0xff; 16];
            for bytes in [&mut first, &mut last] {
                bytes.iter_mut().zip(net).for_each(|(to, from)| *to = *from);
            }
            db.prepare_cached("DELETE FROM reasons WHERE addr BETWEEN ?1 AND ?2")?
                .execute([first, last])?;
            Ok(())
        }
        _ => delete_reason(db, full_key(target.net().addr())),
    }
}

pub(super) fn clear(db: &Connection) -> Result<()> {
    db.execute_batch("DELETE FROM entries; DELETE FROM reasons")?;
    Ok(())
}
