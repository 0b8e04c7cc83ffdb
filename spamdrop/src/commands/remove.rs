//! `remove`: unblock by hand.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write;

use anyhow::Result;
use ipnet::IpNet;

use super::addresses::{self, Given, GivenAddresses};
use super::{count, hand, owners, saved};
use crate::cli::Remove;
use crate::clock;
use crate::config::Config;
use crate::kernel::blocklist::{Blocklist, CHUNK, pins};
use crate::lock::WriteLock;
use crate::owned_blocks::{ReadEntries, Released};
use crate::store::BootTime;
use spamdrop_core::owners::EntryOwner;
use spamdrop_core::target::Target;

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, a word is not an address, or a map operation fails.
pub fn run(config: &Config, args: &Remove, out: &mut impl Write) -> Result<()> {
    addresses::ensure_addresses(&args.addrs, flush)?;
    let addresses = addresses::read(&args.addrs)?;
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    let inside = inside(&blocklist, &addresses)?;
    let all = all_targets(&addresses, &inside);
    if let Some(owner) = &args.owner {
        return release(config, &mut blocklist, owner, &addresses, &all, out);
    }
    let begin = BootTime::now()?;
    let removed = take_out(config, &mut blocklist, &all, live)?;
    for (word, given) in &addresses.words {
        write_other_targets(out, word, given, &removed)?;
    }
    writeln!(out, "removed {}", count(removed.len(), "entry", "entries"))?;
    let is_removed = |target: &Target| removed.contains(target);
    let was_blocked = |given: &&Given| targets(given, &inside).iter().any(is_removed);
    let blocked = addresses.all.iter().filter(was_blocked);
    let blocked: HashSet<Target> = blocked.map(|given| given.target).collect();
    let mut each: Vec<Target> = addresses.all.iter().map(|given| given.target).collect();
    each.dedup();
    for target in each.iter().filter(|target| !blocked.contains(target)) {
        log::info!("{target} is not blocked");
    }
    let prefixes = blocklist.blocked_prefixes(clock::monotonic_ns())?;
    for &target in &each {
        warn_of_prefixes(target, &prefixes);
    }
    warn_of_entries_inside(&blocklist, &each)?;
    let is_changed = |given: &&Given| blocked.contains(&given.target);
    let changed = addresses.all.iter().filter(is_changed);
    hand::record_changed(config, changed.map(|given| given.net));
    owners::forget_holds(config, Some(&all), &begin);
    saved::forget(config, &all).map(drop)
}

/// Removes the blocks that one owner wants. Entries that other owners want stay.
fn release(
    config: &Config,
    blocklist: &mut Blocklist,
    owner: &EntryOwner,
    addresses: &GivenAddresses,
    all: &[Target],
    out: &mut impl Write,
) -> Result<()> {
    let mut store = owners::store(config);
    let released = match owners::existing(&mut store, owner)? {
        Ok(bit) => owners::release(
            config,
            blocklist,
            &mut store,
            bit,
            all,
            &mut ReadEntries::default(),
        )?,
        Err(message) => {
            log::info!("{message}");
            Released::default()
        }
    };
    let removed = count(released.removed.len(), "entry", "entries");
    writeln!(out, "removed {removed}")?;
    owners::write_kept(out, &released)?;
    if released.is_empty() {
        log::info!("{owner} owns none of these entries");
    }
    if !released.is_empty() {
        hand::record(config, addresses.all.iter().map(|given| given.net));
    }
    saved::forget_released(config, &released)
}

/// The entries that may block the given addresses, sorted.
fn all_targets(addresses: &GivenAddresses, inside: &HashMap<Target, Vec<Target>>) -> Vec<Target> {
    let all = addresses.all.iter();
    let mut all: Vec<Target> = all.flat_map(|given| targets(given, inside)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Removes entries that `choose` takes from a sorted part of `all`. Returns those that
/// existed.
fn take_out(
    config: &Config,
    blocklist: &mut Blocklist,
    all: &[Target],
    choose: impl Fn(&Blocklist, &[Target]) -> Result<Vec<Target>>,
) -> Result<HashSet<Target>> {
    let mut removed = HashSet::new();
    for chunk in all.chunks(CHUNK) {
        let lock = WriteLock::acquire(&config.run_dir)?;
        let chosen = choose(blocklist, chunk)?;
        removed.extend(blocklist.remove_all(&lock, &chosen)?);
    }
    Ok(removed)
}

/// The live entries. One that has expired is left to the daemon, which records that it
/// ended by itself.
fn live(blocklist: &Blocklist, targets: &[Target]) -> Result<Vec<Target>> {
    let live = blocklist.live_among(targets, clock::monotonic_ns())?;
    Ok(live.into_keys().collect())
}

/// Unblocks addresses for another verb. Returns the entries that may have blocked
/// them, and how many existed.
///
/// # Errors
///
/// A map operation fails.
pub(super) fn unblock(config: &Config, addresses: &GivenAddresses) -> Result<(Vec<Target>, usize)> {
    if !pins::exist(&config.pin_dir)? {
        return Ok((all_targets(addresses, &HashMap::new()), 0));
    }
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    let inside = inside(&blocklist, addresses)?;
    let all = all_targets(addresses, &inside);
    let removed = take_out(config, &mut blocklist, &all, |_, all| Ok(all.to_vec()))?.len();
    Ok((all, removed))
}

/// The next step if a word means every address, such as `all`. `None` if it does not.
fn flush(word: &str) -> Option<String> {
    let everything = ["all", "any", "*", "everything"];
    let step = "`spamdrop flush` unblocks everything, and `spamdrop pause` lets everything pass \
                for a while";
    let means_all = everything.iter().any(|it| it.eq_ignore_ascii_case(word));
    means_all.then(|| step.to_owned())
}

/// The blocked addresses in the given /64s, by /64.
fn inside(
    blocklist: &Blocklist,
    addresses: &GivenAddresses,
) -> Result<HashMap<Target, Vec<Target>>> {
    let networks = addresses.all.iter().filter(|given| !given.is_host());
    let mut inside: HashMap<Target, Vec<Target>> = HashMap::new();
    for address in blocklist.addresses_in(&networks.map(|given| given.target).collect())? {
        inside.entry(address.source()).or_default().push(address);
    }
    Ok(inside)
}

/// The entries that may block the given target: for an IPv6 address, its own and that of
/// its /64; for a /64, its own and those of the addresses in it.
fn targets(given: &Given, inside: &HashMap<Target, Vec<Target>>) -> Vec<Target> {
    match given.target {
        Target::V6(_) if given.is_host() => Target::covering(given.net.addr()).collect(),
        target => {
            let inside = inside.get(&target).into_iter().flatten();
            std::iter::once(target).chain(inside.copied()).collect()
        }
    }
}

/// Prints the entry that `word` acts on, if `word` is not the name of that entry. Prints
/// nothing if only the entry of the single address was removed.
fn write_other_targets(
    out: &mut impl Write,
    word: &str,
    given: &Given,
    removed: &HashSet<Target>,
) -> Result<()> {
    let own = Target::alone(given.net.addr());
    if given.is_host() && removed.contains(&own) && !removed.contains(&given.target) {
        return Ok(());
    }
    if word != given.target.to_string() {
        writeln!(out, "{word} acts on {}", given.target)?;
    }
    Ok(())
}

fn warn_of_prefixes(target: Target, prefixes: &[IpNet]) {
    let net = target.net();
    for prefix in prefixes.iter().filter(|prefix| prefix.contains(&net)) {
        log::warn!("{target} is still blocked by {prefix}; remove that too");
    }
}

/// Warns about the entries inside of the given prefixes, which stay.
fn warn_of_entries_inside(blocklist: &Blocklist, given: &[Target]) -> Result<()> {
    let prefixes = given.iter().filter(|it| matches!(it, Target::Net(_)));
    let mut inside: BTreeMap<IpNet, usize> = prefixes.map(|it| (it.net(), 0)).collect();
    let lengths: BTreeSet<u8> = inside.keys().map(IpNet::prefix_len).collect();
    if inside.is_empty() {
        return Ok(());
    }
    let now = clock::monotonic_ns();
    blocklist.for_each(|found| {
        let net = found.target.net();
        let longer = lengths.range(..net.prefix_len());
        let around = longer.filter_map(|length| IpNet::new(net.addr(), *length).ok());
        for prefix in around.filter(|_| found.entry.expires > now) {
            if let Some(count) = inside.get_mut(&prefix.trunc()) {
                *count += 1;
            }
        }
    })?;
    for (prefix, number) in inside.into_iter().filter(|(_, number)| *number > 0) {
        let entries = count(number, "entry is", "entries are");
        log::warn!(
            "{entries} still blocked inside {prefix}; `spamdrop list {prefix}` shows them, and \
             `spamdrop allow add {prefix}` unblocks all"
        );
    }
    Ok(())
}
