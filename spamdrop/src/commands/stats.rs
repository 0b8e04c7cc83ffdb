//! `stats`: the counters.

use std::io::Write;

use anyhow::Result;

use crate::cli::Output;
use crate::config::Config;
use crate::kernel::blocklist::Blocklist;
use crate::render::{counters, table::Style};

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, or a map operation fails.
pub fn run(config: &Config, args: Output, out: &mut impl Write, style: Style) -> Result<()> {
    let counted = Blocklist::open(&config.pin_dir)?.counters()?;
    if args.json {
        counters::json(out, &counted)?;
    } else {
        counters::text(out, style, &counted)?;
    }
    Ok(())
}
