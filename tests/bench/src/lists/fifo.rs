//! The blocks that a script restores through the daemon's FIFO.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use spamdrop::clock;
use spamdrop::config::Config;
use spamdrop::kernel::blocklist::Blocklist;
use spamdrop_lab::wait::until;

use super::{Spamdrop, addresses, run};
use crate::packets::say;
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};

/// Number of blocks: as many as fail2ban may have after a busy week.
const BLOCKS: u32 = 20_000;
const FIFO: &str = "/run/spamdrop/recent";
const TIMEOUT: Duration = Duration::from_secs(20);

/// Measures the time from the `write(2)` of all lines until the last address is
/// in the map.
///
/// # Errors
///
/// The daemon does not start, or does not block all addresses.
pub fn measure(rounds: usize) -> Result<Case> {
    say("blocks by the FIFO");
    let spamdrop = Spamdrop::new(262_144)?;
    spamdrop.configure(&format!("fifo = {FIFO:?}\n"))?;
    let daemon = run(&spamdrop)?;
    daemon.wait_for(|line| line.contains("ready: "), TIMEOUT)?;
    let many = BLOCKS * u32::try_from(rounds)?;
    let mut addresses = addresses(many);
    let mut sample = Sample::default();
    for _ in 0..rounds {
        let blocks: Vec<_> = addresses.by_ref().take(BLOCKS as usize).collect();
        let took = spamdrop.host.run(move || -> Result<Duration> {
            let lines: String = blocks
                .iter()
                .map(|addr| format!("+{addr} 3600\n"))
                .collect();
            let list = Blocklist::open(&Config::default().pin_dir)?;
            let mut fifo = File::options().write(true).open(FIFO)?;
            let start = Instant::now();
            let written = fifo.write(lines.as_bytes())?;
            ensure!(written == lines.len(), "{written} bytes were written");
            until("the blocks", TIMEOUT, || {
                for addr in blocks.iter().rev() {
                    if !list.is_address_blocked((*addr).into(), clock::monotonic_ns())? {
                        return Ok(None);
                    }
                }
                Ok(Some(()))
            })?;
            Ok(start.elapsed())
        })?;
        sample.0.push(took.as_secs_f64());
    }
    let name = "20,000 blocks in one write to the FIFO";
    Ok(Case::new(name, Unit::Milliseconds, "spamdrop", sample).with_bar(Bar::AtMost(2.0)))
}
