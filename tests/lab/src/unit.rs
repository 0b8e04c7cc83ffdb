//! The shell of a unit's `ExecStart`, for a test that runs it without systemd.

use anyhow::{Context as _, Result};

/// The script that a unit of spamdrop/dist gives to `sh -c`, as systemd passes
/// it on: continued lines are joined, and specifiers and escapes are replaced:
/// `%i` of a template unit by `instance`, and `%H`, the host's name, by `host`.
///
/// # Errors
///
/// The unit does not start `/bin/sh` with a script in single quotes.
pub fn script(unit: &str, instance: &str) -> Result<String> {
    let joined = unit.replace("\\\n", " ");
    let start = joined
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/bin/sh -"));
    let (_, quoted) = start
        .and_then(|start| start.split_once(' '))
        .context("the unit starts no /bin/sh")?;
    let script = quoted
        .strip_prefix('\'')
        .and_then(|it| it.strip_suffix('\''));
    let mut script = script.context("the script is not in quotes")?.to_owned();
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
