//! `report`, from waves that were recorded before.

use std::time::{SystemTime, UNIX_EPOCH};

use roxmltree::Document;
use serde_json::Value;
use spamdrop::store::{FILE, Store, VERB_WAIT};
use spamdrop_core::wave::{Point, Snapshot, SourceCounts, Totals, WantedWait, Wave};

use super::*;

mod fixture;
mod mail;
mod pictures;

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn snapshot(id: i64, hours: u64, observed: bool) -> Snapshot {
    let point = |at_s| Point {
        at_s,
        open: 10 + at_s,
        refused: 2,
        ..Point::default()
    };
    let wave = Wave {
        start_unix_s: now() - hours * 3_600,
        length_s: 20.0,
        ongoing: true,
        observed,
        slots: 40,
        peak_open: 30,
        who: SourceCounts {
            sources: 50,
            listed: 40,
            delayed: 30,
            delayed_listed: 20,
            delayed_accepted: 5,
            ..SourceCounts::default()
        },
        totals: Totals {
            refused: [1, 2, 37],
            ..Totals::default()
        },
        longest_wait_s: Some(7.5),
        waits: vec![WantedWait {
            at_s: 3.0,
            wait_s: 7.5,
        }],
        ..Wave::default()
    };
    Snapshot {
        id,
        wave,
        points: (0..=20).map(point).collect(),
    }
}

/// Creates a home with waves of 200, 30 and 1 hours ago.
fn home() -> Home {
    let waves = [
        snapshot(1, 200, true),
        snapshot(2, 30, true),
        snapshot(3, 1, false),
    ];
    home_with(&waves, "")
}

fn home_with(waves: &[Snapshot], config: &str) -> Home {
    let home = Home::new(config);
    fs::create_dir_all(home.path("state_dir")).unwrap();
    Store::open(&home.path("state_dir").join(FILE), VERB_WAIT)
        .unwrap()
        .write_waves(0, waves)
        .unwrap();
    home
}

fn ran(home: &Home, args: &[&str]) -> String {
    let output = home.run(args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    stdout(&output).to_owned()
}

#[test]
fn no_waves_are_no_error() {
    let home = Home::new("");
    let text = ran(&home, &["report"]);
    assert!(text.starts_with("no waves since 20"), "{text}");
    let json: Value = serde_json::from_str(&ran(&home, &["report", "--json"])).unwrap();
    assert_eq!(json["waves"], serde_json::json!([]));
    assert_eq!(json["recording"], true);
    let since = json["since_unix_s"].as_u64().unwrap();
    assert!((now() - since).abs_diff(7 * 86_400) < 60);
    let svg = ran(&home, &["report", "--svg", "-"]);
    Document::parse(&svg).unwrap();
    assert!(svg.contains(">no waves from 20"), "{svg}");
    assert!(!home.path("state_dir").exists());
}

#[test]
fn it_says_when_nothing_is_recorded() {
    let home = Home::new("admit = \"off\"\n");
    let text = ran(&home, &["report"]);
    let expected = "nothing is recorded: `admit` is \"off\" in the configuration\nno waves since ";
    assert!(text.starts_with(expected), "{text}");
    let json: Value = serde_json::from_str(&ran(&home, &["report", "--json"])).unwrap();
    assert_eq!(json["recording"], false);
}

#[test]
fn a_line_a_wave_and_sums() {
    let home = home();
    let text = ran(&home, &["report"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("WAVE  START "), "{text}");
    let cells: Vec<&str> = lines[2].split_whitespace().skip(3).collect();
    // Output that is not to a terminal is for 80 columns.
    let expected = ["20s", "30/40", "1/2/37", "0", "7s", "on"];
    assert_eq!(cells, expected);
    assert!(
        lines[1].starts_with("   2  ") && lines[1].ends_with("observe"),
        "{text}"
    );
    assert_eq!(lines[3], "`spamdrop report WAVE` shows all of a wave");
    assert_eq!(lines[4], "2 waves, 40s in all");
    assert!(
        lines[5].starts_with("refused 40 SYNs of 30 sources: 20 "),
        "{text}"
    );
    assert!(
        lines[7].starts_with("would have refused 40 SYNs of 30 sources: "),
        "{text}"
    );
    assert_eq!(lines[9..], ["no known sender had to wait"], "{text}");
    assert!(lines.iter().all(|line| line.len() <= 80), "{text}");
}

#[test]
fn since_a_time_ago_or_a_date() {
    let home = home();
    let waves = |since: &str| {
        let text = ran(&home, &["report", "--json", "--since", since]);
        let json: Value = serde_json::from_str(&text).unwrap();
        json["waves"].as_array().unwrap().len()
    };
    assert_eq!(waves("2h"), 1);
    assert_eq!(waves("2d"), 2);
    assert_eq!(waves("2000-01-01"), 3);
    assert_eq!(waves("2000-01-01T12:00:00Z"), 3);
    let output = home.run(&["report", "--since", "3000-01-01"]);
    assert_eq!(code(&output), 2);
    let expected = "spamdrop: `--since` is in the future; give a time that has passed\n";
    assert_eq!(stderr(&output), expected);
    for wrong in ["tomorrow", "2026-02-30"] {
        let output = home.run(&["report", "--since", wrong]);
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains("give a time ago such as 2h"));
    }
}

#[test]
fn a_wave_goes_on_only_while_somebody_watches() {
    let home = home();
    let text = ran(&home, &["report", "--json"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["waves"][0]["ongoing"], false);
}

/// The paths of a class in a picture, without those of the legend.
fn paths(svg: &str, class: &str) -> usize {
    let document = Document::parse(svg).unwrap();
    let is_it = |node: &roxmltree::Node<'_, '_>| node.attribute("class") == Some(class);
    document.descendants().filter(is_it).count()
}

#[test]
fn the_last_wave_or_a_period_is_drawn() {
    let home = home();
    let path = home.path("waves.svg");
    let last = ran(&home, &["report", "--svg", path.to_str().unwrap()]);
    assert_eq!(last, "");
    let last = fs::read_to_string(&path).unwrap();
    assert!(last.contains("<title>Wave 3, "), "{last}");
    assert_eq!((paths(&last, "open"), paths(&last, "peak")), (1, 0));
    let all = ran(&home, &["report", "--since", "9d", "--svg", "-"]);
    assert!(all.contains("<title>3 waves from "), "{all}");
    assert_eq!((paths(&all, "open"), paths(&all, "peak")), (0, 1));
    let home = home_with(&[snapshot(1, 200, true)], "");
    let old = ran(&home, &["report", "--svg", "-"]);
    assert!(old.contains("<title>Wave 1, "), "{old}");
    let home = self::home();
    let one = ran(&home, &["report", "--since", "2h", "--svg", "-"]);
    assert!(one.contains("<title>Wave 3, "), "{one}");
    let second = ran(&home, &["report", "2", "--svg", "-"]);
    assert!(second.contains("<title>Wave 2, ") && second.contains(">would be refused<"));
    let output = home.run(&["report", "--svg", "/nonexistent/a.svg"]);
    assert_eq!(code(&output), 1);
    let expected = "spamdrop: cannot write /nonexistent/a.svg: ";
    assert!(stderr(&output).starts_with(expected), "{}", stderr(&output));
    for other in [&["--json"][..], &["--html", "-"]] {
        let output = home.run(&[&["report", "--svg", "-"], other].concat());
        assert_eq!(code(&output), 2, "{other:?}");
    }
}

#[test]
fn a_page_is_written() {
    let home = home();
    let path = home.path("report.html");
    let text = ran(&home, &["report", "--html", path.to_str().unwrap()]);
    assert_eq!(text, "");
    let page = fs::read_to_string(&path).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
    assert!(page.contains("<h2>Wave 2</h2>") && page.contains("<h2>Wave 3</h2>"));
    let page = ran(&home, &["report", "3", "--html", "-"]);
    assert!(!page.contains("<h2>Wave 2</h2>") && page.contains("<h2>Wave 3</h2>"));
    let output = home.run(&["report", "--html", "/nonexistent/a.html"]);
    assert_eq!(code(&output), 1);
}

#[test]
fn one_wave_in_full() {
    let home = home();
    let text = ran(&home, &["report", "2"]);
    assert!(
        text.starts_with("wave          2\nstart         20"),
        "{text}"
    );
    assert!(text.contains("\nrefused       40 SYNs: 1 of class 0, 2 of class 1, 37 of class 2"));
    assert!(
        text.contains("  OPEN  WAITING  PASSED  REFUSED  ANSWERED\n"),
        "{text}"
    );
    let json: Value = serde_json::from_str(&ran(&home, &["report", "3", "--json"])).unwrap();
    assert_eq!(
        (&json["number"], &json["ongoing"]),
        (&3.into(), &false.into())
    );
    assert_eq!(json["points"].as_array().unwrap().len(), 21);
    let output = home.run(&["report", "9"]);
    assert_eq!(code(&output), 1);
    let expected = "spamdrop: there is no wave 9; `spamdrop report --since 365d` lists them\n";
    assert_eq!(stderr(&output), expected);
    for wrong in [&["x"][..], &["3", "--since", "2h"], &["3", "--until", "2h"]] {
        assert_eq!(
            code(&home.run(&[&["report"], wrong].concat())),
            2,
            "{wrong:?}"
        );
    }
}

#[test]
fn a_period_has_an_end() {
    let home = home();
    let numbers = |args: &[&str]| -> Vec<i64> {
        let text = ran(&home, &[&["report", "--json"], args].concat());
        let json: Value = serde_json::from_str(&text).unwrap();
        let waves = json["waves"].as_array().unwrap().iter();
        waves.map(|wave| wave["number"].as_i64().unwrap()).collect()
    };
    assert_eq!(numbers(&["--since", "9d", "--until", "2h"]), [1, 2]);
    assert_eq!(numbers(&["--until", "1d"]), [2]);
    // Without `--since`, the period starts seven days before its end, not before now.
    assert_eq!(numbers(&["--until", "8d"]), [1]);
    assert_eq!(numbers(&["--since", "31h", "--until", "29h"]), [2]);
    let yesterday = ["--since", "yesterday", "--until", "today"];
    let json: Value = serde_json::from_str(&ran(
        &home,
        &[&["report", "--json"], &yesterday[..]].concat(),
    ))
    .unwrap();
    let [since, until] = ["since_unix_s", "until_unix_s"].map(|name| json[name].as_u64().unwrap());
    // A day on which clocks change has 23 or 25 hours.
    assert!((82_800..=90_000).contains(&(until - since)), "{json}");
    assert!(now() - until < 90_000, "{json}");
    let output = home.run(&["report", "--since", "2h", "--until", "3h"]);
    assert_eq!(code(&output), 2);
    let expected = "spamdrop: `--until` is not after `--since`; give an end after the start\n";
    assert_eq!(stderr(&output), expected);
    let text = ran(&home, &["report", "--since", "9d", "--until", "8d 12h"]);
    assert!(
        text.starts_with("no waves from 20") && text.contains(" to 20"),
        "{text}"
    );
}

/// `script` of util-linux makes the terminal.
#[test]
fn a_report_fits_the_terminal() {
    let home = home();
    for (columns, heading) in [
        (40, "WAVE  START        LENGTH   PEAK  WAIT"),
        (
            200,
            "WAVE  START                LENGTH   PEAK  SOURCES  LISTED  REFUSED  REPEATS  STARVATION  ANSWERED  RELEASED  WAIT  MODE",
        ),
    ] {
        let command = format!(
            "stty cols {columns}; NO_COLOR=1 {} --config {} report",
            env!("CARGO_BIN_EXE_spamdrop"),
            home.path("spamdrop.toml").display()
        );
        let output = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = stdout(&output).replace('\r', "");
        assert_eq!(text.lines().next(), Some(heading), "{text}");
        assert!(text.lines().all(|line| line.len() <= columns), "{text}");
    }
}

#[test]
fn a_damaged_history_is_refused_and_left_alone() {
    let home = home();
    let path = home.path("state_dir").join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    let length = bytes.len();
    bytes[4096..length].fill(0x5a);
    fs::write(&path, &bytes).unwrap();
    let output = home.run(&["report"]);
    assert_eq!(code(&output), 1);
    let expected = format!(
        "spamdrop: cannot use {} (if it is damaged, move it away; `spamdrop learn` fills a new one): ",
        path.display()
    );
    assert!(
        stderr(&output).starts_with(&expected),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn status_names_the_last_wave() {
    let home = home();
    let output = home.run(&["status"]);
    let line = "for 20s: at most 30 connections for 40 slots, 40 SYNs refused, 0 went";
    assert!(stdout(&output).contains(line), "{}", stdout(&output));
    let output = home.run(&["status", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["wave"]["peak_open"], 30);
    // No daemon runs, so the wave is not shown as ongoing.
    assert_eq!(json["wave"]["ongoing"], false);
    // `status` leaves out the waits of each sender, which `report` has.
    assert_eq!(json["wave"].get("waits"), None);
    let json: Value = serde_json::from_str(&ran(&home, &["report", "3", "--json"])).unwrap();
    assert_eq!(json["waits"][0]["wait_s"], 7.5);
    // A damaged database hides only the wave, not the rest of `status`.
    let path = home.path("state_dir").join(FILE);
    fs::write(&path, b"no database".repeat(500)).unwrap();
    let output = home.run(&["status", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["wave"], code(&output)), (&Value::Null, 3));
    let told = "cannot read the waves: cannot use ";
    assert!(stderr(&output).contains(told), "{}", stderr(&output));
}
