//! The packet path: what dropping and passing packets costs.

mod cores;
mod hits;
mod lane;
mod passing;
mod peers;
mod sink;
mod size;
mod subject;
mod traffic;
mod yardstick;

use std::time::Duration;

use anyhow::Result;
use spamdrop_lab::Host;

use crate::machine::Cores;
use crate::table::Case;

static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/spamdrop-bench-ebpf"));

/// How thorough to be.
#[derive(Clone, Copy, Debug)]
pub struct Thoroughness {
    /// How often each is measured.
    pub rounds: usize,
    /// How long each time.
    pub length: Duration,
    /// Whether to leave out the largest list.
    pub quick: bool,
    /// Whether to slow the filter down.
    pub slow: bool,
}

/// Where all of it happens.
pub struct Bench {
    source: Host,
    cores: Cores,
    thoroughness: Thoroughness,
}

/// More and shorter rounds than of the rest: what slows the machine comes and
/// goes by seconds, so the closer the turns, the less it sets them apart.
#[must_use]
pub fn rounds(thoroughness: Thoroughness) -> usize {
    if thoroughness.quick {
        thoroughness.rounds
    } else {
        15
    }
}

/// Measures all of it.
///
/// # Errors
///
/// spamdrop or a yardstick cannot be measured; a peer that cannot is only
/// noted.
pub fn cases(cores: Cores, thoroughness: Thoroughness) -> Result<Vec<Case>> {
    let source = Host::new("source")?;
    source.run(sink::without_ipv6)?;
    let bench = Bench {
        source,
        cores,
        thoroughness,
    };
    let mut cases = Vec::new();
    for sources in hits::NUMBERS {
        cases.extend(hits::measure(&bench, sources)?);
    }
    cases.extend(passing::measure(&bench)?);
    cases.extend(cores::measure(&bench)?);
    cases.extend(size::measure(&bench)?);
    Ok(cases)
}

/// The size of a map for so many sources: the default, or else twice their
/// number, since an LRU map that is nearly full evicts entries early.
pub fn capacity(sources: u32) -> u32 {
    const DEFAULT: u32 = 262_144;
    DEFAULT.max(sources.saturating_mul(2).next_power_of_two())
}

/// Says on standard error what is being done.
pub fn say(text: &str) {
    use std::io::Write as _;
    // Nobody needs to see it.
    let _ = writeln!(std::io::stderr(), "bench: {text}");
}
