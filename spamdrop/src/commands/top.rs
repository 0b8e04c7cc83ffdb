//! `top`: what happens now, once or on one screen.

mod command;
mod database;
mod entries;
mod keys;
mod sampler;
mod screen;
mod terminal;

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use jiff::tz::TimeZone;
use spamdrop_core::top::TopView;

use crate::cli::TopOptions;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::render::{json, table::Style, top};

pub(super) use sampler::Sampler;

/// The time between two snapshots.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// Runs the verb. `path` is that of the configuration, if one was given.
///
/// # Errors
///
/// Standard output is no terminal ([`Exit::Usage`]), the terminal cannot be used, or
/// the kernel cannot be queried.
pub fn run(
    config: &Config,
    path: Option<&Path>,
    args: TopOptions,
    out: &mut impl Write,
    style: Style,
) -> Result<()> {
    if args.once || args.json {
        return once(config, args.json, out, style);
    }
    if !io::stdout().is_terminal() {
        let message = "standard output is not a terminal; `spamdrop top --once` prints the same once, \
                       and `spamdrop status --watch` a line each second";
        return Err(Failure::new(Exit::Usage, message));
    }
    screen::run(config, path, style)
}

/// Prints a snapshot. It takes a second, because rates are differences.
fn once(config: &Config, is_json: bool, out: &mut impl Write, style: Style) -> Result<()> {
    let mut sampler = Sampler::new(config);
    let view = TopView::default();
    sampler.sample(&view)?;
    thread::sleep(PERIOD);
    let snapshot = sampler.sample(&view)?;
    match is_json {
        true => json::object(out, &snapshot)?,
        false => top::write_text(out, style, &snapshot, &TimeZone::system())?,
    }
    Ok(())
}
