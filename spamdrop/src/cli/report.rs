//! `report` on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use jiff::civil::DateTime;
use spamdrop_core::duration;

/// Arguments of `report`.
#[derive(Clone, Debug, Args)]
pub struct Report {
    /// The number of a wave, which is then shown in full
    #[arg(value_name = "WAVE", conflicts_with_all = ["since", "until"])]
    pub wave: Option<i64>,
    /// Start of the period: a time ago such as 2h or 7d, a date such as
    /// 2026-11-20, or the start of `today` or `yesterday` [default: 7d before the end]
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub since: Option<When>,
    /// End of the period [default: now]
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub until: Option<When>,
    /// Print JSON
    #[arg(short, long, conflicts_with_all = ["svg", "html"])]
    pub json: bool,
    /// Write a picture of WAVE or of the period, or of the newest wave if neither is
    /// given; `-` is standard output
    #[arg(long, value_name = "FILE", conflicts_with = "html")]
    pub svg: Option<PathBuf>,
    /// Write one HTML file with the table and pictures, without scripts and links;
    /// `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Start or end of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// This long ago.
    Ago(Duration),
    /// At this time.
    At(Timestamp),
    /// A time in the local time zone.
    Local(DateTime),
    /// The start of the current day in the local time zone.
    Today,
    /// The start of the previous day in the local time zone.
    Yesterday,
}

/// Reads the start or the end of a period.
pub(super) fn when(text: &str) -> Result<When, String> {
    match text {
        "today" => return Ok(When::Today),
        "yesterday" => return Ok(When::Yesterday),
        _ => {}
    }
    if let Ok(ago) = duration::parse(text) {
        return Ok(When::Ago(ago));
    }
    // Try a time with a zone first: parsed as a local time, its zone would be
    // ignored.
    if let Ok(at) = text.parse() {
        return Ok(When::At(at));
    }
    let local = text.parse().map(When::Local);
    local.map_err(|_| {
        "give a time ago such as 2h or 7d, a date such as 2026-11-20 or 2026-11-20T14:00, \
         `today` or `yesterday`"
            .into()
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn times_ago_and_dates() {
        let ago = |seconds| When::Ago(Duration::from_secs(seconds));
        let local = |text: &str| When::Local(text.parse().unwrap());
        for (text, expected) in [
            ("2h", ago(7_200)),
            ("600", ago(600)),
            ("1d 12h", ago(129_600)),
            ("2026-11-20", local("2026-11-20T00:00:00")),
            ("2026-11-20 14:00", local("2026-11-20T14:00:00")),
            (
                "2026-11-20T14:00:00+02:00",
                When::At("2026-11-20T12:00:00Z".parse().unwrap()),
            ),
            ("today", When::Today),
            ("yesterday", When::Yesterday),
        ] {
            assert_eq!(when(text), Ok(expected), "{text}");
        }
        for nonsense in ["", "tomorrow", "2026-13-01", "-2h", "7x"] {
            assert!(when(nonsense).is_err(), "{nonsense}");
        }
    }
}
