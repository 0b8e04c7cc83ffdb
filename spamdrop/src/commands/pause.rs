//! `pause`: let everything pass for a while.

use std::io::Write;

use anyhow::Result;
use spamdrop_core::duration::human;
use spamdrop_core::pause::{Layer, names};

use super::hand;
use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::kernel::blocklist::Blocklist;
use crate::lock::WriteLock;

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, or a map operation fails.
pub fn run(config: &Config, args: &cli::Pause, out: &mut impl Write) -> Result<()> {
    let mut layers: Vec<Layer> = args.layers.iter().copied().map(Into::into).collect();
    if layers.is_empty() {
        layers = Layer::ALL.to_vec();
    }
    layers.sort_unstable();
    layers.dedup();
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    let lock = WriteLock::acquire(&config.run_dir)?;
    let until = clock::monotonic_ns().plus(args.time);
    blocklist.pause(&lock, &layers, until)?;
    drop(lock);
    hand::record(config, []);
    writeln!(
        out,
        "paused {} for {}; `spamdrop resume` ends it earlier",
        names(&layers),
        human(args.time)
    )?;
    Ok(())
}
