//! Adding one address, including the process start.

use anyhow::{Result, ensure};
use spamdrop_lab::Host;

use super::{Spamdrop, addresses, printed, time, words};
use crate::packets::say;
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};

/// Commands per round.
const RUNS: usize = 40;

/// Measures `spamdrop add` beside `ipset add`.
///
/// # Errors
///
/// A command fails or has a wrong result.
pub fn measure(rounds: usize) -> Result<Case> {
    say("one address");
    let spamdrop = Spamdrop::new(262_144)?;
    let ipset = Host::new("ipset")?;
    spamdrop.time(&["attach", "eth0"])?;
    time(&ipset, words("ipset create listed hash:ip timeout 600"))?;
    let mut samples = [Sample::default(), Sample::default()];
    let mut addrs = addresses(u32::try_from(rounds * RUNS)?);
    for _ in 0..rounds {
        let mut sums = [0.0, 0.0];
        for addr in addrs.by_ref().take(RUNS).map(|addr| addr.to_string()) {
            let mine = spamdrop.time(&["add", &addr])?;
            let other = time(&ipset, words(&format!("ipset add listed {addr}")))?;
            sums[0] += mine.as_secs_f64();
            sums[1] += other.as_secs_f64();
        }
        for (sample, sum) in samples.iter_mut().zip(sums) {
            sample.0.push(sum / RUNS as f64);
        }
    }
    spamdrop.time(&["export"])?;
    time(&ipset, words("ipset save listed"))?;
    let listed = [
        printed(&spamdrop.host, "\n")?,
        printed(&ipset, "add listed ")?,
    ];
    ensure!(listed == [rounds * RUNS; 2], "{listed:?} were added");
    let [mine, other] = samples;
    let mut case = Case::new("add one address", Unit::Milliseconds, "spamdrop", mine);
    case.beside("ipset add", other, Some(Bar::AtMost(1.0)));
    Ok(case)
}
