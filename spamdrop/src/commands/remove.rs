//! `remove`: unblock by hand.

use std::collections::HashSet;
use std::io::Write;

use anyhow::Result;
use ipnet::IpNet;

use super::{addresses, count};
use crate::cli::Addrs;
use crate::clock;
use crate::config::Config;
use crate::kernel::blocklist::{Blocklist, CHUNK};
use crate::lock::WriteLock;
use spamdrop_core::target::Target;

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, a word is not an address, or the kernel refuses a map
/// operation.
pub fn run(config: &Config, args: &Addrs, out: &mut impl Write) -> Result<()> {
    let addresses = addresses::read(args)?;
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    let targets = addresses.targets();
    let mut removed = HashSet::new();
    for chunk in targets.chunks(CHUNK) {
        let lock = WriteLock::acquire(&config.run_dir)?;
        removed.extend(blocklist.remove_all(&lock, chunk)?);
    }
    for (word, target) in &addresses.widened {
        writeln!(out, "{word} acts on {target}")?;
    }
    writeln!(out, "removed {}", count(removed.len(), "entry", "entries"))?;
    for target in &targets {
        if !removed.contains(target) {
            log::info!("{target} is not blocked");
        }
    }
    warn_of_prefixes(
        &targets,
        &blocklist.blocked_prefixes(clock::monotonic_ns())?,
    );
    Ok(())
}

fn warn_of_prefixes(targets: &[Target], prefixes: &[IpNet]) {
    for target in targets {
        let net = target.net();
        for prefix in prefixes.iter().filter(|prefix| prefix.contains(&net)) {
            log::warn!("{target} is still blocked by {prefix}; remove that too");
        }
    }
}
