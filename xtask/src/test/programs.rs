//! Builds the test programs, and makes the commands that run them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{Message, MetadataCommand};

use super::FEATURE;
use crate::command::{HOST_PACKAGES, cargo, output};

/// A test program: the unit tests of a library or a program, or a file of `tests/`.
pub struct Target<'a> {
    /// Cargo's name for it; empty for all unit tests.
    pub name: &'a str,
    /// Whether it needs root.
    pub is_root_only: bool,
}

/// Builds the wanted test programs. Returns commands that run them in the
/// directory that `cargo test` uses.
///
/// # Errors
///
/// A program does not build, or none is wanted.
pub fn programs(is_wanted: impl Fn(&Target<'_>) -> bool) -> Result<Vec<Command>> {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let mut build = cargo(["test", "--no-run", "--features", FEATURE]);
    build.args(HOST_PACKAGES);
    build.arg("--message-format=json-render-diagnostics");
    let mut wanted = Vec::new();
    for package in &metadata.packages {
        for target in package.targets.iter().filter(|target| target.is_test()) {
            let name = target.name.as_str();
            let is_root_only = target.required_features.iter().any(|f| f == FEATURE);
            if is_wanted(&Target { name, is_root_only }) {
                build.args(["--test", name]);
                wanted.push((&package.id, name));
            }
        }
    }
    let with_units = is_wanted(&Target {
        name: "",
        is_root_only: false,
    });
    if with_units {
        build.args(["--lib", "--bins"]);
    }
    ensure!(!wanted.is_empty(), "there is no such test target");
    let mut missing = wanted.len();
    let mut commands = Vec::new();
    let messages = output(&mut build)?;
    for message in Message::parse_stream(messages.as_bytes()) {
        let Message::CompilerArtifact(artifact) = message? else {
            continue;
        };
        let Some(program) = artifact.executable.filter(|_| artifact.profile.test) else {
            continue;
        };
        let is_unit = !artifact.target.is_test();
        if wanted.contains(&(&artifact.package_id, artifact.target.name.as_str())) && !is_unit {
            missing -= 1;
        } else if !(is_unit && with_units) {
            continue;
        }
        let directory = artifact.manifest_path.parent();
        let mut command = Command::new(program);
        command.current_dir(directory.context("a manifest without directory")?);
        commands.push(command);
    }
    ensure!(missing == 0, "cargo did not build {missing} test programs");
    Ok(commands)
}

/// A copy of the command.
pub fn again(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        copy.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => copy.env(name, value),
            None => copy.env_remove(name),
        };
    }
    copy
}

/// Whether a command runs this test target: cargo adds a hash to its name.
pub fn is_program(command: &Command, target: &str) -> bool {
    let file = Path::new(command.get_program()).file_name();
    let name = file.and_then(|name| name.to_str()).unwrap_or_default();
    name.rsplit_once('-')
        .is_some_and(|(name, _)| name == target)
}
