//! Runs a guest to its end, and counts its tests.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::{command::each_line, say, tally::Tally};

/// Number of the console's lines that are shown when a guest dies.
const LAST_LINES: usize = 40;

/// Makes a command that ends with this program, and at the latest after the
/// timeout.
pub fn ending(timeout: Duration) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--", "timeout"]);
    command.arg(timeout.as_secs().to_string());
    command.args(["setpriv", "--pdeathsig", "KILL", "--"]);
    command
}

/// Runs a guest whose output is the command's. A guest that gives no result is
/// one failure.
pub fn run(name: &str, qemu: anyhow::Result<Command>, console: &Path) -> Tally {
    let mut tally = Tally::default();
    let outcome = qemu.and_then(|mut qemu| {
        each_line(&mut qemu, |line| {
            println!("{name}: {line}");
            tally.read(line);
        })
    });
    if let Err(error) = outcome {
        say(&format!("{name}: {error:#}"));
        tally = Tally::default();
    }
    counted(name, tally, console)
}

/// The tally of a guest that has ended. If it gave no result, that is one failure,
/// and the last lines of its console are shown.
pub fn counted(name: &str, tally: Tally, console: &Path) -> Tally {
    if tally != Tally::default() {
        return tally;
    }
    say(&format!(
        "{name}: the guest gave no result; the last lines of {}:\n{}",
        console.display(),
        last_lines(console)
    ));
    Tally::FAILED
}

fn last_lines(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    lines[first..].join("\n")
}
