#![expect(clippy::unwrap_used, reason = "a test may panic")]

use spamdrop_core::wave::WantedWait;

use super::*;
use crate::render::json;
use crate::render::waves::tests::wave;

fn detail() -> WaveDetail {
    let point = |at_s| Point {
        at_s,
        open: 10 + at_s % 30,
        waiting: 1,
        admitted: 3,
        refused: 2,
        answered: 1,
    };
    let wait = |at_s: u32, wait_s: f64| WantedWait {
        at_s: at_s.into(),
        wait_s,
    };
    let wave = Wave {
        length_s: 90.5,
        peak_open: 39,
        longest_listed_wait_s: Some(9.0),
        waits: vec![wait(3, 7.0), wait(20, 48.25), wait(21, 8.5)],
        ..wave()
    };
    WaveDetail {
        numbered: NumberedWave { number: 17, wave },
        points: (0..=150).map(point).collect(),
    }
}

fn shown(width: usize, detail: &WaveDetail) -> String {
    let mut out = Vec::new();
    write_detail(&mut out, Style::Plain, width, detail, &TimeZone::UTC).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_wave_in_full() {
    let text = shown(80, &detail());
    assert_eq!(
        text.lines().take(25).collect::<Vec<_>>().join("\n"),
        "\
wave          17
start         2026-11-23 00:00:00 +00:00
length        1m 30s
mode          on
connections   at most 39 at a time; at most 3 of them waited to be accepted
slots         40; class 2 waits from 24 connections on, class 1 from 28, class 0
              from 32
sources       1523: 1204 listed, 61 with mail accepted
delayed       900 sources had to wait: 700 turned out to be listed, 12 had mail
              accepted
refused       1412 SYNs: 0 of class 0, 12 of class 1, 1400 of class 2
passed        1400 SYNs: 52 of known or allowlisted senders, 100 of strangers
              that had waited longest
repeated      612 SYNs, refused or of strangers that had waited longest, were
              not their source's first
answered      650 SYNs went to the responder
blocked       1204 blocks by log lines; 33 packets of all blocked sources
              dropped, 17 of their connections ended
waits         wanted mail at most 48s, listed senders at most 9s
              the longest of wanted mail: 48s, 8s, 7s
no known sender had to wait

    FROM  OPEN  WAITING  PASSED  REFUSED  ANSWERED
00:00:00    19        1      30       20        10
00:00:10    29        1      30       20        10"
    );
    assert_eq!(text.lines().count(), 23 + 16);
    assert!(
        text.ends_with("00:02:30    10        1       3        2         1\n"),
        "{text}"
    );
}

#[test]
fn observing_makes_nobody_wait() {
    let mut detail = detail();
    detail.numbered.wave.observed = true;
    detail.numbered.wave.ongoing = true;
    detail.numbered.wave.known_delayed = 2;
    detail.points.clear();
    let text = shown(200, &detail);
    for line in [
        "length        1m 30s so far",
        "mode          observe: nobody was refused, the numbers count SYNs that would have been",
        "delayed       900 sources would have had to wait: 700 turned out to be listed, 12 had mail accepted",
        "warning: 2 SYNs of known senders had to wait; the number must be 0",
        "its course was deleted; only those of the newest 50 waves are kept",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
    }
    assert!(!text.contains("waits         "), "{text}");
}

#[test]
fn each_kind_of_wait_is_shown_without_the_other() {
    let waits = |wanted, listed| {
        let mut detail = detail();
        detail.numbered.wave.longest_wait_s = wanted;
        detail.numbered.wave.longest_listed_wait_s = listed;
        detail.numbered.wave.waits.clear();
        let text = shown(80, &detail);
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("waits         "));
        line.map(str::to_owned)
    };
    assert_eq!(waits(None, Some(9.0)).unwrap(), "listed senders at most 9s");
    assert_eq!(waits(Some(48.0), None).unwrap(), "wanted mail at most 48s");
    assert_eq!(waits(None, None), None);
}

#[test]
fn a_course_over_days_has_dates() {
    let mut detail = detail();
    detail.numbered.wave.start_unix_s += 3_600;
    detail.numbered.wave.length_s = 90_000.0;
    for point in &mut detail.points {
        point.at_s *= 600;
    }
    let text = shown(80, &detail);
    let times: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.contains("FROM"))
        .skip(1)
        .collect();
    let starts: Vec<&str> = times.iter().map(|line| line.get(..11).unwrap()).collect();
    assert_eq!(starts[..3], ["11-23 01:00", "11-23 03:00", "11-23 05:00"]);
    assert_eq!((starts.len(), starts[12]), (13, "11-24 01:00"));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut wide = detail();
    let most = u64::MAX;
    wide.numbered.number = i64::MAX;
    wide.numbered.wave.totals.refused = [most; 3];
    wide.numbered.wave.who.sources = most;
    wide.points[7].admitted = u32::MAX;
    wide.points[7].refused = u32::MAX;
    for detail in [detail(), wide] {
        for width in [40, 80, 200] {
            let text = shown(width, &detail);
            assert!(text.lines().all(|line| line.len() <= width), "{text}");
        }
    }
}

#[test]
fn json_has_the_figures_and_the_points() {
    let mut out = Vec::new();
    json::object(&mut out, &detail()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&json["number"], &json["slots"]), (&17.into(), &40.into()));
    assert_eq!(json["points"].as_array().unwrap().len(), 151);
    assert_eq!(
        json["points"][1],
        serde_json::json!({
            "at_s": 1, "open": 11, "waiting": 1, "admitted": 3, "refused": 2, "answered": 1
        })
    );
}
