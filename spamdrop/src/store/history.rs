//! The table of the history.

mod rows;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use ipnet::IpNet;
use spamdrop_core::history::{HistoryEvent, MOST};
use spamdrop_core::time::UnixSeconds;

use super::Store;

pub(super) use rows::TABLES;

/// Which events are asked for.
#[derive(Clone, Copy, Debug)]
pub struct HistoryQuery {
    /// The address that they concern, as far as they concern any; `None`: every
    /// event.
    pub addr: Option<IpAddr>,
    /// They ended at this time or later.
    pub since: UnixSeconds,
    /// They began at this time or earlier.
    pub until: UnixSeconds,
}

impl Store {
    /// Writes events, and deletes those that ended longer than `kept` ago, and the
    /// oldest beyond [`MOST`]. Zero deletes all.
    ///
    /// # Errors
    ///
    /// The table is damaged or cannot be written; nothing has changed.
    pub fn write_history(
        &mut self,
        events: &[HistoryEvent],
        kept: Duration,
        now: UnixSeconds,
    ) -> Result<()> {
        self.0.change(|tx| {
            if kept.is_zero() {
                return rows::clear(tx);
            }
            for event in events {
                rows::write(tx, event)?;
            }
            rows::forget_old(tx, now.minus(kept), MOST)
        })
    }

    /// Keeps the memory of this connection small, for the daemon: it writes a few
    /// hundred rows at once.
    ///
    /// # Errors
    ///
    /// SQLite refuses it.
    pub fn limit_memory(&self) -> Result<()> {
        // Negative: KiB.
        self.0
            .read(|db| Ok(db.pragma_update(None, "cache_size", -256)?))
    }

    /// The events that a query asks for, in the order of their beginning. The
    /// table is first checked for damage.
    ///
    /// # Errors
    ///
    /// The table is damaged or cannot be read.
    pub fn history(&self, query: &HistoryQuery) -> Result<Vec<HistoryEvent>> {
        self.0.check("history")?;
        self.0.read(|db| rows::select(db, query))
    }

    /// Deletes the events about the addresses of these prefixes, except those
    /// about wider ones. Returns their number.
    ///
    /// # Errors
    ///
    /// As [`Store::write_history`].
    pub fn forget_history(&mut self, nets: &[IpNet]) -> Result<usize> {
        self.0.change(|tx| {
            let each = nets.iter().map(|net| rows::forget(tx, *net));
            each.sum()
        })
    }
}

#[cfg(test)]
mod tests;
