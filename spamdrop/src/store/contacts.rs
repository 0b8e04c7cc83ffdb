//! The tables of contacts: the networks from which connections have come.

use std::time::Duration;

use anyhow::Result;
use rusqlite::{OptionalExtension as _, Row, params};
use spamdrop_core::reputation::{CONTACTS, Network, StoredContacts};
use spamdrop_core::time::UnixSeconds;

use super::Store;
use super::columns::{number, seconds};

/// `network` is the number of a [`Network`]. All other columns are seconds since
/// 1970. `watched` has one row: the period in which the log was read.
pub(super) const TABLES: &str = "
CREATE TABLE contacts (
    network INTEGER PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT;
CREATE TABLE watched (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    since INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT;";

/// How long a contact is kept.
const KEPT: Duration = Duration::from_secs(8 * 86_400);

impl Store {
    /// All stored contacts, and the period in which the log was read.
    ///
    /// # Errors
    ///
    /// The table is damaged or cannot be read.
    pub fn contacts(&self) -> Result<StoredContacts> {
        self.0.read(|db| {
            let watched = "SELECT since, until FROM watched";
            let pair = |row: &Row<'_>| Ok((number(row, 0)?, number(row, 1)?));
            let watched = db.query_row(watched, [], pair).optional()?;
            let (since, until) = watched.unwrap_or_default();
            let mut query = db.prepare("SELECT network, last FROM contacts")?;
            let rows = query.query_map([], pair)?;
            let network = |row: rusqlite::Result<(u64, u64)>| {
                row.map(|(network, at)| (Network::from_stored(network), UnixSeconds::new(at)))
            };
            Ok(StoredContacts {
                since: UnixSeconds::new(since),
                until: UnixSeconds::new(until),
                networks: rows.map(network).collect::<Result<_, _>>()?,
            })
        })
    }

    /// Deletes the contacts of these networks. Returns the number of deleted contacts.
    ///
    /// # Errors
    ///
    /// As [`Store::merge_contacts`].
    pub fn forget_contacts(&mut self, networks: &[Network]) -> Result<usize> {
        self.0.change(|tx| {
            let mut delete = tx.prepare_cached("DELETE FROM contacts WHERE network = ?1")?;
            let mut number = 0;
            for network in networks {
                let network = i64::try_from(network.to_stored()).unwrap_or(i64::MAX);
                number += delete.execute([network])?;
            }
            Ok(number)
        })
    }

    /// Adds contacts, and deletes those that are older than eight days. If more than
    /// [`CONTACTS`] remain, all are deleted.
    ///
    /// # Errors
    ///
    /// The table is damaged or cannot be written; nothing has changed.
    pub fn merge_contacts(&mut self, contacts: &StoredContacts) -> Result<()> {
        self.0.change(|tx| {
            let (since, until) = (seconds(contacts.since), seconds(contacts.until));
            tx.execute(
                "REPLACE INTO watched VALUES (1, ?1, ?2)",
                params![since, until],
            )?;
            let mut insert = tx.prepare_cached(
                "INSERT INTO contacts VALUES (?1, ?2) \
                 ON CONFLICT (network) DO UPDATE SET last = max(last, excluded.last)",
            )?;
            for (network, at) in &contacts.networks {
                let network = i64::try_from(network.to_stored()).unwrap_or(i64::MAX);
                insert.execute(params![network, seconds(*at)])?;
            }
            let oldest = seconds(contacts.until.minus(KEPT));
            tx.execute("DELETE FROM contacts WHERE last < ?1", [oldest])?;
            let count: u32 = tx.query_row("SELECT count(*) FROM contacts", [], |row| row.get(0))?;
            if count as usize > CONTACTS {
                // The contacts in memory are cleared in the same way. The log then counts
                // as read only from now on.
                tx.execute_batch("DELETE FROM contacts; UPDATE watched SET since = until")?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::store::{FILE, VERB_WAIT};

    const NOW: u64 = 1_795_392_000;

    fn contacts(networks: &[(u64, u64)]) -> StoredContacts {
        let network = |(network, ago): &(u64, u64)| {
            (Network::from_stored(*network), UnixSeconds::new(NOW - ago))
        };
        StoredContacts {
            since: UnixSeconds::new(NOW - 9 * 86_400),
            until: UnixSeconds::new(NOW),
            networks: networks.iter().map(network).collect(),
        }
    }

    #[test]
    fn contacts_are_merged_and_old_ones_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut store = Store::open(&path, VERB_WAIT).unwrap();
        assert_eq!(store.contacts().unwrap(), StoredContacts::default());
        let old = 8 * 86_400 + 1;
        let first = contacts(&[(1, 50), (2, 50), (3, old), (1 << 48, 9)]);
        store.merge_contacts(&first).unwrap();
        store
            .merge_contacts(&contacts(&[(1, 60), (2, 40)]))
            .unwrap();
        drop(store);
        let store = Store::open_existing(&path, VERB_WAIT).unwrap().unwrap();
        let expected = contacts(&[(1, 50), (2, 40), (1 << 48, 9)]);
        assert_eq!(store.contacts().unwrap(), expected);
    }

    #[test]
    fn too_many_contacts_are_forgotten_and_a_new_week_begins() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join(FILE), VERB_WAIT).unwrap();
        let networks: Vec<(u64, u64)> = (0..CONTACTS as u64).map(|network| (network, 9)).collect();
        store.merge_contacts(&contacts(&networks)).unwrap();
        assert_eq!(store.contacts().unwrap().networks.len(), CONTACTS);
        store.merge_contacts(&contacts(&[(1 << 48, 1)])).unwrap();
        let now = UnixSeconds::new(NOW);
        let expected = StoredContacts {
            since: now,
            until: now,
            networks: Vec::new(),
        };
        assert_eq!(store.contacts().unwrap(), expected);
    }
}
