//! `show`: the entries and origins of an address.

use std::io::Write;
use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use spamdrop_common::time::MonotonicNs;

use super::list::entry;
use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::{Blocklist, Found};
use crate::render::allowed::shown;
use crate::render::json;
use crate::render::show::{self, AddressDetail, BlockOrigin};
use spamdrop_core::escape::escape;
use spamdrop_core::target::{Target, parse_net};

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, the address is not blocked ([`Exit::Failed`]), or a map
/// operation fails.
pub fn run(config: &Config, args: &cli::Show, out: &mut impl Write) -> Result<()> {
    let target: Target = args.addr.parse()?;
    let net = parse_net(&args.addr).unwrap_or_else(|| target.net());
    let blocklist = Blocklist::open(&config.pin_dir)?;
    let detail = detail(&blocklist, net)?;
    if detail.entries.is_empty() {
        let addr = &detail.addr;
        let message = match detail.allowed_by {
            Some(allowed) => format!("{addr} is not blocked; it is allowed by {allowed}"),
            None => format!("{addr} is not blocked"),
        };
        return Err(Failure::new(Exit::Failed, message));
    }
    if args.output.json {
        json::object(out, &detail)?;
    } else {
        show::text(out, &detail, &TimeZone::system())?;
    }
    Ok(())
}

fn detail(blocklist: &Blocklist, net: IpNet) -> Result<AddressDetail> {
    let now = clock::monotonic_ns();
    let mut found = blocklist.covering(net.addr(), now)?;
    found.retain(|found| found.target.net().contains(&net));
    let allowed = blocklist.allowed()?.into_iter().map(|(allowed, _)| allowed);
    let allowed_by = allowed
        .filter(|allowed| allowed.contains(&net))
        .max_by_key(IpNet::prefix_len);
    Ok(AddressDetail {
        addr: shown(net),
        allowed_by: allowed_by.map(shown),
        entries: found.iter().map(|found| entry(found, now)).collect(),
        origins: origins(blocklist, &found, now)?,
    })
}

/// The origins of the addresses in the blocked host entry, sorted.
fn origins(blocklist: &Blocklist, found: &[Found], now: MonotonicNs) -> Result<Vec<BlockOrigin>> {
    let mut origins = Vec::new();
    let mut push = |addr, origin| origins.push(view(addr, &origin, now));
    match found.first().map(|found| found.target) {
        Some(Target::V4(bytes)) => {
            let addr = IpAddr::from(bytes);
            blocklist
                .origin(addr)?
                .into_iter()
                .for_each(|origin| push(addr, origin));
        }
        Some(target @ Target::V6(_)) => blocklist.for_each_origin(|addr, origin| {
            if Target::from(addr) == target {
                push(addr, origin);
            }
        })?,
        Some(Target::Net(_)) | None => {}
    }
    origins.sort_unstable_by_key(|origin| origin.addr);
    Ok(origins)
}

fn view(addr: IpAddr, origin: &spamdrop_common::entry::Origin, now: MonotonicNs) -> BlockOrigin {
    let ago = now.elapsed_since(origin.last_offence);
    BlockOrigin {
        addr,
        first_unix_s: origin.first_blocked.get(),
        offences: origin.offences,
        last_offence_ago: (origin.offences != 0).then_some(ago),
        release_pending: origin.release_pending != 0,
        text: escape(origin.text()),
    }
}
