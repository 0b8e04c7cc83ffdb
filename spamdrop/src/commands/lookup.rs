//! `lookup`: the zones' verdicts on addresses.

use std::io::Write;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use tokio::runtime;

use crate::cli;
use crate::config::Config;
use crate::dnsbl::Resolver;
use crate::dnsbl::inquiry::{Findings, Skipped, inquire};
use crate::dnsbl::join_all;
use crate::exit::{Exit, Failure};
use crate::render::json;
use crate::render::lookup::{self, LookedUp};
use spamdrop_core::nat64::canonical;
use spamdrop_core::target::Target;
use spamdrop_core::zones::Zones;

/// Number of addresses that are looked up at once.
const AT_ONCE: usize = 32;

/// Runs the verb. The look-ups of an address take a few seconds at most, and
/// several addresses are looked up at once.
///
/// # Errors
///
/// A word is not an address ([`Exit::Usage`]); a file of the mail server or the
/// resolver cannot be read; or, after all are shown, there is no verdict on some
/// of the addresses, or no zone that could give one ([`Exit::Failed`]).
pub fn run(config: &Config, args: &cli::Lookup, out: &mut impl Write) -> Result<()> {
    let addrs = addresses(&args.addrs)?;
    let zones = config.asked_zones()?;
    let findings = ask(config, &zones, &addrs)?;
    let looked_up: Vec<LookedUp<'_>> = findings
        .iter()
        .map(|(addr, findings)| LookedUp::new(*addr, zones.rules(), findings))
        .collect();
    match args.output.json {
        true => json::array(out, &looked_up)?,
        false => lookup::write_text(out, &looked_up)?,
    }
    if zones.rules().is_empty() {
        let message = "no zone is configured, so only names were looked up; see `zones`";
        return Err(Failure::new(Exit::Failed, message));
    }
    ensure_verdicts(&looked_up)
}

/// Asks the zones about addresses. It takes a few seconds at most for every
/// [`AT_ONCE`] of them.
///
/// # Errors
///
/// The resolver cannot be read.
pub(super) fn ask(
    config: &Config,
    zones: &Zones,
    addrs: &[IpAddr],
) -> Result<Vec<(IpAddr, Findings)>> {
    let resolver = Resolver::read(&config.resolv_conf)?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start to look up")?;
    let skipped = Skipped::default();
    let mut findings = Vec::new();
    for addrs in addrs.chunks(AT_ONCE) {
        let inquiries = addrs.iter();
        let inquiries = inquiries.map(|addr| inquire(zones, &resolver, &skipped, *addr));
        let found = runtime.block_on(join_all(inquiries));
        findings.extend(addrs.iter().copied().zip(found));
    }
    Ok(findings)
}

fn ensure_verdicts(looked_up: &[LookedUp<'_>]) -> Result<()> {
    let unknown = looked_up.iter().filter(|one| one.standing.is_none());
    let unknown: Vec<String> = unknown.map(|one| one.addr.to_string()).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let message = format!("there is no verdict on {}", unknown.join(", "));
    Err(Failure::new(Exit::Failed, message))
}

/// The addresses that `words` name.
///
/// # Errors
///
/// A word is not an address ([`Exit::Usage`]).
pub(super) fn addresses(words: &[String]) -> Result<Vec<IpAddr>> {
    words.iter().map(|word| address(word)).collect()
}

/// The address that a word names.
///
/// # Errors
///
/// As [`addresses`].
pub(super) fn address(word: &str) -> Result<IpAddr> {
    if let Ok(addr) = word.parse::<IpAddr>() {
        return Ok(canonical(addr));
    }
    let target: Target = word.parse()?;
    let first = target.net().addr();
    if let Target::V4(_) | Target::V6Address(_) = target {
        return Ok(first);
    }
    let message = format!("`{word}` is a prefix; give one of its addresses, such as {first}");
    Err(Failure::new(Exit::Usage, message))
}
