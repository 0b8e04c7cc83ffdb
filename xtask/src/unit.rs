//! Checks the units of spamdrop/dist with systemd's own tools, which need no
//! running systemd.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{command::command_line, setup};

const UNIT: &str = "spamdrop/dist/spamdrop.service";
const UNITS: [&str; 6] = [
    UNIT,
    "spamdrop/dist/examples/spamdrop-notify@.service",
    "spamdrop/dist/examples/spamdrop-report.service",
    "spamdrop/dist/examples/spamdrop-report.timer",
    "spamdrop/dist/spamdrop-metrics.service",
    "spamdrop/dist/spamdrop-metrics.timer",
];
/// The greatest exposure that `systemd-analyze security` may give, times ten.
/// fail2ban's unit has 96, Debian's redis-server 12.
const EXPOSURE: &str = "20";

/// Checks that systemd understands every line of the units, and how much of the
/// machine the daemon's unit can reach.
///
/// # Errors
///
/// The error contains what systemd-analyze says.
pub fn check() -> Result<()> {
    setup::systemd()?;
    understood()?;
    let threshold = format!("--threshold={EXPOSURE}");
    let security = ["security", "--offline=true", "--no-pager", &threshold, UNIT];
    let said = analyze(&security)?;
    ensure!(said.success, "{UNIT} is exposed too much:\n{}", said.text);
    Ok(())
}

/// Checks that systemd understands the units. `/bin/true` replaces spamdrop in copies
/// of them, because spamdrop need not be installed here.
fn understood() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut copies = Vec::new();
    for path in UNITS {
        let unit = fs::read_to_string(path).context(path)?;
        let started = ["=spamdrop ", "-spamdrop "];
        let unit = started.into_iter().fold(unit, |unit, start| {
            unit.replace(start, &start.replace("spamdrop", "/bin/true"))
        });
        let name = Path::new(path).file_name().context(path)?;
        let copy = directory.path().join(name);
        fs::write(&copy, unit)?;
        copies.push(copy.display().to_string());
    }
    let mut arguments = vec!["verify", "--man=no"];
    arguments.extend(copies.iter().map(String::as_str));
    let said = analyze(&arguments)?;
    ensure!(
        said.success && said.text.is_empty(),
        "a unit of spamdrop/dist is not understood:\n{}",
        said.text
    );
    Ok(())
}

struct Said {
    success: bool,
    text: String,
}

fn analyze(arguments: &[&str]) -> Result<Said> {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{}`", command_line(&command)))?;
    let text = [output.stderr, output.stdout].concat();
    Ok(Said {
        success: output.status.success(),
        text: String::from_utf8_lossy(&text).into_owned(),
    })
}
