//! Parses the log lines of the corpora in this directory, and compares each
//! result with the one that the corpus expects.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod cases;
mod forms;
mod matrix;
mod needles;
mod texts;

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use spamdrop_core::event::{Event, EventKind};
use spamdrop_core::log::{MailServer, Parsed, Parser, ParserSettings};

/// 2026-11-23 08:50:54 UTC.
const WRITTEN: u64 = 1_795_423_854;
/// 2026-11-23 09:00:00 UTC.
const NOW: u64 = 1_795_424_400;

/// Each server has a file, which is named as in `servers`.
const SERVERS: [(&str, MailServer); 8] = [
    ("courier", MailServer::Courier),
    ("postfix", MailServer::Postfix),
    ("exim", MailServer::Exim),
    ("sendmail", MailServer::Sendmail),
    ("opensmtpd", MailServer::Opensmtpd),
    ("rblsmtpd", MailServer::Rblsmtpd),
    ("haraka", MailServer::Haraka),
    ("rspamd", MailServer::Rspamd),
];

struct Case {
    /// `FILE:LINE`.
    place: String,
    hostile: bool,
    expected: String,
    line: Vec<u8>,
}

/// The cases of a file, such as a server's.
fn corpus(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    fs::read_to_string(path.join(file).with_extension("txt"))
        .unwrap()
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            let place = format!("{file}.txt:{}", index + 1);
            let (kind, rest) = line.split_once(' ').unwrap();
            let (expected, line) = rest.trim_start().split_once(' ').unwrap();
            assert!(matches!(kind, "real" | "hostile"), "{place}");
            Case {
                place,
                hostile: kind == "hostile",
                expected: expected.into(),
                line: unescape(padding_removed(expected, line)),
            }
        })
        .collect()
}

/// Removes the padding after EXPECTED. LINE may itself start with a blank, so
/// the padding is not trimmed but computed from the column.
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

fn unix_time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn describe(parsed: &Parsed<'_>) -> String {
    match parsed {
        Parsed::Event(Event {
            addr, kind, rule, ..
        }) => match kind {
            EventKind::Rejected { .. } if rule == "courier-511" => format!("511={addr}"),
            EventKind::Rejected { .. } => format!("no={addr}"),
            EventKind::Accepted => format!("ok={addr}"),
            EventKind::Delivered => format!("to={addr}"),
        },
        Parsed::NearMiss(_) => "near".into(),
        Parsed::Nothing => "none".into(),
    }
}

fn parser(servers: &[MailServer]) -> Parser {
    Parser::new(ParserSettings {
        servers: servers.to_vec(),
        ..ParserSettings::default()
    })
}

#[test]
fn every_line_is_read_as_written_beside_it() {
    let mut wrong = Vec::new();
    for (name, server) in SERVERS {
        let mut parser = parser(&[server]);
        for case in corpus(name) {
            let parsed = parser.parse(&case.line, unix_time(NOW));
            let found = describe(&parsed);
            if found != case.expected {
                let Case {
                    place, expected, ..
                } = &case;
                wrong.push(format!("{place}: {found}, not {expected}: {parsed:?}"));
            }
            if let Parsed::Event(Event {
                at: Some(stamp), ..
            }) = parsed
            {
                let written = unix_time(WRITTEN)..unix_time(WRITTEN + 1);
                assert!(written.contains(&stamp), "{}: {stamp:?}", case.place);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rules_are_named_after_their_server() {
    for (name, server) in SERVERS {
        let mut parser = parser(&[server]);
        for case in corpus(name) {
            if let Parsed::Event(event) = parser.parse(&case.line, unix_time(NOW)) {
                let rule = &event.rule;
                let own =
                    rule.starts_with(name) || name == "postfix" && rule.starts_with("postscreen");
                assert!(own, "{}: {rule}", case.place);
            }
        }
    }
}

/// No grammar matches a line that another server wrote.
#[test]
fn all_grammars_at_once_find_the_same_events() {
    let all = SERVERS.map(|(_, server)| server);
    for (name, server) in SERVERS {
        let (mut one, mut all) = (parser(&[server]), parser(&all));
        for case in corpus(name) {
            let [one, all] =
                [&mut one, &mut all].map(|parser| match parser.parse(&case.line, unix_time(NOW)) {
                    Parsed::Event(event) => Some((event.addr, event.rule)),
                    Parsed::NearMiss(_) | Parsed::Nothing => None,
                });
            assert_eq!(one, all, "{}", case.place);
        }
    }
}

#[test]
fn no_line_names_another_address_than_its_own() {
    // The corpora contain 9.9.9.9 wherever a peer tries to have another address
    // blocked.
    let forged: IpAddr = "9.9.9.9".parse().unwrap();
    for (name, server) in SERVERS {
        let mut parser = parser(&[server]);
        for case in corpus(name) {
            if let Parsed::Event(event) = parser.parse(&case.line, unix_time(NOW)) {
                assert_ne!(event.addr, forged, "{}", case.place);
            }
        }
    }
}

#[test]
fn corpus_is_large_enough() {
    for (name, server) in SERVERS {
        let cases = corpus(name);
        let hostile = cases.iter().filter(|case| case.hostile);
        let (lines, hostile) = (cases.len(), hostile.count());
        let (least, least_hostile) = match server {
            MailServer::Courier => (150, 60),
            _ => (12, 4),
        };
        assert!(lines >= least, "{name}: {lines} lines");
        assert!(hostile >= least_hostile, "{name}: {hostile} hostile lines");
    }
}
