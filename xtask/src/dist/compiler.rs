//! Calls the Rust compiler so that the program names no path of this machine.
//!
//! Cargo hashes the flags that it has for the compiler into the names of symbols and
//! directories, so flags with the machine's paths would make two builds differ.
//! Therefore cargo starts this program as a wrapper of the compiler, which adds the
//! flags.

use std::env;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::cargo_home;
use crate::setup;

/// The variable with the flags that a wrapper adds. The build script of spamdrop
/// empties it, because the cargo that builds the filter trims the paths itself.
const FLAGS: &str = "SPAMDROP_COMPILER_FLAGS";
const SEPARATOR: char = '\x1f';

/// Replaces this process by the compiler, and does not return, if cargo started it as a
/// wrapper. `None`: cargo did not. The error says why the compiler cannot be started.
pub fn become_compiler() -> Option<io::Error> {
    let flags = env::var(FLAGS).ok()?;
    let mut arguments = env::args_os().skip(1);
    let mut compiler = Command::new(arguments.next()?);
    compiler.args(arguments);
    compiler.args(flags.split(SEPARATOR).filter(|flag| !flag.is_empty()));
    Some(compiler.exec())
}

/// Makes cargo build a program that names fixed directories in place of this machine's.
///
/// # Errors
///
/// The directories are unknown.
pub fn hide_directories(cargo: &mut Command) -> Result<()> {
    let root = env::current_dir()?.canonicalize()?;
    let flag = |from: &Path, to| format!("--remap-path-prefix={}={to}", from.display());
    let flags = [
        flag(&root, "/spamdrop"),
        flag(&cargo_home()?, "/cargo"),
        flag(&setup::sysroot()?, "/rust"),
    ];
    let wrapper = env::current_exe().context("the path of this program")?;
    cargo.env("RUSTC_WRAPPER", wrapper);
    cargo.env(FLAGS, flags.join(&SEPARATOR.to_string()));
    Ok(())
}
