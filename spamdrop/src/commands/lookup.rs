//! `lookup`: the zones' verdicts on addresses.

use std::io::Write;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use tokio::runtime;

use crate::cli;
use crate::config::Config;
use crate::dnsbl::Resolver;
use crate::dnsbl::inquiry::{Skipped, inquire};
use crate::exit::{Exit, Failure};
use crate::render::json;
use crate::render::lookup::{self, LookedUp};
use spamdrop_core::nat64::canonical;

/// Runs the verb. Each address takes a few seconds at most.
///
/// # Errors
///
/// A word is not an address ([`Exit::Usage`]); a file of the mail server or the
/// resolver cannot be read; or there is no verdict on one of the addresses
/// ([`Exit::Failed`], after all are shown).
pub fn run(config: &Config, args: &cli::Lookup, out: &mut impl Write) -> Result<()> {
    let addrs = args.addrs.iter().map(|word| address(word));
    let addrs = addrs.collect::<Result<Vec<IpAddr>>>()?;
    let zones = config.asked_zones()?;
    let resolver = Resolver::read(&config.resolv_conf)?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start to look up")?;
    if zones.rules().is_empty() {
        log::warn!("no zone is configured, so only names are looked up; see `zones`");
    }
    let skipped = Skipped::default();
    let found = |addr| runtime.block_on(inquire(&zones, &resolver, &skipped, addr));
    let findings: Vec<_> = addrs.iter().map(|addr| (*addr, found(*addr))).collect();
    let looked_up: Vec<LookedUp<'_>> = findings
        .iter()
        .map(|(addr, findings)| LookedUp::new(*addr, zones.rules(), findings))
        .collect();
    match args.output.json {
        true => json::array(out, &looked_up)?,
        false => lookup::text(out, &looked_up)?,
    }
    let unknown = looked_up.iter().find(|one| one.standing.is_none());
    match unknown {
        None => Ok(()),
        Some(LookedUp { addr, .. }) => {
            let message = format!("there is no verdict on {addr}");
            Err(Failure::new(Exit::Failed, message))
        }
    }
}

fn address(word: &str) -> Result<IpAddr> {
    let addr = word.parse::<IpAddr>().map(canonical);
    addr.map_err(|_| {
        let message = format!("`{word}` is not an address; give one such as 192.0.2.1");
        Failure::new(Exit::Usage, message)
    })
}
