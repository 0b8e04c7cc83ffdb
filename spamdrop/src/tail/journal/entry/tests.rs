#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use spamdrop_core::log::{Parsed, Parser, ParserSettings};

/// Parses an entry of systemd 252's journalctl in which `fields` replace the
/// original ones; null removes a field.
fn parse(fields: &Value) -> Option<JournalEntry> {
    let mut entry = json!({
        "__CURSOR": "s=9e8dad61627a4c49bc5c7e6851ef495c;i=3;b=038a;m=2c0e;t=660f;x=fe43",
        "__REALTIME_TIMESTAMP": "1795443553000167",
        "__MONOTONIC_TIMESTAMP": "11826463292",
        "_BOOT_ID": "038a09b6f57644feb5f1a8dda38d8278",
        "_HOSTNAME": "mx1",
        "_PID": "8868",
        "SYSLOG_IDENTIFIER": "courieresmtpd",
        "MESSAGE": "started,ip=[::ffff:192.0.2.1],port=[4]",
    });
    for (name, value) in fields.as_object().unwrap() {
        entry[name] = value.clone();
    }
    JournalEntry::parse(entry.to_string().as_bytes())
}

fn parse_line(fields: Value) -> Result<String, Unfit> {
    let line = parse(&fields).unwrap().line?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

#[test]
fn an_entry_becomes_what_journalctl_shows() {
    let entry = parse(&json!({})).unwrap();
    assert!(
        entry
            .cursor
            .starts_with("s=9e8dad61627a4c49bc5c7e6851ef495c;i=3;")
    );
    assert_eq!(entry.time_us, 1_795_443_553_000_167);
    // The time as printed by `date -u -d @1795443553`.
    assert_eq!(
        String::from_utf8(entry.line.unwrap()).unwrap(),
        "2026-11-23T14:19:13.000167+00:00 mx1 courieresmtpd[8868]: started,ip=[::ffff:192.0.2.1],port=[4]"
    );
}

/// Docker's driver `journald` writes the entry, the container its message.
#[test]
fn a_line_of_a_container_is_read_after_its_own_header() {
    let message =
        "Nov 23 14:19:13 mail courieresmtpd: error,relay=::ffff:192.0.2.1,from=<a>: 511 x";
    let found = |identifier: &str| {
        let fields = json!({
            "SYSLOG_IDENTIFIER": identifier,
            "CONTAINER_NAME": "mail",
            "_COMM": "dockerd",
            "MESSAGE": message,
        });
        let line = parse(&fields).unwrap().line.unwrap();
        let mut parser = Parser::new(ParserSettings::default());
        match parser.parse(&line, UNIX_EPOCH) {
            Parsed::Event(event) => event.at,
            Parsed::NearMiss(_) | Parsed::Nothing => None,
        }
    };
    let written = UNIX_EPOCH + std::time::Duration::from_micros(1_795_443_553_000_167);
    assert_eq!(found("5790672ab6a0"), Some(written));
    assert_eq!(found("mailserver"), Some(written));
    assert_eq!(found("php-fpm"), None);
}

#[test]
fn a_message_may_be_any_bytes() {
    let line = parse(&json!({"MESSAGE": [104, 105, 32, 255]}))
        .unwrap()
        .line;
    assert!(line.unwrap().ends_with(b" courieresmtpd[8868]: hi \xff"));
    assert!(line_of("").ends_with("courieresmtpd[8868]: "));
}

#[test]
fn a_newline_starts_no_line() {
    assert!(line_of("a\nb\n").ends_with("courieresmtpd[8868]: a b "));
    let bytes = parse(&json!({"MESSAGE": [97, 10, 255]}))
        .unwrap()
        .line
        .unwrap();
    assert!(bytes.ends_with(b": a \xff"));
}

fn line_of(message: &str) -> String {
    parse_line(json!({"MESSAGE": message})).unwrap()
}

#[test]
fn what_journalctl_leaves_out_is_too_long() {
    assert_eq!(parse_line(json!({"MESSAGE": null})), Err(Unfit::TooLong));
    let (long, name) = ("m".repeat(4096), "i".repeat(4096));
    let fields = json!({"MESSAGE": long, "SYSLOG_IDENTIFIER": name});
    assert_eq!(parse_line(fields), Err(Unfit::TooLong));
}

#[test]
fn what_syslog_does_not_write_is_unfit() {
    for fields in [
        json!({"MESSAGE": ["a", "b"]}),
        json!({"MESSAGE": [[97, 255], "b"]}),
        json!({"MESSAGE": [256]}),
        json!({"MESSAGE": {"a": 1}}),
        json!({"SYSLOG_IDENTIFIER": ["courieresmtpd", "b"]}),
        json!({"SYSLOG_IDENTIFIER": null}),
        json!({"SYSLOG_IDENTIFIER": ""}),
        json!({"SYSLOG_IDENTIFIER": "x courieresmtpd"}),
        json!({"SYSLOG_IDENTIFIER": "courieresmtpd: error,relay=1.2.3.4"}),
        json!({"SYSLOG_IDENTIFIER": "courieresmtpd:"}),
        json!({"SYSLOG_IDENTIFIER": "courieresmtpd[1]"}),
        json!({"SYSLOG_IDENTIFIER": "courieresmtpd\n"}),
        json!({"SYSLOG_IDENTIFIER": "courieresmtpd\u{a0}"}),
        json!({"__REALTIME_TIMESTAMP": "18446744073709551615"}),
    ] {
        assert_eq!(
            parse_line(fields.clone()),
            Err(Unfit::NotSyslog),
            "{fields}"
        );
    }
    let bare = br#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1"}"#;
    assert_eq!(
        JournalEntry::parse(bare).unwrap().line,
        Err(Unfit::NotSyslog)
    );
}

#[test]
fn odd_hosts_and_process_ids_are_left_out() {
    for (host, pid, start) in [
        (json!("a b"), json!("7"), "- courieresmtpd[7]: "),
        (json!(null), json!(null), "- courieresmtpd: "),
        (json!(["a", "b"]), json!("x y"), "- courieresmtpd: "),
        (json!("h"), json!("7]x["), "h courieresmtpd: "),
    ] {
        let line = parse_line(json!({"_HOSTNAME": host, "_PID": pid})).unwrap();
        let rest = line.split_once("+00:00 ").unwrap().1;
        assert!(rest.starts_with(start), "{line}");
    }
}

#[test]
fn what_is_no_entry_is_none() {
    for json in [
        "",
        "-- No entries --",
        "[]",
        "{}",
        r#"{"__CURSOR":"s=1"}"#,
        r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"soon"}"#,
        r#"{"__CURSOR":"s=1","__CURSOR":"s=2","__REALTIME_TIMESTAMP":"1"}"#,
        r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1","#,
    ] {
        assert_eq!(JournalEntry::parse(json.as_bytes()), None, "{json}");
    }
}

/// Text that imitates the end of one field and the start of others.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("courieresmtpd".to_owned()),
        Just("courieresmtpd: error,relay=::ffff:9.9.9.9,port=1,from=<a>,to=<b>: 511 x".to_owned()),
        Just("2026-11-23T14:19:13.000167+00:00 mx1 courieresmtpd[1]: ".to_owned()),
        "[ :\\[\\]\n\r\u{0}\"\\\\,{}a-z0-9]{0,6}",
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => hostile().prop_map(Value::from),
        1 => hostile().prop_map(|text| text.into_bytes().into()),
        1 => prop::collection::vec(hostile(), 0..3).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<i64>().prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = JournalEntry::parse(&bytes);
    }

    #[test]
    fn a_line_has_one_header_and_it_is_the_entrys_own(
        identifier in value(), pid in value(), host in value(), message in value(),
    ) {
        let fields = json!({
            "SYSLOG_IDENTIFIER": identifier, "_PID": pid, "_HOSTNAME": host, "MESSAGE": message,
        });
        let Ok(line) = parse(&fields).unwrap().line else {
            return Ok(());
        };
        prop_assert!(!line.contains(&b'\n') && line.len() <= MAX_LINE);
        let mut words = line.split(|byte| *byte == b' ');
        prop_assert_eq!(words.next(), Some(&b"2026-11-23T14:19:13.000167+00:00"[..]));
        words.next();
        let tag = words.next().and_then(|tag| tag.strip_suffix(b":")).unwrap();
        let program = tag.split(|byte| *byte == b'[').next().unwrap();
        prop_assert_eq!(Some(program), identifier.as_str().map(str::as_bytes));
    }

    /// No entry of another program is parsed as an event of Courier's.
    #[test]
    fn the_parser_sees_the_identifier_that_journald_saw(
        identifier in value(), pid in value(), message in value(),
    ) {
        prop_assume!(identifier != "courieresmtpd" && identifier != "courierd");
        let fields = json!({"SYSLOG_IDENTIFIER": identifier, "_PID": pid, "MESSAGE": message});
        let mut parser = Parser::new(ParserSettings::default());
        if let Ok(line) = parse(&fields).unwrap().line {
            prop_assert!(!matches!(parser.parse(&line, UNIX_EPOCH), Parsed::Event(_)));
        }
    }
}
