//! `allow`: addresses that are never blocked.

mod check;

use std::io::Write;

use anyhow::Result;
use ipnet::IpNet;

use super::addresses::{self, Given, GivenAddresses};
use super::{block, count, hand, notify_daemon};
use crate::allowlist;
use crate::cli::{Addrs, AllowAdd};
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{Blocklist, CHUNK, pins};
use crate::kernel::network;
use crate::lock::{self, WriteLock};
use crate::protect;
use crate::render::allowed::shown;
use spamdrop_core::allowlist::{AllowAdded, AllowTerm, Allowlist, end_after};
use spamdrop_core::duration::human;
use spamdrop_core::policy::{Protected, Protection, nets_around, too_wide};

pub use check::{check, list};

/// Maximum number of warnings about entries of the allowlist whose end cannot be read.
const MISTAKES: usize = 10;

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
    let until = args.term.map(|term| end_after(term, clock::unix_seconds()));
    let until = until.transpose();
    let term = AllowTerm {
        until: until.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?,
        comment: args.comment.as_deref(),
        shortens: args.force,
    };
    let change = edit(config, |file| file.add(&nets, term))?;
    hand::record_allowed(config, &change, args.force || args.term.is_none());
    write_added(args, &nets, &change, out)?;
    let unblocked = unblock(config, &addresses.all, out);
    // Notify the daemon last: it splits entries, too, and this command can report only
    // those that it split itself.
    notify_daemon(&config.run_dir);
    if args.term.is_some() && lock::daemon_pid(&config.run_dir).is_none() {
        log::warn!(
            "no daemon runs, so the filter goes on allowing the prefixes when their time is over, until the next `allow add`, `allow remove`, `attach` or `run`"
        );
    }
    unblocked
}

fn write_added(
    args: &AllowAdd,
    nets: &[IpNet],
    change: &AllowAdded,
    out: &mut impl Write,
) -> Result<()> {
    let AllowAdded {
        added,
        changed,
        limited,
        kept,
    } = change;
    let time = args.term.map(|term| format!(" for {}", human(term)));
    let time = time.unwrap_or_default();
    let is_told = |net: &IpNet| [added, changed, kept].iter().any(|nets| nets.contains(net));
    for net in nets.iter().filter(|net| !is_told(net)) {
        log::info!("{} is on the allowlist already", shown(*net));
    }
    for net in limited {
        log::warn!(
            "{} was allowed without an end, and is allowed{time} now",
            shown(*net)
        );
    }
    writeln!(
        out,
        "allowed {}{time}",
        count(added.len(), "prefix", "prefixes")
    )?;
    if !changed.is_empty() {
        let number = count(changed.len(), "prefix", "prefixes");
        let time = if time.is_empty() {
            " without an end"
        } else {
            &time
        };
        writeln!(out, "changed {number}, allowed{time} now")?;
    }
    if !kept.is_empty() {
        let number = count(kept.len(), "prefix", "prefixes");
        writeln!(
            out,
            "kept {number}, already allowed for longer (`--force` sets the shorter time)"
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
    let (removed, left) = edit(config, |file| (file.remove(&nets), file.nets().to_vec()))?;
    hand::record_changed(
        config,
        nets.iter().copied().filter(|net| removed.contains(net)),
    );
    for net in nets.iter().filter(|net| !removed.contains(net)) {
        log::info!("{} is not on the allowlist", shown(*net));
    }
    for net in &nets {
        let around = left.iter().filter(|prefix| prefix.contains(net));
        for prefix in around.filter(|prefix| *prefix != net) {
            let (net, prefix) = (shown(*net), shown(*prefix));
            log::warn!("{net} is still allowed by {prefix}; remove that too");
        }
    }
    let applied = apply(config);
    notify_daemon(&config.run_dir);
    applied?;
    let number = count(removed.len(), "prefix", "prefixes");
    writeln!(out, "removed {number} from the allowlist")?;
    Ok(())
}

fn nets(addresses: &GivenAddresses) -> Vec<IpNet> {
    let mut nets: Vec<IpNet> = addresses.all.iter().map(|given| given.net).collect();
    nets.sort_unstable();
    nets
}

/// Refuses wide prefixes. They are probably mistakes, and most senders would never be
/// blocked.
fn ensure_narrow(nets: &[IpNet]) -> Result<()> {
    for net in nets {
        if let Some(min) = too_wide(*net) {
            let message = format!(
                "{net} is wider than /{min}, so a large part of the Internet would never be blocked; nothing was allowed; `--force` allows it"
            );
            return Err(Failure::new(Exit::Usage, message));
        }
    }
    Ok(())
}

/// Edits the file, and takes out the entries that ended long ago. Returns the result of
/// `change`.
fn edit<T>(config: &Config, change: impl FnOnce(&mut Allowlist) -> T) -> Result<T> {
    let _lock = WriteLock::acquire(&config.run_dir)?;
    let before = allowlist::read(&config.allow_file)?;
    let mut file = before.clone();
    let result = change(&mut file);
    file.remove_ended();
    // A list that does not fit may still be shortened, so check only a longer one.
    if file.nets().len() > before.nets().len() {
        let protected = protect::combine(&network::addresses()?, &file);
        protect::ensure_fits(&config.allow_file, &protected, pins::PREFIXES)?;
    }
    if file != before {
        allowlist::write(&config.allow_file, &file)?;
    }
    warn_of_mistakes(config, &file);
    Ok(result)
}

/// Warns about entries of the allowlist whose end cannot be read.
fn warn_of_mistakes(config: &Config, file: &Allowlist) {
    let name = config.allow_file.display().to_string();
    for mistake in file.mistakes(&name).take(MISTAKES) {
        log::warn!("{mistake}");
    }
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

/// Removes the entries in the given prefixes, and splits the entries of the /64s that
/// contain one of these prefixes.
fn unblock(config: &Config, given: &[Given], out: &mut impl Write) -> Result<()> {
    let Some((mut blocklist, protected)) = apply(config)? else {
        return Ok(());
    };
    let nets = || given.iter().map(|given| given.net);
    block::split(config, &mut blocklist, nets_around(nets()), &protected, out)?;
    let allowed = Protected::new(nets().map(|net| (net, Protection::Allowlist(net))));
    let (mut covered, now) = (Vec::new(), clock::monotonic_ns());
    blocklist.for_each(|found| {
        let why = allowed.why_net(found.target.net());
        let is_live = found.entry.expires > now;
        if is_live && matches!(why, Some(Protection::Allowlist(_))) {
            covered.push(found.target);
        }
    })?;
    for chunk in covered.chunks(CHUNK) {
        blocklist.remove_all(&WriteLock::acquire(&config.run_dir)?, chunk)?;
    }
    let number = count(covered.len(), "entry", "entries");
    writeln!(out, "unblocked {number} in the given prefixes")?;
    Ok(())
}
