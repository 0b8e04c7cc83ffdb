//! The filter as `run` and `attach` leave it: attached, configured, with its
//! allowlist.

use anyhow::Result;
use aya::Ebpf;

use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::kernel::attach::{self, Attached, Plan};
use crate::kernel::blocklist::Blocklist;
use crate::kernel::blocklist::pins::{self, Pinned};
use crate::lock::WriteLock;
use crate::protect;
use spamdrop_core::policy::Protected;

/// A filter that is in place and configured.
pub struct Up {
    /// The loaded object, for its log; may be dropped.
    pub object: Ebpf,
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
/// Those of [`attach::attach`]; the allowlist cannot be read; the kernel
/// refuses a map operation.
pub fn bring_up(config: &Config, names: &[String], log_level: u8) -> Result<Up> {
    in_turn(
        &WriteLock::acquire(&config.run_dir)?,
        config,
        names,
        log_level,
    )
}

/// [`bring_up`] for a watcher that has done it before: a filter that somebody
/// has detached meanwhile stays so.
///
/// # Errors
///
/// As [`bring_up`], and [`Exit::NotAttached`].
pub fn bring_up_again(config: &Config, names: &[String], log_level: u8) -> Result<Up> {
    let lock = WriteLock::acquire(&config.run_dir)?;
    ensure_attached(config)?;
    in_turn(&lock, config, names, log_level)
}

/// [`bring_up_again`] with another configuration. After an error the filter is
/// where it was, but may have the new settings and the new allowlist: those the
/// caller can tell it again.
///
/// # Errors
///
/// As [`bring_up_again`].
pub fn bring_up_changed(config: &Config, log_level: u8) -> Result<Up> {
    let lock = WriteLock::acquire(&config.run_dir)?;
    ensure_attached(config)?;
    let protected = protect::protected(config)?;
    let blocklist = tell(&lock, config, &protected)?;
    let (object, attached) = attach(&lock, config, &config.interfaces, log_level)?;
    Ok(Up {
        object,
        blocklist,
        attached,
    })
}

fn ensure_attached(config: &Config) -> Result<()> {
    if pins::pinned(&config.pin_dir)? == Pinned::Current {
        return Ok(());
    }
    Err(Failure::new(Exit::NotAttached, "the filter was detached"))
}

fn in_turn(lock: &WriteLock, config: &Config, names: &[String], log_level: u8) -> Result<Up> {
    let protected = protect::protected(config)?;
    let (object, attached) = attach(lock, config, names, log_level)?;
    Ok(Up {
        object,
        blocklist: tell(lock, config, &protected)?,
        attached,
    })
}

fn attach(
    lock: &WriteLock,
    config: &Config,
    names: &[String],
    log_level: u8,
) -> Result<(Ebpf, Vec<Attached>)> {
    let plan = Plan {
        log_level,
        ..config.plan()
    };
    attach::attach(lock, &config.pin_dir, names, plan)
}

fn tell(lock: &WriteLock, config: &Config, protected: &Protected) -> Result<Blocklist> {
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    blocklist.allow_exactly(lock, &protect::allowed(protected))?;
    blocklist.configure(lock, config.settings())?;
    Ok(blocklist)
}
