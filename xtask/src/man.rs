//! The man pages: generated from the command line and the configuration, and
//! checked with man itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::MetadataCommand;

use crate::{
    command::{HOST_PACKAGES, cargo, command_line, run},
    say, setup,
    test::FEATURE,
};

const PAGES: [&str; 2] = ["spamdrop.8", "spamdrop.toml.5"];

/// Writes the pages to `target/man`.
///
/// # Errors
///
/// The pages cannot be built; the error names the command.
pub fn write() -> Result<()> {
    for page in build()? {
        say(&format!(
            "wrote {0}; read it with `man -l {0}`",
            page.display()
        ));
    }
    Ok(())
}

/// Checks that man prints no warning about a page.
///
/// # Errors
///
/// man does not run, or prints a warning; the error contains its output.
pub fn check() -> Result<()> {
    setup::man()?;
    build()?.iter().try_for_each(|page| without_warnings(page))
}

/// Builds the pages with the cargo example `man` of spamdrop. An example may
/// use dev-dependencies, so clap_mangen is not in the installed program.
///
/// # Errors
///
/// The pages cannot be built; the error names the command.
pub fn build() -> Result<Vec<PathBuf>> {
    setup::building()?;
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    let directory = target.join("man");
    // With the features of the tests, so that what they have compiled is used.
    let mut example = cargo(["build", "--quiet", "--example", "man"]);
    run(example.args(HOST_PACKAGES).args(["--features", FEATURE]))?;
    run(Command::new(target.join("debug/examples/man")).arg(directory.as_std_path()))?;
    Ok(PAGES.map(|page| directory.join(page).into()).into())
}

fn without_warnings(page: &Path) -> Result<()> {
    let mut man = Command::new("man");
    man.args(["--warnings=w", "--local-file"]).arg(page);
    man.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80");
    man.stdin(Stdio::null()).stdout(Stdio::null());
    let shown = man
        .output()
        .with_context(|| format!("cannot start `{}`", command_line(&man)))?;
    let warnings = String::from_utf8_lossy(&shown.stderr);
    ensure!(
        shown.status.success() && warnings.is_empty(),
        "`{}`: {}\n{warnings}",
        command_line(&man),
        shown.status
    );
    Ok(())
}
