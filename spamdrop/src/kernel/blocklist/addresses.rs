//! Blocked IPv6 addresses without their /64, in a map that the filter skips
//! while it is empty.
//!
//! The number of these addresses in the settings must never be too low, because
//! the filter would pass blocked addresses. It may be too high, because entries
//! that the kernel evicts stay counted until the next sweep.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use spamdrop_common::{abi::Room, entry::Entry};
use spamdrop_core::target::Target;

use super::{Blocklist, optional, walk};

impl Blocklist {
    /// The number of IPv6 addresses that can be blocked without their /64.
    #[must_use]
    pub fn address_capacity(&self) -> u32 {
        Room::QuarterOfCapacity6.elements(self.capacity())
    }

    /// The blocked addresses, live or expired, in these /64s.
    ///
    /// # Errors
    ///
    /// A map operation fails.
    pub fn addresses_in(&self, nets: &HashSet<Target>) -> Result<Vec<Target>> {
        let mut inside = Vec::new();
        if self.settings()?.addresses6 == 0 || nets.is_empty() {
            return Ok(inside);
        }
        walk(&self.v6_addresses, |key, _| {
            let address = Target::V6Address(key);
            if nets.contains(&address.source()) {
                inside.push(address);
            }
        })?;
        Ok(inside)
    }

    pub(super) fn put_address(&mut self, key: [u8; 16], entry: Entry) -> Result<()> {
        if optional(self.v6_addresses.get(&key, 0))?.is_none() {
            self.change_settings(|settings| {
                settings.addresses6 = settings.addresses6.saturating_add(1);
            })?;
        }
        self.v6_addresses
            .insert(key, entry, 0)
            .context("cannot add to blocked6_addr")
    }

    /// Updates the number of addresses in the settings.
    pub(super) fn count_addresses(&mut self) -> Result<()> {
        let mut number = 0;
        walk(&self.v6_addresses, |_, _| number += 1)?;
        self.change_settings(|settings| settings.addresses6 = number)
    }
}
