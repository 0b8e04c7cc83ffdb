//! Splits the entry of a /64 into entries of single addresses, which get its holds.

use std::collections::HashMap;
use std::net::IpAddr;

use anyhow::Result;
use spamdrop_common::entry::Entry;
use spamdrop_core::owners::{combine, join};
use spamdrop_core::target::Target;

use super::{OwnerStore, all_holds};
use crate::kernel::blocklist::{Blocklist, OwnEntry, Split, WholeEntry};
use crate::lock::WriteLock;
use crate::store::BootTime;

/// Splits the entries of these /64s, as [`Blocklist::split`] says. Each address gets the
/// holds of the /64 beside its own.
///
/// # Errors
///
/// A map operation fails, or `lock` returns an error.
pub fn split(
    blocklist: &mut Blocklist,
    store: &mut OwnerStore,
    nets: impl IntoIterator<Item = [u8; 8]>,
    may_be_blocked: impl Fn(IpAddr) -> bool,
    lock: impl Fn() -> Result<WriteLock>,
) -> Result<Vec<Split>> {
    let now = BootTime::now()?;
    let divide = |whole: &WholeEntry, own: &[OwnEntry]| store.divide(whole, own, &now);
    blocklist.split(nets, may_be_blocked, now.clocks.mono, lock, divide)
}

impl OwnerStore {
    /// Returns the entries of the addresses, and stores their holds. If the database
    /// cannot be used, a warning is logged, but the /64 is split all the same, because
    /// a protected sender in it must not stay blocked.
    fn divide(
        &mut self,
        (net, whole): &WholeEntry,
        own: &[OwnEntry],
        now: &BootTime,
    ) -> Vec<(Target, Entry)> {
        let mut live: HashMap<Target, Entry> = own
            .iter()
            .filter_map(|(target, entry)| Some((*target, (*entry)?)))
            .collect();
        live.insert(*net, *whole);
        let holds = self.holds_or_ends(&live, now);
        let holds_of = |target: &Target| holds.get(target).map_or(&[][..], Vec::as_slice);
        let (mut entries, mut changes) = (Vec::new(), Vec::new());
        for (target, own) in own {
            // The hits of the /64 are not those of the address.
            let (hits, refreshes) = own.map_or((0, 0), |it| (it.hits, it.refreshes));
            let base = match own {
                Some(own) if own.expires >= whole.expires => *own,
                _ => Entry {
                    hits,
                    refreshes,
                    ..*whole
                },
            };
            let joined = join(holds_of(net), holds_of(target));
            entries.extend(combine(&base, &joined).map(|entry| (*target, entry)));
            changes.push(all_holds(*target, &joined, now));
        }
        self.write_or_warn(&changes, now);
        entries
    }
}
