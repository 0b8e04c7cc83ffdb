//! Shows the daemon at work, in about half a minute: `cargo xtask demo` builds and runs
//! it.
//!
//! Everything that it creates is in namespaces without a name and on a tmpfs
//! that only this process and its children see. The kernel removes all of it
//! when the process ends, even by a signal, so no signal is handled.

#![forbid(unsafe_code)]

mod scenes;
mod stage;
mod story;

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;

use stage::Stage;
use story::Story;

/// The directory on which the private tmpfs is mounted. The mount hides the
/// directory's content, so the checkout and the programs must be elsewhere.
const TEMPORARY: &str = "/var/log";

/// Shows spamdrop at work, as root.
#[derive(Parser)]
struct Cli {
    /// Add a line to spamdrop's configuration
    #[arg(long, value_name = "LINE")]
    with: Vec<String>,
}

fn main() -> Result<()> {
    let options = Cli::parse();
    // No other thread has been started yet: an existing thread would not see the
    // mount.
    spamdrop_lab::private_tmpfs(Path::new(TEMPORARY))
        .context("cannot make namespaces; a container needs --privileged")?;
    tempfile::env::override_temp_dir(Path::new(TEMPORARY))
        .map_err(|earlier| anyhow!("temporary files go to {} already", earlier.display()))?;

    let mut story = Story::new();
    story
        .scene("All that follows lives in namespaces that end with this program, also by Ctrl-C")?;
    let stage = Stage::new(&options.with)?;
    scenes::play(&mut story, &stage).map_err(|error| {
        let output = stage.last_output();
        anyhow!("{error:#}\nspamdrop's last output:\n{output}")
    })?;
    story.end()
}
