//! Reads the corpus of log lines beside this file and compares what the
//! parser makes of each with what is written there.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use spamdrop::event::{Event, Kind};
use spamdrop::parse::{Parsed, Parser};

/// 2026-11-23 08:50:54 UTC.
const WRITTEN: u64 = 1_795_423_854;
/// 2026-11-23 09:00:00 UTC.
const NOW: u64 = 1_795_424_400;

struct Case {
    number: usize,
    hostile: bool,
    expected: String,
    line: Vec<u8>,
}

fn corpus() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/courier.txt");
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            let (kind, rest) = line.split_once(' ').unwrap();
            let (expected, line) = rest.trim_start().split_once(' ').unwrap();
            assert!(matches!(kind, "real" | "hostile"), "line {}", index + 1);
            Case {
                number: index + 1,
                hostile: kind == "hostile",
                expected: expected.into(),
                line: unescape(padding_removed(expected, line)),
            }
        })
        .collect()
}

/// EXPECTED is padded to a column, and LINE may itself start with a blank.
fn padding_removed<'line>(expected: &str, line: &'line str) -> &'line str {
    const COLUMN: usize = 23;
    let padding = COLUMN.saturating_sub(expected.len());
    assert!(line[..padding].trim().is_empty(), "{line}");
    &line[padding..]
}

fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().unwrap() {
                b'\\' => b'\\',
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => panic!("unknown escape \\{}", char::from(other)),
            },
            byte => byte,
        });
    }
    bytes
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn describe(parsed: &Parsed<'_>) -> String {
    match parsed {
        Parsed::Event(Event {
            addr,
            kind: Kind::Rejected { .. },
            rule: "courier-511",
            ..
        }) => format!("511={addr}"),
        Parsed::Event(Event {
            addr,
            kind: Kind::Accepted,
            rule: "courier-newmsg",
            ..
        }) => format!("ok={addr}"),
        Parsed::Event(event) => format!("{event:?}"),
        Parsed::NearMiss(_) => "near".into(),
        Parsed::Nothing => "none".into(),
    }
}

#[test]
fn every_line_is_read_as_written_beside_it() {
    let parser = Parser::new("courieresmtpd", TimeZone::UTC);
    let mut wrong = Vec::new();
    for case in corpus() {
        let parsed = parser.parse(&case.line, at(NOW));
        let found = describe(&parsed);
        if found != case.expected {
            wrong.push(format!(
                "line {}: {found}, not {}: {parsed:?}",
                case.number, case.expected
            ));
        }
        if let Parsed::Event(Event {
            at: Some(stamp), ..
        }) = parsed
        {
            let written = at(WRITTEN)..at(WRITTEN + 1);
            assert!(written.contains(&stamp), "line {}: {stamp:?}", case.number);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_line_names_another_address_than_its_own() {
    // 9.9.9.9 stands wherever a peer tries to have another one blocked.
    let forged: IpAddr = "9.9.9.9".parse().unwrap();
    let parser = Parser::new("courieresmtpd", TimeZone::UTC);
    for case in corpus() {
        if let Parsed::Event(event) = parser.parse(&case.line, at(NOW)) {
            assert_ne!(event.addr, forged, "line {}", case.number);
        }
    }
}

#[test]
fn corpus_is_large_enough() {
    let cases = corpus();
    assert!(cases.len() >= 150, "{} lines", cases.len());
    let hostile = cases.iter().filter(|case| case.hostile).count();
    assert!(hostile >= 60, "{hostile} hostile lines");
}
