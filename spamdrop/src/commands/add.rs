//! `add`: block by hand.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use spamdrop_common::entry::{Origin, TEXT_LEN};
use spamdrop_common::time::MonotonicNs;

use super::addresses::{self, Addresses, Given};
use super::{block, count};
use crate::cli;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{Blocklist, CHUNK};
use crate::lock::WriteLock;
use crate::protect;
use crate::render::allowed::shown;
use spamdrop_core::duration::human;
use spamdrop_core::policy::Protected;
use spamdrop_core::target::Target;

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, a word is not an address, an address must not be
/// blocked or more are given than fit ([`Exit::Failed`], nothing is added), or
/// a map operation fails.
pub fn run(config: &Config, args: &cli::Add, out: &mut impl Write) -> Result<()> {
    let addresses = addresses::read(&args.addrs)?;
    let reason = args.reason.as_deref().unwrap_or_default();
    ensure_reason_fits(reason)?;
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    ensure_may_be_blocked(&addresses.all, &protect::protected(&config.allow_file)?)?;
    let targets = addresses.targets();
    block::ensure_fit(targets.iter().copied(), &blocklist, "added")?;

    let peers = block::peers(config, &blocklist)?;
    let held: HashSet<Target> = peers.iter().copied().map(Target::from).collect();
    let entries: Vec<(Target, bool)> = targets
        .iter()
        .map(|target| (*target, !held.contains(target)))
        .collect();
    let term = block::term(config, args.term, args.fixed);
    for chunk in entries.chunks(CHUNK) {
        blocklist.add(&WriteLock::acquire(&config.run_dir)?, chunk, term)?;
    }
    let origins = origins(&addresses.all, &peers, reason, term.start);
    let older = older(&blocklist, &targets)?;
    block::note(config, &mut blocklist, &origins, older)?;
    block::tell_if_open(config, entries.iter().filter(|(_, sealed)| !sealed).count());
    write(out, &addresses, &targets, term.ttl_s)
}

fn ensure_reason_fits(reason: &str) -> Result<()> {
    if reason.len() > TEXT_LEN {
        let message = format!(
            "the reason has {} bytes; at most {TEXT_LEN} are stored",
            reason.len()
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(())
}

fn ensure_may_be_blocked(all: &[Given], protected: &Protected) -> Result<()> {
    let refused: Vec<String> = all
        .iter()
        .filter_map(|given| {
            let host = given.net.prefix_len() == given.net.max_prefix_len();
            let why = if host {
                protected.why(given.net.addr())
            } else {
                protected.why_net(given.net)
            };
            why.map(|why| format!("{}: {why}", shown(given.net)))
        })
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!(
        "nothing was added, because these must not be blocked:\n  {}",
        refused.join("\n  ")
    );
    Err(Failure::new(Exit::Failed, message))
}

/// The origins to write: those with a reason, and those of peers whose
/// connections must be released. A prefix has none: it is sealed at once.
fn origins(
    all: &[Given],
    peers: &HashSet<IpAddr>,
    reason: &str,
    now: MonotonicNs,
) -> HashMap<IpAddr, Origin> {
    let origin = block::origin(reason, now);
    let hosts = || {
        all.iter()
            .filter(|given| !matches!(given.target, Target::Net(_)))
    };
    let mut origins = HashMap::new();
    if !reason.is_empty() {
        origins.extend(hosts().map(|given| (given.net.addr(), origin)));
    }
    origins.extend(block::pending(
        hosts().map(|given| given.net),
        peers,
        origin,
    ));
    origins
}

/// The addresses that may have an origin of an older entry. A few IPv4
/// addresses are returned without a search, because reading every origin takes
/// longer than adding the entries.
fn older(blocklist: &Blocklist, targets: &[Target]) -> Result<Vec<IpAddr>> {
    let addrs = targets.iter().map(|target| match target {
        Target::V4(bytes) => Some(IpAddr::from(*bytes)),
        // Any address in the /64 or prefix may have an origin.
        Target::V6(_) | Target::Net(_) => None,
    });
    let addrs: Option<Vec<IpAddr>> = addrs.take(CHUNK + 1).collect();
    match addrs {
        Some(addrs) if addrs.len() <= CHUNK => Ok(addrs),
        _ => block::noted(blocklist, |target| targets.binary_search(&target).is_ok()),
    }
}

fn write(
    out: &mut impl Write,
    addresses: &Addresses,
    targets: &[Target],
    ttl_s: u32,
) -> Result<()> {
    for (word, target) in &addresses.widened {
        writeln!(out, "{word} acts on {target}")?;
    }
    let number = count(targets.len(), "entry", "entries");
    let time = human(Duration::from_secs(ttl_s.into()));
    writeln!(out, "added {number} for {time}")?;
    Ok(())
}
