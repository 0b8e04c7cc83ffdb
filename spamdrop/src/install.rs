//! The filter as `run` and `attach` leave it: attached, configured, with its
//! allowlist.

use std::path::PathBuf;

use anyhow::Result;
use spamdrop_common::settings::Settings;
use spamdrop_core::policy::Protected;

use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::attach::{self, Attached, Filter, Plan};
use crate::kernel::blocklist::Blocklist;
use crate::kernel::blocklist::pins::{self, Pinned};
use crate::kernel::network;
use crate::lock::{self, WriteLock};
use crate::protect;

/// What the filter needs of the configuration.
#[derive(Clone, Debug)]
pub struct FilterSettings {
    /// The interfaces to protect.
    pub interfaces: Vec<String>,
    /// What is loaded; its log level is chosen with each installation.
    pub plan: Plan,
    /// What the filter is told.
    pub settings: Settings,
    /// The allowlist's file.
    pub allow_file: PathBuf,
    /// Where maps and links are pinned.
    pub pin_dir: PathBuf,
    /// Where the write lock is.
    pub run_dir: PathBuf,
}

impl FilterSettings {
    /// What the configuration says of the filter.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            interfaces: config.interfaces.clone(),
            plan: config.plan(),
            settings: config.settings(),
            allow_file: config.allow_file.clone(),
            pin_dir: config.pin_dir.clone(),
            run_dir: config.run_dir.clone(),
        }
    }

    /// Whether the filter of these settings uses the maps of the others, as
    /// they are.
    #[must_use]
    pub fn shares_maps_with(&self, other: &Self) -> bool {
        let place = |it: &Self| (it.pin_dir.clone(), it.run_dir.clone(), it.plan.capacity);
        place(self) == place(other)
    }

    /// The interfaces of the configuration that exist now.
    ///
    /// # Errors
    ///
    /// The kernel does not answer.
    pub fn present_interfaces(&self) -> Result<Vec<String>> {
        let present = network::interfaces()?;
        let is_present = |name: &&String| present.iter().any(|it| it.name == **name);
        Ok(self.interfaces.iter().filter(is_present).cloned().collect())
    }
}

/// A filter that is in place and configured.
pub struct Installed {
    /// The loaded filter, for its log and for [`steer`]; may be dropped.
    pub filter: Filter,
    /// Its maps.
    pub blocklist: Blocklist,
    /// The interfaces that it was put on.
    pub attached: Vec<Attached>,
}

/// Puts the filter on interfaces, or replaces it there, and tells it the
/// settings and the allowlist. `log_level` is that of `--log-packets`.
///
/// # Errors
///
/// Those of [`attach::attach`]; the kernel refuses a map operation.
pub fn install(
    lock: &WriteLock,
    settings: &FilterSettings,
    names: &[String],
    protected: &Protected,
    log_level: u8,
) -> Result<Installed> {
    ensure_no_older_daemon(settings)?;
    let (filter, attached) = attach(lock, settings, names, log_level)?;
    Ok(Installed {
        filter,
        blocklist: tell(lock, settings, protected)?,
        attached,
    })
}

/// [`install`] for a daemon that has done it before: a filter that somebody
/// has detached meanwhile stays detached.
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

/// [`reinstall`] with other settings. After an error the filter is where it
/// was, but may have the new settings and the new allowlist; the caller can
/// tell it the old ones again.
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
    let blocklist = tell(lock, settings, protected)?;
    let (filter, attached) = attach(lock, settings, &settings.interfaces, log_level)?;
    Ok(Installed {
        filter,
        blocklist,
        attached,
    })
}

/// Gives connections of listed senders to the responder, or to the mail server
/// alone.
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
    Err(Failure::new(Exit::NotAttached, "the filter was detached"))
}

/// After an upgrade of the maps, a daemon of the older version would block
/// senders in maps that no filter reads.
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
) -> Result<(Filter, Vec<Attached>)> {
    let plan = Plan {
        log_level,
        ..settings.plan
    };
    attach::attach(lock, &settings.pin_dir, names, plan)
}

fn tell(lock: &WriteLock, settings: &FilterSettings, protected: &Protected) -> Result<Blocklist> {
    let mut blocklist = Blocklist::open(&settings.pin_dir)?;
    blocklist.allow_exactly(lock, &protect::allowed(protected))?;
    blocklist.configure(lock, settings.settings)?;
    Ok(blocklist)
}
