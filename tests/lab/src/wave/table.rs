//! A table of outcomes in Markdown.

use std::io::{self, Write};

use super::mode::Mode;
use super::outcome::{Outcome, Share, Times};
use super::population::Class;

const HEAD: [&str; 9] = [
    "spamdrop",
    "open p95 / max",
    "saturated",
    "bots served",
    "known sender's banner p50 / p99",
    "new sender's p50 / p95",
    "listed server's 511 p95",
    "listed bots told",
    "mails lost",
];

/// Writes a row for each mode. Times are in seconds.
///
/// # Errors
///
/// The writer fails.
pub fn write(rows: &[(Mode, Outcome)], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| {} |", HEAD.join(" | "))?;
    writeln!(out, "|{}", "-|".repeat(HEAD.len()))?;
    for (mode, outcome) in rows {
        writeln!(out, "| {mode} | {} |", cells(outcome).join(" | "))?;
    }
    Ok(())
}

fn cells(outcome: &Outcome) -> [String; 8] {
    let banner = |class, of: fn(Times) -> [f64; 2]| {
        let times = outcome.banner.get(&class).copied();
        times.map_or_else(String::new, |times| seconds(&of(times)))
    };
    [
        format!("{} / {}", outcome.open.p95, outcome.open.max),
        format!("{:.0} %", 100.0 * outcome.saturated),
        of_all(outcome.bots_served),
        banner(Class::Known, |times| [times.p50, times.p99]),
        banner(Class::New, |times| [times.p50, times.p95]),
        seconds(&[outcome.listed_servers.p95]),
        of_all(outcome.listed_bots),
        of_all(outcome.lost),
    ]
}

fn seconds(times: &[f64]) -> String {
    let shown = times.iter().map(|&time| {
        if time.is_finite() {
            format!("{time:.1}")
        } else {
            "never".into()
        }
    });
    shown.collect::<Vec<_>>().join(" / ")
}

fn of_all(share: Share) -> String {
    format!("{} of {}", share.some, share.all)
}
