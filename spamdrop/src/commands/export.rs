//! `export`: the entries as text for `import`.

use std::io::Write;

use anyhow::Result;

use super::list;
use crate::cli::{self, ExportFormat};
use crate::clock;
use crate::config::Config;
use crate::render::listing;

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, or a map operation fails.
pub fn run(config: &Config, args: cli::Export, out: &mut impl Write) -> Result<()> {
    let now = clock::monotonic_ns();
    let live = list::live(config, now)?;
    match args.format {
        ExportFormat::Lines => Ok(listing::text(out, &live)?),
        ExportFormat::Recent => list::as_recent(out, &live, now, config.ttl),
    }
}
