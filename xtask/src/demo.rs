//! `cargo xtask demo`: builds and runs the demo of `tests/lab`.

use std::convert::Infallible;
use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;
use clap::Args;

use crate::{
    command::{as_root, cargo, command_line, run as run_command},
    say, setup,
};

/// Options of `cargo xtask demo`.
#[derive(Args)]
pub struct Options {
    /// Add a line to spamdrop's configuration, to see what depends on it:
    /// 'release = "off"' makes a step fail
    #[arg(long, value_name = "LINE")]
    with: Vec<String>,
}

/// Builds the programs as the user, and replaces this process by the demo as root.
///
/// # Errors
///
/// A program cannot be built or started.
pub fn run(options: &Options) -> Result<Infallible> {
    let mut demo = Command::new(build()?);
    for line in &options.with {
        demo.args(["--with", line]);
    }
    if let Some(value) = env::var_os("NO_COLOR") {
        demo.env("NO_COLOR", value);
    }
    let mut demo = as_root(demo)?;
    Err(demo.exec()).with_context(|| format!("cannot start `{}`", command_line(&demo)))
}

fn build() -> Result<PathBuf> {
    setup::building()?;
    setup::tools()?;
    say("building spamdrop and its laboratory");
    let packages = ["--package=spamdrop", "--package=spamdrop-lab"];
    run_command(cargo(["build", "--quiet", "--bins"]).args(packages))?;
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    Ok(target.join("debug/lab-demo").into())
}
