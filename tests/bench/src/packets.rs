//! The packet path: the cost of dropping and passing packets.

mod cores;
mod hits;
mod lane;
mod passing;
mod peers;
mod sink;
mod size;
mod subject;
pub mod traffic;
mod yardstick;

use std::time::Duration;

use anyhow::Result;
use spamdrop_lab::Host;

use crate::machine::Cores;
use crate::table::Case;

static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/spamdrop-bench-ebpf"));

/// The extent of the measurement.
#[derive(Clone, Copy, Debug)]
pub struct Thoroughness {
    /// Number of measurements of each case.
    pub rounds: usize,
    /// Duration of each measurement.
    pub length: Duration,
    /// Whether to omit the largest list, and to have fewer rounds in some cases.
    pub quick: bool,
    /// Whether to add look-ups to each packet of spamdrop.
    pub slow: bool,
}

/// The hosts and cores of the measurement.
pub struct Bench {
    source: Host,
    cores: Cores,
    thoroughness: Thoroughness,
}

/// Number of rounds. The packet cases have more and shorter rounds than the
/// other groups: disturbances of the machine last seconds, so short turns make
/// them affect all contenders alike.
#[must_use]
pub fn rounds(thoroughness: Thoroughness) -> usize {
    if thoroughness.quick {
        thoroughness.rounds
    } else {
        15
    }
}

/// Measures all packet cases.
///
/// # Errors
///
/// spamdrop or a yardstick cannot be measured. A peer that cannot be measured
/// is only noted in the table.
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

/// The map capacity for this number of sources: at least twice the number, since an LRU
/// map that is nearly full evicts entries early, and at least the default.
pub fn capacity(sources: u32) -> u32 {
    const DEFAULT: u32 = 262_144;
    DEFAULT.max(sources.saturating_mul(2).next_power_of_two())
}

/// Prints a progress message to standard error.
pub fn say(text: &str) {
    use std::io::Write as _;
    // Progress messages are optional, so a closed standard error is ignored.
    let _ = writeln!(std::io::stderr(), "bench: {text}");
}
