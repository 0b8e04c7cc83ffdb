//! SQL of the table of the history.

use anyhow::Result;
use ipnet::IpNet;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Row, ToSql, params, params_from_iter};
use spamdrop_core::history::{HistoryEvent, HistoryKind};
use spamdrop_core::target::{from_full_key, full_key};
use spamdrop_core::time::UnixSeconds;

use super::HistoryQuery;
use crate::store::columns::{number, seconds};

/// `lowest` and `highest` are the ends of a prefix, as IPv6 addresses or
/// `::ffff:a.b.c.d`; both are null if an event concerns no address, or too many
/// to name. `began`, `ended` and `wave` are seconds since 1970; `wave` is 0
/// without a wave. Refusals at the gate have an `id` above [`REFUSALS`], all other
/// events have a lower one, so that the oldest of both kinds are found without a search.
pub(in crate::store) const TABLES: &str = "
CREATE TABLE history (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    began INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    count INTEGER NOT NULL,
    lowest BLOB,
    highest BLOB,
    length INTEGER NOT NULL,
    wave INTEGER NOT NULL,
    actor TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX history_lowest ON history (lowest);";

/// Refusals have a higher `id`.
const REFUSALS: i64 = 1 << 40;

/// The limits of the `id`, both exclusive: of refusals if `is_refusal`, otherwise of all
/// other events.
const fn numbers(is_refusal: bool) -> [i64; 2] {
    match is_refusal {
        true => [REFUSALS, i64::MAX],
        false => [0, REFUSALS],
    }
}

/// The ends of a prefix.
fn ends(net: IpNet) -> [[u8; 16]; 2] {
    [full_key(net.network()), full_key(net.broadcast())]
}

pub(super) fn write(db: &Connection, event: &HistoryEvent) -> Result<()> {
    if event.continues && add(db, event)? {
        return Ok(());
    }
    let ends = event.net.map(ends);
    let [above, below] = numbers(event.kind.is_refusal());
    db.prepare_cached(
        "INSERT INTO history (id, kind, began, ended, count, lowest, highest, length, wave, actor, text) \
         SELECT coalesce(max(id), ?11) + 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 \
         FROM history WHERE id > ?11 AND id < ?12",
    )?
    .execute(params![
        event.kind.name(),
        seconds(event.first),
        seconds(event.last),
        count(event),
        ends.map(|[lowest, _]| lowest),
        ends.map(|[_, highest]| highest),
        event.net.map_or(0, |net| net.prefix_len()),
        seconds(event.wave),
        event.by,
        event.text,
        above,
        below,
    ])?;
    Ok(())
}

/// Adds an event to the newest one of the same kind, addresses and wave, if that ended
/// at [`HistoryEvent::since`] or later. Returns whether it was added.
fn add(db: &Connection, event: &HistoryEvent) -> Result<bool> {
    let ends = event.net.map(ends);
    let changed = db
        .prepare_cached(
            "UPDATE history SET ended = max(ended, ?1), count = count + ?2, text = ?3 \
             WHERE id = (SELECT max(id) FROM history WHERE kind = ?4 AND lowest IS ?5 \
             AND highest IS ?6 AND wave = ?7) AND ended >= ?8",
        )?
        .execute(params![
            seconds(event.last),
            count(event),
            event.text,
            event.kind.name(),
            ends.map(|[lowest, _]| lowest),
            ends.map(|[_, highest]| highest),
            seconds(event.wave),
            seconds(event.since),
        ])?;
    Ok(changed > 0)
}

fn count(event: &HistoryEvent) -> i64 {
    i64::try_from(event.count).unwrap_or(i64::MAX)
}

pub(super) fn clear(db: &Connection) -> Result<()> {
    Ok(db.execute_batch("DELETE FROM history")?)
}

/// Deletes events that ended before `oldest`.
pub(super) fn forget_old(db: &Connection, oldest: UnixSeconds) -> Result<()> {
    db.prepare_cached("DELETE FROM history WHERE ended < ?1")?
        .execute([seconds(oldest)])?;
    Ok(())
}

/// Keeps the newest `most` refusals and the newest `most` other events, and deletes the
/// older ones.
pub(super) fn limit(db: &Connection, most: u32) -> Result<()> {
    // The ids are compared, because counting the rows would take longer. So fewer rows
    // are kept if ids in between are missing.
    let mut delete = db.prepare_cached(
        "DELETE FROM history WHERE id > ?1 AND id <= \
         (SELECT max(id) FROM history WHERE id > ?1 AND id < ?2) - ?3",
    )?;
    for [above, below] in [numbers(true), numbers(false)] {
        delete.execute(params![above, below, most])?;
    }
    Ok(())
}

pub(super) fn refusals_without_source(db: &Connection) -> Result<u64> {
    let query = "SELECT coalesce(sum(count), 0) FROM history WHERE lowest IS NULL AND kind = ?1";
    let kind = HistoryKind::Refused.name();
    Ok(db.query_row(query, [kind], |row| number(row, 0))?)
}

pub(super) fn exists(db: &Connection, net: IpNet) -> Result<bool> {
    let query = "SELECT EXISTS (SELECT 1 FROM history WHERE lowest = ?1 AND highest = ?2)";
    Ok(db.query_row(query, ends(net), |row| row.get(0))?)
}

/// Whether exactly this prefix was blocked, and no end of that block is recorded yet.
pub(super) fn has_block(db: &Connection, net: IpNet) -> Result<bool> {
    let [blocked, ended] = [HistoryKind::Blocked, HistoryKind::Ended].map(HistoryKind::name);
    let [lowest, highest] = ends(net);
    let mut query = db.prepare_cached(
        "SELECT kind = ?1 FROM history WHERE lowest = ?3 AND highest = ?4 AND kind IN (?1, ?2) \
         ORDER BY id DESC LIMIT 1",
    )?;
    let mut rows = query.query_map(params![blocked, ended, lowest, highest], |row| row.get(0))?;
    Ok(rows.next().transpose()?.unwrap_or(false))
}

pub(super) fn forget(db: &Connection, net: IpNet) -> Result<usize> {
    let delete = "DELETE FROM history WHERE lowest >= ?1 AND lowest <= ?2 AND highest <= ?2";
    Ok(db.prepare_cached(delete)?.execute(ends(net))?)
}

/// Selects the columns of [`event`].
const SELECT: &str = "SELECT kind, began, ended, count, lowest, length, wave, actor, text \
                      FROM history WHERE";
/// The number of rows that [`newest`] searches. All rows would take 20 ms.
const RECENT: u32 = 2_000;

pub(super) fn newest(db: &Connection, most: u32) -> Result<Vec<HistoryEvent>> {
    let [above, below] = numbers(false);
    // A row to which `add` adds an event keeps its `id`, so ids are not in the order of
    // `ended`.
    // Events of the kind `Ended` do not count towards `RECENT`, because a sweep may add
    // thousands of them.
    let text = format!(
        "{SELECT} id IN (SELECT id FROM history WHERE id > ?1 AND id < ?2 AND kind <> ?4 \
         ORDER BY id DESC LIMIT {RECENT}) ORDER BY ended DESC, id DESC LIMIT ?3"
    );
    let mut query = db.prepare(&text)?;
    let ended = HistoryKind::Ended.name();
    let rows = query.query_map(params![above, below, most, ended], event)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn select(db: &Connection, query: &HistoryQuery) -> Result<Vec<HistoryEvent>> {
    let mut text = format!("{SELECT} ended >= ?1 AND began < ?2");
    let mut values: Vec<Box<dyn ToSql>> = vec![
        Box::new(seconds(query.since)),
        Box::new(query.until.map_or(i64::MAX, seconds)),
    ];
    if let Some(addr) = query.addr {
        text += " AND lowest <= ?3 AND highest >= ?3";
        values.push(Box::new(full_key(addr)));
    }
    text += " ORDER BY began, id";
    let mut query = db.prepare(&text)?;
    let rows = query.query_map(params_from_iter(values), event)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn commands_without_address(db: &Connection) -> Result<Vec<HistoryEvent>> {
    let text = format!("{SELECT} lowest IS NULL AND kind = ?1 ORDER BY began, id");
    let mut query = db.prepare(&text)?;
    let rows = query.query_map([HistoryKind::Command.name()], event)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn event(row: &Row<'_>) -> rusqlite::Result<HistoryEvent> {
    let time = |column| number(row, column).map(UnixSeconds::new);
    let lowest: Option<[u8; 16]> = row.get(4)?;
    let length: u8 = row.get(5)?;
    let net = lowest.map(|lowest| IpNet::new(from_full_key(lowest), length));
    let net = net.transpose().map_err(|error| invalid(5, error))?;
    let name: String = row.get(0)?;
    let kind = HistoryKind::of_name(&name);
    let kind = kind.ok_or_else(|| invalid(0, std::fmt::Error))?;
    Ok(HistoryEvent {
        net,
        last: time(2)?,
        count: number(row, 3)?,
        wave: time(6)?,
        by: row.get(7)?,
        text: row.get(8)?,
        ..HistoryEvent::new(kind, net, time(1)?)
    })
}

/// The error for a value that no version of spamdrop has written.
fn invalid(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
