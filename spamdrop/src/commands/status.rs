//! `status`: interfaces, maps, watcher.

use std::fs;
use std::io::Write;
use std::time::UNIX_EPOCH;

use anyhow::Result;
use jiff::tz::TimeZone;
use spamdrop_common::verdict::is_live;

use crate::allowlist::Allowlist;
use crate::cli::Output;
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::attach::{self, Linked};
use crate::kernel::blocklist::{Blocklist, pins};
use crate::kernel::network;
use crate::lock;
use crate::render::status::{self, Fill, Interface, Maps, On, Status, Watcher};
use crate::render::{json, watcher};
use crate::store::waves::{FILE, Store};
use spamdrop_core::target::Target;
use spamdrop_core::wave::Wave;

/// Runs the verb.
///
/// # Errors
///
/// The filter is on no interface ([`Exit::NotAttached`], after all is shown),
/// or the kernel does not answer.
pub fn run(config: &Config, args: Output, out: &mut impl Write) -> Result<()> {
    let status = gather(config)?;
    let now = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    if args.json {
        json::object(out, &status)?;
    } else {
        status::text(out, &status, &TimeZone::system(), now.as_secs())?;
    }
    if status.attached {
        return Ok(());
    }
    let message = "no filter is attached; start one with `spamdrop attach IFACE` or `spamdrop run`";
    Err(Failure::new(Exit::NotAttached, message))
}

fn gather(config: &Config) -> Result<Status> {
    let blocklist = if pins::exist(&config.pin_dir)? {
        Some(Blocklist::open(&config.pin_dir)?)
    } else {
        None
    };
    let interfaces = interfaces(config, &network::interfaces()?)?;
    let attached = |interface: &Interface| matches!(interface.state, On::Native | On::Generic);
    let mut status = Status {
        attached: interfaces.iter().any(attached),
        interfaces,
        maps: None,
        ports: Vec::new(),
        allowlist: status::Allowlist {
            path: config.allow_file.clone(),
            file: Allowlist::read(&config.allow_file)?.nets().len(),
            automatic: 0,
        },
        wave: None,
        watcher: watcher(config),
    };
    status.wave = wave(config, status.watcher.is_some());
    if let Some(blocklist) = blocklist {
        let allowed = blocklist.allowed()?;
        status.allowlist.automatic = allowed.iter().filter(|(_, automatic)| *automatic).count();
        status.ports = blocklist.settings()?.ports.to_vec();
        status.ports.retain(|port| *port != 0);
        status.maps = Some(maps(&blocklist)?);
    }
    Ok(status)
}

fn interfaces(config: &Config, existing: &[network::Interface]) -> Result<Vec<Interface>> {
    let linked = attach::linked(&config.pin_dir)?;
    let configured = config.interfaces.iter();
    let unlinked = configured.filter(|name| linked.iter().all(|link| link.name != **name));
    let mut all: Vec<Interface> = linked.iter().map(on_link).collect();
    all.extend(unlinked.map(|name| {
        let found = existing.iter().find(|interface| interface.name == *name);
        let xdp = found.and_then(|interface| interface.xdp);
        Interface {
            name: name.clone(),
            state: match (found, xdp) {
                (None, _) => On::Absent,
                (_, None) => On::Missing,
                (_, Some(_)) => On::Foreign,
            },
            program_id: xdp.map(|xdp| xdp.program_id),
        }
    }));
    all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn on_link(link: &Linked) -> Interface {
    let xdp = link.interface.as_ref().and_then(|interface| interface.xdp);
    Interface {
        name: link.name.clone(),
        state: match (&link.interface, xdp) {
            (None, _) => On::Absent,
            (_, None) => On::Missing,
            (_, Some(xdp)) if Some(xdp.program_id) != link.program_id => On::Foreign,
            (_, Some(xdp)) if xdp.native => On::Native,
            (_, Some(_)) => On::Generic,
        },
        program_id: xdp.map(|xdp| xdp.program_id),
    }
}

fn maps(blocklist: &Blocklist) -> Result<Maps> {
    let now = clock::monotonic_ns();
    let (mut v4, mut v6, mut prefixes) = (0, 0, 0);
    blocklist.for_each(|found| {
        let live = usize::from(is_live(found.entry.expires, now));
        match found.target {
            Target::V4(_) => v4 += live,
            Target::V6(_) => v6 += live,
            Target::Net(_) => prefixes += live,
        }
    })?;
    let capacity = blocklist.capacity();
    let fill = |live, capacity| Fill { live, capacity };
    Ok(Maps {
        v4: fill(v4, capacity.v4),
        v6: fill(v6, capacity.v6),
        prefixes,
    })
}

fn watcher(config: &Config) -> Option<Watcher> {
    let pid = lock::watcher_pid(&config.run_dir)?;
    let text = fs::read(config.run_dir.join(watcher::FILE));
    let state = text
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    Some(Watcher { pid, state })
}

/// A watcher that was killed cannot say that a wave is over.
fn wave(config: &Config, watched: bool) -> Option<Wave> {
    let store = Store::open_existing(&config.state_dir.join(FILE));
    let last = store.and_then(|store| store.map_or(Ok(None), |store| store.last()));
    let last = last.unwrap_or_else(|error| {
        log::warn!("cannot tell of waves: {error:#}");
        None
    });
    last.map(|wave| Wave {
        ongoing: wave.ongoing && watched,
        ..wave
    })
}
