//! The package of the last version whose maps had another layout, for the test of an
//! upgrade.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::nested;
use crate::{
    command::{cargo, output},
    say,
};

/// The file with the number of the layout.
const ABI: &str = "spamdrop-common/src/abi.rs";
/// The text before the number.
const NUMBER: &str = "ABI_VERSION: u32 = ";

/// Builds the package without optimisation, and keeps it below the target directory.
///
/// # Errors
///
/// The history lacks that version, or the command that failed.
pub fn package() -> Result<PathBuf> {
    let commit = commit()?;
    let directory = super::directory()?.join("older").join(&commit);
    let package = directory.join("spamdrop.deb");
    if !package.exists() {
        say(&format!(
            "building the package of {commit}, whose maps have another layout"
        ));
        let place = tempfile::tempdir()?;
        let built = nested::build(&commit, place.path(), "dev", cargo([]))?;
        fs::create_dir_all(&directory)?;
        fs::copy(built, &package)?;
    }
    Ok(package)
}

/// The parent of the commit that changed the layout's number.
fn commit() -> Result<String> {
    let text = fs::read_to_string(ABI).context(ABI)?;
    let (_, rest) = text.split_once(NUMBER).context("a layout without number")?;
    let number = rest.split(';').next().unwrap_or_default();
    let number: u32 = number.parse().context("the layout's number")?;
    let mut log = Command::new("git");
    log.args(["log", "-1", "--format=%H"]);
    let change = output(
        log.arg(format!("-S{NUMBER}{}", number - 1))
            .args(["--", ABI]),
    )?;
    let change = change.trim();
    ensure!(
        !change.is_empty(),
        "the history does not reach back to the layout before v{number}; `git fetch --unshallow`"
    );
    nested::commit(&format!("{change}^"))
}
