//! `status --watch`: a line each second.

use std::io::Write;
use std::thread;

use anyhow::Result;
use jiff::tz::TimeZone;
use spamdrop_core::top::TopView;

use super::top::{PERIOD, Sampler};
use crate::clock;
use crate::config::Config;
use crate::render::show::local_time;
use crate::render::top::watch_line;

/// Runs until the reader closes the output, or a signal ends the process.
///
/// # Errors
///
/// The kernel cannot be queried, or the output cannot be written.
pub(super) fn run(config: &Config, out: &mut impl Write) -> Result<()> {
    let zone = TimeZone::system();
    let view = TopView::default();
    let mut sampler = Sampler::new(config);
    let mut due = clock::instant();
    loop {
        let picture = sampler.sample(&view)?;
        let time = local_time(clock::unix_seconds(), &zone);
        writeln!(out, "{time}  {}", watch_line(&picture))?;
        out.flush()?;
        due += PERIOD;
        thread::sleep(due.saturating_duration_since(clock::instant()));
    }
}
