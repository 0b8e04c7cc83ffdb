//! `allow`: addresses that are never blocked.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use anyhow::Result;
use ipnet::IpNet;

use super::addresses::{self, Addresses, Given};
use super::{count, notify_daemon};
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
use spamdrop_core::policy::{Protected, Protection, too_wide};
use spamdrop_core::target::Target;

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
    for net in nets.iter().filter(|net| !added.contains(net)) {
        log::info!("{} is on the allowlist already", shown(*net));
    }
    writeln!(out, "allowed {}", count(added.len(), "prefix", "prefixes"))?;
    if let Some(mut blocklist) = apply(config)? {
        let removed = unblock(config, &mut blocklist, &addresses.all)?;
        writeln!(
            out,
            "removed {} that they cover",
            count(removed, "entry", "entries")
        )?;
    }
    Ok(())
}

/// Runs `allow remove`.
///
/// # Errors
///
/// As [`add`].
pub fn remove(config: &Config, args: &Addrs, out: &mut impl Write) -> Result<()> {
    let nets = nets(&addresses::read(args)?);
    let removed = edit(config, &nets, Allowlist::remove)?;
    for net in nets.iter().filter(|net| !removed.contains(net)) {
        log::info!("{} is not on the allowlist", shown(*net));
    }
    apply(config)?;
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

/// Notifies the daemon and updates the filter's allowlist, so that both match
/// the file.
fn apply(config: &Config) -> Result<Option<Blocklist>> {
    notify_daemon(&config.run_dir);
    if !pins::exist(&config.pin_dir)? {
        log::info!("no filter is attached; the allowlist takes effect at the next start");
        return Ok(None);
    }
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    let lock = WriteLock::acquire(&config.run_dir)?;
    let allowed = protect::allowed(&protect::protected(&config.allow_file)?);
    blocklist.allow_exactly(&lock, &allowed)?;
    Ok(Some(blocklist))
}

/// Removes the entries in these prefixes, and the /64 entries that contain one
/// of them. Returns the number of removed entries.
fn unblock(config: &Config, blocklist: &mut Blocklist, given: &[Given]) -> Result<usize> {
    let nets = given.iter().map(|given| given.net);
    let allowed = Protected::new(nets.map(|net| (net, Protection::Allowlist(net))));
    let targets = given.iter().map(|given| given.target);
    let prefixes: HashSet<Target> = targets.filter(|it| matches!(it, Target::V6(_))).collect();
    let mut covered = Vec::new();
    blocklist.for_each(|found| {
        let why = allowed.why_net(found.target.net());
        let is_in_one = matches!(why, Some(Protection::Allowlist(_)));
        if is_in_one || prefixes.contains(&found.target) {
            covered.push(found.target);
        }
    })?;
    for chunk in covered.chunks(CHUNK) {
        blocklist.remove_all(&WriteLock::acquire(&config.run_dir)?, chunk)?;
    }
    Ok(covered.len())
}
