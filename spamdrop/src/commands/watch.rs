//! `status --watch`: a line each second.

use std::io::Write;
use std::thread;
use std::time::Instant;

use anyhow::Result;
use jiff::tz::TimeZone;
use spamdrop_core::top::TopView;

use super::top::{PERIOD, Sampler};
use crate::clock;
use crate::config::Config;
use crate::render::show::local_time;
use crate::render::top::watch_line;

/// Runs until the reader closes the output, or a signal ends the process. Later errors
/// are printed as lines, because the next read may succeed.
///
/// # Errors
///
/// The kernel cannot be queried at the beginning, or the output cannot be written.
pub(super) fn run(config: &Config, out: &mut impl Write) -> Result<()> {
    let zone = TimeZone::system();
    let view = TopView::default();
    let mut sampler = Sampler::new(config);
    let mut due = clock::instant();
    let mut line = watch_line(&sampler.sample(&view)?);
    loop {
        let time = local_time(clock::unix_seconds(), &zone);
        writeln!(out, "{time}  {line}")?;
        out.flush()?;
        let now = clock::instant();
        due = next_due(due, now);
        thread::sleep(due - now);
        line = match sampler.sample(&view) {
            Ok(snapshot) => watch_line(&snapshot),
            Err(error) => format!("CANNOT READ: {error:#}"),
        };
    }
}

/// When the next line is due. Lines that were missed, such as while the process was
/// stopped, are left out.
fn next_due(due: Instant, now: Instant) -> Instant {
    (due + PERIOD).max(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn after_a_stop_there_is_one_line_at_once() {
        let start = clock::instant();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(next_due(at(5), at(5)), at(6));
        assert_eq!(next_due(at(5), at(60)), at(60));
        assert_eq!(next_due(at(60), at(60)), at(61));
    }
}
