#![expect(clippy::unwrap_used, reason = "a test may panic")]
use super::*;
use crate::render::json;
use spamdrop_core::wave::WantedWait;

pub(in crate::render) fn wave() -> Wave {
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
        waits: vec![WantedWait {
            at_s: 3.5,
            wait_s: 48.25,
        }],
    }
}

fn numbered((number, wave): (i64, &Wave)) -> NumberedWave {
    NumberedWave {
        number,
        wave: wave.clone(),
    }
}

fn report(waves: &[Wave]) -> WaveReport {
    WaveReport {
        recording: true,
        since_unix_s: 1_795_388_400,
        until_unix_s: 1_795_478_400,
        has_end: false,
        waves: (17..).zip(waves).map(numbered).collect(),
    }
}

fn shown(report: &WaveReport) -> String {
    shown_within(200, report)
}

fn shown_within(width: usize, report: &WaveReport) -> String {
    let mut out = Vec::new();
    write_report(&mut out, Style::Plain, width, report, &TimeZone::UTC).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn one_line_a_wave_and_sums_behind() {
    let mut observed = wave();
    observed.start_unix_s += 3_600;
    observed.ongoing = true;
    observed.observed = true;
    observed.who.more_sources = true;
    observed.known_delayed = 2;
    assert_eq!(
        shown(&report(&[wave(), observed])),
        "\
WAVE  START                 LENGTH   PEAK  SOURCES  LISTED    REFUSED  REPEATS  STARVATION  ANSWERED  RELEASED  WAIT  MODE
  17  2026-11-23 00:00:00   11m 3s  38/40     1523     79%  0/12/1400      612         100       650        17   48s  on
  18  2026-11-23 01:00:00  11m 3s+  38/40    1523+     79%  0/12/1400      612         100       650        17     -  observe
2 waves, 22m 7s in all
refused 1412 SYNs of 900 sources: 700 turned out to be listed; 12 had mail accepted and waited 48s at most
would have refused 1412 SYNs of 900 sources: 700 turned out to be listed; 12 had mail accepted and would have waited
warning: 2 SYNs of known senders had to wait; the number must be 0
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
    empty.has_end = true;
    let with_end = "no waves from 2026-11-22 23:00:00 +00:00 to 2026-11-24 00:00:00 +00:00\n";
    assert_eq!(shown(&empty), with_end);
    empty.has_end = false;
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
    assert!(text.contains("\n  17  ?"), "{text}");
}

#[test]
fn json() {
    let mut out = Vec::new();
    json::object(&mut out, &report(&[wave()])).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        r#"{"recording":true,"since_unix_s":1795388400,"until_unix_s":1795478400,"waves":[{"number":17,"start_unix_s":1795392000,"length_s":663.5,"ongoing":false,"observed":false,"slots":40,"peak_open":38,"peak_waiting":3,"sources":1523,"more_sources":false,"listed":1204,"accepted":61,"delayed":900,"delayed_listed":700,"delayed_accepted":12,"repeats":612,"admitted":1400,"known_or_allowed":52,"starvation_admits":100,"refused":[0,12,1400],"answered":650,"dropped":33,"blocked":1204,"released":17,"known_delayed":0,"longest_wait_s":48.25,"longest_listed_wait_s":null,"waits":[{"at_s":3.5,"wait_s":48.25}]}]}
"#
    );
}

/// The widest figures that there can be.
fn widest() -> Wave {
    let most = u64::MAX;
    Wave {
        start_unix_s: 253_402_300_799,
        length_s: f64::MAX,
        ongoing: true,
        slots: u32::MAX,
        peak_open: u32::MAX,
        who: SourceCounts {
            sources: most,
            more_sources: true,
            listed: 7,
            delayed: most,
            delayed_listed: most,
            delayed_accepted: most,
            ..SourceCounts::default()
        },
        repeats: most,
        totals: Totals {
            refused: [most; 3],
            starvation_admits: most,
            answered: most,
            released: most,
            ..Totals::default()
        },
        known_delayed: most,
        longest_wait_s: Some(1e9),
        ..Wave::default()
    }
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut observed = wave();
    observed.observed = true;
    let mut off = report(&[]);
    off.recording = false;
    for report in [
        report(&[wave(), observed]),
        report(&[widest()]),
        report(&[]),
        off,
    ] {
        for width in [40, 60, 80, 132, 200] {
            let text = shown_within(width, &report);
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(width), "{width}: {text}");
        }
    }
}

#[test]
fn a_narrow_table_has_the_columns_that_count_most() {
    let headings = |width| {
        let text = shown_within(width, &report(&[wave()]));
        text.lines().next().unwrap().to_owned()
    };
    assert_eq!(
        headings(80),
        "WAVE  START                LENGTH   PEAK    REFUSED  ANSWERED  WAIT  MODE"
    );
    assert_eq!(headings(40), "WAVE  START        LENGTH   PEAK  WAIT");
    let narrow = shown_within(40, &report(&[wave()]));
    assert_eq!(
        narrow,
        "\
WAVE  START        LENGTH   PEAK  WAIT
  17  11-23 00:00  11m 3s  38/40   48s
`spamdrop report WAVE` shows all of a
  wave
1 wave, 11m 3s in all
refused 1412 SYNs of 900 sources: 700
  turned out to be listed; 12 had mail
  accepted and waited 48s at most
no known sender had to wait
"
    );
    assert!(!shown(&report(&[wave()])).contains("report WAVE"));
}
