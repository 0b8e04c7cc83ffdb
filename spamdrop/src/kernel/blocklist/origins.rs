//! The origin of each entry: why and when an address was blocked.
//! Administrators and the daemon read it.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use spamdrop_common::entry::Origin;

use super::{Blocklist, optional, present, walk};
use crate::lock::WriteLock;
use spamdrop_core::target::full_key;

impl Blocklist {
    /// Stores the origin of an address's entry.
    ///
    /// # Errors
    ///
    /// The map is full.
    pub fn note(&mut self, _lock: &WriteLock, addr: IpAddr, origin: &Origin) -> Result<()> {
        self.origins
            .insert(full_key(addr), origin, 0)
            .context("cannot store the reason for the block")
    }

    /// The origin of an address's entry, if it is stored.
    pub fn origin(&self, addr: IpAddr) -> Result<Option<Origin>> {
        optional(self.origins.get(&full_key(addr), 0))
    }

    /// Visits the origin of every address.
    pub fn for_each_origin(&self, mut visit: impl FnMut(IpAddr, Origin)) -> Result<()> {
        walk(&self.origins, |key, origin| {
            visit(spamdrop_core::target::from_full_key(key), origin)
        })
    }

    /// Removes an address's origin, and with it a pending release.
    pub fn forget(&mut self, _lock: &WriteLock, addr: IpAddr) -> Result<()> {
        self.remove_origin(addr)
    }

    pub(super) fn remove_origin(&mut self, addr: IpAddr) -> Result<()> {
        present(self.origins.remove(&full_key(addr))).map(drop)
    }

    /// Marks the connections of an address as released.
    pub fn released(&mut self, _lock: &WriteLock, addr: IpAddr) -> Result<()> {
        let Some(mut origin) = self.origin(addr)? else {
            return Ok(());
        };
        origin.release_pending = 0;
        self.origins
            .insert(full_key(addr), origin, 0)
            .context("cannot update origins")
    }
}
