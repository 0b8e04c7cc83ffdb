//! The table of the history.

mod rows;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use ipnet::IpNet;
use spamdrop_core::history::{HistoryEvent, HistoryKind, MOST};
use spamdrop_core::time::UnixSeconds;

use super::Store;

pub(super) use rows::TABLES;

/// Selects events of the history.
#[derive(Clone, Copy, Debug)]
pub struct HistoryQuery {
    /// Only events that concern this address; `None`: all events.
    pub addr: Option<IpAddr>,
    /// Only events that ended at this time or later.
    pub since: UnixSeconds,
    /// Only events that began before this time; `None`: no limit.
    pub until: Option<UnixSeconds>,
}

impl Store {
    /// Writes events. Then keeps the newest refusals at the gate and the newest other
    /// events, at most half of [`MOST`] of each.
    ///
    /// # Errors
    ///
    /// The table is damaged or cannot be written; nothing has changed.
    pub fn write_history(&mut self, events: &[HistoryEvent]) -> Result<()> {
        self.0.change(|tx| {
            for event in events {
                rows::write(tx, event)?;
            }
            rows::limit(tx, MOST / 2)
        })
    }

    /// Records that blocks have ended. An end is recorded only if the history has a block
    /// of exactly this prefix without an end.
    ///
    /// # Errors
    ///
    /// As [`Store::write_history`].
    pub fn write_ends(&mut self, ends: &[(IpNet, UnixSeconds)]) -> Result<()> {
        self.0.change(|tx| {
            for (net, at) in ends {
                if rows::has_block(tx, *net)? {
                    rows::write(tx, &HistoryEvent::new(HistoryKind::Ended, Some(*net), *at))?;
                }
            }
            rows::limit(tx, MOST / 2)
        })
    }

    /// Deletes the events that ended longer than `kept` ago; zero deletes all.
    ///
    /// # Errors
    ///
    /// As [`Store::write_history`].
    pub fn forget_old_history(&mut self, kept: Duration, now: UnixSeconds) -> Result<()> {
        self.0.change(|tx| match kept.is_zero() {
            true => rows::clear(tx),
            false => rows::forget_old(tx, now.minus(kept)),
        })
    }

    /// Limits the page cache of this connection to 256 KiB. That suffices for the daemon,
    /// which writes a few hundred rows at a time.
    ///
    /// # Errors
    ///
    /// SQLite refuses it.
    pub fn limit_memory(&self) -> Result<()> {
        // SQLite takes a negative number as KiB.
        self.0
            .read(|db| Ok(db.pragma_update(None, "cache_size", -256)?))
    }

    /// Checks the table for damage.
    ///
    /// # Errors
    ///
    /// The table is damaged or cannot be read.
    pub fn check_history(&self) -> Result<()> {
        self.0.check("history")
    }

    /// The events that a query asks for, in the order of their beginning.
    ///
    /// # Errors
    ///
    /// As [`Store::check_history`].
    pub fn history(&self, query: &HistoryQuery) -> Result<Vec<HistoryEvent>> {
        self.0.read(|db| rows::select(db, query))
    }

    /// The newest events, those that ended last first. Refusals at the gate and the ends
    /// of blocks are left out. Only the 2,000 events that began last are searched.
    ///
    /// # Errors
    ///
    /// As [`Store::check_history`].
    pub fn newest_history(&self, most: u32) -> Result<Vec<HistoryEvent>> {
        self.0.read(|db| rows::newest(db, most))
    }

    /// The number of SYNs that the gate refused and whose sources were not recorded.
    ///
    /// # Errors
    ///
    /// As [`Store::check_history`].
    pub fn refusals_without_source(&self) -> Result<u64> {
        self.0.read(rows::refusals_without_source)
    }

    /// The commands about all addresses, no address, or too many to name.
    ///
    /// # Errors
    ///
    /// As [`Store::check_history`].
    pub fn commands_without_address(&self) -> Result<Vec<HistoryEvent>> {
        self.0.read(rows::commands_without_address)
    }

    /// Whether there are events about exactly this prefix.
    ///
    /// # Errors
    ///
    /// As [`Store::check_history`].
    pub fn has_history_of(&self, net: IpNet) -> Result<bool> {
        self.0.read(|db| rows::exists(db, net))
    }

    /// Deletes the events about addresses and prefixes in `nets`. Events about a wider
    /// prefix stay. Returns the number of deleted events.
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
