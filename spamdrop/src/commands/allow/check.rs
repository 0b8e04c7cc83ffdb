//! `allow check` and `allow list`: the entries of the allowlist, and what is protected
//! without it.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use anyhow::Result;
use ipnet::IpNet;

use super::warn_of_mistakes;
use crate::allowlist;
use crate::cli::{AllowCheck, OutputFormat};
use crate::clock;
use crate::commands::addresses;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{Blocklist, pins};
use crate::kernel::network;
use crate::protect;
use crate::render::allowed::{self, AllowCheckResult, Allowed, shown};
use crate::render::{json, table::Style};
use spamdrop_core::allowlist::Allowlist;
use spamdrop_core::policy::Protection;

/// Runs `allow list`.
///
/// # Errors
///
/// The file cannot be read, or a map operation fails.
pub fn list(config: &Config, args: OutputFormat, out: &mut impl Write, style: Style) -> Result<()> {
    let file = read(config)?;
    let mut all = own(&file);
    if let Some(filter) = in_filter(config)? {
        let why = reasons(&file)?;
        let listed: HashSet<IpNet> = file.nets().iter().copied().collect();
        for (net, automatic) in filter {
            if listed.contains(&net) {
                continue;
            }
            let by = why
                .get(&net)
                .map_or(beyond(automatic), |why| protect::name(*why));
            all.push(Allowed::without_end(net, by));
        }
    }
    allowed::sort(&mut all);
    if args.json {
        json::array(out, &all)?;
    } else {
        allowed::write_text(out, style, &all)?;
    }
    Ok(())
}

/// Runs `allow check`.
///
/// # Errors
///
/// The word is not an address ([`Exit::Usage`]), it is not allowed or the filter does not
/// have it ([`Exit::Failed`]), the file cannot be read, or a map operation fails.
pub fn check(config: &Config, args: &AllowCheck, out: &mut impl Write) -> Result<()> {
    let given = addresses::each(std::slice::from_ref(&args.addr))?;
    let nets = given.into_iter().map(|given| given.net);
    for net in nets {
        let result = check_net(config, net)?;
        match args.output.json {
            true => json::object(out, &result)?,
            false => allowed::check_text(out, &result)?,
        }
        if !result.is_allowed {
            let whole = match net.prefix_len() == net.max_prefix_len() {
                true => "",
                false => " as a whole",
            };
            let message = match result.by.is_empty() {
                true => format!("{} is not allowed{whole}", shown(net)),
                false => format!(
                    "the filter does not have {} yet; `spamdrop reload` applies it, or the daemon's next start",
                    shown(net)
                ),
            };
            return Err(Failure::new(Exit::Failed, message));
        }
    }
    Ok(())
}

/// Everything that allows a prefix as a whole, the longest prefix first.
fn check_net(config: &Config, net: IpNet) -> Result<AllowCheckResult> {
    let file = read(config)?;
    let contains = |allowed: &IpNet| allowed.contains(&net);
    let mut by = own(&file);
    by.retain(|allowed| contains(&allowed.net));
    let reasons = reasons(&file)?.into_iter();
    let machine = reasons.filter(|(allowed, _)| contains(allowed));
    by.extend(machine.map(|(allowed, why)| Allowed::without_end(allowed, protect::name(why))));
    let mut is_in_filter = None;
    if let Some(filter) = in_filter(config)? {
        let around = filter.into_iter().filter(|(allowed, _)| contains(allowed));
        let around: Vec<(IpNet, bool)> = around.collect();
        is_in_filter = Some(!around.is_empty());
        for (allowed, automatic) in around {
            if by.iter().all(|known| known.net != allowed) {
                by.push(Allowed::without_end(allowed, beyond(automatic)));
            }
        }
    }
    by.sort_by_key(|allowed| std::cmp::Reverse(allowed.net.prefix_len()));
    Ok(AllowCheckResult {
        addr: shown(net),
        is_allowed: !by.is_empty() && is_in_filter != Some(false),
        by,
        is_in_filter,
    })
}

fn read(config: &Config) -> Result<Allowlist> {
    let file = allowlist::read(&config.allow_file)?;
    warn_of_mistakes(config, &file);
    Ok(file)
}

/// The entries of the file.
fn own(file: &Allowlist) -> Vec<Allowed> {
    let now = clock::unix_seconds();
    file.items()
        .map(|item| Allowed::by_file(item, now))
        .collect()
}

/// The prefixes that are protected automatically, each with the reason.
fn reasons(file: &Allowlist) -> Result<HashMap<IpNet, Protection>> {
    let protected = protect::combine(&network::addresses()?, file);
    let is_automatic = |(_, why): &(IpNet, Protection)| !matches!(why, Protection::Allowlist(_));
    Ok(protected.nets().filter(is_automatic).collect())
}

/// The word for a prefix that the filter allows, but not because of the file or of the
/// machine's present addresses: `earlier` if it was protected automatically, otherwise
/// `filter`.
fn beyond(is_automatic: bool) -> &'static str {
    if is_automatic { "earlier" } else { "filter" }
}

/// The prefixes that the filter allows, and whether each was added automatically.
/// `None`: there is no filter.
fn in_filter(config: &Config) -> Result<Option<Vec<(IpNet, bool)>>> {
    if !pins::exist(&config.pin_dir)? {
        return Ok(None);
    }
    Blocklist::open(&config.pin_dir)?.allowed().map(Some)
}
