//! `show`: why addresses are blocked, and until when.

use std::io::Write;
use std::net::IpAddr;

use anyhow::{Error, Result};
use ipnet::IpNet;
use jiff::tz::TimeZone;
use spamdrop_common::time::MonotonicNs;

use super::addresses::{self, Given};
use super::count;
use super::input::last_of;
use super::list::entry;
use super::owners::OwnerReader;
use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{Blocklist, Found};
use crate::render::allowed::shown;
use crate::render::json;
use crate::render::show::{self, AddressDetail, BlockOrigin, OwnerEnd};
use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::escape::escape;
use spamdrop_core::target::Target;

/// Runs the verb.
///
/// # Errors
///
/// A word is not an address ([`Exit::Usage`]), nothing is attached, an address is not
/// blocked ([`Exit::Failed`], after all are shown), or a map operation fails.
pub fn run(config: &Config, args: &cli::Show, out: &mut impl Write) -> Result<()> {
    let given = addresses::each(&args.addrs)?;
    let blocklist = Blocklist::open(&config.pin_dir)?;
    let owners = OwnerReader::open(config);
    let detail = |given: &Given| detail(&blocklist, &owners, given.net);
    let details: Vec<AddressDetail> = given.iter().map(detail).collect::<Result<_>>()?;
    match (&details[..], args.output.json) {
        ([detail], true) => json::object(out, detail)?,
        (details, true) => json::array(out, details)?,
        (details, false) => {
            let zone = TimeZone::system();
            let blocked = details.iter().filter(|detail| detail.is_blocked());
            blocked
                .into_iter()
                .try_for_each(|detail| show::write_text(out, detail, &zone))?;
        }
    }
    let all = details.iter().zip(&given);
    let others = all.filter(|(detail, _)| !detail.is_blocked());
    let errors = others.map(|(detail, given)| not_blocked(&blocklist, detail, given.net));
    last_of(errors.collect::<Result<_>>()?)
}

/// The error for an address without an entry.
fn not_blocked(blocklist: &Blocklist, detail: &AddressDetail, net: IpNet) -> Result<Error> {
    let addr = &detail.addr;
    let message = match &detail.allowed_by {
        Some(allowed) => format!("{addr} is not blocked; it is allowed by {allowed}"),
        None => match blocked_inside(blocklist, net)? {
            0 => format!("{addr} is not blocked"),
            some => format!(
                "{addr} is not blocked as a whole, but {} (see `spamdrop list`)",
                count(some, "of its addresses is", "of its addresses are")
            ),
        },
    };
    Ok(Failure::new(Exit::Failed, message))
}

/// The number of addresses of a /64 that have live entries of their own; 0 if `net` is no
/// /64.
fn blocked_inside(blocklist: &Blocklist, net: IpNet) -> Result<usize> {
    let now = clock::monotonic_ns();
    let network = match Target::from(net) {
        network @ Target::V6(_) => [network].into(),
        _ => return Ok(0),
    };
    let mut live = 0;
    for address in blocklist.addresses_in(&network)? {
        live += usize::from(blocklist.is_blocked(address, now)?);
    }
    Ok(live)
}

/// The entries and origins of an address or prefix.
///
/// # Errors
///
/// A map operation fails.
pub(super) fn detail(
    blocklist: &Blocklist,
    owners: &OwnerReader,
    net: IpNet,
) -> Result<AddressDetail> {
    let now = clock::monotonic_ns();
    let mut found = blocklist.covering(net.addr(), now)?;
    found.retain(|found| found.target.net().contains(&net));
    let nets = blocklist.allowed()?.into_iter().map(|(allowed, _)| allowed);
    let nets: Vec<IpNet> = nets.collect();
    let allowed = nets.iter().copied().collect();
    let allowed_by = nets
        .into_iter()
        .filter(|allowed| allowed.contains(&net))
        .max_by_key(IpNet::prefix_len);
    Ok(AddressDetail {
        addr: shown(net),
        allowed_by: allowed_by.map(shown),
        entries: found
            .iter()
            .map(|found| entry(found, &allowed, &owners.names, now))
            .collect(),
        ends: owner_ends(owners, &found, now),
        origins: origins(blocklist, &found, now)?,
    })
}

/// The end of each owner, for entries that have several owners.
fn owner_ends(owners: &OwnerReader, found: &[Found], now: MonotonicNs) -> Vec<OwnerEnd> {
    let holds = owners.shared_holds(found);
    let mut ends = Vec::new();
    for target in found.iter().map(|found| found.target) {
        for (owner, hold) in holds.get(&target).into_iter().flatten() {
            let hard_until = MonotonicNs::from_second(hold.hard_until_s);
            ends.push(OwnerEnd {
                target,
                owner: owners.names.name(*owner),
                expires_in: hold.ends.elapsed_since(now),
                hard_limit_in: (hold.hard_until_s != 0).then(|| hard_until.elapsed_since(now)),
                ttl_s: hold.ttl_s,
            });
        }
    }
    ends
}

/// The origins of all addresses that the host entry among `found` covers, and of the
/// found prefixes, sorted.
fn origins(blocklist: &Blocklist, found: &[Found], now: MonotonicNs) -> Result<Vec<BlockOrigin>> {
    let mut origins = Vec::new();
    let mut push = |addr: IpAddr, origin| origins.push(view(addr.into(), &origin, now));
    // `found` may have both an address and its /64. The /64 comes last, and its origins
    // include that of the address.
    let hosts = found.iter().map(|found| found.target);
    let mut hosts = hosts.filter(|target| !matches!(target, Target::Net(_)));
    match hosts.next_back() {
        Some(target @ (Target::V4(_) | Target::V6Address(_))) => {
            let addr = target.net().addr();
            blocklist
                .origin(addr)?
                .into_iter()
                .for_each(|origin| push(addr, origin));
        }
        Some(target) => blocklist.for_each_origin(|addr, origin| {
            if Target::from(addr) == target {
                push(addr, origin);
            }
        })?,
        None => {}
    }
    for prefix in found.iter().map(|found| found.target) {
        if let Target::Net(net) = prefix
            && let Some(addr) = prefix.origin()
            && let Some(origin) = blocklist.origin(addr)?
        {
            origins.push(view(net, &origin, now));
        }
    }
    origins.sort_unstable_by_key(|origin| origin.addr);
    Ok(origins)
}

fn view(addr: IpNet, origin: &spamdrop_common::entry::Origin, now: MonotonicNs) -> BlockOrigin {
    let is_known = origin.last_offence != MonotonicNs::default();
    let ago = now.elapsed_since(origin.last_offence);
    BlockOrigin {
        addr,
        first_unix_s: origin.first_blocked.get(),
        offences: origin.offences,
        last_offence_ago: (origin.offences != 0 && is_known).then_some(ago),
        release_pending: origin.release_pending != 0,
        text: mask(&escape(origin.used_text())).into_owned(),
    }
}
