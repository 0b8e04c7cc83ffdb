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
    let has_result = tally != Tally::default();
    if outcome.is_err() || !has_result {
        let _ = outcome.map_err(|error| say(&format!("{name}: {error:#}")));
        say(&format!(
            "{name}: the guest gave no result; the last lines of {}:\n{}",
            console.display(),
            last_lines(console)
        ));
        tally.failed += 1;
    }
    tally
}

fn last_lines(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    lines[first..].join("\n")
}
