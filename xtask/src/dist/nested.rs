//! Builds the package of a commit in a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::package::built_in;
use crate::command::{output, run};

/// Builds the package from the commit's own sources, in `directory/source` and
/// `directory/target`. Then removes `target`, and returns `directory/spamdrop.deb`.
/// `cargo` is a command that runs cargo; arguments are added to it.
///
/// The directory must not lie in cargo's target directory: all builds there share the
/// objects of the filter, and cargo would take those of another version for up to date.
///
/// # Errors
///
/// The command that failed.
pub fn build(commit: &str, directory: &Path, profile: &str, mut cargo: Command) -> Result<PathBuf> {
    let (source, target) = (directory.join("source"), directory.join("target"));
    unpack(commit, &source)?;
    cargo.args(["run", "--quiet", "--package", "xtask", "--"]);
    cargo.args(["dist", "--profile", profile]);
    run(cargo.current_dir(source).env("CARGO_TARGET_DIR", &target))?;
    let package = directory.join("spamdrop.deb");
    fs::rename(built_in(&target.join("dist"))?, &package)?;
    fs::remove_dir_all(target)?;
    Ok(package)
}

/// The id of a commit.
///
/// # Errors
///
/// git does not know the commit.
pub fn commit(name: &str) -> Result<String> {
    let id = output(Command::new("git").args(["rev-parse", "--verify", name]))?;
    Ok(id.trim().to_owned())
}

/// Writes the tree of a commit to a new directory.
fn unpack(commit: &str, directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory)?;
    let mut archive = Command::new("git");
    archive.args(["archive", commit]).stdout(Stdio::piped());
    let mut archive = archive.spawn().context("cannot start git")?;
    let tree = archive.stdout.take().context("standard output is piped")?;
    let mut tar = Command::new("tar");
    let unpacked = tar.arg("-xC").arg(directory).stdin(tree).status()?;
    ensure!(
        archive.wait()?.success() && unpacked.success(),
        "cannot unpack the tree of {commit}"
    );
    Ok(())
}
