//! `config check`: whether `run` would start, and settings that are unwise.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::process::geteuid;
use tokio::runtime;

use super::settings;
use crate::account;
use crate::allowlist;
use crate::checks;
use crate::cli;
use crate::config::{Config, PATH};
use crate::exit::{Exit, Failure};
use crate::kernel::network::{self, Framing, named};
use crate::readable;
use crate::render::check::{self, Checked};
use crate::render::json;
use crate::server_settings::{self, are_gathered};
use crate::store::{self, VERB_WAIT};
use crate::tail::{has_recent_entry, named_by};
use spamdrop_core::warning::Warning;

/// Runs the verb on a configuration that was read and so is valid.
///
/// # Errors
///
/// `run` would not start; the kernel cannot be queried, or the mail server's
/// file cannot be read. With `--strict`, there are warnings ([`Exit::Failed`]).
pub fn run(
    config: &Config,
    path: Option<&Path>,
    args: &cli::Check,
    out: &mut impl Write,
) -> Result<()> {
    let default = || Path::new(PATH).exists().then_some(Path::new(PATH));
    let refreshed = refresh(config);
    checks::ensure_startable(config, path)?;
    let mut warnings: Vec<Warning> = refreshed.into_iter().collect();
    warnings.extend(collect_warnings(config, args.offline)?);
    let checked = Checked {
        config: path.or_else(default).map(Into::into),
        warnings,
    };
    if args.output.json {
        json::object(out, &checked)?;
    } else {
        check::write_text(out, &checked)?;
    }
    if args.strict && !checked.warnings.is_empty() {
        return Err(Failure::silent(Exit::Failed as u8));
    }
    Ok(())
}

/// Collects the warnings about a configuration with which `run` would start.
///
/// # Errors
///
/// The kernel cannot be queried, or the mail server's file cannot be read.
pub(super) fn collect_warnings(config: &Config, offline: bool) -> Result<Vec<Warning>> {
    let mut warnings = Vec::new();
    interfaces(config, &mut warnings)?;
    logs(config, &mut warnings);
    warnings.extend(journal(config)?);
    warnings.extend(database(config));
    warnings.extend(checks::listeners(config)?);
    warnings.extend(checks::warnings(config)?);
    warnings.extend(allow_ends(config)?);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot query the mail server and the zones")?;
    warnings.extend(runtime.block_on(checks::answer(config))?);
    warnings.extend(runtime.block_on(checks::zones::warnings(config, offline))?);
    Ok(warnings)
}

/// Reads the mail server's settings with its own tools and writes them for the daemon,
/// as `settings --write` does. Does nothing if the caller is not root. Returns a warning
/// if the settings cannot be read or written.
pub(super) fn refresh(config: &Config) -> Option<Warning> {
    let has_some = config.servers.iter().any(|server| are_gathered(*server));
    if !has_some || !geteuid().is_root() {
        return None;
    }
    let written = settings::gather_all(config)
        .and_then(|file| server_settings::write(&config.run_dir, &file));
    let error = written.err()?;
    Some(Warning {
        about: "servers",
        text: format!(
            "the mail server's settings cannot be brought up to date for the daemon: {error:#}"
        ),
    })
}

fn interfaces(config: &Config, warnings: &mut Vec<Warning>) -> Result<()> {
    let existing = network::interfaces()?;
    for name in &config.interfaces {
        let text = match named(&existing, name).map(|interface| &interface.framing) {
            None => format!("there is no interface {name:?}; `ip link` lists them"),
            Some(Framing::Unknown(kind)) => format!(
                "{name:?} has the link type {kind}, whose packets the filter cannot parse, so it refuses this interface"
            ),
            Some(_) => continue,
        };
        let about = "interfaces";
        warnings.push(Warning { about, text });
    }
    Ok(())
}

/// Warns about entries of the allowlist whose end cannot be read.
fn allow_ends(config: &Config) -> Result<Vec<Warning>> {
    let name = config.allow_file.display().to_string();
    let file = allowlist::read(&config.allow_file)?;
    let warning = |text| Warning {
        about: "allow_file",
        text,
    };
    Ok(file.mistakes(&name).map(warning).collect())
}

/// Warns about logs that cannot be read.
fn logs(config: &Config, warnings: &mut Vec<Warning>) {
    let about = "logs";
    for log in config.logs.iter().filter(|path| path.as_os_str() != "-") {
        let named = named_by(log);
        let absent = || format!("no file matches {log:?}; `spamdrop run` waits for one");
        let absent = named.is_empty().then(absent);
        let texts = absent
            .into_iter()
            .chain(named.iter().filter_map(|log| log_file(log)));
        warnings.extend(texts.map(|text| Warning { about, text }));
    }
}

/// The reason why a log cannot be read. `None`: it can be.
fn log_file(path: &Path) -> Option<String> {
    if let Ok(_acting) = account::act_as_daemon()
        && readable::is_refused(path)
    {
        return Some(readable::advice(path, &account::daemon()));
    }
    let error = File::open(path).err()?;
    Some(match error.kind() {
        ErrorKind::NotFound => format!("there is no file {path:?}; `spamdrop run` waits for it"),
        _ => format!("cannot read {path:?}: {error}"),
    })
}

/// Warns if the daemon's account cannot read the journal, or if no entry of the last
/// seven days matches `journal_match`.
///
/// # Errors
///
/// `journal_match` names only users that do not exist.
fn journal(config: &Config) -> Result<Option<Warning>> {
    if !config.journal {
        return Ok(None);
    }
    if let Ok(_acting) = account::act_as_daemon()
        && let Some(text) = readable::journal_trouble(&account::daemon())
    {
        return Ok(Some(Warning {
            about: "journal",
            text,
        }));
    }
    let text = match has_recent_entry(&config.journal_args()?) {
        Ok(true) => return Ok(None),
        Ok(false) => "matches no entry of the last seven days; check that the mail server logs to the journal, under the users and units that this key names (if it is not set, its default for `servers`)".to_owned(),
        Err(error) => format!("cannot be tried: {error:#}"),
    };
    let about = "journal_match";
    Ok(Some(Warning { about, text }))
}

/// Warns about a database of known senders that cannot be read.
fn database(config: &Config) -> Option<Warning> {
    let error = store::ensure_usable(&config.store_file(), VERB_WAIT).err()?;
    let text = format!("the known senders cannot be read: {error:#}");
    let about = "state_dir";
    Some(Warning { about, text })
}
