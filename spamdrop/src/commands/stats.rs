//! `stats`: the counters.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::status;
use crate::cli::StatsOptions;
use crate::clock;
use crate::config::Config;
use crate::kernel::blocklist::{Blocklist, pins, read_gate_stats};
use crate::render::metrics::{self, Figures, FilterCounters};
use crate::render::{counters, table::Style};

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, or a map operation fails. With `--prometheus`, it is no
/// error if nothing is attached.
pub fn run(config: &Config, args: StatsOptions, out: &mut impl Write, style: Style) -> Result<()> {
    if args.prometheus {
        return write_metrics(config, out);
    }
    let counted = Blocklist::open(&config.pin_dir)?.counters()?;
    if args.json {
        counters::json(out, &counted)?;
    } else {
        counters::write_text(out, style, &counted)?;
    }
    Ok(())
}

fn write_metrics(config: &Config, out: &mut impl Write) -> Result<()> {
    let status = status::gather(config)?;
    let filter = filter(&config.pin_dir)?;
    let figures = Figures {
        status: &status,
        filter: filter.as_ref(),
        now: clock::unix_seconds(),
    };
    metrics::write_text(out, figures)?;
    Ok(())
}

fn filter(pin_dir: &Path) -> Result<Option<FilterCounters>> {
    if !pins::exist(pin_dir)? {
        return Ok(None);
    }
    Ok(Some(FilterCounters {
        packets: Blocklist::open(pin_dir)?.counters()?,
        gate: read_gate_stats(pin_dir)?,
    }))
}
