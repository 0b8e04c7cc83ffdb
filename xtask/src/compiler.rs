//! Adds flags to the compiler's command line that cargo does not see.
//!
//! Cargo hashes the flags that it has for the compiler into the names of symbols and
//! directories. Flags with this machine's paths would make two builds differ, and other
//! flags for some crates would make cargo compile all of them once more. Therefore cargo
//! starts this program as a wrapper of the compiler, which adds the flags.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

/// The variable with the flags that a wrapper adds. The build script of spamdrop
/// empties it, because the cargo that builds the filter trims the paths itself.
const FLAGS: &str = "SPAMDROP_COMPILER_FLAGS";
const SEPARATOR: char = '\x1f';

/// The crates that are compiled with further flags. Build scripts never are.
#[derive(Clone, Copy)]
pub enum Crates {
    /// All crates.
    All,
    /// Those of the workspace. Cargo keeps them apart from those without the flags.
    Workspace,
}

/// Replaces this process by the compiler, and does not return, if cargo started it as a
/// wrapper. `None`: cargo did not. The error says why the compiler cannot be started.
pub fn become_compiler() -> Option<io::Error> {
    let flags = env::var(FLAGS).ok()?;
    let mut arguments = env::args_os().skip(1);
    let mut compiler = Command::new(arguments.next()?);
    let arguments: Vec<_> = arguments.collect();
    if !is_build_script(&arguments) {
        compiler.args(flags.split(SEPARATOR).filter(|flag| !flag.is_empty()));
    }
    Some(compiler.args(arguments).exec())
}

fn is_build_script(arguments: &[OsString]) -> bool {
    let mut pairs = arguments.windows(2);
    pairs.any(|pair| pair[0] == "--crate-name" && is_name_of_script(&pair[1]))
}

/// Cargo's name for a build script: `build_script_build`, or another file's name at its
/// end.
fn is_name_of_script(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with("build_script_"))
}

/// Makes cargo compile these crates with further flags.
///
/// # Errors
///
/// The path of this program is unknown.
pub fn add_flags(cargo: &mut Command, crates: Crates, flags: &[impl AsRef<str>]) -> Result<()> {
    let wrapper = env::current_exe().context("the path of this program")?;
    let variable = match crates {
        Crates::All => "RUSTC_WRAPPER",
        Crates::Workspace => "RUSTC_WORKSPACE_WRAPPER",
    };
    cargo.env(variable, wrapper);
    let flags: Vec<&str> = flags.iter().map(AsRef::as_ref).collect();
    cargo.env(FLAGS, flags.join(&SEPARATOR.to_string()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_script_is_told_from_a_library() {
        let arguments = |name: &str| ["--edition=2024", "--crate-name", name].map(OsString::from);
        assert!(is_build_script(&arguments("build_script_build")));
        assert!(!is_build_script(&arguments("spamdrop")));
        assert!(!is_build_script(&["build_script_build".into()]));
    }
}
