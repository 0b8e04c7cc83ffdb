//! Removes from the saved blocks those that a verb has unblocked, so that they do
//! not come back after a reboot. A running daemon does that within a minute, too.

use anyhow::{Context as _, Result};

use crate::config::Config;
use crate::owned_blocks::Released;
use crate::store::VERB_WAIT;
use crate::store::saved_blocks::SavedBlocks;
use spamdrop_core::target::Target;

/// Removes entries. Returns how many existed.
///
/// # Errors
///
/// The file cannot be changed.
pub(super) fn forget(config: &Config, targets: &[Target]) -> Result<usize> {
    change(config, |file| file.remove(targets))
}

/// Removes the entries whose hold an owner has ended. Entries that other owners still
/// hold are saved again, without that owner, by the daemon's next save.
///
/// # Errors
///
/// As [`forget`].
pub(super) fn forget_released(config: &Config, released: &Released) -> Result<()> {
    let all = released.removed.iter().chain(&released.kept);
    change(config, |file| file.remove(all)).map(drop)
}

/// Removes all entries.
///
/// # Errors
///
/// As [`forget`].
pub(super) fn forget_all(config: &Config) -> Result<()> {
    change(config, SavedBlocks::clear)
}

fn change<T: Default>(
    config: &Config,
    change: impl FnOnce(&mut SavedBlocks) -> Result<T>,
) -> Result<T> {
    let path = config.saved_blocks_file();
    let done = match SavedBlocks::open_existing(&path, VERB_WAIT) {
        Ok(Some(mut file)) => change(&mut file),
        Ok(None) => Ok(T::default()),
        Err(error) => Err(error),
    };
    done.with_context(|| {
        format!(
            "unblocked, but a reboot may bring the blocks back, because {} still has them; the daemon corrects the file with its next save; without the daemon, delete that file",
            path.display()
        )
    })
}
