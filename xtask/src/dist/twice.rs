//! Checks that the package does not depend on the user, the place and the time of its
//! build: it must be the same, byte for byte.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command::{cargo, run};

use super::package::{Built, Package};
use super::{cargo_home, directory, nested};

/// The user `nobody`. If this process is root, it builds the second package as this
/// user.
const NOBODY: u32 = 65534;

/// The profile of cargo with which whole builds are compared.
const PROFILE: &str = "dev";

/// The second build, as a shell command: with another umask and another environment.
const ELSEWHERE: &str = "umask 0077 && \
    export TZ=Pacific/Kiritimati LANG=C LC_ALL=C HOME=/nonexistent USER=somebody && \
    exec dpkg-buildpackage --build=binary --no-sign";

/// Builds the package a second time and compares it with the first.
///
/// # Errors
///
/// They differ; or the command that failed.
pub fn compare(built: &Built, first: &Path) -> Result<()> {
    let directory = tempfile::Builder::new()
        .prefix("spamdrop-dist-")
        .tempdir()?;
    // The directory is outside of the target directory, which `nobody` may be unable to
    // enter.
    let directory = directory.path().join("with a longer name").join("package");
    let second = build_elsewhere(built, &directory)?;
    ensure_equal(first, &second)
}

/// Builds the program and the package of the last commit twice, without
/// optimisation, and compares the packages.
///
/// # Errors
///
/// They differ; or the command that failed.
pub fn compare_whole() -> Result<()> {
    let commit = nested::commit("HEAD")?;
    let here = tempfile::tempdir()?;
    let built = nested::build(&commit, here.path(), PROFILE, cargo([]))?;
    let first = directory()?.join("whole.deb");
    fs::copy(built, &first)?;
    let elsewhere = tempfile::Builder::new()
        .prefix("spamdrop-dist-")
        .tempdir()?;
    let elsewhere = elsewhere.path().join("with a longer name");
    let home = elsewhere.join("cargo");
    fs::create_dir_all(&home)?;
    // The registry is copied: the compiler would resolve a symbolic link, and name the
    // first build's path.
    let registry = cargo_home()?.join("registry");
    run(Command::new("cp").arg("-r").arg(registry).arg(&home))?;
    let mut other = cargo([]);
    other.env("CARGO_HOME", home);
    other.envs([("TZ", "Pacific/Kiritimati"), ("LC_ALL", "C")]);
    let second = nested::build(&commit, &elsewhere, PROFILE, other)?;
    ensure_equal(&first, &second)
}

fn ensure_equal(first: &Path, second: &Path) -> Result<()> {
    let is_equal = fs::read(first)? == fs::read(second)?;
    ensure!(
        is_equal,
        "two builds of the package differ: {} and {}; `diffoscope` shows where",
        first.display(),
        copy_second(first, second)?.display()
    );
    Ok(())
}

fn build_elsewhere(built: &Built, directory: &Path) -> Result<PathBuf> {
    let package = Package::new(built, directory)?.compressed_fast();
    // The files get a time in the future. The package must be the same, because dpkg-deb
    // replaces each time that is later than the changelog's by the changelog's.
    let tree = directory.join("tree");
    let mut touch = Command::new("find");
    touch
        .arg(&tree)
        .args(["-exec", "touch", "--date=2099-02-03", "{}", "+"]);
    run(&mut touch)?;
    if !rustix::process::geteuid().is_root() {
        let mut build = Command::new("sh");
        build.args(["-c", ELSEWHERE]);
        return package.build_with(build);
    }
    let mut own = Command::new("chown");
    run(own.args(["-R", &NOBODY.to_string()]).arg(directory))?;
    for above in directory.ancestors().skip(1).take(2) {
        chown(above, Some(NOBODY), None)?;
    }
    let mut build = Command::new("setpriv");
    build.args([
        "--reuid",
        &NOBODY.to_string(),
        "--regid",
        &NOBODY.to_string(),
    ]);
    build.args(["--clear-groups", "sh", "-c", ELSEWHERE]);
    package.build_with(build)
}

/// Copies the second package beside the first, so that it is kept. Returns the copy.
fn copy_second(first: &Path, second: &Path) -> Result<PathBuf> {
    let kept = first.with_extension("second.deb");
    fs::copy(second, &kept).with_context(|| format!("cannot copy {}", second.display()))?;
    Ok(kept)
}
