#![expect(clippy::unwrap_used, reason = "a test may panic")]
use std::time::Duration;

use spamdrop_common::time::MonotonicNs;

use super::*;
use crate::render::entries::{By, Entry as Shown, State};
use crate::render::listing;

const START: MonotonicNs = MonotonicNs::from_ns(1_000_000_000_500);
const TERM: Term = Term {
    start: START,
    ttl_s: 600,
    slides: true,
    hard_limit_s: 0,
};

fn read(line: &str) -> Listed {
    Reader::new(TERM).line(line.as_bytes()).unwrap().unwrap()
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
    Reader::new(TERM).line(line).unwrap_err().to_string()
}

#[test]
fn a_line_is_an_address_or_a_prefix() {
    for (line, expected) in [
        ("192.0.2.1", "192.0.2.1/32"),
        (" 192.0.2.1\t\r", "192.0.2.1/32"),
        ("::ffff:192.0.2.1 # mapped", "192.0.2.1/32"),
        ("2001:db8::1#all of it", "2001:db8::1/128"),
        ("2001:db8::1/64", "2001:db8::/64"),
        ("192.0.2.77/24", "192.0.2.0/24"),
    ] {
        assert_eq!(net(line), expected, "{line}");
    }
    for nothing in ["", "  \r", "# 192.0.2.1", "\t# x"] {
        let read = Reader::new(TERM).line(nothing.as_bytes()).unwrap();
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
    // The limit holds for the time that is left, too.
    let limited = read("192.0.2.1 90 limit=60").entry;
    assert_eq!(limited.expires, MonotonicNs::from_second(1_060));
    assert_eq!(read("192.0.2.1 90").entry.flags, ORIGIN_HAND);
    assert_eq!(read("192.0.2.1 90 log").entry.flags, ORIGIN_LOG);
}

/// As Linux 6.18 writes them.
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
        (&b"mx.example 600"[..], "`mx.example` is not an address"),
        (b"192.0.2.1/33", "`192.0.2.1/33` is not an address"),
        (b"::ffff:192.0.2.0/120", "is an IPv4-mapped prefix"),
        (b"a\xff", r"`a\xff` is not an address"),
        (b"a\x1b[2J/24", r"`a\x1b[2J/24` is not an address"),
        (b"192.0.2.1 1mo", "`1mo` is no time"),
        (b"192.0.2.1 0", "`0` is no time"),
        (b"192.0.2.1 315360001", "`315360001` is no time"),
        (b"192.0.2.1 fixed", "`fixed` is no time"),
        (b"192.0.2.1 90 ttl=0", "`0` is no time"),
        (b"192.0.2.1 90 limit=", "`` is no time"),
        (b"192.0.2.1 90 for ever", "`for` is none of fixed, ttl="),
        (b"src=192.0.2.1", "`src=192.0.2.1` is no line of xt_recent"),
        (b"src=192.0.2.1 600", "`src=192.0.2.1 600` is no line of"),
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

#[test]
fn what_export_writes_is_read_as_the_same() {
    let entry = |target: &str, ttl_s, limit: Option<u64>, origin| Shown {
        target: target.parse().unwrap(),
        state: State::Sealed,
        expires_in: Duration::from_secs(599),
        hard_limit_in: limit.map(Duration::from_secs),
        ttl_s,
        hits: 7,
        refreshes: 3,
        origin,
        fixed: ttl_s == 0,
    };
    let entries = [
        entry("192.0.2.1", 600, None, By::Hand),
        entry("192.0.2.2", 300, Some(3_000), By::Log),
        entry("192.0.2.3", 300, Some(599), By::Log),
        entry("192.0.2.0/24", 0, None, By::Hand),
        entry("2001:db8::1", 0, None, By::Hand),
    ];
    let mut text = Vec::new();
    listing::text(&mut text, &entries).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), entries.len());
    for (line, expected) in text.lines().zip(&entries) {
        let Listed { net, entry } = read(line);
        assert_eq!(Target::from(net), expected.target, "{line}");
        let limit = expected
            .hard_limit_in
            .map_or(0, |limit| 1_000 + limit.as_secs());
        assert_eq!(u64::from(entry.hard_until_s), limit, "{line}");
        assert_eq!(entry.ttl_s, expected.ttl_s, "{line}");
        // A prefix is blocked until its last second has passed.
        let whole = u64::from(matches!(expected.target, Target::Net(_)));
        let left = entry
            .expires
            .elapsed_since(MonotonicNs::from_second(1_000))
            .as_secs()
            + whole;
        assert_eq!(left, 599, "{line}");
        assert_eq!(entry.flags == ORIGIN_LOG, expected.origin == By::Log);
    }
}
