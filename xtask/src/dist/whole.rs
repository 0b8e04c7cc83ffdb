//! Two whole builds, from the compiler to the package, are the same byte for byte.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{cargo_home, nested};
use crate::{
    command::{cargo, output, run},
    say,
};

/// Builds the package of the last commit in two directories, one after the other, the
/// second time with another environment, umask and path of cargo's files, and compares.
///
/// # Errors
///
/// They differ; the working tree has changes, which the builds would not have; or the
/// command that failed.
pub fn compare(profile: &str) -> Result<()> {
    let changes = output(Command::new("git").args(["status", "--porcelain"]))?;
    ensure!(
        changes.trim().is_empty(),
        "two whole builds are those of the last commit; commit these changes first:\n{changes}"
    );
    let commit = nested::commit("HEAD")?;
    say(&format!(
        "building the package of {commit} twice, from the start"
    ));
    let directory = super::directory()?.join("whole");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    let first = nested::build(&commit, &directory, profile, cargo([]))?;
    let elsewhere = tempfile::Builder::new()
        .prefix("spamdrop-whole-")
        .tempdir_in("/var/tmp")?;
    let home = elsewhere.path().join("files of cargo");
    symlink(cargo_home()?.canonicalize()?, &home)?;
    let mut cargo = Command::new("sh");
    cargo.args(["-c", "umask 0077 && exec cargo \"$@\"", "sh"]);
    cargo
        .env("CARGO_HOME", home)
        .env("RUSTUP_HOME", rustup_home()?);
    cargo.env("HOME", "/nonexistent").env("USER", "somebody");
    cargo.env("TZ", "Pacific/Kiritimati").env("LC_ALL", "C");
    let longer = elsewhere.path().join("with a longer name");
    let second = nested::build(&commit, &longer, profile, cargo)?;
    let is_equal = fs::read(&first)? == fs::read(&second)?;
    if !is_equal {
        let kept = directory.join("second.deb");
        run(Command::new("cp").arg(&second).arg(&kept))?;
    }
    ensure!(
        is_equal,
        "two whole builds differ: {} and second.deb in {}; `diffoscope` shows where",
        first.display(),
        directory.display()
    );
    fs::remove_dir_all(&directory).context("cannot remove the builds")
}

fn rustup_home() -> Result<PathBuf> {
    let home = env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".rustup")));
    home.context("neither RUSTUP_HOME nor HOME is set")
}
