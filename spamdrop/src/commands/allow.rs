//! `allow`: addresses that are never blocked.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use anyhow::Result;
use ipnet::IpNet;

use super::addresses::{self, Addresses, Given};
use super::{block, count, hand, notify_daemon};
use crate::allowlist;
use crate::cli::{Addrs, AllowAdd, Output};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{Blocklist, CHUNK, pins};
use crate::kernel::network;
use crate::lock::WriteLock;
use crate::protect;
use crate::render::allowed::{self, Allowed, shown};
use crate::render::{json, table::Style};
use spamdrop_core::allowlist::Allowlist;
use spamdrop_core::policy::{Protected, Protection, nets_around, too_wide};

/// Runs `allow add`.
///
/// # Errors
///
/// A word is not an address, the file cannot be written, or a map operation
/// fails.
pub fn add(config: &Config, args: &AllowAdd, out: &mut impl Write) -> Result<()> {
    let addresses = addresses::read(&args.addrs)?;
    let nets = nets(&addresses);
    if !args.force {
        ensure_narrow(&nets)?;
    }
    for (word, net) in &addresses.truncated {
        writeln!(out, "{word} acts on {net}")?;
    }
    let added = edit(config, &nets, Allowlist::add)?;
    hand::record(config, nets.iter().copied());
    for net in nets.iter().filter(|net| !added.contains(net)) {
        log::info!("{} is on the allowlist already", shown(*net));
    }
    writeln!(out, "allowed {}", count(added.len(), "prefix", "prefixes"))?;
    let unblocked = unblock(config, &addresses.all, out);
    // The daemon comes last, because it splits entries as well.
    notify_daemon(&config.run_dir);
    unblocked
}

/// Runs `allow remove`.
///
/// # Errors
///
/// As [`add`].
pub fn remove(config: &Config, args: &Addrs, out: &mut impl Write) -> Result<()> {
    let nets = nets(&addresses::read(args)?);
    let removed = edit(config, &nets, Allowlist::remove)?;
    hand::record(config, nets.iter().copied());
    for net in nets.iter().filter(|net| !removed.contains(net)) {
        log::info!("{} is not on the allowlist", shown(*net));
    }
    let applied = apply(config);
    notify_daemon(&config.run_dir);
    applied?;
    let number = count(removed.len(), "prefix", "prefixes");
    writeln!(out, "removed {number} from the allowlist")?;
    Ok(())
}

/// Runs `allow list`.
///
/// # Errors
///
/// The file cannot be read, or a map operation fails.
pub fn list(config: &Config, args: Output, out: &mut impl Write, style: Style) -> Result<()> {
    let file = allowlist::read(&config.allow_file)?;
    let by_file = |&net| Allowed { net, by: "file" };
    let mut all: Vec<Allowed> = file.nets().iter().map(by_file).collect();
    if pins::exist(&config.pin_dir)? {
        let why: HashMap<_, _> = protect::of(&network::addresses()?, &file).nets().collect();
        for (net, automatic) in Blocklist::open(&config.pin_dir)?.allowed()? {
            if automatic && !file.nets().contains(&net) {
                let by = why.get(&net).map_or("earlier", |why| protect::name(*why));
                all.push(Allowed { net, by });
            }
        }
    }
    allowed::sort(&mut all);
    if args.json {
        json::array(out, &all)?;
    } else {
        allowed::text(out, style, &all)?;
    }
    Ok(())
}

fn nets(addresses: &Addresses) -> Vec<IpNet> {
    let mut nets: Vec<IpNet> = addresses.all.iter().map(|given| given.net).collect();
    nets.sort_unstable();
    nets
}

/// A wide prefix is probably a mistake, and would switch the filter off.
fn ensure_narrow(nets: &[IpNet]) -> Result<()> {
    for net in nets {
        if let Some(min) = too_wide(*net) {
            let message = format!(
                "{net} is wider than /{min}, so much of the Internet would never be blocked; nothing was allowed; `--force` allows it"
            );
            return Err(Failure::new(Exit::Usage, message));
        }
    }
    Ok(())
}

/// Edits the file. Returns the prefixes that changed it.
fn edit(
    config: &Config,
    nets: &[IpNet],
    change: fn(&mut Allowlist, &[IpNet]) -> HashSet<IpNet>,
) -> Result<HashSet<IpNet>> {
    let _lock = WriteLock::acquire(&config.run_dir)?;
    let mut file = allowlist::read(&config.allow_file)?;
    let before = file.nets().len();
    let changed = change(&mut file, nets);
    // A list that is too long can be shortened.
    if file.nets().len() > before {
        let protected = protect::of(&network::addresses()?, &file);
        protect::ensure_fits(&config.allow_file, &protected, pins::PREFIXES)?;
    }
    if !changed.is_empty() {
        allowlist::write(&config.allow_file, &file)?;
    }
    Ok(changed)
}

/// Updates the filter's allowlist, so that it matches the file.
fn apply(config: &Config) -> Result<Option<(Blocklist, Protected)>> {
    if !pins::exist(&config.pin_dir)? {
        log::info!("no filter is attached; the allowlist takes effect at the next start");
        return Ok(None);
    }
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    let lock = WriteLock::acquire(&config.run_dir)?;
    let protected = protect::protected(&config.allow_file)?;
    blocklist.allow_exactly(&lock, &protect::allowed(&protected))?;
    Ok(Some((blocklist, protected)))
}

/// Removes the entries in these prefixes, and splits the entries of the /64s
/// that contain one of them.
fn unblock(config: &Config, given: &[Given], out: &mut impl Write) -> Result<()> {
    let Some((mut blocklist, protected)) = apply(config)? else {
        return Ok(());
    };
    let nets = || given.iter().map(|given| given.net);
    block::split(config, &mut blocklist, nets_around(nets()), &protected, out)?;
    let allowed = Protected::new(nets().map(|net| (net, Protection::Allowlist(net))));
    let mut covered = Vec::new();
    blocklist.for_each(|found| {
        let why = allowed.why_net(found.target.net());
        if matches!(why, Some(Protection::Allowlist(_))) {
            covered.push(found.target);
        }
    })?;
    for chunk in covered.chunks(CHUNK) {
        blocklist.remove_all(&WriteLock::acquire(&config.run_dir)?, chunk)?;
    }
    let number = count(covered.len(), "entry", "entries");
    writeln!(out, "removed {number} that they cover")?;
    Ok(())
}
