//! Removes from the saved blocks what a verb has unblocked, so that it does not
//! come back after a reboot. A running daemon does that within a minute.

use anyhow::Result;

use crate::config::Config;
use crate::store::VERB_WAIT;
use crate::store::saved_blocks::SavedBlocks;
use spamdrop_core::target::Target;

/// Removes entries.
pub(super) fn forget(config: &Config, targets: &[Target]) {
    change(config, |file| file.remove(targets));
}

/// Removes all entries.
pub(super) fn forget_all(config: &Config) {
    change(config, SavedBlocks::clear);
}

/// A damaged file restores nothing, so an error is only told.
fn change(config: &Config, change: impl FnOnce(&mut SavedBlocks) -> Result<()>) {
    let path = config.saved_blocks_file();
    let done = match SavedBlocks::open_existing(&path, VERB_WAIT) {
        Ok(Some(mut file)) => change(&mut file),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        log::warn!("a reboot within the next minute may bring the blocks back: {error:#}");
    }
}
