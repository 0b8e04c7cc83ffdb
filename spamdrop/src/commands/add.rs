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
use crate::render::allowed::shown;
use spamdrop_core::duration::human;
use spamdrop_core::policy::{Choice, Scope};
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
    let has_ipv6 = addresses.all.iter().any(|it| it.net.addr().is_ipv6());
    let scope = block::scope(config, has_ipv6)?;
    let chosen = choose(&addresses.all, &scope)?;
    let mut targets: Vec<Target> = chosen.iter().map(|(_, target)| *target).collect();
    targets.sort_unstable();
    targets.dedup();
    block::ensure_fit(targets.iter().copied(), &blocklist, "added")?;

    let peers = block::peers(config, &blocklist)?;
    let held = block::held(&peers);
    let entries: Vec<(Target, bool)> = targets
        .iter()
        .map(|target| (*target, !held.contains(target)))
        .collect();
    let term = block::term(config, args.term, args.fixed);
    for chunk in entries.chunks(CHUNK) {
        blocklist.add(&WriteLock::acquire(&config.run_dir)?, chunk, term)?;
    }
    let origins = origins(&chosen, &peers, reason, term.start);
    let older = older(&blocklist, &targets)?;
    block::note(config, &mut blocklist, &origins, older)?;
    block::tell_if_open(config, entries.iter().filter(|(_, sealed)| !sealed).count());
    write(out, &addresses, &scope, targets.len(), term.ttl_s)
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

/// The entry of each address and prefix, if all of them may be blocked.
fn choose(all: &[Given], scope: &Scope) -> Result<Vec<(Given, Target)>> {
    let (mut chosen, mut refused) = (Vec::new(), Vec::new());
    for given in all {
        match scope.choose(given.target, given.net) {
            Ok(choice) => chosen.push((*given, choice.target)),
            Err(why) => refused.push(format!("{}: {why}", shown(given.net))),
        }
    }
    if refused.is_empty() {
        return Ok(chosen);
    }
    let message = format!(
        "nothing was added, because these must not be blocked:\n  {}",
        refused.join("\n  ")
    );
    Err(Failure::new(Exit::Failed, message))
}

/// The origins to write: those with a reason, those of IPv6 addresses that are
/// blocked with their /64, whose entry does not name them, and those of peers
/// whose connections must be released. A prefix has none: it is sealed at once.
fn origins(
    chosen: &[(Given, Target)],
    peers: &HashSet<IpAddr>,
    reason: &str,
    now: MonotonicNs,
) -> HashMap<IpAddr, Origin> {
    let origin = block::origin(reason, now);
    let is_prefix = |target: &Target| matches!(target, Target::Net(_));
    let hosts = || chosen.iter().filter(|(_, target)| !is_prefix(target));
    let is_noted = |(given, target): &&(Given, Target)| {
        !reason.is_empty() || given.is_host() && matches!(target, Target::V6(_))
    };
    let noted = hosts().filter(is_noted);
    let mut origins: HashMap<_, _> = noted.map(|(it, _)| (it.net.addr(), origin)).collect();
    let nets = hosts().map(|(given, _)| given.net);
    origins.extend(block::pending(nets, peers, origin));
    origins
}

/// The addresses that may have an origin of an older entry. A few single
/// addresses are returned without a search, because reading every origin takes
/// longer than adding the entries.
fn older(blocklist: &Blocklist, targets: &[Target]) -> Result<Vec<IpAddr>> {
    let addrs = targets.iter().map(|target| match target {
        Target::V4(bytes) => Some(IpAddr::from(*bytes)),
        Target::V6Address(bytes) => Some(IpAddr::from(*bytes)),
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
    scope: &Scope,
    entries: usize,
    ttl_s: u32,
) -> Result<()> {
    for (word, given) in &addresses.words {
        match scope.choose(given.target, given.net) {
            Ok(Choice {
                neighbour: Some(neighbour),
                ..
            }) => writeln!(out, "{word} is blocked alone: {} {neighbour}", given.target)?,
            Ok(Choice { target, .. }) if *word != target.to_string() => {
                writeln!(out, "{word} acts on {target}")?;
            }
            _ => {}
        }
    }
    let number = count(entries, "entry", "entries");
    let time = human(Duration::from_secs(ttl_s.into()));
    writeln!(out, "added {number} for {time}")?;
    Ok(())
}
