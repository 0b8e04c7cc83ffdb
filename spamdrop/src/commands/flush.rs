//! `flush`: unblock everything.

use std::io::Write;

use anyhow::Result;

use super::{count, hand, saved};
use crate::clock;
use crate::config::Config;
use crate::kernel::blocklist::Blocklist;
use crate::lock::WriteLock;

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, or a map operation fails.
pub fn run(config: &Config, out: &mut impl Write) -> Result<()> {
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    let lock = || WriteLock::acquire(&config.run_dir);
    let removed = blocklist.flush(clock::monotonic_ns(), lock)?;
    writeln!(out, "removed {}", count(removed, "entry", "entries"))?;
    hand::record(config, []);
    saved::forget_all(config)
}
