//! `detach`: leave nothing behind.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::attach;
use crate::blocklist::pins;
use crate::cli;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::lock::{self, Turn};

/// Runs the verb.
///
/// # Errors
///
/// A watcher runs, nothing was attached, or something cannot be removed.
pub fn run(config: &Config, args: &cli::Detach, out: &mut impl Write) -> Result<()> {
    if let Some(pid) = lock::watcher_pid(&config.run_dir)
        && !args.force
    {
        let message = format!(
            "`spamdrop run` is active (pid {pid}); stop it first, or detach beneath it with --force"
        );
        return Err(Failure::new(Exit::Failed, message));
    }
    let attached = pins::exist(&config.pin_dir)?;
    let turn = Turn::take(&config.run_dir)?;
    for link in attach::linked(&config.pin_dir)? {
        writeln!(out, "{}: filter removed", link.name)?;
    }
    attach::detach(&turn, &config.pin_dir)?;
    if attached {
        writeln!(out, "removed {}", config.pin_dir.display())?;
    }
    for dir in [&config.state_dir, &config.run_dir] {
        if remove_dir(dir)? {
            writeln!(out, "removed {}", dir.display())?;
        }
    }
    if !attached {
        let message = format!(
            "no filter was attached (nothing was pinned in {})",
            config.pin_dir.display()
        );
        return Err(Failure::new(Exit::NotAttached, message));
    }
    Ok(())
}

/// Removes a directory of ours and the files in it. One that holds
/// directories is none of ours: a slip in the configuration, such as `/run`.
/// Whether it was there, and is gone.
fn remove_dir(dir: &Path) -> Result<bool> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .with_context(|| format!("cannot read {}", dir.display()))?,
    };
    let is_file = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    if let Some(other) = entries.iter().find(|entry| !is_file(entry)) {
        let (dir, other) = (dir.display(), other.path());
        log::warn!(
            "left {dir} alone, for {} is not a file of spamdrop's",
            other.display()
        );
        return Ok(false);
    }
    for entry in entries {
        let path = entry.path();
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    fs::remove_dir(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_directory_of_files_goes_and_one_with_directories_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, other) = (dir.path().join("ours"), dir.path().join("other"));
        fs::create_dir_all(&ours).unwrap();
        fs::create_dir_all(other.join("deeper")).unwrap();
        fs::write(ours.join("lock"), "").unwrap();
        fs::write(other.join("a.pid"), "").unwrap();
        assert!(remove_dir(&ours).unwrap());
        assert!(!remove_dir(&ours).unwrap());
        assert!(!remove_dir(&other).unwrap());
        assert!(!ours.exists());
        assert!(other.join("a.pid").exists());
    }
}
