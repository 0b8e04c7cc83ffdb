//! The filter as `run` and `attach` leave it: attached, configured, with its
//! allowlist.

use std::path::PathBuf;

use anyhow::Result;
use spamdrop_common::settings::Settings;
use spamdrop_core::policy::Protected;

use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::attach::{self, Attached, Filter, Plan};
use crate::kernel::blocklist::{Blocklist, pins};
use crate::lock::WriteLock;
use crate::protect;

/// What it takes to install the filter.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where maps and links are pinned.
    pub pin_dir: PathBuf,
    /// The administrator's allowlist.
    pub allow_file: PathBuf,
    /// What to load.
    pub plan: Plan,
    /// What the filter is told.
    pub settings: Settings,
}

impl Setup {
    /// As configured; `log_level` is that of `--log-packets`.
    #[must_use]
    pub fn new(config: &Config, log_level: u8) -> Self {
        Self {
            pin_dir: config.pin_dir.clone(),
            allow_file: config.allow_file.clone(),
            plan: Plan {
                log_level,
                ..config.plan()
            },
            settings: config.settings(),
        }
    }
}

/// A filter that is in place and configured.
pub struct Installed {
    /// The filter, for its log and to steer; dropping it does not detach it.
    pub filter: Filter,
    /// Its maps.
    pub blocklist: Blocklist,
    /// The interfaces that it was put on.
    pub attached: Vec<Attached>,
}

/// Puts the filter on interfaces, or replaces it there, and writes its settings
/// and allowlist.
///
/// # Errors
///
/// Those of [`attach::attach`]; the allowlist cannot be read; the kernel
/// refuses a map operation.
pub fn install(lock: &WriteLock, setup: &Setup, interfaces: &[String]) -> Result<Installed> {
    let protected = protect::protected(&setup.allow_file)?;
    let (filter, attached) = attach::attach(lock, &setup.pin_dir, interfaces, setup.plan)?;
    Ok(Installed {
        filter,
        blocklist: configure(lock, setup, &protected)?,
        attached,
    })
}

/// [`install`] for a daemon that has done it before: a filter that was detached
/// since stays detached.
///
/// # Errors
///
/// As [`install`], and [`Exit::NotAttached`].
pub fn reinstall(lock: &WriteLock, setup: &Setup, interfaces: &[String]) -> Result<Installed> {
    ensure_attached(setup)?;
    install(lock, setup, interfaces)
}

/// [`reinstall`] with another configuration: settings and allowlist first. After
/// an error the filter is where it was, but may have the new settings and
/// allowlist; the caller can write the old ones again.
///
/// # Errors
///
/// As [`reinstall`].
pub fn reconfigure(lock: &WriteLock, setup: &Setup, interfaces: &[String]) -> Result<Installed> {
    ensure_attached(setup)?;
    let protected = protect::protected(&setup.allow_file)?;
    let blocklist = configure(lock, setup, &protected)?;
    let (filter, attached) = attach::attach(lock, &setup.pin_dir, interfaces, setup.plan)?;
    Ok(Installed {
        filter,
        blocklist,
        attached,
    })
}

fn ensure_attached(setup: &Setup) -> Result<()> {
    if pins::exist(&setup.pin_dir)? {
        return Ok(());
    }
    Err(Failure::new(Exit::NotAttached, "the filter was detached"))
}

fn configure(lock: &WriteLock, setup: &Setup, protected: &Protected) -> Result<Blocklist> {
    let mut blocklist = Blocklist::open(&setup.pin_dir)?;
    blocklist.allow_exactly(lock, &protect::allowed(protected))?;
    blocklist.configure(lock, setup.settings)?;
    Ok(blocklist)
}
