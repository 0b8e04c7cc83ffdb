#![expect(clippy::unwrap_used, reason = "a test may panic")]
use spamdrop_common::time::MonotonicNs;

use super::*;

const START: MonotonicNs = MonotonicNs::from_ns(1_000_000_000_500);
const TERM: Term = Term {
    start: START,
    ttl_s: 600,
    slides: true,
    hard_limit_s: 0,
};

fn read(line: &str) -> ListEntry {
    ListReader::new(TERM)
        .read_line(line.as_bytes())
        .unwrap()
        .unwrap()
}

fn net(line: &str) -> String {
    read(line).net.to_string()
}

/// Seconds left, ttl and hard limit.
fn term(line: &str) -> (u64, u32, u32) {
    let entry = read(line).entry;
    let left = entry.expires.elapsed_since(TERM.start).as_secs();
    (left, entry.ttl_s, entry.hard_until_s)
}

fn error(line: &[u8]) -> String {
    ListReader::new(TERM)
        .read_line(line)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_line_is_an_address_or_a_prefix() {
    for (line, expected) in [
        ("192.0.2.1", "192.0.2.1/32"),
        (" 192.0.2.1\t\r", "192.0.2.1/32"),
        ("::ffff:192.0.2.1 # mapped", "192.0.2.1/32"),
        ("2001:db8::1#all of it", "2001:db8::1/128"),
        ("192.0.2.0/24 ; SBL123456", "192.0.2.0/24"),
        ("192.0.2.0/24;SBL123456", "192.0.2.0/24"),
        ("2001:db8::1/64", "2001:db8::/64"),
        ("192.0.2.77/24", "192.0.2.0/24"),
    ] {
        assert_eq!(net(line), expected, "{line}");
    }
    for nothing in ["", "  \r", "# 192.0.2.1", "\t# x", "; Spamhaus DROP List"] {
        let read = ListReader::new(TERM).read_line(nothing.as_bytes()).unwrap();
        assert_eq!(read, None, "{nothing}");
    }
}

#[test]
fn a_term_may_follow() {
    for (line, expected) in [
        ("192.0.2.1", (600, 600, 0)),
        ("192.0.2.1 90", (90, 90, 0)),
        ("192.0.2.1 90 fixed", (90, 0, 0)),
        ("192.0.2.1 90 ttl=300 # x", (90, 300, 0)),
        ("192.0.2.1 90 ttl=300 limit=900", (90, 300, 1_900)),
        ("192.0.2.0/24\t90  fixed", (90, 0, 0)),
    ] {
        assert_eq!(term(line), expected, "{line}");
    }
    // The limit applies to the remaining time, too.
    let limited = read("192.0.2.1 90 limit=60").entry;
    assert_eq!(limited.expires, MonotonicNs::from_second(1_060));
    assert_eq!(read("192.0.2.1 90").entry.flags, ORIGIN_HAND);
    assert_eq!(read("192.0.2.1 90 log").entry.flags, ORIGIN_LOG);
}

#[test]
fn a_line_may_name_its_owner() {
    let owner = |line: &str| read(line).owner.map(|owner| owner.to_string());
    for (line, expected) in [
        ("192.0.2.1", None),
        ("192.0.2.1 90 ttl=300", None),
        ("192.0.2.1 90 log", Some("log")),
        ("192.0.2.1 90 ttl=300 owner=log", Some("log")),
        ("192.0.2.1 90 owner=hand fixed", Some("hand")),
        ("192.0.2.1 90 fixed owner=drop # x", Some("import:drop")),
        (
            "192.0.2.0/24 90 fixed owner=import:drop",
            Some("import:drop"),
        ),
        ("192.0.2.1 90 owner=f2b:smtp limit=900", Some("f2b:smtp")),
        ("192.0.2.1 90 owner=fifo", Some("fifo")),
    ] {
        assert_eq!(owner(line).as_deref(), expected, "{line}");
    }
    assert_eq!(read("192.0.2.1 90 owner=log").entry.flags, ORIGIN_LOG);
    assert_eq!(read("192.0.2.1 90 owner=fifo").entry.flags, ORIGIN_HAND);
    for wrong in ["owner=", "owner=a:b", "owner=unnamed:17", "owner=\u{e9}"] {
        let message = error(format!("192.0.2.1 90 {wrong}").as_bytes());
        assert!(message.contains("owner"), "{message}");
    }
}

/// The lines are in the format of Linux 6.18.
#[test]
fn lines_of_xt_recent_are_addresses() {
    for (line, expected) in [
        (
            "src=1.1.1.1 ttl: 0 last_seen: 4295012345 oldest_pkt: 1 4295012345",
            "1.1.1.1/32",
        ),
        (
            "src=198.51.100.7 ttl: 63 last_seen: 4295300000 oldest_pkt: 3 4295299000, 4295299500, 4295300000",
            "198.51.100.7/32",
        ),
        (
            "src=2001:0db8:0000:0000:0000:0000:0000:0001 ttl: 57 last_seen: 4295300000 oldest_pkt: 1 4295300000",
            "2001:db8::1/128",
        ),
    ] {
        assert_eq!(net(line), expected);
        assert_eq!(term(line), (600, 600, 0));
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (line, expected) in [
        (
            &b"mx.example 600"[..],
            "`mx.example` is a name, not an address",
        ),
        (b"192.0.2.1/33", "`192.0.2.1/33` has no valid prefix length"),
        (b"::ffff:192.0.2.0/120", "is an IPv4-mapped prefix"),
        (b"a\xff", r"`a\xff` is not an address"),
        (b"a\x1b[2J/24", r"`a\x1b[2J/24` is not an address"),
        (b"192.0.2.1 1mo", "`1mo` is not a time"),
        (b"192.0.2.1 0", "`0` is not a time"),
        (b"192.0.2.1 315360001", "`315360001` is not a time"),
        (b"192.0.2.1 fixed", "`fixed` is not a time"),
        (b"192.0.2.1 90 ttl=0", "`0` is not a time"),
        (b"192.0.2.1 90 limit=", "`` is not a time"),
        (b"192.0.2.1 90 for ever", "`for` is none of fixed, ttl="),
        (
            b"src=192.0.2.1",
            "`src=192.0.2.1` is not a line of xt_recent",
        ),
        (b"src=192.0.2.1 600", "`src=192.0.2.1 600` is not a line of"),
        (b"src=mx ttl: 0", "`mx` is not an address"),
    ] {
        let error = error(line);
        assert!(error.contains(expected), "{error}");
    }
    let long = error(&[b'x'; 1000]);
    assert!(
        long.starts_with(&format!("`{}…` is not", "x".repeat(60))),
        "{long}"
    );
}
