//! Shows the effect of a botnet's wave on a small mail server, with and without
//! spamdrop.

use std::io::Write;

use anyhow::{Context as _, Result};
use spamdrop_lab::Wave;
use spamdrop_lab::wave::{Mode, Scale, table};

use crate::packets::say;

/// The seed that determines the senders of the wave and the times of their connections.
const SEED: u64 = 1;

/// Runs the same wave in each mode, and writes a table.
///
/// # Errors
///
/// A wave could not be run, or the writer fails.
pub fn show(quick: bool, out: &mut impl Write) -> Result<()> {
    let spamdrop = spamdrop_lab::binary("spamdrop")?;
    let scale = if quick { Scale::small() } else { Scale::full() };
    let mut rows = Vec::new();
    for mode in Mode::ALL {
        say(&format!("a wave of {} bots, spamdrop: {mode}", scale.bots));
        let wave = Wave::new(&spamdrop, mode, scale.clone(), SEED)?;
        let outcome = wave.run().with_context(|| format!("spamdrop: {mode}"))?;
        say(&serde_json::to_string(&outcome)?);
        rows.push((mode, outcome));
    }
    table::write(&rows, out)?;
    let Scale { length, drain, .. } = scale;
    writeln!(
        out,
        "\nTimes are in seconds. \"never\": not within the {} s of the wave and {} s after it.",
        length.as_secs(),
        drain.as_secs()
    )?;
    Ok(())
}
