//! Runs the mail server's own tools.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The output of a tool; `None` if it is not installed.
///
/// # Errors
///
/// The tool cannot be started, or fails. The message has the first line of its error
/// output.
pub fn output(program: &str, args: &[impl AsRef<OsStr>]) -> Result<Option<String>> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
    let output = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        output => output.with_context(|| format!("cannot run {program}"))?,
    };
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.lines().next().unwrap_or("no error message");
        bail!("{program} failed ({}): {words}", output.status);
    }
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}
