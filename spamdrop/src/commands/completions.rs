//! `completions`: shell completions.

use std::io::Write;

use anyhow::Result;
use clap::CommandFactory as _;

use crate::cli::{Cli, Completions};

/// Runs the verb.
///
/// # Errors
///
/// The writer fails.
pub fn run(args: Completions, out: &mut impl Write) -> Result<()> {
    // The generator panics if its writer fails, which a `Vec` never does.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "spamdrop", &mut script);
    Ok(out.write_all(&script)?)
}
