#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use jiff::civil::date;
use jiff::tz::Offset;

use super::*;

const MESSAGE: &str = "error,relay=::ffff:192.0.2.1,from=<a@b>,to=<c@d>: 511 Listed";

fn parser() -> Parser {
    Parser::new("courieresmtpd", TimeZone::UTC)
}

/// A time of day in UTC.
fn utc(year: i16, month: i8, day: i8, hour: i8, minute: i8, second: i8) -> SystemTime {
    let civil = date(year, month, day).at(hour, minute, second, 0);
    civil.to_zoned(TimeZone::UTC).unwrap().timestamp().into()
}

fn stamp(parser: &Parser, stamp: &str, now: SystemTime) -> Option<SystemTime> {
    let line = format!("{stamp} mx1 courieresmtpd: {MESSAGE}");
    match parser.parse(line.as_bytes(), now) {
        Parsed::Event(event) => event.at,
        _ => None,
    }
}

#[test]
fn text_is_what_follows_the_code() {
    let text = |reply: &str| {
        let line =
            format!("Nov 23 08:50:54 mx1 courieresmtpd: error,relay=192.0.2.1,from=<>: {reply}");
        match parser().parse(line.as_bytes(), utc(2026, 11, 23, 9, 0, 0)) {
            Parsed::Event(Event {
                kind: Kind::Rejected { text },
                ..
            }) => String::from_utf8(text.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(text("511 Blocked: 511 x"), "Blocked: 511 x");
    assert_eq!(text("511-Blocked"), "Blocked");
    assert_eq!(text("511"), "");
}

#[test]
fn text_of_a_repeated_message_ends_before_the_bracket() {
    let line = format!("Nov 23 08:50:54 mx1 courieresmtpd: message repeated 3 times: [ {MESSAGE}]");
    let Parsed::Event(event) = parser().parse(line.as_bytes(), utc(2026, 11, 23, 9, 0, 0)) else {
        panic!("not taken");
    };
    assert_eq!(event.kind, Kind::Rejected { text: b"Listed" });
}

#[test]
fn program_is_the_configured_one() {
    let parser = Parser::new("smtpd2", TimeZone::UTC);
    let now = utc(2026, 11, 23, 9, 0, 0);
    let line = format!("Nov 23 08:50:54 mx1 smtpd2: {MESSAGE}");
    assert!(matches!(
        parser.parse(line.as_bytes(), now),
        Parsed::Event(_)
    ));
    let line = format!("Nov 23 08:50:54 mx1 courieresmtpd: {MESSAGE}");
    assert_eq!(
        parser.parse(line.as_bytes(), now),
        Parsed::NearMiss("another program wrote it")
    );
}

#[test]
fn near_miss_tells_why() {
    let reason = |line: &str| match parser().parse(line.as_bytes(), utc(2026, 11, 23, 9, 0, 0)) {
        Parsed::NearMiss(reason) => reason,
        other => panic!("{other:?}"),
    };
    let message = |message: &str| reason(&format!("Nov 23 08:50:54 mx1 courieresmtpd: {message}"));
    assert_eq!(reason(MESSAGE), "it does not start with a syslog header");
    assert_eq!(
        reason(&format!("Nov 31 08:50:54 mx1 courieresmtpd: {MESSAGE}")),
        "its stamp is not a time"
    );
    assert_eq!(
        message("x error,relay=192.0.2.1,from=<>: 511 x"),
        "its message does not start with error,relay="
    );
    assert_eq!(
        message("error,relay=localhost,from=<>: 511 x"),
        "its relay is not an address"
    );
    assert_eq!(
        message("error,relay=192.0.2.1,port=x,from=<>: 511 x"),
        "its port is not a number"
    );
    assert_eq!(
        message("error,relay=192.0.2.1,ident=x: 511 x,from=<>: 550"),
        "its ident is not as Courier writes it"
    );
    assert_eq!(
        message("error,relay=192.0.2.1,ident=\"x\",msg=\"502\",cmd: 511 x"),
        "it ends in a command of the client's choosing"
    );
    assert_eq!(
        message("error,relay=192.0.2.1,from=x: 511 x"),
        "its from and to are not as Courier writes them"
    );
    assert_eq!(
        message("error,relay=192.0.2.1,from=<>: 550 511 x"),
        "the code of its reply is not 511"
    );
}

#[test]
fn year_is_the_nearest() {
    let parser = parser();
    let now = utc(2027, 1, 1, 0, 0, 10);
    assert_eq!(
        stamp(&parser, "Dec 31 23:59:59", now),
        Some(utc(2026, 12, 31, 23, 59, 59))
    );
    assert_eq!(
        stamp(&parser, "Jan  1 00:00:09", now),
        Some(utc(2027, 1, 1, 0, 0, 9))
    );
    let now = utc(2026, 12, 31, 23, 59, 59);
    assert_eq!(
        stamp(&parser, "Jan  1 00:00:01", now),
        Some(utc(2027, 1, 1, 0, 0, 1))
    );
    assert_eq!(
        stamp(&parser, "Feb 29 12:00:00", utc(2027, 3, 1, 0, 0, 0)),
        Some(utc(2028, 2, 29, 12, 0, 0))
    );
}

#[test]
fn stamp_without_a_zone_is_in_the_given_one() {
    let parser = Parser::new("courieresmtpd", TimeZone::fixed(Offset::constant(2)));
    let now = utc(2026, 7, 1, 9, 0, 0);
    let expected = Some(utc(2026, 7, 1, 8, 50, 54));
    assert_eq!(stamp(&parser, "Jul  1 10:50:54", now), expected);
    assert_eq!(
        stamp(&parser, "Wed 2026-07-01 10:50:54 CEST", now),
        expected
    );
    assert_eq!(stamp(&parser, "Wed 2026-07-01 08:50:54 UTC", now), expected);
    assert_eq!(stamp(&parser, "2026-07-01T08:50:54Z", now), expected);
}

#[test]
fn hour_lived_twice_is_the_one_nearer_to_now() {
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let parser = Parser::new("courieresmtpd", berlin);
    // 02:30 on 25 October 2026 is 00:30 UTC, and an hour later again.
    for hour in [0, 1] {
        let now = utc(2026, 10, 25, hour, 31, 0);
        assert_eq!(
            stamp(&parser, "Oct 25 02:30:00", now),
            Some(utc(2026, 10, 25, hour, 30, 0))
        );
    }
}

#[test]
fn leap_second_is_the_second_before() {
    assert_eq!(
        stamp(&parser(), "Dec 31 23:59:60", utc(2026, 12, 31, 23, 59, 59)),
        Some(utc(2026, 12, 31, 23, 59, 59))
    );
}

#[test]
fn long_lines_are_read_in_little_time() {
    const LEN: usize = 1 << 20;
    let parser = parser();
    let now = utc(2026, 11, 23, 9, 0, 0);
    let lines = [
        "x".repeat(LEN),
        "511 ".repeat(LEN / 4),
        format!("error,relay={}", "511".repeat(LEN / 3)),
        format!("Nov 23 08:50:54 {}", "courieresmtpd: ".repeat(LEN / 15)),
        format!(
            "Nov 23 08:50:54 mx1 courieresmtpd: {}",
            "error,relay=".repeat(LEN / 12)
        ),
        format!(
            "Nov 23 08:50:54 mx1 courieresmtpd: error,relay=::1,from=<{}",
            "...,to=<".repeat(LEN / 8)
        ),
        format!(
            "Nov 23 08:50:54 mx1 courieresmtpd: error,relay=::1,ident={}",
            ",".repeat(LEN)
        ),
        format!(
            "<19>1 - mx1 courieresmtpd - - {}",
            "[\"\\\\".repeat(LEN / 4)
        ),
        format!(
            "Nov 23 08:50:54 mx1 courierd: newmsg,id=1: dns; {}",
            "[".repeat(LEN)
        ),
    ];
    for line in lines {
        // The fastest of several: the machine may be busy with something else.
        let fastest = (0..5)
            .map(|_| {
                let start = Instant::now();
                assert!(!matches!(
                    parser.parse(line.as_bytes(), now),
                    Parsed::Event(_)
                ));
                start.elapsed()
            })
            .min()
            .unwrap();
        // Of an unoptimised build only that it is linear: what is not would
        // take minutes.
        let limit = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 10 });
        assert!(fastest < limit, "{fastest:?} for {}", &line[..60]);
    }
}
