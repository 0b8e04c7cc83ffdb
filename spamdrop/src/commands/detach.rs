//! `detach`: removes the filter and the files of spamdrop, except the configuration, the
//! allowlist and the database. If interfaces are named, it only removes the filter from these.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{hand, owners};
use crate::account;
use crate::cli;
use crate::config::{Config, PATH};
use crate::durable;
use crate::exit::{Exit, Failure};
use crate::fifo;
use crate::kernel::attach;
use crate::kernel::blocklist::pins;
use crate::kernel::network;
use crate::lock::{self, WriteLock};
use crate::store::{self, BootTime, saved_blocks};
use spamdrop_core::{server_settings, status};

/// Runs the verb.
///
/// # Errors
///
/// The daemon runs, the pins belong to another network namespace (both unless
/// forced), nothing was attached, or a file or pin cannot be removed.
pub fn run(
    config: &Config,
    path: Option<&Path>,
    args: &cli::Detach,
    out: &mut impl Write,
) -> Result<()> {
    if !args.force {
        attach::ensure_own_pins(&config.pin_dir)?;
    }
    if args.interfaces.is_empty() {
        everything(config, path, args, out)?;
    } else {
        each(config, args, out)?;
    }
    // Do not create a database only to record this command.
    if config.store_file().exists() {
        hand::record(config, []);
    }
    Ok(())
}

/// Takes the filter from the named interfaces, and leaves everything else.
fn each(config: &Config, args: &cli::Detach, out: &mut impl Write) -> Result<()> {
    let kept = |name: &&String| config.interfaces.contains(name);
    if let Some(pid) = lock::daemon_pid(&config.run_dir)
        && let Some(name) = args.interfaces.iter().find(kept)
        && !args.force
    {
        let message = format!(
            "`spamdrop run` (pid {pid}) keeps the filter on {name}; remove {name} from `interfaces` and run `spamdrop reload`, which detaches the filter, or use --force to detach it until the daemon attaches it again"
        );
        return Err(Failure::new(Exit::Failed, message));
    }
    let lock = WriteLock::acquire(&config.run_dir)?;
    let mut missing = Vec::new();
    for name in &args.interfaces {
        if attach::detach_one(&lock, &config.pin_dir, name)? {
            writeln!(out, "{name}: filter removed")?;
        } else {
            missing.push(not_here(config, name)?);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::NotAttached, missing.join("; ")))
}

/// Why there is nothing to remove from an interface.
fn not_here(config: &Config, name: &str) -> Result<String> {
    let found = network::find(name)?;
    let hidden = found.as_ref().and_then(attach::hidden);
    Ok(match hidden {
        Some(filter) => format!("{name} has {filter}; `{}` removes it", filter.remedy(name)),
        None => format!(
            "no filter was attached to {name} (no link_{name} in {})",
            config.pin_dir.display()
        ),
    })
}

fn everything(
    config: &Config,
    path: Option<&Path>,
    args: &cli::Detach,
    out: &mut impl Write,
) -> Result<()> {
    if let Some(pid) = lock::daemon_pid(&config.run_dir)
        && !args.force
    {
        let message = format!(
            "`spamdrop run` is active (pid {pid}); stop it first, or use --force to detach all the same"
        );
        return Err(Failure::new(Exit::Failed, message));
    }
    let attached = pins::exist(&config.pin_dir)?;
    let lock = WriteLock::acquire(&config.run_dir)?;
    for link in attach::linked(&config.pin_dir)? {
        writeln!(out, "{}: filter removed", link.name)?;
    }
    attach::detach(&lock, &config.pin_dir)?;
    if attached {
        writeln!(out, "removed {}", config.pin_dir.display())?;
    }
    let acting = account::act_as_daemon()?;
    for path in files(config) {
        remove(&path, fs::remove_file)?;
    }
    // Remove only a FIFO or the link that replaces it: the path may name another file.
    if fifo::is_left(&config.fifo) {
        remove(&config.fifo, fs::remove_file)?;
    }
    drop(acting);
    owners::forget_holds(config, None, &BootTime::now()?);
    // Keep the database, because its known senders and waves took weeks to gather.
    let keeps = store::exists(&config.store_file())?;
    let state_dir = (!keeps).then_some(&config.state_dir);
    for dir in state_dir.into_iter().chain([&config.run_dir]) {
        if remove(dir, fs::remove_dir)? {
            writeln!(out, "removed {}", dir.display())?;
        }
    }
    write_kept(config, path, out)?;
    if !attached {
        let message = format!(
            "no filter was attached (nothing was pinned in {})",
            config.pin_dir.display()
        );
        return Err(Failure::new(Exit::NotAttached, message));
    }
    Ok(())
}

/// Prints which files of spamdrop stay.
fn write_kept(config: &Config, path: Option<&Path>, out: &mut impl Write) -> Result<()> {
    for (path, what) in [
        (path.unwrap_or(Path::new(PATH)), "the configuration"),
        (&config.allow_file, "the allowlist"),
        (
            &config.store_file(),
            "the known senders, the waves and the history",
        ),
    ] {
        if path.exists() {
            writeln!(out, "kept {}: {what}", path.display())?;
        }
    }
    Ok(())
}

/// The files that `run` and the verbs make, the lock last.
fn files(config: &Config) -> Vec<PathBuf> {
    let replaced = [
        config.positions_file(),
        config.saved_blocks_file(),
        config.run_dir.join(status::FILE),
        config.run_dir.join(server_settings::FILE),
        // The name in spamdrop 0.1.
        config.run_dir.join("watcher.json"),
    ];
    let saved = config.saved_blocks_file();
    let of_saved = saved_blocks::beside(&saved);
    let beside = replaced.each_ref().map(|path| durable::beside(path));
    let locks = lock::files(&config.run_dir);
    let files = replaced.into_iter().chain(beside).chain(of_saved);
    files.chain(locks).collect()
}

/// Returns whether the path existed and was removed. A directory that contains
/// other programs' files is kept.
fn remove(path: &Path, how: fn(PathBuf) -> io::Result<()>) -> Result<bool> {
    match how(path.to_owned()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            log::warn!(
                "kept {}: it holds files that are not spamdrop's",
                path.display()
            );
            Ok(false)
        }
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}
