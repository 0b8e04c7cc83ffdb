#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn shown(case: Case) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    write(&[case], &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let rows = text.lines().skip(2);
    rows.map(|row| {
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

fn rates() -> Case {
    let rate = Sample(vec![2.0e6, 3.0e6, 2.5e6]);
    Case::new("hit", Unit::PacketsPerSecond, "spamdrop", rate)
}

#[test]
fn the_ratio_is_the_subject_over_the_other() {
    let mut case = rates();
    case.beside(
        "half",
        Sample(vec![1.0e6, 1.5e6, 1.25e6]),
        Some(Bar::AtLeast(2.0)),
    );
    case.beside(
        "more",
        Sample(vec![4.0e6, 6.0e6, 5.0e6]),
        Some(Bar::AtLeast(0.6)),
    );
    let rows = shown(case);
    assert_eq!(
        rows[0],
        [
            "hit",
            "spamdrop",
            "2.500 M/s",
            "2.000 M/s - 3.000 M/s",
            "",
            "",
            ""
        ]
    );
    assert_eq!(rows[1][4..], ["2.00", "≥ 2", "holds"]);
    assert_eq!(rows[2][4..], ["0.50", "≥ 0.6", "**misses**"]);
}

#[test]
fn a_ratio_that_spreads_is_refused() {
    let mut case = rates();
    let noisy = Sample(vec![1.0e6, 1.0e6, 2.5e6]);
    case.beside("noisy", noisy, Some(Bar::AtLeast(1.0)));
    assert_eq!(
        shown(case)[1][4..],
        ["too noisy: 1.00 - 3.00", "≥ 1", "holds"]
    );
    for (bar, verdict) in [(0.9, "holds"), (1.1, "unknown"), (3.1, "**misses**")] {
        let mut case = rates();
        let noisy = Sample(vec![1.0e6, 1.0e6, 2.5e6]);
        case.beside("noisy", noisy, Some(Bar::AtLeast(bar)));
        assert_eq!(shown(case)[1][6], verdict, "{bar}");
    }
}

#[test]
fn what_cannot_be_measured_says_why() {
    let mut case = rates();
    case.without("peer", "it is not installed", Some(Bar::AtLeast(2.5)));
    let rows = shown(case);
    assert_eq!(rows[1][2], "not measured: it is not installed");
    assert_eq!(rows[1][4..], ["", "≥ 2.5", "unknown"]);
}

#[test]
fn a_bar_without_ratio_is_held_against_the_figure() {
    let sample = Sample(vec![101.0]);
    let case = Case::new("size", Unit::Bytes, "stack", sample).with_bar(Bar::AtMost(100.0));
    assert_eq!(
        shown(case)[0],
        ["size", "stack", "101 B", "", "", "≤ 100 B", "**misses**"]
    );
}

#[test]
fn another_figure_has_a_bar_of_its_own() {
    let delays = Sample(vec![0.0003, 0.0005, 0.0004]);
    let mut case = Case::new("line to drop", Unit::Milliseconds, "spamdrop", delays)
        .with_bar(Bar::AtMost(0.001));
    case.also("p99", Sample(vec![0.0061]), Some(Bar::AtMost(0.005)));
    let rows = shown(case);
    assert_eq!(rows[0][2..4], ["0.40 ms", "0.30 ms - 0.50 ms"]);
    assert_eq!(rows[0][4..], ["", "≤ 1.00 ms", "holds"]);
    assert_eq!(rows[1][..4], ["", "p99", "6.10 ms", ""]);
    assert_eq!(rows[1][4..], ["", "≤ 5.00 ms", "**misses**"]);
}
