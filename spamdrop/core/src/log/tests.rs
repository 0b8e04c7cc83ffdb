#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use jiff::civil::date;
use jiff::tz::Offset;

use super::*;
use crate::event::{Clock, Envelope, EventKind};

const MESSAGE: &str = "error,relay=::ffff:192.0.2.1,from=<a@b>,to=<c@d>: 511 Listed";

/// The configuration keys that select the parsed lines.
#[derive(serde::Deserialize)]
#[serde(default)]
struct Keys {
    servers: Vec<MailServer>,
    pattern: Vec<Pattern>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            servers: vec![MailServer::Courier],
            pattern: Vec::new(),
        }
    }
}

fn read_toml(text: &str) -> Keys {
    toml::from_str(text).unwrap()
}

fn parser() -> Parser {
    Parser::new(ParserSettings::default())
}

/// A parser for the lines of these servers.
fn reading(servers: Vec<MailServer>) -> Parser {
    Parser::new(ParserSettings {
        servers,
        ..ParserSettings::default()
    })
}

/// A parser for Courier's lines with these patterns.
fn with_patterns(patterns: Vec<Pattern>) -> Parser {
    Parser::new(ParserSettings {
        patterns,
        ..ParserSettings::default()
    })
}

fn renamed(server: MailServer, names: &[&str]) -> ProgramNames {
    let mut programs = ProgramNames::default();
    programs.set(server, names.iter().map(ToString::to_string).collect());
    programs
}

fn utc(year: i16, month: i8, day: i8, hour: i8, minute: i8, second: i8) -> SystemTime {
    let civil = date(year, month, day).at(hour, minute, second, 0);
    civil.to_zoned(TimeZone::UTC).unwrap().timestamp().into()
}

fn stamp(parser: &mut Parser, stamp: &str, now: SystemTime) -> Option<SystemTime> {
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
                kind: EventKind::Rejected { text },
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
    assert_eq!(
        event.kind,
        EventKind::Rejected {
            text: b"Listed"[..].into()
        }
    );
}

#[test]
fn program_is_the_configured_one() {
    let mut parser = Parser::new(ParserSettings {
        programs: renamed(MailServer::Courier, &["smtpd2"]),
        ..ParserSettings::default()
    });
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
fn every_server_may_have_another_name() {
    let text = "192.0.2.1 is listed at z.example";
    let exim = format!("H=(pc) [192.0.2.1] F=<> rejected RCPT <b@x.example>: {text}");
    let sendmail =
        format!("ruleset=check_relay, arg1=x, relay=x [192.0.2.1], reject=550 5.7.1 {text}");
    let postfix = "NOQUEUE: reject: RCPT from x[192.0.2.1]: 554 5.7.1 Service unavailable; \
                   Client host [192.0.2.1] blocked using z.example; from=<a>";
    for (server, names, program, message, is_taken) in [
        (MailServer::Exim, &["exim-in"][..], "exim-in", &*exim, true),
        (MailServer::Exim, &["exim-in"], "exim", &exim, false),
        (MailServer::Exim, &["exim-in", "exim"], "exim", &exim, true),
        (MailServer::Exim, &["exim-in"], "exim4.service", &exim, true),
        (MailServer::Sendmail, &["MTA"], "MTA", &sendmail, true),
        (MailServer::Sendmail, &["MTA"], "MTA2", &sendmail, false),
        (
            MailServer::Postfix,
            &["mx-in"],
            "mx-in/smtpd",
            postfix,
            true,
        ),
        (
            MailServer::Postfix,
            &["mx-in"],
            "mx-in/submission/smtpd",
            postfix,
            true,
        ),
        (
            MailServer::Postfix,
            &["mx-in"],
            "mx-in2/smtpd",
            postfix,
            false,
        ),
        (
            MailServer::Postfix,
            &["mx-in"],
            "postfix/smtpd",
            postfix,
            false,
        ),
    ] {
        let mut parser = Parser::new(ParserSettings {
            servers: vec![server],
            programs: renamed(server, names),
            ..ParserSettings::default()
        });
        let line = format!("Nov 23 08:50:54 mx1 {program}[7]: {message}");
        let parsed = parser.parse(line.as_bytes(), utc(2026, 11, 23, 9, 0, 0));
        assert_eq!(matches!(parsed, Parsed::Event(_)), is_taken, "{line}");
    }
}

/// A text of JSON is read without its escapes.
#[test]
fn escapes_of_json_stay_data() {
    let line = br#"{"log":"Nov 23 08:50:54 mx1 courieresmtpd: error,relay=192.0.2.1,from=\u003ca\u003e: 511 a \"b\" \\n\u00e9\ud83d\n","stream":"stdout","time":"2026-11-23T08:50:54.6Z"}"#;
    let Parsed::Event(event) = parser().parse(line, utc(2026, 11, 23, 9, 0, 0)) else {
        panic!("not taken");
    };
    let text = "a \"b\" \\n\u{e9}\u{fffd}".as_bytes().into();
    assert_eq!(event.kind, EventKind::Rejected { text });
    assert_eq!(event.envelope.sender.as_deref(), Some(&b"a"[..]));
    assert_eq!(event.clock, Clock::Zoned);
}

/// RFC 5424 has the version 1 before its stamp. In any other line, a 1 at the start is a
/// stamp: a second after the start of 1970.
#[test]
fn a_1_is_a_version_only_before_a_date() {
    let now = utc(2026, 11, 23, 9, 0, 0);
    let second = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    for host in ["mx1", "2026mx", "mail-1"] {
        let line = format!("1 {host} courieresmtpd: {MESSAGE}");
        let Parsed::Event(event) = parser().parse(line.as_bytes(), now) else {
            panic!("{line}");
        };
        assert_eq!(event.at, second, "{line}");
    }
}

#[test]
fn a_weekday_or_a_month_is_no_containers_name() {
    for (name, expected) in [("mail", true), ("Mon", false), ("Nov", false)] {
        let line = format!("{name} 2026-11-23T08:50:54Z mx1 courieresmtpd: {MESSAGE}");
        let parsed = parser().parse(line.as_bytes(), utc(2026, 11, 23, 9, 0, 0));
        assert_eq!(matches!(parsed, Parsed::Event(_)), expected, "{line}");
    }
}

/// Exim writes the HELO of a sender where the name of a container would stand.
#[test]
fn a_name_with_brackets_is_no_containers_name() {
    let inner = format!("Nov 23 08:50:54 mx1 courieresmtpd: {MESSAGE}");
    for (name, expected) in [("mail", true), ("H=(mail", false)] {
        for line in [
            format!("2026-11-23 08:50:54 {name}: {inner}"),
            format!("Nov 23 08:50:54 [{name}] {inner}"),
        ] {
            let parsed = parser().parse(line.as_bytes(), utc(2026, 11, 23, 9, 0, 0));
            assert_eq!(matches!(parsed, Parsed::Event(_)), expected, "{line}");
        }
    }
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
        "it ends in a command that the client chose"
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

/// `tests/corpus` has more lines of each server.
#[test]
fn each_server_is_read_from_syslog_and_from_its_own_log() {
    let read = |server, line: &str| {
        let mut parser = reading(vec![server]);
        match parser.parse(line.as_bytes(), utc(2026, 11, 23, 9, 0, 0)) {
            Parsed::Event(event) => Ok(event.addr.to_string()),
            Parsed::NearMiss(reason) => Err(reason),
            Parsed::Nothing => Err("nothing"),
        }
    };
    let own = "2026-11-23 08:50:54";
    let syslog = "Nov 23 08:50:54 mx1";
    let from = Ok("192.0.2.1".to_owned());
    let exim =
        "H=(pc) [192.0.2.1] F=<> rejected RCPT <b@x.example>: 192.0.2.1 is listed at z.example";
    for head in [
        own,
        &format!("{syslog} exim[1]:"),
        &format!("{syslog} exim4:"),
    ] {
        assert_eq!(
            read(MailServer::Exim, &format!("{head} {exim}")),
            from,
            "{head}"
        );
    }
    let haraka = "[core] hook=connect plugin=dns-list function=onConnect params=\"\" \
                  retval=DENY msg=\"host [192.0.2.1] is listed on z.example\"";
    let id = "[NOTICE] [8F8B3C1E-7D4F-4F60-A5F8-3E7AF5A7B7C9]";
    for head in [id, &format!("{syslog} haraka[1]: {id}")] {
        assert_eq!(
            read(MailServer::Haraka, &format!("{head} {haraka}")),
            from,
            "{head}"
        );
    }
    let rbl = "rblsmtpd: 192.0.2.1 pid 2317: 451 Blocked - see https://xbl.example/?ip=192.0.2.1";
    for head in ["", "@400000006b03fe7824b3c2d4 ", &format!("{own}.6157 ")] {
        assert_eq!(
            read(MailServer::Rblsmtpd, &format!("{head}{rbl}")),
            from,
            "{head}"
        );
    }
    let patched = "rblsmtpd: 192.0.2.1 pid 2317 z.example: 451 Blocked";
    assert_eq!(read(MailServer::Rblsmtpd, patched), from);
    let other = "rblsmtpd: 192.0.2.1 pid 2317 z.example 451 Blocked";
    assert!(read(MailServer::Rblsmtpd, other).is_err());
    let rspamd = "<a1b2c3>; task; rspamd_task_write_log: id: <x@y.example>, ip: 192.0.2.1, \
                  (default: T (reject): [15.20/15.00] \
                  [RBL_SPAMHAUS_XBL(15.20){192.0.2.1:from;}]), len: 1234";
    for head in [
        format!("{own} #2317(normal)"),
        format!("{syslog} rspamd[1]:"),
    ] {
        assert_eq!(
            read(MailServer::Rspamd, &format!("{head} {rspamd}")),
            from,
            "{head}"
        );
    }
    let unknown = format!(
        "{syslog} smtpd[1]: 6a3f5c1b9d2e4f01 smtp failed-command command=\"RCPT TO:<b@x.example>\" \
         result=\"554 5.7.1 Host listed at z.example\""
    );
    assert_eq!(
        read(MailServer::Opensmtpd, &unknown),
        Err("its session is not known")
    );
}

#[test]
fn a_day_may_be_padded_with_a_blank() {
    let now = utc(2026, 11, 9, 0, 0, 0);
    let written = Some(utc(2026, 11, 5, 8, 50, 54));
    assert_eq!(stamp(&mut parser(), "Nov  5 08:50:54", now), written);
}

#[test]
fn year_is_the_last_that_is_at_most_a_day_ahead() {
    let mut parser = parser();
    let now = utc(2027, 1, 1, 0, 0, 10);
    assert_eq!(
        stamp(&mut parser, "Dec 31 23:59:59", now),
        Some(utc(2026, 12, 31, 23, 59, 59))
    );
    assert_eq!(
        stamp(&mut parser, "Jan  1 00:00:09", now),
        Some(utc(2027, 1, 1, 0, 0, 9))
    );
    let now = utc(2026, 12, 31, 23, 59, 59);
    assert_eq!(
        stamp(&mut parser, "Jan  1 00:00:01", now),
        Some(utc(2027, 1, 1, 0, 0, 1))
    );
    assert_eq!(
        stamp(&mut parser, "Feb 29 12:00:00", utc(2027, 3, 1, 0, 0, 0)),
        Some(utc(2024, 2, 29, 12, 0, 0))
    );
    assert_eq!(
        stamp(&mut parser, "Feb 29 12:00:00", utc(2103, 3, 1, 0, 0, 0)),
        Some(utc(2096, 2, 29, 12, 0, 0))
    );
    // An old log that is read on 28 November.
    let now = utc(2026, 11, 28, 9, 0, 0);
    for (text, expected) in [
        ("Nov 29 08:59:59", utc(2026, 11, 29, 8, 59, 59)),
        ("Nov 29 09:00:01", utc(2025, 11, 29, 9, 0, 1)),
        ("Dec 24 08:50:01", utc(2025, 12, 24, 8, 50, 1)),
        ("May 20 08:50:01", utc(2026, 5, 20, 8, 50, 1)),
        ("Jan  1 00:00:00", utc(2026, 1, 1, 0, 0, 0)),
    ] {
        assert_eq!(stamp(&mut parser, text, now), Some(expected), "{text}");
    }
}

#[test]
fn stamp_without_a_zone_is_in_the_given_one() {
    let mut parser = Parser::new(ParserSettings {
        zone: TimeZone::fixed(Offset::constant(2)),
        ..ParserSettings::default()
    });
    let now = utc(2026, 7, 1, 9, 0, 0);
    let expected = Some(utc(2026, 7, 1, 8, 50, 54));
    assert_eq!(stamp(&mut parser, "Jul  1 10:50:54", now), expected);
    assert_eq!(
        stamp(&mut parser, "Wed 2026-07-01 10:50:54 CEST", now),
        expected
    );
    assert_eq!(
        stamp(&mut parser, "Wed 2026-07-01 08:50:54 UTC", now),
        expected
    );
    assert_eq!(stamp(&mut parser, "2026-07-01T08:50:54Z", now), expected);
}

#[test]
fn hour_lived_twice_is_the_one_nearer_to_now() {
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let mut parser = Parser::new(ParserSettings {
        zone: berlin,
        ..ParserSettings::default()
    });
    // 02:30 on 25 October 2026 occurs twice: at 00:30 and at 01:30 UTC.
    for hour in [0, 1] {
        let now = utc(2026, 10, 25, hour, 31, 0);
        assert_eq!(
            stamp(&mut parser, "Oct 25 02:30:00", now),
            Some(utc(2026, 10, 25, hour, 30, 0))
        );
    }
}

#[test]
fn leap_second_is_the_second_before() {
    assert_eq!(
        stamp(
            &mut parser(),
            "Dec 31 23:59:60",
            utc(2026, 12, 31, 23, 59, 59)
        ),
        Some(utc(2026, 12, 31, 23, 59, 59))
    );
}

const LEN: usize = 1 << 20;

#[test]
fn long_lines_are_read_in_little_time() {
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
    read_within(parser(), &lines, Duration::from_millis(10));
}

/// The lines are hard cases for the regular expressions; a real mail log has no
/// such lines.
#[test]
fn long_lines_of_all_servers_are_read_in_linear_time() {
    let all = [
        "courier",
        "postfix",
        "exim",
        "sendmail",
        "opensmtpd",
        "rblsmtpd",
        "haraka",
        "rspamd",
    ];
    let servers = read_toml(&format!("servers = {all:?}")).servers;
    const LEN: usize = 1 << 18;
    let lines = [
        format!(
            "Nov 23 08:50:54 mx1 postfix/smtpd: NOQUEUE: reject: RCPT from x[::1]: 554 {}",
            " blocked using ".repeat(LEN / 15)
        ),
        format!(
            "2026-11-23 08:50:54 H=(x) [::1]{} rejected RCPT <b>: listed",
            " F=<a> rejected RCPT <b>".repeat(LEN / 24)
        ),
        format!(
            "2026-11-23 08:50:54 H=(x) [::1] rejected X: {}",
            ") [::1]".repeat(LEN / 7)
        ),
        format!(
            "Nov 23 08:50:54 mx1 sendmail: ruleset=check_relay, arg1=x, relay=[::1], reject=550 {}",
            "x... ".repeat(LEN / 5)
        ),
        format!(
            "Nov 23 08:50:54 mx1 smtpd: 0123456789abcdef smtp failed-command {}",
            "\" result=\"550 ".repeat(LEN / 14)
        ),
        format!("rblsmtpd: ::1 pid 1 {}", " pid ".repeat(LEN / 5)),
        format!(
            "[INFO] [-] [dns-list] {}",
            "host [::1] is listed".repeat(LEN / 20)
        ),
        format!(
            "#1(normal) <x>; task; rspamd_task_write_log: id: <x>, ip: ::1, (default: T (reject): [1/1] [{}",
            "RBL_X(1.00){::2:from;},".repeat(LEN / 23)
        ),
    ];
    read_within(reading(servers), &lines, Duration::from_millis(25));
}

fn read_within(mut parser: Parser, lines: &[String], limit: Duration) {
    let now = utc(2026, 11, 23, 9, 0, 0);
    // An unoptimised build is checked only for linear time: anything worse
    // would take minutes.
    let limit = if cfg!(debug_assertions) {
        limit * 100
    } else {
        limit
    };
    for line in lines {
        // The fastest of several runs, because the machine may be busy.
        let read = || {
            let start = Instant::now();
            let parsed = parser.parse(line.as_bytes(), now);
            assert!(!matches!(parsed, Parsed::Event(_)));
            start.elapsed()
        };
        let fastest = std::iter::repeat_with(read).take(5).min().unwrap();
        assert!(fastest < limit, "{fastest:?} for {}", &line[..60]);
    }
}

fn pattern(toml: &str) -> Vec<Pattern> {
    read_toml(toml).pattern
}

#[test]
fn a_pattern_sees_its_programs_messages() {
    let pattern = pattern(
        "[[pattern]]\nname = \"mine\"\nprogram = \"myfilter\"\nmatch = '^reject from \\[<HOST>\\]: 5'",
    );
    let mut parser = with_patterns(pattern);
    let now = utc(2026, 11, 23, 9, 0, 0);
    let line = b"Nov 23 08:50:54 mx1 myfilter[1]: reject from [::ffff:192.0.2.1]: 550 no";
    assert_eq!(
        parser.parse(line, now),
        Parsed::Event(Event {
            addr: [192, 0, 2, 1].into(),
            kind: EventKind::Rejected {
                text: b"]: 550 no"[..].into()
            },
            at: Some(utc(2026, 11, 23, 8, 50, 54)),
            clock: Clock::Local,
            rule: "mine".into(),
            envelope: Envelope::default(),
        })
    );
    for line in [
        "Nov 23 08:50:54 mx1 other: reject from [192.0.2.1]: 550 no",
        "Nov 23 08:50:54 mx1 myfilter: x reject from [192.0.2.1]: 550 no",
        "reject from [192.0.2.1]: 550 no",
    ] {
        assert_eq!(
            parser.parse(line.as_bytes(), now),
            Parsed::Nothing,
            "{line}"
        );
    }
    assert_eq!(
        parser.parse(
            b"Nov 23 08:50:54 mx1 myfilter: reject from [1.2.3.999]: 550 no",
            now
        ),
        Parsed::NearMiss("the text in place of <HOST> is not an address")
    );
}

#[test]
fn a_pattern_without_a_program_sees_what_follows_the_stamp() {
    let pattern = pattern("[[pattern]]\nname = \"mine\"\nmatch = '^reject <HOST>$'");
    let mut parser = with_patterns(pattern);
    let now = utc(2026, 11, 23, 9, 0, 0);
    let mut at = |line: &str| match parser.parse(line.as_bytes(), now) {
        Parsed::Event(event) => Some(event.at),
        _ => None,
    };
    let stamp = Some(Some(utc(2026, 11, 23, 8, 50, 54)));
    assert_eq!(at("reject 192.0.2.1"), Some(None));
    assert_eq!(at("2026-11-23T08:50:54Z reject 192.0.2.1"), stamp);
    assert_eq!(at("2026-11-23 08:50:54.5 reject 192.0.2.1"), stamp);
    assert_eq!(at("2026-11-23 10:50:54 +0200 reject 192.0.2.1"), stamp);
    assert_eq!(at("@400000006b03fe7800000000 reject 192.0.2.1"), stamp);
    assert_eq!(at("Nov 23 08:50:54 reject 192.0.2.1"), stamp);
    assert_eq!(at("Nov 23 08:50:54 mx1 myfilter: reject 192.0.2.1"), None);
    assert_eq!(at("1795423854 reject 192.0.2.1"), None);
    assert_eq!(at("1-2 reject 192.0.2.1"), None);
}

#[test]
fn near_miss_is_of_the_server_that_it_looks_like() {
    let mut parser = reading(vec![
        MailServer::Courier,
        MailServer::Exim,
        MailServer::Postfix,
    ]);
    let mut reason = |line: &str| match parser.parse(line.as_bytes(), utc(2026, 11, 23, 9, 0, 0)) {
        Parsed::NearMiss(reason) => reason,
        other => panic!("{other:?}"),
    };
    let reject =
        "NOQUEUE: reject: RCPT from x[192.0.2.1]: 554 5.7.1 Service unavailable; Client host";
    let smtpd = format!("Nov 23 08:50:54 mx1 postfix/smtpd[1]: {reject}");
    assert_eq!(
        reason(&format!("{smtpd} [x.example] blocked using z; from=<a>")),
        "the listed host is not an address"
    );
    assert_eq!(
        reason(&format!("{smtpd} [192.0.2.2] blocked using z; from=<a>")),
        "the listed host is not its client"
    );
    assert_eq!(
        reason(&format!("{reject} [192.0.2.1] blocked using z; from=<a>")),
        "it does not start with a syslog header"
    );
    assert_eq!(
        reason(
            "2026-11-23 08:50:54 H=(x) [192.0.2.1] F=<a> temporarily rejected RCPT <b>: listed at z.example"
        ),
        "the rejection is only temporary"
    );
    assert_eq!(
        reason(&format!(
            "Nov 23 08:50:54 mx1 courieresmtpd: {}",
            MESSAGE.replace("192.0.2.1", "x")
        )),
        "its relay is not an address"
    );
}

#[test]
fn text_of_postfix_ends_before_the_peers_words() {
    const TEXT: &str = "Service unavailable; Client host [192.0.2.1] blocked using z; t";
    for (stage, words) in [
        ("RCPT", "; from=<open resolver> to=<b> proto=SMTP"),
        ("EHLO", "; proto=SMTP helo=<open resolver>"),
        ("CONNECT", "; proto=SMTP"),
    ] {
        let mut parser = reading(vec![MailServer::Postfix]);
        let line = format!(
            "Nov 23 08:50:54 mx1 postfix/smtpd[1]: NOQUEUE: reject: {stage} from x[192.0.2.1]: 554 5.7.1 {TEXT}{words}"
        );
        let Parsed::Event(event) = parser.parse(line.as_bytes(), utc(2026, 11, 23, 9, 0, 0)) else {
            panic!("not taken: {line}");
        };
        let text = TEXT.as_bytes().into();
        assert_eq!(event.kind, EventKind::Rejected { text }, "{line}");
    }
}

#[test]
fn a_delivery_has_the_sender_of_an_earlier_line_of_the_same_log() {
    const LINES: [(MailServer, &str, &str); 2] = [
        (
            MailServer::Postfix,
            "Nov 23 08:50:54 mx1 postfix/qmgr[1]: 4XyZ: from=<alice@example.com>, size=12, nrcpt=1 (queue active)",
            "Nov 23 08:50:54 mx1 postfix/smtp[2]: 4XyZ: to=<b@example.org>, relay=mx[198.51.100.7]:25, delay=1, dsn=2.0.0, status=sent (250 ok)",
        ),
        (
            MailServer::Exim,
            "2026-11-23 08:50:54 1vNDf3-0005Qv-EA <= alice@example.com U=alice P=local S=12",
            "2026-11-23 08:50:54 1vNDf3-0005Qv-EA => b@example.org R=dnslookup T=remote_smtp H=mx [198.51.100.7]",
        ),
    ];
    let now = utc(2026, 11, 23, 9, 0, 0);
    for (server, queued, sent) in LINES {
        let mut parser = reading(vec![server]);
        assert_eq!(parser.parse(queued.as_bytes(), now), Parsed::Nothing);
        let Parsed::Event(event) = parser.parse(sent.as_bytes(), now) else {
            panic!("{sent}");
        };
        assert_eq!(event.kind, EventKind::Delivered);
        assert_eq!(event.addr, IpAddr::from([198, 51, 100, 7]));
        let envelope = Envelope {
            sender: Some(b"alice@example.com".into()),
            recipient: Some(b"b@example.org".into()),
            port: None,
        };
        assert_eq!(event.envelope, envelope);
        parser.start_log();
        assert_eq!(parser.parse(sent.as_bytes(), now), Parsed::Nothing);
    }
}

#[test]
fn a_connection_without_an_event_is_reported() {
    let connection = |server, line: &str| {
        let mut parser = reading(vec![server]);
        let parsed = parser.parse(line.as_bytes(), utc(2026, 11, 23, 9, 0, 0));
        assert!(!matches!(parsed, Parsed::Event(_)), "{line}");
        parser.take_connection().map(|found| found.addr)
    };
    let peer = Some(IpAddr::from([192, 0, 2, 1]));
    let postfix = |text: &str| {
        let line = format!("Nov 23 08:50:54 mx1 postfix/{text}");
        connection(MailServer::Postfix, &line)
    };
    assert_eq!(postfix("smtpd[1]: connect from x.example[192.0.2.1]"), peer);
    let screened = "postscreen[1]: CONNECT from [192.0.2.1]:40112 to [203.0.113.25]:25";
    assert_eq!(postfix(screened), peer);
    assert_eq!(postfix("smtpd[1]: connect from x y[9.9.9.9]"), None);
    assert_eq!(postfix("smtp[1]: connect from x[9.9.9.9]"), None);
    let exim = |text: &str| {
        let line = format!("2026-11-23 08:50:54 {text}");
        connection(MailServer::Exim, &line)
    };
    let started = "SMTP connection from [192.0.2.1]:40112 (TCP/IP connection count = 1)";
    assert_eq!(exim(started), peer);
    let refused = "H=(x) [192.0.2.1] F=<a@b> rejected RCPT <c@d>: relay not permitted";
    assert_eq!(exim(refused), peer);
    let forged = "no MAIL in SMTP connection from [9.9.9.9]:40112 (x";
    assert_eq!(exim(forged), None);
}

#[test]
fn a_connection_that_postscreen_hands_over_is_reported() {
    let handed_over = |text: &str| {
        let mut parser = reading(vec![MailServer::Postfix]);
        let line = format!("Nov 23 08:50:54 mx1 {text}");
        let parsed = parser.parse(line.as_bytes(), utc(2026, 11, 23, 9, 0, 0));
        assert_eq!(parsed, Parsed::Nothing, "{line}");
        let peer = parser.take_handed_over();
        assert_eq!(parser.take_handed_over(), None);
        peer
    };
    let peer = Some((IpAddr::from([192, 0, 2, 1]), 40112));
    for program in ["postfix/postscreen[1]", "postfix@-.service[1]"] {
        for words in ["PASS NEW", "PASS OLD", "ALLOWLISTED", "WHITELISTED"] {
            let line = format!("{program}: {words} [192.0.2.1]:40112");
            assert_eq!(handed_over(&line), peer);
        }
    }
    for other in [
        "postfix/smtpd[1]: PASS NEW [9.9.9.9]:40112",
        "postfix/postscreen[1]: x PASS NEW [9.9.9.9]:40112",
        "postfix/postscreen[1]: PASS NEW [9.9.9.9]:40112 x",
        "postfix/postscreen[1]: ALLOWLIST VETO [9.9.9.9]:40112",
        "postfix/postscreen[1]: DENYLISTED [9.9.9.9]:40112",
    ] {
        assert_eq!(handed_over(other), None, "{other}");
    }
}

#[test]
fn lines_about_connections_tell_what_becomes_of_the_slots() {
    use SlotChange::{Closed, Counted, Opened, OpenedWithoutEnd};
    let servers = vec![MailServer::Courier, MailServer::Postfix, MailServer::Exim];
    let mut parser = reading(servers);
    let (ours, screened) = (false, true);
    for (line, expected) in [
        (
            "courieresmtpd: started,ip=[::ffff:192.0.2.1],port=[4711]",
            Some((Some(4711), OpenedWithoutEnd, ours)),
        ),
        (
            "courieresmtpd: started,ip=[192.0.2.1]",
            Some((None, OpenedWithoutEnd, ours)),
        ),
        (
            "postfix/smtpd[1]: connect from mx.example[192.0.2.1]:4711",
            Some((Some(4711), Opened, ours)),
        ),
        (
            "postfix/smtpd[1]: disconnect from mx.example[192.0.2.1] ehlo=1 quit=1 commands=2",
            Some((None, Closed, ours)),
        ),
        // A line that is an event also tells the end.
        (
            "postfix/smtpd[1]: disconnect from mx.example[192.0.2.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
            Some((None, Closed, ours)),
        ),
        (
            "postfix/submission/smtpd[1]: connect from mx.example[192.0.2.1]",
            None,
        ),
        (
            "postfix/postscreen[1]: CONNECT from [192.0.2.1]:4711 to [198.51.100.1]:25",
            Some((Some(4711), Opened, screened)),
        ),
        (
            "postfix/postscreen[1]: DISCONNECT [192.0.2.1]:4711",
            Some((Some(4711), Closed, screened)),
        ),
        (
            "postfix/postscreen[1]: PASS NEW [192.0.2.1]:4711",
            Some((Some(4711), Closed, screened)),
        ),
        (
            "exim[1]: SMTP connection from [192.0.2.1] (TCP/IP connection count = 12)",
            Some((None, Counted(12), ours)),
        ),
        (
            "exim[1]: SMTP connection from [192.0.2.1] closed by QUIT",
            None,
        ),
        ("courieresmtpd: error,relay=192.0.2.1,from=<>: 511 x", None),
    ] {
        let whole = format!("2026-11-23T08:50:54Z mx {line}");
        let now = utc(2026, 11, 23, 9, 0, 0);
        let _ = parser.parse(whole.as_bytes(), now);
        let slot = parser.take_slot_line();
        let found = slot.map(|(slot, at)| {
            assert_eq!(slot.addr, IpAddr::from([192, 0, 2, 1]), "{line}");
            assert_eq!(at, Some(utc(2026, 11, 23, 8, 50, 54)), "{line}");
            (slot.port, slot.change, slot.is_postscreen)
        });
        assert_eq!(found, expected, "{line}");
        assert_eq!(
            parser.time(whole.as_bytes(), now),
            Some(utc(2026, 11, 23, 8, 50, 54))
        );
    }
}

/// Postfix writes the address that a zone answers in an earlier line.
#[test]
fn a_zone_that_refused_the_query_is_told_instead_of_its_listing() {
    let refused: &[u8] = b"the blocklist answered 127.255.255.0/24";
    let listed = b"Service unavailable; client [192.0.2.1] blocked using zen.example";
    for (answer, expected) in [("127.255.255.254", refused), ("127.0.0.2", listed)] {
        let mut parser = reading(vec![MailServer::Postfix]);
        let now = utc(2026, 11, 23, 9, 0, 0);
        let answer = format!(
            "Nov 23 08:50:54 mx1 postfix/dnsblog[2]: addr 192.0.2.1 listed by domain zen.example as {answer}"
        );
        assert_eq!(parser.parse(answer.as_bytes(), now), Parsed::Nothing);
        let line = b"Nov 23 08:50:55 mx1 postfix/postscreen[1]: NOQUEUE: reject: RCPT from [192.0.2.1]:40112: 550 5.7.1 Service unavailable; client [192.0.2.1] blocked using zen.example; from=<a@b.example>, to=<c@d.example>, proto=ESMTP, helo=<x>";
        let Parsed::Event(event) = parser.parse(line, now) else {
            panic!("not taken");
        };
        let text = expected.into();
        assert_eq!(event.kind, EventKind::Rejected { text }, "{answer}");
    }
}
