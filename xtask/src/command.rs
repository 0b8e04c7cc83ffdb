//! Finds and runs other programs, as root if needed.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail, ensure};

/// The packages of the workspace that are built for the host, not the kernel.
pub const HOST_PACKAGES: [&str; 3] = [
    "--workspace",
    "--exclude=spamdrop-ebpf",
    "--exclude=spamdrop-bench-ebpf",
];

/// Locked while apt-get runs, which refuses to run twice at once.
pub static APT: Mutex<()> = Mutex::new(());

/// Makes a `cargo` command with these arguments.
pub fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments);
    command
}

/// Runs a command to its end; its output is not captured.
///
/// # Errors
///
/// Names the command that cannot be started or fails, and its status.
pub fn run(command: &mut Command) -> Result<()> {
    command.stdin(Stdio::null());
    let status = command.status().with_context(|| cannot_start(command))?;
    ensure!(
        status.success(),
        "`{}` failed: {status}",
        command_line(command)
    );
    Ok(())
}

/// Runs a command as [`run`] does, and returns its standard output.
///
/// # Errors
///
/// As [`run`].
pub fn output(command: &mut Command) -> Result<String> {
    let mut text = String::new();
    each_line(command, |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    Ok(text)
}

/// Runs a command as [`run`] does, and passes each line of its standard output
/// to `see` as it arrives.
///
/// # Errors
///
/// As [`run`].
pub fn each_line(command: &mut Command, mut see: impl FnMut(&str)) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| cannot_start(command))?;
    if let Some(stdout) = child.stdout.take() {
        for bytes in BufReader::new(stdout).split(b'\n') {
            see(&String::from_utf8_lossy(&bytes?));
        }
    }
    let status = child.wait()?;
    ensure!(
        status.success(),
        "`{}` failed: {status}",
        command_line(command)
    );
    Ok(())
}

/// Wraps a command so that it runs as root: through sudo, unless this process
/// is root already.
///
/// # Errors
///
/// If there is no sudo, names the command that root has to run.
pub fn as_root(command: Command) -> Result<Command> {
    if rustix::process::geteuid().is_root() {
        return Ok(command);
    }
    if find("sudo").is_none() {
        bail!(
            "there is no sudo; run this as root, then try again: {}",
            command_line(&command)
        );
    }
    let mut sudo = Command::new("sudo");
    // The variables are passed through `env`, because sudo may drop them.
    sudo.arg("env").args(assignments(&command));
    sudo.arg(command.get_program()).args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        sudo.current_dir(directory);
    }
    Ok(sudo)
}

/// Finds a command, also in directories that only root's `PATH` contains.
pub fn find(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|path| Path::is_file(path))
}

/// The command line as a user would type it.
pub fn command_line(command: &Command) -> String {
    let words: Vec<_> = assignments(command)
        .into_iter()
        .chain([command.get_program().to_owned()])
        .chain(command.get_args().map(OsStr::to_owned))
        .map(|word| match word.to_string_lossy() {
            word if word.contains(' ') => format!("'{word}'"),
            word => word.into_owned(),
        })
        .collect();
    words.join(" ")
}

fn assignments(command: &Command) -> Vec<OsString> {
    let set = command
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    set.map(|(name, value)| {
        let mut assignment = name.to_owned();
        assignment.push("=");
        assignment.push(value);
        assignment
    })
    .collect()
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", command_line(command))
}
