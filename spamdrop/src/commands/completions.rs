//! `completions`: for shells.

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
    // The generator panics where its writer fails; a Vec does not.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "spamdrop", &mut script);
    Ok(out.write_all(&script)?)
}
