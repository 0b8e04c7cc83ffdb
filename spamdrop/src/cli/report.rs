//! `report` on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use jiff::civil::DateTime;
use spamdrop_core::duration;

/// Flags of `report`.
#[derive(Clone, Debug, Args)]
pub struct Report {
    /// Start of the period: a time ago such as 2h or 7d, or a date such as
    /// 2026-11-20 [default: 7d]
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub since: Option<Since>,
    /// Print JSON
    #[arg(short, long, conflicts_with = "svg")]
    pub json: bool,
    /// Write a picture of the period, or without `--since` of the last wave;
    /// `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// Start or end of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// This long ago.
    Ago(Duration),
    /// At this time.
    At(Timestamp),
    /// A time in the local time zone.
    Local(DateTime),
}

/// Reads an end of a period.
pub(super) fn since(text: &str) -> Result<Since, String> {
    if let Ok(ago) = duration::parse(text) {
        return Ok(Since::Ago(ago));
    }
    // Try a time with a zone first: parsed as a local time, its zone would be
    // ignored.
    if let Ok(at) = text.parse() {
        return Ok(Since::At(at));
    }
    let local = text.parse().map(Since::Local);
    local.map_err(|_| {
        "give a time ago such as 2h or 7d, or a date such as 2026-11-20 or 2026-11-20T14:00".into()
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn times_ago_and_dates() {
        let ago = |seconds| Since::Ago(Duration::from_secs(seconds));
        let local = |text: &str| Since::Local(text.parse().unwrap());
        for (text, expected) in [
            ("2h", ago(7_200)),
            ("600", ago(600)),
            ("1d 12h", ago(129_600)),
            ("2026-11-20", local("2026-11-20T00:00:00")),
            ("2026-11-20 14:00", local("2026-11-20T14:00:00")),
            (
                "2026-11-20T14:00:00+02:00",
                Since::At("2026-11-20T12:00:00Z".parse().unwrap()),
            ),
        ] {
            assert_eq!(since(text), Ok(expected), "{text}");
        }
        for nonsense in ["", "yesterday", "2026-13-01", "-2h", "7x"] {
            assert!(since(nonsense).is_err(), "{nonsense}");
        }
    }
}
