//! `status`: interfaces, maps, daemon.

mod allowed;

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use jiff::tz::TimeZone;
use spamdrop_common::action::is_live;
use spamdrop_common::entry::SEALED;

use crate::account;
use crate::cli::StatusOptions;
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::attach::{self, HiddenFilter, LinkPlace, Linked};
use crate::kernel::blocklist::{Blocklist, Found, pins};
use crate::kernel::network::{self, named};
use crate::lock;
use crate::render::json;
use crate::render::status::{self, DaemonStatus, Fill, FilterPlace, InterfaceStatus, Maps, Status};
use crate::store::{STATUS_WAIT, Store};
use spamdrop_core::allowlist::AllowedNets;
use spamdrop_core::health::{Health, HealthReport};
use spamdrop_core::status::{DaemonState, FILE as STATE_FILE, StateVersion, VERSION};
use spamdrop_core::target::Target;
use spamdrop_core::wave::Wave;

pub(super) use allowed::AllowedReader;

/// Runs the verb.
///
/// # Errors
///
/// The protection is degraded ([`Exit::Failed`]) or there is none
/// ([`Exit::NotAttached`]), after the status is shown; or the kernel cannot be
/// queried.
pub fn run(config: &Config, args: StatusOptions, out: &mut impl Write) -> Result<()> {
    let status = gather(config)?;
    if args.json {
        json::object(out, &status)?;
    } else {
        status::write_text(out, &status, &TimeZone::system(), clock::unix_seconds())?;
    }
    match status.report.health {
        Health::Protected => Ok(()),
        Health::Degraded => Err(Failure::silent(Exit::Failed as u8)),
        Health::Unprotected => Err(Failure::silent(Exit::NotAttached as u8)),
    }
}

/// Runs `status --check`, as a plugin of a monitoring system. An error is the
/// state "unknown".
///
/// # Errors
///
/// The state is not "protected" (the error holds the exit code), after the line is
/// written; or the writer fails.
pub fn check(config: Result<Config>, out: &mut impl Write) -> Result<()> {
    let code = status::check(out, config.and_then(|config| gather(&config)).as_ref())?;
    if code == 0 {
        Ok(())
    } else {
        Err(Failure::silent(code))
    }
}

/// Reads the maps, the interfaces and the daemon's state.
pub(super) fn gather(config: &Config) -> Result<Status> {
    let last = last_wave(config).unwrap_or_else(|error| {
        log::warn!("cannot read the waves: {error:#}");
        None
    });
    let mut allowed = AllowedReader::new(config);
    gather_with(config, last, &mut allowed, |blocklist, allowed| {
        count_entries(blocklist, allowed, |_| {})
    })
}

/// As [`gather`], with the last wave. `read_maps` gets the prefixes whose entries have no
/// effect, and returns the fill levels of the maps. It is a parameter because counting a
/// million entries takes half a second, which `top` does not repeat each second.
pub(super) fn gather_with(
    config: &Config,
    last_wave: Option<Wave>,
    allowed: &mut AllowedReader,
    read_maps: impl FnOnce(&Blocklist, &AllowedNets) -> Result<Maps>,
) -> Result<Status> {
    let blocklist = if pins::exist(&config.pin_dir)? {
        Some(Blocklist::open(&config.pin_dir)?)
    } else {
        None
    };
    let interfaces = interfaces(config)?;
    let attached = |interface: &InterfaceStatus| {
        matches!(interface.state, FilterPlace::Native | FilterPlace::Generic)
    };
    allowed.read(blocklist.as_ref())?;
    let daemon = daemon(config);
    let mut status = Status {
        report: HealthReport::default(),
        attached: interfaces.iter().any(attached),
        interfaces,
        maps: None,
        paused: Vec::new(),
        ports: Vec::new(),
        allowlist: allowed.sizes.clone(),
        // A daemon that was killed did not record the end of its wave.
        wave: last_wave.map(|wave| Wave {
            ongoing: wave.ongoing && daemon.is_some(),
            // Up to 100 single waits would make `status --json` too long.
            waits: Vec::new(),
            ..wave
        }),
        daemon,
    };
    if let Some(blocklist) = blocklist {
        status.ports = blocklist.settings()?.ports.to_vec();
        status.ports.retain(|port| *port != 0);
        let now = clock::monotonic_ns();
        let pauses = blocklist.pauses(now)?.into_iter();
        status.paused = pauses.map(|pause| pause.layer_at(now)).collect();
        status.maps = Some(read_maps(&blocklist, &allowed.nets)?);
    }
    status.report = status.judge(clock::unix_seconds());
    Ok(status)
}

fn interfaces(config: &Config) -> Result<Vec<InterfaceStatus>> {
    let (linked, existing) = attach::read_links(&config.pin_dir)?;
    let mut names: Vec<&String> = config.interfaces.iter().collect();
    names.extend(linked.iter().map(|link| &link.name));
    names.sort_unstable();
    names.dedup();
    let status = |name: &String| interface_status(name, &linked, &existing, attach::hidden);
    Ok(names.into_iter().map(status).collect())
}

/// `find_hidden` returns the program on an interface, if it has the filter's name. It is
/// called only if no pin belongs to the program on the interface.
fn interface_status(
    name: &str,
    linked: &[Linked],
    existing: &[network::Interface],
    find_hidden: impl Fn(&network::Interface) -> Option<HiddenFilter>,
) -> InterfaceStatus {
    let link = linked.iter().find(|link| link.name == name);
    let found = link
        .and_then(Linked::interface)
        .or_else(|| named(existing, name));
    let xdp = found.and_then(|interface| interface.xdp);
    let is_here = link.is_some_and(|link| link.interface().is_some());
    let is_ours =
        |interface: &network::Interface| linked.iter().any(|link| link.is_on(interface.index));
    let hidden = found.filter(|found| !is_ours(found)).and_then(find_hidden);
    InterfaceStatus {
        name: name.to_owned(),
        state: match (found, xdp) {
            (None, _) => FilterPlace::Absent,
            (_, Some(xdp)) if is_here && xdp.native => FilterPlace::Native,
            (_, Some(_)) if is_here => FilterPlace::Generic,
            (_, Some(_)) if hidden.is_some() => FilterPlace::Hidden,
            (Some(found), Some(_)) if !is_ours(found) => FilterPlace::Foreign,
            (Some(_), _) => FilterPlace::Missing,
        },
        program_id: xdp.map(|xdp| xdp.program_id),
        renamed: link.and_then(|link| match &link.place {
            LinkPlace::Renamed(interface) => Some(interface.name.clone()),
            _ => None,
        }),
        remedy: hidden.map(|filter| filter.remedy(name)),
    }
}

/// Counts the entries, and visits each live one. `nets` are the prefixes whose
/// entries have no effect.
pub(super) fn count_entries(
    blocklist: &Blocklist,
    nets: &AllowedNets,
    mut visit: impl FnMut(&Found),
) -> Result<Maps> {
    let now = clock::monotonic_ns();
    let mut fills = [Fill::default(); 3];
    let (mut prefixes, mut without_effect) = (0, 0);
    blocklist.for_each(|found| {
        let live = usize::from(is_live(found.entry.expires, now));
        if live > 0 && nets.cover(found.target.net()) {
            without_effect += 1;
        }
        if live > 0 {
            visit(&found);
        }
        let fill = match found.target {
            Target::V4(_) => &mut fills[0],
            Target::V6(_) => &mut fills[1],
            Target::V6Address(_) => &mut fills[2],
            Target::Net(_) => return prefixes += live,
        };
        fill.live += live;
        fill.open += live * usize::from(found.entry.flags & SEALED == 0);
    })?;
    let capacity = blocklist.capacity();
    let [v4, v6, v6_addresses] = fills;
    let fill = |fill, capacity| Fill { capacity, ..fill };
    Ok(Maps {
        v4: fill(v4, capacity.v4),
        v6: fill(v6, capacity.v6),
        v6_addresses: fill(v6_addresses, blocklist.address_capacity()),
        prefixes,
        without_effect,
    })
}

fn daemon(config: &Config) -> Option<DaemonStatus> {
    let pid = lock::daemon_pid(&config.run_dir)?;
    let (state, unreadable) = match read_state(&config.run_dir.join(STATE_FILE)) {
        Ok(state) => (state, None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    Some(DaemonStatus {
        pid,
        state,
        unreadable,
    })
}

/// The daemon's state; `None` if it has written none yet.
pub(super) fn read_state(path: &Path) -> Result<Option<DaemonState>> {
    let cannot = || format!("cannot read {}", path.display());
    // The daemon's account can replace the file by a link, which root must not follow.
    let _acting = account::act_as_daemon()?;
    let text = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.with_context(cannot)?,
    };
    let StateVersion { version } = serde_json::from_slice(&text).with_context(cannot)?;
    ensure!(
        version == VERSION,
        "{} has version {version}, and this spamdrop reads version {VERSION}; \
         restart `spamdrop run` after an upgrade",
        path.display()
    );
    serde_json::from_slice(&text).map(Some).with_context(cannot)
}

fn last_wave(config: &Config) -> Result<Option<Wave>> {
    let store = Store::open_existing(&config.store_file(), STATUS_WAIT)?;
    store.map_or(Ok(None), |store| store.last_wave())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn the_state_of_another_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(STATE_FILE);
        assert_eq!(read_state(&path).unwrap(), None);
        fs::write(&path, r#"{"version":1,"released":3}"#).unwrap();
        assert_eq!(read_state(&path).unwrap().unwrap().released, 3);
        // Another version may use a field name with another meaning.
        for (text, version) in [
            (r#"{"released":3}"#, 0),
            (r#"{"version":2,"released":"three"}"#, 2),
        ] {
            fs::write(&path, text).unwrap();
            let error = read_state(&path).unwrap_err().to_string();
            let expected = format!(
                "{} has version {version}, and this spamdrop reads version 1; restart \
                 `spamdrop run` after an upgrade",
                path.display()
            );
            assert_eq!(error, expected);
        }
        fs::write(&path, "half of it").unwrap();
        let error = format!("{:#}", read_state(&path).unwrap_err());
        assert!(error.starts_with("cannot read "), "{error}");
    }
}
