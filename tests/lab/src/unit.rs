//! The shell of a unit's `ExecStart`, for a test that runs it without systemd.

use anyhow::{Context as _, Result};

/// The script that a unit of spamdrop/dist gives to `sh -c`, as systemd passes
/// it on: continued lines are joined, and specifiers and escapes are replaced.
/// `instance` is that of a template, and the host's name is `host`.
///
/// # Errors
///
/// The unit starts something else.
pub fn script(unit: &str, instance: &str) -> Result<String> {
    let joined = unit.replace("\\\n", " ");
    let start = joined
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/bin/sh -"));
    let (_, quoted) = start
        .and_then(|start| start.split_once(' '))
        .context("no shell")?;
    let script = quoted
        .strip_prefix('\'')
        .and_then(|it| it.strip_suffix('\''));
    let mut script = script.context("no quotes")?.to_owned();
    for (from, to) in [
        ("\\n", "\n"),
        ("%i", instance),
        ("%H", "host"),
        ("%%", "%"),
        ("$$", "$"),
    ] {
        script = script.replace(from, to);
    }
    Ok(script)
}
