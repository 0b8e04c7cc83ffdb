//! The daemon's reads and writes of the database, as jobs for the disk thread.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use anyhow::{Error, Result};
use ipnet::IpNet;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::history::{BlockNote, HistoryEvent, HistoryKind};
use spamdrop_core::reputation::{DemotionReason, Record, Records, StoredContacts};
use spamdrop_core::target::Target;
use spamdrop_core::time::UnixSeconds;
use spamdrop_core::wave::Snapshot;

use crate::clock;
use crate::kernel::blocklist::Blocklist;
use crate::store::{DAEMON_WAIT, MergedSenders, Store};

/// The senders and contacts that the engine remembers across a restart.
#[derive(Default)]
pub(super) struct Memory {
    pub senders: Vec<(Target, Record)>,
    pub contacts: StoredContacts,
}

/// The evidence that the engine has learned.
pub(super) struct LearnedEvidence {
    /// The reasons for the demotions among the records.
    pub reasons: BTreeMap<Target, DemotionReason>,
    pub records: Records,
    pub contacts: StoredContacts,
}

/// Reads every sender, after a check for damage, and the contacts; empty without
/// a database.
pub(super) fn memory(path: &Path) -> Result<Memory> {
    let Some(store) = Store::open_existing(path, DAEMON_WAIT)? else {
        return Ok(Memory::default());
    };
    store.check_known()?;
    Ok(Memory {
        senders: store.known_senders()?,
        contacts: store.contacts()?,
    })
}

/// Reads the senders that are known now. Checks the table for damage first, because a
/// sender whose row is lost would be refused. Empty without a database.
pub(super) fn known_senders(path: &Path) -> Result<Vec<Target>> {
    let Some(store) = Store::open_existing(path, DAEMON_WAIT)? else {
        return Ok(Vec::new());
    };
    store.check_known()?;
    store.known_at(clock::unix_seconds())
}

/// Merges new evidence into the database. Returns an event for each sender that became
/// known or was demoted. On an error, returns the evidence, too.
pub(super) fn merge(
    path: &Path,
    evidence: LearnedEvidence,
    capacity: usize,
) -> Result<Vec<HistoryEvent>, (LearnedEvidence, Error)> {
    let now = clock::unix_seconds();
    let merged = Store::open(path, DAEMON_WAIT).and_then(|mut store| {
        store.merge_contacts(&evidence.contacts)?;
        store.merge_known(&evidence.records, capacity, now)
    });
    match merged {
        Ok(MergedSenders { changed, .. }) => {
            let event = |(source, is_known): (Target, bool)| {
                let kind = match is_known {
                    true => HistoryKind::Promoted,
                    false => HistoryKind::Demoted,
                };
                let reason = evidence.reasons.get(&source).filter(|_| !is_known);
                HistoryEvent {
                    text: reason.map_or_else(String::new, |it| it.describe().to_owned()),
                    ..HistoryEvent::new(kind, Some(source.net()), now)
                }
            };
            Ok(changed.into_iter().map(event).collect())
        }
        Err(error) => Err((evidence, error)),
    }
}

/// Ends the wave that a crash left open. Returns the number of the newest wave,
/// if there is a database.
pub(super) fn begin_waves(path: &Path) -> Result<Option<i64>> {
    let store = Store::open_existing(path, DAEMON_WAIT)?;
    store.map(|mut store| store.begin_waves()).transpose()
}

/// Writes the waves of this run. Their numbers follow `base`, the number of the newest wave
/// of earlier runs; `None`: reads it from the database. Returns the base that was used.
pub(super) fn write_waves(path: &Path, base: Option<i64>, snapshots: &[Snapshot]) -> Result<i64> {
    let mut store = Store::open(path, DAEMON_WAIT)?;
    let base = base.map_or_else(|| store.begin_waves(), Ok)?;
    store.write_waves(base, snapshots)?;
    Ok(base)
}

/// Maximum number of blocks that are written in one transaction, so that many
/// blocks at once take little memory.
const BLOCKS: usize = 256;

/// Deletes events that ended longer than `kept` ago, if there is a database; zero
/// deletes all.
pub(super) fn forget_old_history(path: &Path, kept: Duration) -> Result<()> {
    match Store::open_existing(path, DAEMON_WAIT)? {
        Some(mut store) => store.forget_old_history(kept, clock::unix_seconds()),
        None => Ok(()),
    }
}

/// Writes blocks and events to the history. The reasons of the blocks are read from
/// the filter's map. Blocks that were written are removed from `blocks`, also if a
/// later write fails. Without blocks and events, no database is created.
pub(super) fn write_history(
    path: &Path,
    pin_dir: &Path,
    blocks: &mut Vec<BlockNote>,
    events: &[HistoryEvent],
) -> Result<()> {
    if blocks.is_empty() && events.is_empty() {
        return Ok(());
    }
    let mut store = Store::open(path, DAEMON_WAIT)?;
    store.limit_memory()?;
    // `detach` may have removed the map with the reasons.
    let blocklist = match &blocks[..] {
        [] => None,
        _ => Blocklist::open(pin_dir).ok(),
    };
    while !blocks.is_empty() {
        let some = &blocks[..blocks.len().min(BLOCKS)];
        let event = |block: &BlockNote| {
            let origin = blocklist.as_ref().map(|it| it.origin(block.addr));
            let origin = origin.transpose()?.flatten().unwrap_or_default();
            Ok(HistoryEvent::blocked(block, origin.used_text()))
        };
        let events: Vec<HistoryEvent> = some.iter().map(event).collect::<Result<_>>()?;
        store.write_history(&events)?;
        blocks.drain(..events.len());
    }
    store.write_history(events)
}

/// Writes the ends of blocks, which are on the monotonic clock, to the history. The end
/// of a block that is not in the history is ignored.
pub(super) fn write_ends(path: &Path, ends: HashMap<Target, MonotonicNs>) -> Result<()> {
    let Some(mut store) = Store::open_existing(path, DAEMON_WAIT)?.filter(|_| !ends.is_empty())
    else {
        return Ok(());
    };
    store.limit_memory()?;
    let now = clock::both();
    let wall = |end: MonotonicNs| now.unix.minus(now.mono.elapsed_since(end));
    let ends = ends
        .into_iter()
        .map(|(target, end)| (target.net(), wall(end)));
    let mut ends: Vec<(IpNet, UnixSeconds)> = ends.collect();
    ends.sort_unstable_by_key(|(net, at)| (*at, *net));
    ends.chunks(BLOCKS)
        .try_for_each(|some| store.write_ends(some))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::fs;
    use std::net::Ipv4Addr;

    use super::*;
    use crate::store::{FILE, VERB_WAIT};

    const PAGE: usize = 4096;
    /// The first byte of a page of SQLite that has rows of a table without row ids.
    const LEAF: u8 = 0x0a;
    /// The place of the low byte of the number of rows in such a page.
    const ROWS: usize = 4;

    #[test]
    fn a_table_that_lost_rows_is_no_list_of_known_senders() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut store = Store::open(&path, VERB_WAIT).unwrap();
        let all: Vec<Target> = (0..500)
            .map(|n| Target::from(std::net::IpAddr::from(Ipv4Addr::from_bits(n))))
            .collect();
        store.add_known(&all, 500, clock::unix_seconds()).unwrap();
        drop(store);
        assert_eq!(known_senders(&path).unwrap().len(), 500);
        let mut bytes = fs::read(&path).unwrap();
        let pages = bytes.chunks_exact_mut(PAGE).skip(1);
        let leaf = pages
            .into_iter()
            .find(|page| page[0] == LEAF && page[ROWS] > 1);
        leaf.unwrap()[ROWS] -= 1;
        fs::write(&path, &bytes).unwrap();
        let rest = Store::open(&path, VERB_WAIT)
            .unwrap()
            .known_senders()
            .unwrap();
        assert_eq!(rest.len(), 499, "the loss goes unnoticed");
        assert!(known_senders(&path).is_err() && memory(&path).is_err());
    }
}
