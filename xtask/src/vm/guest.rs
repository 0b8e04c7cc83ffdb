//! Runs a guest to its end, and counts its tests.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::{command::each_line, say, tally::Tally};

/// Number of the console's lines that are shown when a guest dies.
const LAST_LINES: usize = 40;

/// Makes a command that runs another one, which the caller adds as arguments. Both end
/// when this program ends, and at the latest after the timeout.
pub fn ending(timeout: Duration) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--", "timeout"]);
    command.arg(timeout.as_secs().to_string());
    command.args(["setpriv", "--pdeathsig", "KILL", "--"]);
    command
}

/// Runs a guest by a command that prints the guest's output. A guest that gives no
/// result is one failure.
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

/// A panic counts from this many seconds after the start of Linux. An earlier one may
/// be a fault of the emulator.
const STARTED: f64 = 10.0;

/// The tally of a guest that has ended. A panic of Linux adds one failure. A guest
/// without a result is one failure, and the last lines of its console are shown.
pub fn counted(name: &str, mut tally: Tally, console: &Path) -> Tally {
    if tally != Tally::default() {
        let text = fs::read(console).unwrap_or_default();
        if let Some(panic) = panic(&String::from_utf8_lossy(&text)) {
            say(&format!("{name}: {panic}; see {}", console.display()));
            tally.add(Tally::FAILED);
        }
        return tally;
    }
    say(&format!(
        "{name}: the guest gave no result; the last lines of {}:\n{}",
        console.display(),
        last_lines(console)
    ));
    Tally::FAILED
}

/// The line of a panic on the console, unless Linux was just starting.
fn panic(console: &str) -> Option<&str> {
    let seconds = |line: &str| {
        let (time, _) = line.strip_prefix('[')?.split_once(']')?;
        time.trim().parse::<f64>().ok()
    };
    let mut panics = console.lines().filter(|line| line.contains("Kernel panic"));
    panics.find(|line| seconds(line).is_none_or(|time| time >= STARTED))
}

fn last_lines(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    lines[first..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_counts_unless_linux_was_just_starting() {
        let starting = "[    1.513564] Kernel panic - not syncing: Fatal exception in interrupt";
        let later = "[   61.513564] Kernel panic - not syncing: Fatal exception";
        assert_eq!(panic(starting), None);
        assert_eq!(panic(&format!("{starting}\r\n{later}\n")), Some(later));
        assert_eq!(panic("Kernel panic"), Some("Kernel panic"));
    }
}
