#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::table;

const EFFORT: Effort = Effort {
    rounds: 1,
    lines: 3,
    slow_lines: 3,
    timeout: Duration::from_secs(2),
};

fn delays(figures: &[f64], missed: usize) -> Delays {
    Delays {
        sample: Sample(figures.to_vec()),
        missed,
    }
}

fn outcome(figures: &[f64], missed: usize, line_rate: f64) -> Outcome {
    Outcome {
        idle: delays(figures, 0),
        loaded: delays(figures, missed),
        line_rate: Some(line_rate),
    }
}

fn shown(spamdrop: &Outcome, fail2ban: Result<&Outcome, &String>) -> String {
    let mut out = Vec::new();
    table::write(&table(spamdrop, fail2ban, EFFORT), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn idle_and_loaded_have_bars_of_their_own() {
    let spamdrop = outcome(&[0.002, 0.003, 0.020], 0, 100_000.0);
    let text = shown(&spamdrop, Ok(&outcome(&[0.5], 0, 99_999.0)));
    let verdicts = ["misses", "misses", "fail2ban", "fail2ban, p99 of 1 lines"];
    for (row, wanted) in text.lines().skip(2).zip(verdicts) {
        assert!(row.contains(wanted), "{text}");
    }
    let loaded: Vec<_> = text.lines().skip(6).collect();
    assert!(
        loaded[0].contains("line to drop, 100,000 lines/s, held"),
        "{text}"
    );
    assert!(
        !loaded[0].contains("holds") && loaded[1].contains("holds"),
        "{text}"
    );
}

#[test]
fn a_load_that_was_too_slow_and_senders_that_were_not_dropped_are_told() {
    let spamdrop = outcome(&[0.0004], 0, 98_000.0);
    let text = shown(&spamdrop, Ok(&outcome(&[0.5, 0.6], 1, 100_000.0)));
    assert!(
        text.contains("98000 of 100,000 lines/s, **not held**"),
        "{text}"
    );
    assert!(
        text.contains("1 of 3 senders not dropped within 2 s"),
        "{text}"
    );
}

#[test]
fn without_fail2ban_the_reason_is_shown() {
    let spamdrop = outcome(&[0.0004], 0, 100_000.0);
    let why = "it is not unpacked".to_owned();
    let text = shown(&spamdrop, Err(&why));
    assert_eq!(
        text.matches("not measured: it is not unpacked").count(),
        2,
        "{text}"
    );
}
