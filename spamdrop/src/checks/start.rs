//! Reasons why `run` would not start, found without changing anything.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::Uid;
use spamdrop_core::gate::Slots;

use super::directories;
use crate::account;
use crate::clock;
use crate::config::{Admit, Config, PATH};
use crate::exit::{Exit, Failure};
use crate::fifo;
use crate::kernel::blocklist::pins;
use crate::kernel::network::{self, overlaps};
use crate::protect;
use crate::readable;
use crate::tail::other_kind;

/// Fails if `run` would not start with this configuration, which was read from
/// `path`.
///
/// # Errors
///
/// The reason; most of them are errors of the configuration ([`Exit::Config`]).
pub fn ensure_startable(config: &Config, path: Option<&Path>) -> Result<()> {
    ensure_complete(config)?;
    ensure_reloadable(config, path)?;
    pins::ensure_usable(&config.pin_dir, config.plan().capacity)
}

/// Fails if a running daemon would refuse to reload this configuration, which was read
/// from `path`. Unlike [`ensure_startable`], this does not check the size of the pinned
/// maps, which a reload keeps, nor whether interfaces and logs are named, because flags
/// of the daemon may name them.
///
/// # Errors
///
/// As [`ensure_startable`].
pub fn ensure_reloadable(config: &Config, path: Option<&Path>) -> Result<()> {
    ensure_logs(&config.logs)?;
    ensure_slots(config.admit, &config.server_slots())?;
    if config.journal {
        config.journal_args()?;
    }
    ensure_no_overlap(config)?;
    clock::ensure_kernels_clock()?;
    protect::protected(&config.allow_file)?;
    ensure_directory(&config.run_dir, "run_dir")?;
    ensure_directory(&config.state_dir, "state_dir")?;
    directories::ensure_trusted(config, path, &account::daemon())?;
    ensure_daemon_reads("`allow_file`", &config.allow_file)?;
    ensure_daemon_reads("the configuration", path.unwrap_or(Path::new(PATH)))?;
    match config.fifo.as_os_str().is_empty() {
        true => Ok(()),
        false => ensure_fifo(&config.fifo),
    }
}

/// Fails if the FIFO is not usable. The FIFO may also belong to root, because the start of
/// the daemon gives it to the account.
fn ensure_fifo(path: &Path) -> Result<()> {
    let usable = fifo::ensure_usable(path, account::daemon().uid);
    usable.or_else(|error| fifo::ensure_usable(path, Uid::ROOT).map_err(|_| error))
}

/// Fails if values are missing that only `run` needs.
///
/// # Errors
///
/// One is missing ([`Exit::Config`]).
pub fn ensure_complete(config: &Config) -> Result<()> {
    let missing = if config.interfaces.is_empty() {
        "no interface to protect; name one: `interfaces = [\"eth0\"]` or `--interface eth0`"
    } else if config.logs.is_empty() && !config.journal {
        "no log to watch; name one: `journal = true`, `logs = [\"/var/log/mail.log\"]` or `--log FILE`"
    } else {
        return Ok(());
    };
    Err(Failure::new(Exit::Config, missing))
}

/// Fails if a log cannot be followed. A log that does not exist yet is no error, because
/// the daemon waits for it.
///
/// # Errors
///
/// A path is a directory or another kind of object than a file, or has a wildcard in its
/// directory ([`Exit::Config`]).
pub fn ensure_logs(logs: &[PathBuf]) -> Result<()> {
    for path in logs.iter().filter(|path| path.as_os_str() != "-") {
        let directory = path.parent().unwrap_or(Path::new(""));
        if directory.to_string_lossy().contains(['*', '?']) {
            let message = format!(
                "`logs`: {}: a wildcard may stand in the file name only; name the logs of each directory",
                path.display()
            );
            return Err(Failure::new(Exit::Config, message));
        }
        let Some(kind) = fs::metadata(path)
            .ok()
            .and_then(|found| other_kind(found.file_type()))
        else {
            continue;
        };
        let path = path.display();
        let advice = match kind {
            "a directory" => format!("name the files in it, such as {path}/mail.log"),
            "a FIFO" => format!("set `logs = [\"-\"]` and run `spamdrop run < {path}`"),
            _ => "name a file, or `-` for standard input".to_owned(),
        };
        let message = format!("`logs`: {path} is {kind}, not a file; {advice}");
        return Err(Failure::new(Exit::Config, message));
    }
    Ok(())
}

/// Fails if the gate is to refuse senders and does not know how many connections the
/// mail server can serve.
///
/// # Errors
///
/// The number of slots is unknown ([`Exit::Config`]).
pub fn ensure_slots(admit: Admit, slots: &Slots) -> Result<()> {
    match &slots.trouble {
        Some(trouble) if admit == Admit::On && slots.is_unknown => {
            let message = format!("`admit = \"on\"`, but {trouble}");
            Err(Failure::new(Exit::Config, message))
        }
        _ => Ok(()),
    }
}

/// Fails if two of the configured interfaces carry the same packets.
///
/// # Errors
///
/// Two carry the same packets ([`Exit::Config`]), or the kernel does not list the
/// interfaces.
pub fn ensure_no_overlap(config: &Config) -> Result<()> {
    let overlaps = overlaps(&config.interfaces, &network::interfaces()?);
    match overlaps.first() {
        Some(overlap) => Err(Failure::new(Exit::Config, overlap.to_string())),
        None => Ok(()),
    }
}

/// Fails if the daemon's account may not read a file that the start or a reload needs.
fn ensure_daemon_reads(about: &str, path: &Path) -> Result<()> {
    let Ok(_acting) = account::act_as_daemon() else {
        return Ok(());
    };
    if !readable::is_refused(path) {
        return Ok(());
    }
    let message = format!("{about}: {}", readable::advice(path, &account::daemon()));
    Err(Failure::new(Exit::Config, message))
}

/// Fails if `path` cannot be a directory. If it does not exist yet, the start makes it.
fn ensure_directory(path: &Path, key: &str) -> Result<()> {
    if path.as_os_str().is_empty() {
        let message = format!("`{key}` is empty; name a directory");
        return Err(Failure::new(Exit::Config, message));
    }
    let nearest = path.ancestors().find(|path| path.exists());
    if nearest.is_none_or(Path::is_dir) {
        return Ok(());
    }
    let message = format!(
        "`{key}`: {} cannot be a directory; name another path",
        path.display()
    );
    Err(Failure::new(Exit::Config, message))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_log_that_is_no_file_is_refused_by_its_kind() {
        let dir = tempfile::tempdir().unwrap();
        let (log, fifo) = (dir.path().join("log"), dir.path().join("fifo"));
        fs::write(&log, "").unwrap();
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let refused = |path: &Path| ensure_logs(&["-".into(), log.clone(), path.into()]);
        for (path, kind) in [
            (
                dir.path(),
                "is a directory, not a file; name the files in it",
            ),
            (&fifo, "is a FIFO, not a file; set `logs = "),
            (Path::new("/dev/null"), "is a character device"),
        ] {
            let error = refused(path).unwrap_err().to_string();
            let expected = format!("`logs`: {} {kind}", path.display());
            assert!(error.starts_with(&expected), "{error}");
        }
        assert!(refused(&dir.path().join("absent")).is_ok());
        assert!(refused(&dir.path().join("mail-*.log")).is_ok());
        let error = refused(Path::new("/srv/*/mail.log")).unwrap_err();
        let expected = "`logs`: /srv/*/mail.log: a wildcard may stand in the file name only";
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    #[test]
    fn a_file_is_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(ensure_directory(&dir.path().join("new/deep"), "run_dir").is_ok());
        let error = ensure_directory(Path::new(""), "run_dir").unwrap_err();
        assert_eq!(error.to_string(), "`run_dir` is empty; name a directory");
        for path in [file.clone(), file.join("below")] {
            let error = ensure_directory(&path, "run_dir").unwrap_err().to_string();
            assert!(error.starts_with("`run_dir`: "), "{error}");
        }
    }
}
