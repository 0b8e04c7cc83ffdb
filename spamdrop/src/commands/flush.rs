//! `flush`: unblock everything, or what one owner wants.

use std::io::Write;

use anyhow::Result;

use super::{count, hand, owners, saved};
use crate::cli::Flush;
use crate::clock;
use crate::config::Config;
use crate::kernel::blocklist::Blocklist;
use crate::lock::WriteLock;
use crate::owned_blocks::ReadEntries;
use crate::store::BootTime;
use spamdrop_core::owners::{EntryOwner, OwnerMask};

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, or a map operation fails.
pub fn run(config: &Config, args: &Flush, out: &mut impl Write) -> Result<()> {
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    if let Some(owner) = &args.owner {
        return flush_owner(config, &mut blocklist, owner, out);
    }
    let begin = BootTime::now()?;
    let lock = || WriteLock::acquire(&config.run_dir);
    let removed = blocklist.flush(clock::monotonic_ns(), lock)?;
    writeln!(out, "removed {}", count(removed, "entry", "entries"))?;
    hand::record(config, []);
    owners::forget_holds(config, None, &begin);
    saved::forget_all(config)
}

/// Removes all blocks that one owner wants. Entries that other owners want stay.
fn flush_owner(
    config: &Config,
    blocklist: &mut Blocklist,
    owner: &EntryOwner,
    out: &mut impl Write,
) -> Result<()> {
    let mut store = owners::store(config);
    let bit = match owners::existing(&mut store, owner)? {
        Ok(bit) => bit,
        Err(message) => {
            log::warn!("{message}");
            return Ok(writeln!(out, "removed 0 entries")?);
        }
    };
    let mut read = ReadEntries::begin(&config.run_dir)?;
    let mut targets = Vec::new();
    blocklist.for_each_stored(|found| {
        if OwnerMask::from_entry(&found.entry).contains(bit) {
            targets.push(found.target);
            read.add(found);
        }
    })?;
    targets.sort_unstable();
    let released = owners::release(config, blocklist, &mut store, bit, &targets, &mut read)?;
    let removed = count(released.removed.len(), "entry", "entries");
    writeln!(out, "removed {removed}")?;
    owners::write_kept(out, &released)?;
    hand::record(config, []);
    saved::forget_released(config, &released)
}
