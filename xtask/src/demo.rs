//! `cargo xtask demo`: shows the daemon at work, in about half a minute.
//!
//! Everything that it creates is in namespaces without a name and on a tmpfs
//! that only this process and its children see. The kernel removes all of it
//! when the process ends, even by a signal, so no signal is handled.

mod scenes;
mod stage;
mod story;

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use rustix::process::geteuid;

use crate::{
    command::{as_root, cargo, find, run as run_command},
    say, setup,
};
use stage::Stage;
use story::Story;

/// The directory on which the private tmpfs is mounted. The mount hides the
/// directory's content, so the checkout and the programs must be elsewhere.
const TEMPORARY: &str = "/var/log";

/// Options of `cargo xtask demo`.
#[derive(Args)]
pub struct Options {
    /// Add a line to spamdrop's configuration, to see what depends on it:
    /// 'release = "off"' makes a step fail
    #[arg(long, value_name = "LINE")]
    with: Vec<String>,
    /// Skip the build: this process is the second run, as root
    #[arg(long, hide = true)]
    built: bool,
}

/// Builds the programs as the user, and runs the steps as root.
///
/// # Errors
///
/// Names the step whose result was unexpected, or the setup that failed.
pub fn run(options: &Options) -> Result<()> {
    if !options.built {
        build()?;
    }
    if !geteuid().is_root() {
        match become_root(options)? {}
    }
    // No other thread has been started yet: an existing thread would not see the
    // mount.
    spamdrop_lab::private_tmpfs(Path::new(TEMPORARY))
        .context("cannot make namespaces; a container needs --privileged")?;
    tempfile::env::override_temp_dir(Path::new(TEMPORARY))
        .map_err(|earlier| anyhow!("temporary files go to {} already", earlier.display()))?;

    say("all that follows lives in namespaces that end with this program, also by Ctrl-C");
    let mut story = Story::new();
    let stage = Stage::new(&options.with)?;
    scenes::play(&mut story, &stage).map_err(|error| {
        let output = stage.last_output();
        anyhow!("{error:#}\nspamdrop's last output:\n{output}")
    })?;
    story.end()
}

fn build() -> Result<()> {
    setup::building()?;
    setup::tools()?;
    say("building spamdrop and its laboratory");
    let packages = ["--package=spamdrop", "--package=spamdrop-lab"];
    run_command(cargo(["build", "--quiet", "--bins"]).args(packages))
}

/// Replaces this process by the same program as root.
fn become_root(options: &Options) -> Result<Infallible> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["demo", "--built"]);
    for line in &options.with {
        command.args(["--with", line]);
    }
    if let Some(value) = std::env::var_os("NO_COLOR") {
        command.env("NO_COLOR", value);
    }
    if find("sudo").is_none() {
        bail!(
            "making network namespaces needs root, and there is no sudo; as root, run: {command:?}"
        );
    }
    say("going on as root, by sudo: making network namespaces needs it");
    Err(as_root(command)?.exec()).context("cannot start sudo")
}
