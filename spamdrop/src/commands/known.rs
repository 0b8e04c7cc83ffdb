//! `known`: senders whose mail is wanted.

use std::fs;
use std::io::Write;

use anyhow::{Context as _, Result};

use super::addresses::{self, Given};
use super::{count, import, notify_daemon};
use crate::cli::{self, Addrs};
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::render::known::{self, KnownSender};
use crate::render::{json, table::Style};
use crate::store::{Store, VERB_WAIT};
use spamdrop_core::target::Target;

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
    let shown = |sender: &KnownSender| args.all || sender.state.is_known();
    let senders = all
        .iter()
        .filter_map(|(source, record)| KnownSender::new(*source, record, now))
        .filter(shown);
    if args.output.json {
        json::array(out, senders)?;
    } else {
        known::text(out, style, &senders.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Runs `known add`.
///
/// # Errors
///
/// A word is not a host ([`Exit::Usage`]), more senders would be known by hand
/// than `known_capacity`, or the store cannot be written. Nothing is added.
pub fn add(config: &Config, args: &Addrs, out: &mut impl Write) -> Result<()> {
    let given = addresses::read(args)?;
    let hosts = hosts(&given.all)?;
    let added = store(config)?.add_known(&hosts, config.known_sources(), clock::unix_seconds())?;
    for host in hosts.iter().filter(|host| !added.contains(host)) {
        log::info!("{host} was added already");
    }
    widened(&given.widened, out)?;
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
    let hosts = hosts(&given.all)?;
    let removed = match Store::open_existing(&config.store_file(), VERB_WAIT)? {
        Some(mut store) => store.remove_known(&hosts, clock::unix_seconds())?,
        None => Vec::new(),
    };
    for host in hosts.iter().filter(|host| !removed.contains(host)) {
        log::info!("{host} is not a known sender");
    }
    widened(&given.widened, out)?;
    notify_daemon(&config.run_dir);
    writeln!(out, "removed {}", count(removed.len(), "sender", "senders"))?;
    Ok(())
}

/// Runs `known import`.
///
/// # Errors
///
/// As [`add`], for a line; or the file cannot be read.
pub fn import(config: &Config, args: &cli::KnownImport, out: &mut impl Write) -> Result<()> {
    let (name, text) = import::read(&args.file)?;
    let mut hosts = hosts(&addresses::read_lines(&name, &text[..])?)?;
    hosts.sort_unstable();
    hosts.dedup();
    let added = store(config)?.add_known(&hosts, config.known_sources(), clock::unix_seconds())?;
    notify_daemon(&config.run_dir);
    writeln!(out, "added {}", count(added.len(), "sender", "senders"))?;
    match hosts.len() - added.len() {
        0 => {}
        others => writeln!(out, "{others} had been added already")?,
    }
    Ok(())
}

/// The store, made if there is none.
pub(super) fn store(config: &Config) -> Result<Store> {
    let dir = &config.state_dir;
    fs::create_dir_all(dir)
        .with_context(|| format!("cannot make the directory {}", dir.display()))?;
    Store::open(&config.store_file(), VERB_WAIT)
}

/// The targets, each once; a prefix is refused.
fn hosts(all: &[Given]) -> Result<Vec<Target>> {
    let mut hosts: Vec<Target> = all.iter().map(|given| given.target).collect();
    hosts.dedup();
    match hosts.iter().find(|host| matches!(host, Target::Net(_))) {
        None => Ok(hosts),
        Some(net) => {
            let message = format!(
                "`{net}` is a prefix, but only single senders are known; give their addresses, or use `spamdrop allow add {net}`"
            );
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

fn widened(words: &[(String, Target)], out: &mut impl Write) -> Result<()> {
    for (word, target) in words {
        writeln!(out, "{word} acts on {target}")?;
    }
    Ok(())
}
