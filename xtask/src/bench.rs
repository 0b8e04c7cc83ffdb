//! `cargo xtask bench`: measures spamdrop beside its alternatives.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;
use clap::Args;

use crate::{
    command::{as_root, cargo, each_line, run as run_command},
    say, setup,
};

const REPORT: &str = "BENCHMARKS.md";

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub struct Options {
    /// Fewer and shorter rounds; nothing is written
    #[arg(long)]
    quick: bool,
    /// Measure this group only, such as `packets`; nothing is written
    #[arg(long, value_name = "GROUP")]
    only: Vec<String>,
    /// Only show what a botnet's wave does to a small mail server, with and
    /// without spamdrop; nothing is written
    #[arg(long, conflicts_with_all = ["only", "slow"])]
    wave: bool,
    /// Add 16 map look-ups to each packet, to check that the figures fall
    #[arg(long, hide = true)]
    slow: bool,
}

/// Builds as the user, measures as root, and prints the table.
///
/// # Errors
///
/// Names what could not be built or measured.
pub fn run(options: &Options) -> Result<()> {
    setup::building()?;
    setup::tools()?;
    setup::bench_tools()?;
    say("building the bench");
    run_command(&mut cargo([
        "build",
        "--quiet",
        "--release",
        "--package=spamdrop",
        "--package=spamdrop-bench",
        "--package=spamdrop-lab",
    ]))?;
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    let mut bench = Command::new(target.join("release/spamdrop-bench"));
    bench.args(options.arguments());
    let mut report = String::new();
    each_line(&mut as_root(bench)?, |line| {
        println!("{line}");
        report.push_str(line);
        report.push('\n');
    })?;
    if options.arguments().is_empty() {
        fs::write(REPORT, report).with_context(|| format!("cannot write {REPORT}"))?;
        say(&format!("{REPORT} is written"));
    }
    Ok(())
}

impl Options {
    fn arguments(&self) -> Vec<&str> {
        let mut arguments = Vec::new();
        if self.quick {
            arguments.push("--quick");
        }
        if self.wave {
            arguments.push("--wave");
        }
        if self.slow {
            arguments.push("--slow");
        }
        for group in &self.only {
            arguments.extend(["--only", group]);
        }
        arguments
    }
}
