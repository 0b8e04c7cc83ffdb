//! `add`: block by hand.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use spamdrop_common::entry::{Entry, Origin, SEALED, TEXT_LEN};
use spamdrop_common::time::MonotonicNs;

use super::addresses::{self, Given, GivenAddresses};
use super::{block, count, hand, owners};
use crate::cli;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{Blocklist, CHUNK};
use crate::lock::WriteLock;
use crate::owned_blocks::{self, ReadEntries};
use crate::render::allowed::shown;
use crate::store::BootTime;
use spamdrop_core::duration::{self, human};
use spamdrop_core::owners::{EntryOwner, OwnerHold};
use spamdrop_core::policy::{Choice, Scope};
use spamdrop_core::target::Target;
use spamdrop_core::term::Term;

/// An existing block counts as longer only if it ends more than this time after the new
/// one. So two commands that run at the same time both renew the block.
const SLACK: Duration = Duration::from_secs(10);

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, a word is not an address, an address must not be
/// blocked, or more are given than fit ([`Exit::Failed`], nothing is added), or a
/// map operation fails.
pub fn run(config: &Config, args: &cli::Add, out: &mut impl Write) -> Result<()> {
    addresses::ensure_addresses(&args.addrs, time)?;
    let addresses = addresses::read(&args.addrs)?;
    let reason = args.reason.as_deref().unwrap_or_default();
    ensure_reason_fits(reason)?;
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    let has_ipv6 = addresses.all.iter().any(|it| it.net.addr().is_ipv6());
    let scope = block::scope(config, has_ipv6)?;
    let mut chosen = choose(&addresses.all, &scope)?;
    let mut targets: Vec<Target> = chosen.iter().map(|(_, target)| *target).collect();
    targets.sort_unstable();
    targets.dedup();
    block::ensure_fit(targets.iter().copied(), &blocklist, "added")?;

    let term = block::term(config, args.term, args.fixed);
    let mut store = owners::store(config);
    let owner = args.owner.as_ref().unwrap_or(&EntryOwner::Hand);
    let owner = store.registered(owner, &blocklist)?;
    let live = blocklist.live_among(&targets, term.start)?;
    let holds = store.holds_or_ends(&live, &BootTime::now()?);
    let is_own = |(it, _): &OwnerHold| *it == owner;
    let kept = match args.force {
        true => HashSet::new(),
        false => longer(&holds, term, is_own),
    };
    let others = longer(&holds, term, |it| !is_own(it));
    targets.retain(|target| !kept.contains(target));
    chosen.retain(|(_, target)| !kept.contains(target));
    let peers = block::peers(config, &blocklist)?;
    let held = block::held(&peers);
    let sealed = |target| if held.contains(target) { 0 } else { SEALED };
    let entries: Vec<(Target, Entry)> = targets
        .iter()
        .map(|target| (*target, term.entry(sealed(target))))
        .collect();
    for chunk in entries.chunks(CHUNK) {
        let lock = WriteLock::acquire(&config.run_dir)?;
        owned_blocks::set(
            &lock,
            &mut blocklist,
            &mut store,
            owner,
            chunk,
            false,
            &mut ReadEntries::default(),
        )?;
    }
    let origins = origins(&chosen, &peers, reason, term.start);
    // The reasons of other owners stay.
    let older = older(&blocklist, &targets)?;
    let older = block::without_others(&blocklist, older, |_| owner.into())?;
    block::note(config, &mut blocklist, &origins, older)?;
    hand::record(config, addresses.all.iter().map(|given| given.net));
    let open = entries
        .iter()
        .filter(|(_, entry)| entry.flags & SEALED == 0);
    block::tell_if_open(config, open.count());
    write_targets(out, &addresses, &scope)?;
    if !targets.is_empty() || kept.is_empty() {
        write_term(out, &targets, &live, term)?;
    }
    write_kept(out, kept.len())?;
    write_others(out, others.difference(&kept).count())
}

/// The next step if a word is a time, which needs the flag `--for`. `None` if it is
/// not.
fn time(word: &str) -> Option<String> {
    let is_time = word.parse::<Target>().is_err() && duration::parse(word).is_ok();
    is_time.then(|| format!("give the time as `--for {word}`"))
}

/// The entries that an owner wants for longer than `term` lasts. Only the holds for
/// which `counts` returns true are compared.
fn longer(
    holds: &HashMap<Target, Vec<OwnerHold>>,
    term: Term,
    counts: impl Fn(&OwnerHold) -> bool,
) -> HashSet<Target> {
    let end = term.entry(0).expires.plus(SLACK);
    let is_longer = |hold: &OwnerHold| counts(hold) && hold.1.ends > end;
    let longer = holds
        .iter()
        .filter(|(_, holds)| holds.iter().any(is_longer));
    longer.map(|(target, _)| *target).collect()
}

fn ensure_reason_fits(reason: &str) -> Result<()> {
    if reason.len() > TEXT_LEN {
        let message = format!(
            "the reason is too long: {} bytes, at most {TEXT_LEN} are stored; nothing was blocked",
            reason.len()
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(())
}

/// Chooses the entry for each address and prefix. Fails if one of them must not be
/// blocked.
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

/// The origins to write: those with a reason; those of IPv6 addresses that are
/// blocked with their /64, because its entry does not name them; and those of peers
/// whose connections must be released. Blocked prefixes have no such peers, because
/// they are sealed at once.
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
    if !reason.is_empty() {
        let prefixes = chosen.iter().filter(|(_, target)| is_prefix(target));
        let prefixes = prefixes.filter_map(|(_, target)| target.origin());
        origins.extend(prefixes.map(|addr| (addr, origin)));
    }
    let nets = hosts().map(|(given, _)| given.net);
    origins.extend(block::pending(nets, peers, origin));
    origins
}

/// The addresses in `targets` that may have an origin of an older entry. Up to
/// [`CHUNK`] single addresses are returned without a search, because reading every
/// origin takes longer than adding the entries.
fn older(blocklist: &Blocklist, targets: &[Target]) -> Result<Vec<IpAddr>> {
    // Any address in a /64 may have an origin.
    let is_network = |target: &Target| matches!(target, Target::V6(_));
    match targets.iter().any(is_network) || targets.len() > CHUNK {
        true => block::noted(blocklist, |target| targets.binary_search(&target).is_ok()),
        false => Ok(targets.iter().filter_map(|it| it.origin()).collect()),
    }
}

/// For each word that is not the name of its entry, prints the entry.
fn write_targets(out: &mut impl Write, addresses: &GivenAddresses, scope: &Scope) -> Result<()> {
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
    Ok(())
}

/// Says how many entries were not shortened.
fn write_kept(out: &mut impl Write, number: usize) -> Result<()> {
    if number > 0 {
        let entries = count(number, "entry", "entries");
        let them = if number == 1 { "it" } else { "them" };
        writeln!(
            out,
            "kept {entries}, blocked for longer already (`--force` shortens {them})"
        )?;
    }
    Ok(())
}

/// Says how many entries last longer than the new block, because of other owners.
fn write_others(out: &mut impl Write, number: usize) -> Result<()> {
    let verb = match number {
        0 => return Ok(()),
        1 => "is",
        _ => "are",
    };
    let entries = count(number, "entry", "entries");
    writeln!(
        out,
        "{entries} {verb} blocked for longer by other owners (`spamdrop list`)"
    )?;
    Ok(())
}

/// Says how many entries were added or renewed, and how long they last.
fn write_term(
    out: &mut impl Write,
    targets: &[Target],
    live: &HashMap<Target, Entry>,
    term: Term,
) -> Result<()> {
    let slides = |target: &Target| term.slides && !matches!(target, Target::Net(_));
    let kind = |target: &Target| (live.contains_key(target), slides(target));
    let time = human(Duration::from_secs(term.ttl_s.into()));
    let mut is_said = false;
    for (verb, is_renewed) in [("added", false), ("renewed", true)] {
        for is_sliding in [true, false] {
            let these = targets
                .iter()
                .filter(|it| kind(it) == (is_renewed, is_sliding));
            let number = these.count();
            let entries = count(number, "entry", "entries");
            match (number, is_sliding) {
                (0, _) => continue,
                (1, true) => writeln!(out, "{verb} {entries}, until {time} after its last packet")?,
                (_, true) => writeln!(
                    out,
                    "{verb} {entries}, each until {time} after its last packet"
                )?,
                (_, false) => writeln!(out, "{verb} {entries} for {time}")?,
            }
            is_said = true;
        }
    }
    if !is_said {
        writeln!(out, "added 0 entries")?;
    }
    Ok(())
}
