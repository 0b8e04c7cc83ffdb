//! `flush`: unblock everything.

use std::io::Write;

use anyhow::Result;

use super::count;
use crate::blocklist::Blocklist;
use crate::clock;
use crate::config::Config;
use crate::lock::Turn;

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, or the kernel refuses a map operation.
pub fn run(config: &Config, out: &mut impl Write) -> Result<()> {
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    let turn = || Turn::take(&config.run_dir);
    let removed = blocklist.flush(clock::monotonic_ns(), turn)?;
    writeln!(out, "removed {}", count(removed, "entry", "entries"))?;
    Ok(())
}
