//! `forget`: remove everything that is stored about an address.

use std::io::Write;

use anyhow::Result;
use ipnet::IpNet;
use spamdrop_core::reputation::Network;
use spamdrop_core::target::Target;

use super::addresses::{self, Given, GivenAddresses};
use super::{count, notify_daemon, remove, saved};
use crate::cli;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{GateMaps, pins};
use crate::protect;
use crate::store::{BootTime, Store, VERB_WAIT};

/// Runs the verb. It is not recorded in the history.
///
/// # Errors
///
/// A word is a prefix ([`Exit::Usage`]), nothing was stored ([`Exit::Failed`]), or
/// something cannot be changed.
pub fn run(config: &Config, args: &cli::Forget, out: &mut impl Write) -> Result<()> {
    let addresses = addresses::read(&args.addrs())?;
    ensure_hosts(&addresses)?;
    let forgotten = forget(config, &addresses)?;
    // The daemon has to reread the known senders.
    notify_daemon(&config.run_dir);
    warn_of_allowlist(config, &addresses);
    if forgotten.is_empty() {
        let message = "nothing is stored about the given addresses; `spamdrop why ADDR` shows what else covers them, such as a blocked prefix";
        return Err(Failure::new(Exit::Failed, message));
    }
    writeln!(out, "forgot {}", forgotten.join(", "))?;
    Ok(())
}

/// Removes all data about the addresses. Returns the removed records by kind, each with
/// their number, for the message.
fn forget(config: &Config, addresses: &GivenAddresses) -> Result<Vec<String>> {
    let (targets, blocks) = remove::unblock(config, addresses)?;
    let mut forgotten = Vec::new();
    let mut note = |number: usize, one, many| {
        forgotten.extend((number > 0).then(|| count(number, one, many)));
    };
    note(blocks, "block", "blocks");
    let saved = saved::forget(config, &targets)?;
    note(saved, "saved block", "saved blocks");
    let verdicts = verdicts(config, &addresses.all)?;
    note(verdicts, "verdict", "verdicts");
    if let Some(mut store) = Store::open_existing(&config.store_file(), VERB_WAIT)? {
        let nets: Vec<IpNet> = addresses.all.iter().map(|given| given.net).collect();
        let holds = store.forget_holds(&targets, &BootTime::now()?)?;
        note(
            holds,
            "entry with several owners",
            "entries with several owners",
        );
        let known = store.forget_known(&nets)?;
        note(known, "record of a sender", "records of senders");
        let events = store.forget_history(&nets)?;
        note(events, "event of the history", "events of the history");
        let networks = nets.iter().map(|net| Network::from_addr(net.addr()));
        let contacts = store.forget_contacts(&networks.collect::<Vec<_>>())?;
        note(contacts, "contact of a network", "contacts of networks");
        name_what_stays(&store, &addresses.all)?;
    }
    Ok(forgotten)
}

/// Logs for which /64s data stay: the events and the evidence of a /64 are those of its
/// other addresses, too, so they stay if one address is forgotten.
fn name_what_stays(store: &Store, all: &[Given]) -> Result<()> {
    let is_inside = |given: &&Given| given.is_host() && given.target.net() != given.net;
    let mut nets: Vec<Target> = all.iter().filter(is_inside).map(|it| it.target).collect();
    nets.dedup();
    for net in nets {
        if store.known_sender(net)?.is_some() || store.has_history_of(net.net())? {
            log::info!("the data of {net} stay; `spamdrop forget {net}` removes them");
        }
    }
    Ok(())
}

fn ensure_hosts(addresses: &GivenAddresses) -> Result<()> {
    let is_prefix = |given: &&Given| matches!(given.target, Target::Net(_));
    match addresses.all.iter().find(is_prefix) {
        None => Ok(()),
        Some(given) => {
            let message = format!(
                "`{}` is a prefix, and `forget` takes only addresses and /64s of IPv6; `spamdrop remove {}` unblocks it",
                given.target, given.target
            );
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

/// Removes the verdicts of the zones from the filter, which has one for each IPv4
/// address or IPv6 /64. Returns how many there were.
fn verdicts(config: &Config, all: &[Given]) -> Result<usize> {
    if !pins::exist(&config.pin_dir)? {
        return Ok(0);
    }
    let _acting = pins::act_as_daemon(&config.pin_dir)?;
    let mut gate = GateMaps::open(&config.pin_dir)?;
    let mut number = 0;
    for given in all {
        number += usize::from(gate.forget(given.target.source())?);
    }
    Ok(number)
}

/// Prints which of the addresses are still protected. `forget` does not change the
/// allowlist, because the administrator wrote it.
fn warn_of_allowlist(config: &Config, addresses: &GivenAddresses) {
    let Ok(protected) = protect::protected(&config.allow_file) else {
        return;
    };
    for given in &addresses.all {
        if let Some(why) = protected.why(given.net.addr()) {
            log::info!("{} stays {why}", given.net.addr());
        }
    }
}
