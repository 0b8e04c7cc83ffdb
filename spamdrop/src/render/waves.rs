//! `report`: the waves, one a line, and their totals.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use spamdrop_common::time::UnixSeconds;

use super::show::local_time;
use super::table::{self, Column, Style, left, right};
use spamdrop_core::duration::human;
use spamdrop_core::wave::{SourceCounts, Totals, Wave};

/// The waves of a period. `report --json` prints one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WaveReport {
    /// Whether waves are recorded; `false` with `admit = "off"`.
    pub recording: bool,
    /// The start of the period, in seconds since 1970.
    pub since_unix_s: u64,
    /// The waves that ended in the period or are ongoing, oldest first.
    pub waves: Vec<Wave>,
}

/// The start of a wave in the reader's time zone, and the wave.
type WaveRow<'a> = (String, &'a Wave);

const fn columns<'a>() -> [Column<WaveRow<'a>>; 12] {
    [
        left("START", |(start, _), text| text.write_str(start)),
        right("LENGTH", |(_, wave), text| {
            let going = if wave.ongoing { "+" } else { "" };
            write!(text, "{}{going}", length(wave.length_s))
        }),
        right("PEAK", |(_, wave), text| {
            write!(text, "{}/{}", wave.peak_open, wave.slots)
        }),
        right("SOURCES", |(_, wave), text| {
            let more = if wave.who.more_sources { "+" } else { "" };
            write!(text, "{}{more}", wave.who.sources)
        }),
        right("LISTED", |(_, wave), text| share(&wave.who, text)),
        right("REFUSED", |(_, wave), text| {
            let [best, middle, worst] = wave.totals.refused;
            write!(text, "{best}/{middle}/{worst}")
        }),
        right("REPEATS", |(_, wave), text| {
            write!(text, "{}", wave.repeats)
        }),
        right("STARVATION", |(_, wave), text| {
            write!(text, "{}", wave.totals.starvation_admits)
        }),
        right("ANSWERED", |(_, wave), text| {
            write!(text, "{}", wave.totals.answered)
        }),
        right("RELEASED", |(_, wave), text| {
            write!(text, "{}", wave.totals.released)
        }),
        right("WAIT", |(_, wave), text| match wave.longest_wait_s {
            Some(wait) => write!(text, "{}", length(wait)),
            None => text.write_str("-"),
        }),
        left("MODE", |(_, wave), text| text.write_str(mode(wave))),
    ]
}

/// Writes the waves as a table and their totals, with times in the reader's
/// zone.
pub fn text(
    out: &mut impl Write,
    style: Style,
    report: &WaveReport,
    zone: &TimeZone,
) -> io::Result<()> {
    if !report.recording {
        writeln!(
            out,
            "nothing is recorded: `admit` is \"off\" in the configuration"
        )?;
    }
    if report.waves.is_empty() {
        let since = local_time(UnixSeconds::new(report.since_unix_s), zone);
        return writeln!(out, "no waves since {since}");
    }
    let row = |wave| (start(wave, zone), wave);
    let rows: Vec<WaveRow<'_>> = report.waves.iter().map(row).collect();
    table::write(out, style, &columns(), &rows)?;
    let total: f64 = report.waves.iter().map(|wave| wave.length_s).sum();
    let waves = match report.waves.len() {
        1 => "1 wave".into(),
        number => format!("{number} waves"),
    };
    writeln!(out, "{waves}, {} in all", length(total))?;
    sums(out, &report.waves, false)?;
    sums(out, &report.waves, true)?;
    let known = report.waves.iter().map(|wave| wave.known_delayed);
    match known.fold(0, u64::saturating_add) {
        0 => writeln!(out, "no known sender had to wait"),
        number => writeln!(
            out,
            "warning: {number} SYNs of known senders had to wait; it must be 0"
        ),
    }
}

/// Writes the totals of the waves with refusals, or of those in which refusals
/// were only counted.
fn sums(out: &mut impl Write, waves: &[Wave], observed: bool) -> io::Result<()> {
    let waves = || waves.iter().filter(|wave| wave.observed == observed);
    if waves().next().is_none() {
        return Ok(());
    }
    let zero = (SourceCounts::default(), Totals::default());
    let (who, totals) = waves().fold(zero, |(who, totals), wave| {
        (who.plus(&wave.who), totals.plus(&wave.totals))
    });
    let SourceCounts {
        delayed,
        delayed_listed: listed,
        delayed_accepted: accepted,
        ..
    } = who;
    let (begin, end) = if observed {
        ("would have refused", "would have waited".into())
    } else {
        let longest = waves().filter_map(|wave| wave.longest_wait_s);
        let longest = longest.fold(0.0, f64::max);
        ("refused", format!("waited {} at most", length(longest)))
    };
    writeln!(
        out,
        "{begin} {} SYNs of {delayed} sources: {listed} turned out to be listed; {accepted} had mail accepted and {end}",
        totals.all_refused()
    )
}

fn mode(wave: &Wave) -> &'static str {
    if wave.observed { "observe" } else { "on" }
}

fn start(wave: &Wave, zone: &TimeZone) -> String {
    let stamp = i64::try_from(wave.start_unix_s).ok();
    let stamp = stamp.and_then(|s| Timestamp::from_second(s).ok());
    stamp.map_or_else(
        || "?".into(),
        |at| {
            let local = at.to_zoned(zone.clone());
            local.strftime("%Y-%m-%d %H:%M:%S").to_string()
        },
    )
}

fn length(seconds: f64) -> impl fmt::Display {
    human(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

fn share(who: &SourceCounts, text: &mut String) -> fmt::Result {
    match who.listed.saturating_mul(100).checked_div(who.sources) {
        Some(percent) => write!(text, "{percent}%"),
        None => text.write_str("-"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::render::json;

    fn wave() -> Wave {
        Wave {
            start_unix_s: 1_795_392_000,
            length_s: 663.5,
            ongoing: false,
            observed: false,
            slots: 40,
            peak_open: 38,
            peak_waiting: 3,
            who: SourceCounts {
                sources: 1_523,
                more_sources: false,
                listed: 1_204,
                accepted: 61,
                delayed: 900,
                delayed_listed: 700,
                delayed_accepted: 12,
            },
            repeats: 612,
            totals: Totals {
                admitted: 1_400,
                known_or_allowed: 52,
                starvation_admits: 100,
                refused: [0, 12, 1_400],
                answered: 650,
                dropped: 33,
                blocked: 1_204,
                released: 17,
            },
            known_delayed: 0,
            longest_wait_s: Some(48.25),
            longest_listed_wait_s: None,
        }
    }

    fn report(waves: &[Wave]) -> WaveReport {
        WaveReport {
            recording: true,
            since_unix_s: 1_795_388_400,
            waves: waves.to_vec(),
        }
    }

    fn shown(report: &WaveReport) -> String {
        let mut out = Vec::new();
        text(&mut out, Style::Plain, report, &TimeZone::UTC).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_line_a_wave_and_sums_behind() {
        let mut observed = wave();
        observed.start_unix_s += 3_600;
        observed.ongoing = true;
        observed.observed = true;
        observed.who.more_sources = true;
        observed.longest_wait_s = None;
        observed.known_delayed = 2;
        assert_eq!(
            shown(&report(&[wave(), observed])),
            "\
START                 LENGTH   PEAK  SOURCES  LISTED    REFUSED  REPEATS  STARVATION  ANSWERED  RELEASED  WAIT  MODE
2026-11-23 00:00:00   11m 3s  38/40     1523     79%  0/12/1400      612         100       650        17   48s  on
2026-11-23 01:00:00  11m 3s+  38/40    1523+     79%  0/12/1400      612         100       650        17     -  observe
2 waves, 22m 7s in all
refused 1412 SYNs of 900 sources: 700 turned out to be listed; 12 had mail accepted and waited 48s at most
would have refused 1412 SYNs of 900 sources: 700 turned out to be listed; 12 had mail accepted and would have waited
warning: 2 SYNs of known senders had to wait; it must be 0
"
        );
        let one = shown(&report(&[wave()]));
        assert!(one.contains("\n1 wave, 11m 3s in all\n"), "{one}");
        assert!(one.ends_with("\nno known sender had to wait\n"), "{one}");
        assert!(!one.contains("would have"), "{one}");
    }

    #[test]
    fn an_empty_report_says_so() {
        let mut empty = report(&[]);
        let expected = "no waves since 2026-11-22 23:00:00 +00:00\n";
        assert_eq!(shown(&empty), expected);
        empty.recording = false;
        assert_eq!(
            shown(&empty),
            format!("nothing is recorded: `admit` is \"off\" in the configuration\n{expected}")
        );
    }

    #[test]
    fn extreme_numbers_are_shown() {
        let wild = Wave {
            start_unix_s: u64::MAX,
            length_s: f64::MAX,
            longest_wait_s: Some(-1.0),
            ..Wave::default()
        };
        let text = shown(&report(&[wild]));
        assert!(text.contains("\n?"), "{text}");
    }

    #[test]
    fn json() {
        let mut out = Vec::new();
        json::object(&mut out, &report(&[wave()])).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            r#"{"recording":true,"since_unix_s":1795388400,"waves":[{"start_unix_s":1795392000,"length_s":663.5,"ongoing":false,"observed":false,"slots":40,"peak_open":38,"peak_waiting":3,"sources":1523,"more_sources":false,"listed":1204,"accepted":61,"delayed":900,"delayed_listed":700,"delayed_accepted":12,"repeats":612,"admitted":1400,"known_or_allowed":52,"starvation_admits":100,"refused":[0,12,1400],"answered":650,"dropped":33,"blocked":1204,"released":17,"known_delayed":0,"longest_wait_s":48.25,"longest_listed_wait_s":null}]}
"#
        );
    }
}
