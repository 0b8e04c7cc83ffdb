//! Expired entries are swept here; the filter neither revives nor deletes
//! them.

use std::net::IpAddr;

use anyhow::Result;
use spamdrop_common::verdict::is_live;

use super::{Blocklist, present};
use crate::lock::Turn;
use crate::target::{Target, full_key};

/// Entries that one turn deletes, so that others need not wait for long.
const CHUNK: usize = 4096;

impl Blocklist {
    /// Deletes what has expired, and origins without an entry. `turn` is
    /// asked for the right to write, once for each few thousand deletions.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation, or there is no turn to be had.
    pub fn sweep(&mut self, now: u64, turn: impl Fn() -> Result<Turn>) -> Result<usize> {
        let mut expired = Vec::new();
        self.for_each(|found| {
            if !is_live(found.entry.expires, now) {
                expired.push(found.target);
            }
        })?;
        for chunk in expired.chunks(CHUNK) {
            let turn = turn()?;
            for &target in chunk {
                // It may have been added again since it was read.
                if self.expired(target, now)? {
                    self.remove(&turn, target)?;
                }
            }
        }
        self.sweep_origins(turn)?;
        Ok(expired.len())
    }

    fn expired(&self, target: Target, now: u64) -> Result<bool> {
        match target {
            Target::Net(net) => Ok(!self
                .covering(net.addr(), now)?
                .iter()
                .any(|found| found.target == target)),
            _ => Ok(!self.is_blocked(target, now)?),
        }
    }

    fn sweep_origins(&mut self, turn: impl Fn() -> Result<Turn>) -> Result<()> {
        let mut all: Vec<IpAddr> = Vec::new();
        self.for_each_origin(|addr, _| all.push(addr))?;
        for chunk in all.chunks(CHUNK) {
            let _turn = turn()?;
            for &addr in chunk {
                if self.host(addr.into())?.is_none() {
                    present(self.origins.remove(&full_key(addr)))?;
                }
            }
        }
        Ok(())
    }
}
