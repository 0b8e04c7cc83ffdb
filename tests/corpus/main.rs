//! Parses the log lines of the corpora in this directory, and compares each
//! result with the one that the corpus expects. `configured` tests the lines
//! that need a configuration.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod forms;
mod lines;
mod matrix;
mod texts;

use std::net::IpAddr;

use lines::{Case, NOW, SERVERS, corpus, directory, unix_time};
use spamdrop_core::event::{Event, EventKind};
use spamdrop_core::log::{MailServer, Parsed, Parser, ParserSettings};

/// 2026-11-23 08:50:54 UTC.
const WRITTEN: u64 = 1_795_423_854;
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
