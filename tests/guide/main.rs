//! Runs the commands of the README and of the guide, in network namespaces, and
//! compares their output with the documented one.
//!
//! A `sh` block has a command a line, each of which must succeed. A `console`
//! block has commands behind `$ `, and behind each its output. Comments like
//! `<!-- test: daemon -->` direct the test; see [`Stage::direct`].

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod compare;
mod stage;

use std::collections::BTreeSet;
use std::fs;

use spamdrop_lab::guide::{Page, Part, pages, root};

use compare::difference;
use stage::Stage;

/// Commands that are not run, each with the reason.
const NOT_RUN: [(&str, &str); 34] = [
    (
        "cargo xtask demo",
        "takes a minute and needs the whole machine",
    ),
    ("cargo xtask test", "is what runs this test"),
    ("cargo xtask setup", "installs tools"),
    ("cargo build --release", "takes minutes"),
    ("cargo xtask man", "is run by the lint group"),
    ("cargo xtask dist", "takes minutes"),
    (
        "apt install ./target/dist/spamdrop_0.1.0_amd64.deb",
        PACKAGED,
    ),
    ("spamdrop setup --write", PACKAGED),
    ("systemctl enable --now spamdrop", PACKAGED),
    (
        "install -m 755 target/release/spamdrop /usr/local/sbin/",
        INSTALLS,
    ),
    (
        "install -D -m 644 target/man/spamdrop.8 /usr/local/share/man/man8/spamdrop.8",
        INSTALLS,
    ),
    (
        "install -D -m 644 target/man/spamdrop.toml.5 /usr/local/share/man/man5/spamdrop.toml.5",
        INSTALLS,
    ),
    (
        "install -D -m 644 spamdrop/dist/sysusers.conf /etc/sysusers.d/spamdrop.conf",
        INSTALLS,
    ),
    (
        "install -m 644 spamdrop/dist/spamdrop.service /etc/systemd/system/",
        INSTALLS,
    ),
    (
        "install -m 644 /usr/share/doc/spamdrop/examples/spamdrop-metrics.* /etc/systemd/system/",
        INSTALLS,
    ),
    (
        "systemctl daemon-reload && systemctl enable --now spamdrop-metrics.timer",
        SYSTEMD,
    ),
    (
        "systemd-sysusers && systemctl daemon-reload",
        "changes the machine's accounts and systemd",
    ),
    (
        "install -m 644 /usr/share/doc/spamdrop/examples/spamdrop-[nr]* /etc/systemd/system/",
        INSTALLS,
    ),
    ("systemctl daemon-reload", SYSTEMD),
    (
        "systemctl enable --now spamdrop-allow@mx.provider.example.timer",
        SYSTEMD,
    ),
    (
        "systemctl enable --now spamdrop-notify@ceiling spamdrop-notify@zone-broken",
        SYSTEMD,
    ),
    ("systemctl enable --now spamdrop-report.timer", SYSTEMD),
    (
        "journalctl -u spamdrop SPAMDROP_EVENT=ceiling SPAMDROP_EVENT=zone-broken",
        "reads the machine's own journal; tests/journal reads such an entry of a private one",
    ),
    (
        "curl -fsS https://www.spamhaus.org/drop/drop_v4.json | spamdrop import --owner drop --for 2d --fixed --replace",
        "needs the internet; tests of the parser read such a list",
    ),
    (
        "install -m 644 /usr/share/doc/spamdrop/examples/fail2ban-action.conf /etc/fail2ban/action.d/spamdrop.conf",
        INSTALLS,
    ),
    (
        "ssh mx2.example spamdrop export | spamdrop import",
        "there is no such host",
    ),
    (
        "journalctl -o short-iso _SYSTEMD_UNIT=courier-mta.service | spamdrop scan -",
        "reads the machine's own journal; tests/journal follows a private one",
    ),
    (
        "spamdrop run --dry-run",
        "ends by a signal only; tests/cli/replay.rs runs it",
    ),
    ("spamdrop report --since yesterday", WAVE),
    ("spamdrop report 17", WAVE),
    ("spamdrop report --since yesterday --until today", WAVE),
    (
        "spamdrop top",
        "needs a terminal; tests/cli_kernel/top.rs runs it in one",
    ),
    ("spamdrop report --svg wave.svg", WAVE),
    ("spamdrop report --html report.html", WAVE),
];
const SYSTEMD: &str = "changes the machine's systemd";
const INSTALLS: &str = "writes to the machine's directories";
const PACKAGED: &str = "is run in a guest: `cargo xtask test --only dist`";
const WAVE: &str = "there has been no wave; tests/daemon/waves makes one and reports it";

#[test]
fn every_documented_command_runs_and_prints_what_is_documented() {
    let mut skipped = BTreeSet::new();
    let mut failures = String::new();
    for page in pages().unwrap() {
        failures += &run(&page, &mut skipped);
    }
    assert!(failures.is_empty(), "{failures}");
    for (command, _) in NOT_RUN {
        assert!(
            skipped.contains(command),
            "`{command}` is no longer documented"
        );
    }
}

/// Runs the commands of the table's column for spamdrop.
#[test]
fn the_ten_commonest_tasks_take_one_command_each() {
    let page = fs::read_to_string(root().join("spamdrop/docs/operation.md")).unwrap();
    let (_, table) = page.split_once("| task | spamdrop |").unwrap();
    let rows = table.lines().skip(2);
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.len(), 10);
    let mut stage = Stage::new().unwrap();
    stage.direct("daemon").unwrap();
    for row in rows {
        let cell = row.split(" | ").nth(1).unwrap();
        let commands: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!commands.is_empty(), "{row}");
        // An earlier task has unblocked the address.
        if row.contains("192.0.2.66") {
            stage.direct("rejected 192.0.2.66").unwrap();
        }
        for command in commands {
            if !command.starts_with("systemctl ") {
                stage.run(command).unwrap();
            }
        }
    }
}

/// Runs the blocks of a page. Returns the first failure, or an empty string.
/// The rest of the page is not run after a failure, because it may depend on
/// what failed.
fn run(page: &Page, skipped: &mut BTreeSet<String>) -> String {
    let mut stage: Option<Stage> = None;
    for part in page.parts().unwrap() {
        let stage = stage.get_or_insert_with(|| Stage::new().unwrap());
        let (place, outcome) = match part {
            Part::Direction(direction) => (
                format!("<!-- test: {direction} -->"),
                stage.direct(&direction),
            ),
            Part::Block {
                language,
                text,
                line,
            } => {
                let outcome = match language.as_str() {
                    "console" => console(stage, &text, skipped),
                    "sh" => sh(stage, &text, skipped),
                    _ => Ok(()),
                };
                (format!("line {line}"), outcome)
            }
        };
        if let Err(error) = outcome {
            return format!("\n{}, {place}: {error:#}\n", page.path.display());
        }
    }
    String::new()
}

fn is_skipped(command: &str, skipped: &mut BTreeSet<String>) -> bool {
    let is_skipped = NOT_RUN.iter().any(|(listed, _)| *listed == command);
    is_skipped && {
        skipped.insert(command.to_owned());
        true
    }
}

fn sh(stage: &mut Stage, block: &str, skipped: &mut BTreeSet<String>) -> anyhow::Result<()> {
    for line in block.lines() {
        let command = line.split("  #").next().unwrap_or_default().trim_end();
        if command.is_empty() || command.starts_with('#') || is_skipped(command, skipped) {
            continue;
        }
        stage.run(command)?;
    }
    Ok(())
}

fn console(stage: &mut Stage, block: &str, skipped: &mut BTreeSet<String>) -> anyhow::Result<()> {
    let block = format!("\n{block}");
    for part in block.split("\n$ ").skip(1) {
        let (command, documented) = part.split_once('\n').unwrap_or((part, ""));
        if is_skipped(command, skipped) {
            continue;
        }
        let printed = stage.run(command)?;
        if let Some(difference) = difference(documented, &printed) {
            anyhow::bail!("`{command}` {difference}\nall it prints:\n{printed}");
        }
    }
    Ok(())
}
