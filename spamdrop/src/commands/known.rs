//! `known`: senders whose mail is wanted.

use std::io::Write;

use anyhow::Result;

use super::addresses::{self, Given};
use super::{block, count, hand, import, notify_daemon};
use crate::cli::{self, Addrs};
use crate::clock;
use crate::config::Config;
use crate::directory::{self, Owned};
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{Blocklist, pins};
use crate::protect;
use crate::render::known::{self, SenderRow};
use crate::render::{json, table::Style};
use crate::store::{Store, VERB_WAIT};
use spamdrop_core::policy::Protection;
use spamdrop_core::target::{ShownNet, Target};

/// Runs `known list`.
///
/// # Errors
///
/// The store cannot be read.
pub fn list(
    config: &Config,
    args: cli::KnownList,
    out: &mut impl Write,
    style: Style,
) -> Result<()> {
    let all = match Store::open_existing(&config.store_file(), VERB_WAIT)? {
        Some(store) => {
            store.check_known()?;
            store.known_senders()?
        }
        None => Vec::new(),
    };
    let now = clock::unix_seconds();
    let shown = |sender: &SenderRow| args.all || sender.state.is_known();
    let senders = all
        .iter()
        .filter_map(|(source, record)| SenderRow::new(*source, record, now))
        .filter(shown);
    if args.output.json {
        json::array(out, senders)?;
    } else {
        known::write_text(out, style, &senders.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Runs `known add`.
///
/// # Errors
///
/// A word is not a host ([`Exit::Usage`]), no evidence is kept for a host
/// ([`Exit::Failed`]), more senders would be known by hand than
/// `known_capacity`, or the store cannot be written. Nothing is added.
pub fn add(config: &Config, args: &Addrs, out: &mut impl Write) -> Result<()> {
    let given = addresses::read(args)?;
    let hosts = hosts(&given.all, allow)?;
    ensure_remembered(config, &hosts)?;
    let added = store(config)?.add_known(&hosts, config.known_sources(), clock::unix_seconds())?;
    hand::record(config, hosts.iter().map(|host| host.net()));
    for host in hosts.iter().filter(|host| !added.contains(host)) {
        log::info!("{host} was added already");
    }
    widened(&given.words, out)?;
    split(config, &hosts, out)?;
    notify_daemon(&config.run_dir);
    writeln!(out, "added {}", count(added.len(), "sender", "senders"))?;
    Ok(())
}

/// Runs `known remove`.
///
/// # Errors
///
/// A word is not a host ([`Exit::Usage`]), or the store cannot be written.
pub fn remove(config: &Config, args: &Addrs, out: &mut impl Write) -> Result<()> {
    let given = addresses::read(args)?;
    let hosts = hosts(&given.all, |_| "`spamdrop known list` shows them".into())?;
    let removed = match Store::open_existing(&config.store_file(), VERB_WAIT)? {
        Some(mut store) => store.remove_known(&hosts, clock::unix_seconds())?,
        None => Vec::new(),
    };
    hand::record_changed(config, removed.iter().map(|host| host.net()));
    for host in hosts.iter().filter(|host| !removed.contains(host)) {
        match host.source() {
            net if net != *host => log::info!(
                "{} is not a known sender by itself; if its /64 is one, `spamdrop known remove {net}` removes that",
                ShownNet(host.net())
            ),
            _ => log::info!("{host} is not a known sender"),
        }
    }
    widened(&given.words, out)?;
    notify_daemon(&config.run_dir);
    writeln!(out, "removed {}", count(removed.len(), "sender", "senders"))?;
    Ok(())
}

/// Runs `known import`.
///
/// # Errors
///
/// As [`add`], but a line that is not a host is [`Exit::Failed`]; or the file cannot be
/// read.
pub fn import(config: &Config, args: &cli::KnownImport, out: &mut impl Write) -> Result<()> {
    let (name, text) = import::read(&args.file)?;
    let listed = addresses::read_lines(&name, &text[..]);
    let listed = listed.and_then(|listed| hosts(&listed, allow));
    // A bad line in a file is not a usage error.
    let mut hosts = listed.map_err(|error| Failure::new(Exit::Failed, format!("{error:#}")))?;
    hosts.sort_unstable();
    hosts.dedup();
    ensure_remembered(config, &hosts)?;
    let added = store(config)?.add_known(&hosts, config.known_sources(), clock::unix_seconds())?;
    hand::record(config, hosts.iter().map(|host| host.net()));
    split(config, &hosts, out)?;
    notify_daemon(&config.run_dir);
    writeln!(out, "added {}", count(added.len(), "sender", "senders"))?;
    match hosts.len() - added.len() {
        0 => {}
        others => writeln!(out, "{others} had been added already")?,
    }
    Ok(())
}

/// Fails for sources of which the daemon keeps no evidence, because they are never
/// blocked and never have to wait.
fn ensure_remembered(config: &Config, hosts: &[Target]) -> Result<()> {
    let protected = protect::protected(&config.allow_file)?;
    let refused = hosts.iter().filter_map(|host| {
        let why = match host {
            // A /64 may hold senders beside this machine, a gateway or a proxy.
            Target::V6(_) => protected.why_net(host.net()).filter(|why| {
                !matches!(
                    why,
                    Protection::OwnAddress | Protection::Gateway | Protection::Proxy
                )
            }),
            _ => protected.why(host.net().addr()),
        };
        why.map(|why| format!("\n  {host}: {why}"))
    });
    let refused: String = refused.collect();
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!(
        "nothing was added, because these are never blocked and never wait, so they are not \
         recorded as known senders:{refused}"
    );
    Err(Failure::new(Exit::Failed, message))
}

/// Opens the store; creates it if it does not exist.
pub(super) fn store(config: &Config) -> Result<Store> {
    directory::prepare(&config.state_dir, Owned::State)?;
    Store::open(&config.store_file(), VERB_WAIT)
}

/// The next step of somebody who wants a prefix to pass.
fn allow(net: &Target) -> String {
    format!("give their addresses, or use `spamdrop allow add {net}`")
}

/// The targets without duplicates; a prefix is refused with the next step.
fn hosts(all: &[Given], next_step: impl FnOnce(&Target) -> String) -> Result<Vec<Target>> {
    let mut hosts: Vec<Target> = all.iter().map(sender).collect();
    hosts.dedup();
    match hosts.iter().find(|host| matches!(host, Target::Net(_))) {
        None => Ok(hosts),
        Some(net) => {
            let next_step = next_step(net);
            let message =
                format!("`{net}` is a prefix, but only single senders are known; {next_step}");
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

/// The sender that was given. An IPv6 address stands for itself alone, because
/// others may have addresses in its /64.
fn sender(given: &Given) -> Target {
    match given.is_host() {
        true => Target::alone(given.net.addr()),
        false => given.target,
    }
}

fn widened(words: &[(String, Given)], out: &mut impl Write) -> Result<()> {
    for (word, given) in words {
        let target = sender(given);
        let shown = ShownNet(target.net()).to_string();
        if *word != shown && *word != target.to_string() {
            writeln!(out, "{word} acts on {shown}")?;
        }
    }
    Ok(())
}

/// Splits the entries of the blocked /64s that contain one of `hosts`.
fn split(config: &Config, hosts: &[Target], out: &mut impl Write) -> Result<()> {
    let nets = hosts.iter().filter_map(|host| match host.source() {
        Target::V6(net) => Some(net),
        _ => None,
    });
    let nets: Vec<[u8; 8]> = nets.collect();
    if nets.is_empty() || !pins::exist(&config.pin_dir)? {
        return Ok(());
    }
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    let protected = protect::protected(&config.allow_file)?;
    block::split(config, &mut blocklist, nets, &protected, out)
}
