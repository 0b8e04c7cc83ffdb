//! Installs the filter for `run` and `attach`: attaches and configures it, and
//! sets its allowlist.

use std::path::PathBuf;

use anyhow::Result;
use spamdrop_common::settings::Settings;
use spamdrop_core::nat64::Nat64Prefix;
use spamdrop_core::policy::{Protected, ProtectionChanges};

use crate::config::{Config, Destinations};
use crate::exit::{Exit, Failure};
use crate::kernel::attach::{self, Attached, Attachment, Filter, Plan, Refused};
use crate::kernel::blocklist::Blocklist;
use crate::kernel::blocklist::pins::{self, Pinned};
use crate::lock::{self, WriteLock};
use crate::protect;

/// The filter's part of the configuration.
#[derive(Clone, Debug)]
pub struct FilterSettings {
    /// The interfaces to protect.
    pub interfaces: Vec<String>,
    /// The parameters of the load, except the log level, which each
    /// installation chooses.
    pub plan: Plan,
    /// The settings that the filter reads from its map.
    pub settings: Settings,
    /// The prefixes of NAT64 translators beside 64:ff9b::/96.
    pub nat64: Vec<Nat64Prefix>,
    /// The destinations to which blocks and the gate apply.
    pub addresses: Destinations,
    /// The path of the allowlist.
    pub allow_file: PathBuf,
    /// The directory in which maps and links are pinned.
    pub pin_dir: PathBuf,
    /// The directory of the write lock.
    pub run_dir: PathBuf,
}

impl FilterSettings {
    /// Extracts the filter's part of the configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            interfaces: config.interfaces.clone(),
            plan: config.plan(),
            settings: config.settings(),
            nat64: config.nat64.clone(),
            addresses: config.addresses.clone(),
            allow_file: config.allow_file.clone(),
            pin_dir: config.pin_dir.clone(),
            run_dir: config.run_dir.clone(),
        }
    }
}

/// A filter that is attached and configured.
pub struct Installed {
    /// The loaded filter, for its packet log and for [`steer`]. Dropping it does not
    /// detach it.
    pub filter: Filter,
    /// Its maps.
    pub blocklist: Blocklist,
    /// The interfaces to which it was attached.
    pub attached: Vec<Attached>,
    /// The interfaces to which it could not be attached.
    pub refused: Vec<Refused>,
}

impl Installed {
    fn new(attachment: Attachment, blocklist: Blocklist) -> Self {
        Self {
            filter: attachment.filter,
            blocklist,
            attached: attachment.attached,
            refused: attachment.refused,
        }
    }
}

/// Detaches the filter from every interface that is not in the configuration, and
/// from every renamed interface, which no longer has the name in the configuration.
///
/// # Errors
///
/// Those of [`attach::release_others`].
pub fn release_others(lock: &WriteLock, settings: &FilterSettings) -> Result<()> {
    let is_wanted = |name: &str| settings.interfaces.iter().any(|wanted| wanted == name);
    attach::release_others(lock, &settings.pin_dir, is_wanted)
}

/// Attaches the filter to interfaces, or replaces it there, and writes the
/// settings and the allowlist. `log_level` is that of `--log-packets`.
///
/// # Errors
///
/// Those of [`attach::attach`]; a map operation fails.
pub fn install(
    lock: &WriteLock,
    settings: &FilterSettings,
    names: &[String],
    protected: &Protected,
    log_level: u8,
) -> Result<Installed> {
    ensure_no_older_daemon(settings)?;
    let attachment = attach(lock, settings, names, log_level)?;
    let blocklist = configure_blocklist(lock, settings, protected)?;
    Ok(Installed::new(attachment, blocklist))
}

/// Repeats [`install`] for a running daemon. If the filter was detached in the
/// meantime, it stays detached.
///
/// # Errors
///
/// As [`install`], and [`Exit::NotAttached`].
pub fn reinstall(
    lock: &WriteLock,
    settings: &FilterSettings,
    names: &[String],
    protected: &Protected,
    log_level: u8,
) -> Result<Installed> {
    ensure_attached(settings)?;
    install(lock, settings, names, protected, log_level)
}

/// Repeats [`reinstall`] with other settings. After an error the filter is
/// still attached, but may have the new settings and the new allowlist; the
/// caller can restore the old ones.
///
/// # Errors
///
/// As [`reinstall`].
pub fn reconfigure(
    lock: &WriteLock,
    settings: &FilterSettings,
    protected: &Protected,
    log_level: u8,
) -> Result<Installed> {
    ensure_attached(settings)?;
    let blocklist = configure_blocklist(lock, settings, protected)?;
    let attachment = attach(lock, settings, &settings.interfaces, log_level)?;
    Ok(Installed::new(attachment, blocklist))
}

/// Starts or stops steering connections of listed senders to the responder.
///
/// # Errors
///
/// The kernel refuses the program or its link.
pub fn steer(
    lock: &WriteLock,
    settings: &FilterSettings,
    to_responder: bool,
    filter: &mut Filter,
) -> Result<()> {
    let pin_dir = &settings.pin_dir;
    if to_responder {
        attach::steer(lock, pin_dir, filter)
    } else if attach::is_steering(pin_dir) {
        attach::unsteer(lock, pin_dir)
    } else {
        Ok(())
    }
}

fn ensure_attached(settings: &FilterSettings) -> Result<()> {
    if pins::pinned(&settings.pin_dir)? == Pinned::Current {
        return Ok(());
    }
    let message = "the filter was detached; start `spamdrop run` again, which attaches it";
    Err(Failure::new(Exit::NotAttached, message))
}

/// Fails if a daemon of an older version runs: after an upgrade of the maps, it
/// would write blocks into maps that no filter reads.
fn ensure_no_older_daemon(settings: &FilterSettings) -> Result<()> {
    if !matches!(pins::pinned(&settings.pin_dir)?, Pinned::Older(_)) {
        return Ok(());
    }
    match lock::daemon_pid(&settings.run_dir) {
        Some(pid) if pid != std::process::id() => {
            let message = format!(
                "`spamdrop run` of an older version is active (pid {pid}), whose maps have to be upgraded; stop it first, then start `spamdrop run` of this version"
            );
            Err(Failure::new(Exit::Failed, message))
        }
        _ => Ok(()),
    }
}

fn attach(
    lock: &WriteLock,
    settings: &FilterSettings,
    names: &[String],
    log_level: u8,
) -> Result<Attachment> {
    let plan = Plan {
        log_level,
        ..settings.plan
    };
    attach::attach(lock, &settings.pin_dir, names, plan)
}

fn configure_blocklist(
    lock: &WriteLock,
    settings: &FilterSettings,
    protected: &Protected,
) -> Result<Blocklist> {
    let mut blocklist = Blocklist::open(&settings.pin_dir)?;
    tell_addresses(lock, settings, protected, &mut blocklist)?;
    blocklist.configure(lock, settings.settings)?;
    Ok(blocklist)
}

/// Writes the allowlist, and the destinations to which blocks and the gate
/// apply.
///
/// # Errors
///
/// The kernel does not return the machine's own addresses, or a map operation
/// fails. The filter may then have the new allowlist, and the old destinations.
pub fn tell_addresses(
    lock: &WriteLock,
    settings: &FilterSettings,
    protected: &Protected,
    blocklist: &mut Blocklist,
) -> Result<()> {
    blocklist.allow_exactly(lock, &protect::allowed(protected))?;
    tell_destinations(lock, settings, blocklist)
}

/// As [`tell_addresses`], but writes only `changes`, without reading the filter's allowlist.
/// `changes` must be the difference between that list and the wanted one.
///
/// # Errors
///
/// As [`tell_addresses`].
pub fn tell_changes(
    lock: &WriteLock,
    settings: &FilterSettings,
    changes: &ProtectionChanges,
    blocklist: &mut Blocklist,
) -> Result<()> {
    blocklist.change_allowed(lock, changes)?;
    tell_destinations(lock, settings, blocklist)
}

fn tell_destinations(
    lock: &WriteLock,
    settings: &FilterSettings,
    blocklist: &mut Blocklist,
) -> Result<()> {
    match protect::destinations(&settings.addresses)? {
        Some(destinations) => blocklist.apply_exactly_to(lock, &destinations),
        None => Ok(()),
    }
}
