//! SQL of the table of known senders.

use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use spamdrop_core::reputation::{Deliveries, Delivery, Recipient, Record, SenderStanding};
use spamdrop_core::target::{Target, from_full_key, full_key};
use spamdrop_core::time::UnixSeconds;

use crate::store::columns::{number, seconds};

/// `addr` is an IPv6 address, or an IPv4 address as `::ffff:a.b.c.d`.
/// `recipient…` are hashes of recipients. All other columns are seconds since
/// 1970, or 0 for "never".
pub(in crate::store) const TABLE: &str = "
CREATE TABLE known (
    addr BLOB PRIMARY KEY,
    recent1 INTEGER NOT NULL,
    recent2 INTEGER NOT NULL,
    recent3 INTEGER NOT NULL,
    earlier_day INTEGER NOT NULL,
    last_accepted INTEGER NOT NULL,
    demoted INTEGER NOT NULL,
    by_hand INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    recipient INTEGER NOT NULL DEFAULT 0,
    delivered2 INTEGER NOT NULL DEFAULT 0,
    recipient2 INTEGER NOT NULL DEFAULT 0,
    delivered3 INTEGER NOT NULL DEFAULT 0,
    recipient3 INTEGER NOT NULL DEFAULT 0,
    delivered4 INTEGER NOT NULL DEFAULT 0,
    recipient4 INTEGER NOT NULL DEFAULT 0,
    removed INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID";

/// The columns that version 2 of the database added. The recipients of older
/// deliveries are unknown, so these deliveries are no evidence.
pub(in crate::store) const UPGRADE_1: &str = "
ALTER TABLE known ADD COLUMN recipient INTEGER NOT NULL DEFAULT 0;
ALTER TABLE known ADD COLUMN delivered2 INTEGER NOT NULL DEFAULT 0;
ALTER TABLE known ADD COLUMN recipient2 INTEGER NOT NULL DEFAULT 0;
ALTER TABLE known ADD COLUMN delivered3 INTEGER NOT NULL DEFAULT 0;
ALTER TABLE known ADD COLUMN recipient3 INTEGER NOT NULL DEFAULT 0;
ALTER TABLE known ADD COLUMN delivered4 INTEGER NOT NULL DEFAULT 0;
ALTER TABLE known ADD COLUMN recipient4 INTEGER NOT NULL DEFAULT 0;
ALTER TABLE known ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;";

/// The number of columns that [`UPGRADE_1`] adds.
pub(in crate::store) const NEW_COLUMNS: usize = 8;

pub(in crate::store) fn read(db: &Connection, source: Target) -> Result<Option<Record>> {
    let mut query = db.prepare_cached("SELECT * FROM known WHERE addr = ?1")?;
    let found = query.query_row([key(source)], row).optional()?;
    Ok(found.map(|(_, record)| record))
}

/// All records, sorted by address.
pub(super) fn all(db: &Connection) -> Result<Vec<(Target, Record)>> {
    select(db, "SELECT * FROM known ORDER BY addr")
}

/// The records that a query with the table's columns returns.
pub(in crate::store) fn select(db: &Connection, query: &str) -> Result<Vec<(Target, Record)>> {
    let mut query = db.prepare(query)?;
    let rows = query.query_map([], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(in crate::store) fn write(db: &Connection, source: Target, record: Record) -> Result<()> {
    let Record {
        recent: [recent1, recent2, recent3],
        earlier_day,
        last_accepted,
        deliveries,
        demoted,
        by_hand,
        removed,
    } = record;
    let [newest, second, third, fourth] = deliveries.to_stored();
    let recipient = |delivery: Delivery| {
        let hash = delivery.recipient.to_stored();
        i64::try_from(hash).unwrap_or_default()
    };
    db.prepare_cached("REPLACE INTO known VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)")?
        .execute(params![
            key(source),
            seconds(recent1),
            seconds(recent2),
            seconds(recent3),
            seconds(earlier_day),
            seconds(last_accepted),
            seconds(demoted),
            seconds(by_hand),
            seconds(newest.at),
            recipient(newest),
            seconds(second.at),
            recipient(second),
            seconds(third.at),
            recipient(third),
            seconds(fourth.at),
            recipient(fourth),
            seconds(removed),
        ])?;
    Ok(())
}

fn delete(db: &Connection, source: Target) -> Result<()> {
    let mut delete = db.prepare_cached("DELETE FROM known WHERE addr = ?1")?;
    delete.execute([key(source)])?;
    Ok(())
}

/// Deletes the records of a prefix. Returns their number.
pub(super) fn delete_in(db: &Connection, net: IpNet) -> Result<usize> {
    let mut delete = db.prepare_cached("DELETE FROM known WHERE addr BETWEEN ?1 AND ?2")?;
    Ok(delete.execute([full_key(net.network()), full_key(net.broadcast())])?)
}

pub(super) fn count_by_hand(db: &Connection) -> Result<usize> {
    count(db, "SELECT count(*) FROM known WHERE by_hand != 0")
}

/// If there are more than `capacity` records, deletes the most expendable ones until
/// seven eighths of `capacity` are left, so that deletions are rare.
pub(super) fn forget(db: &Connection, capacity: usize, now: UnixSeconds) -> Result<()> {
    let count = count(db, "SELECT count(*) FROM known")?;
    if count <= capacity {
        return Ok(());
    }
    let mut expendable = all(db)?;
    expendable.retain(|(_, record)| record.standing(now) != SenderStanding::ByHand);
    expendable
        .sort_unstable_by_key(|(source, record)| (record.standing(now), record.last(), *source));
    let quota = count - (capacity - capacity / 8);
    for (source, _) in expendable.iter().take(quota) {
        delete(db, *source)?;
    }
    Ok(())
}

fn count(db: &Connection, query: &str) -> Result<usize> {
    let count: u32 = db.query_row(query, [], |row| row.get(0))?;
    Ok(usize::try_from(count)?)
}

fn row(row: &Row<'_>) -> rusqlite::Result<(Target, Record)> {
    let addr: IpAddr = from_full_key(row.get(0)?);
    let delivery = |column: usize| -> rusqlite::Result<Delivery> {
        Ok(Delivery {
            at: time(row, column)?,
            recipient: Recipient::from_stored(number(row, column + 1)?),
        })
    };
    let deliveries = [delivery(8)?, delivery(10)?, delivery(12)?, delivery(14)?];
    let record = Record {
        recent: [time(row, 1)?, time(row, 2)?, time(row, 3)?],
        earlier_day: time(row, 4)?,
        last_accepted: time(row, 5)?,
        demoted: time(row, 6)?,
        by_hand: time(row, 7)?,
        deliveries: Deliveries::from_stored(deliveries),
        removed: time(row, 16)?,
    };
    Ok((source(addr), record))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<UnixSeconds> {
    number(row, column).map(UnixSeconds::new)
}

/// The source that has this address as its key.
fn source(addr: IpAddr) -> Target {
    let whole = Target::from(addr);
    if whole.net().addr() == addr {
        whole
    } else {
        Target::alone(addr)
    }
}

/// The key of a source. A /64 has its first address as the key. No sender has that
/// address, because it is the anycast address of the routers (RFC 4291 section 2.6.1).
fn key(source: Target) -> [u8; 16] {
    full_key(source.net().addr())
}
