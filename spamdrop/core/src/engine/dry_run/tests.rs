#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::model::{self, Fact, Happening};
use super::super::tests::{
    PRESENT, acceptance, delivery, rejection, settings, unknown_recipient, wall,
};
use super::*;
use crate::gate::ConnectionEnds;
use crate::log::MailServer;
use crate::time::UnixSeconds;
use spamdrop_common::settings::Refresh;

const DAY: u64 = 86_400;
/// Two days before the present.
const AT: u64 = PRESENT - 2 * DAY;

fn dry_run_settings() -> DryRunSettings {
    DryRunSettings {
        engine: settings(),
        term: BlockTerm {
            ttl_s: 600,
            hard_limit_s: 3600,
            refresh: Refresh::Packet,
        },
        grace: Some(Duration::from_secs(3)),
        slots: Some(10),
    }
}

fn dry_run(settings: DryRunSettings) -> DryRun {
    let (protected, senders) = (Protected::default(), HashMap::new());
    DryRun::new(settings, protected, senders, ZoneNames::default())
}

fn replay(dry_run: &mut DryRun, lines: &[String]) -> Prediction {
    let mut clock = LogClock::new(wall(PRESENT));
    for line in lines {
        dry_run.replay_line(line.as_bytes(), Path::new("mail.log"), &mut clock);
    }
    dry_run.prediction()
}

fn predicted(lines: &[String]) -> Prediction {
    replay(&mut dry_run(dry_run_settings()), lines)
}

fn started(seconds: u64, addr: &str, port: u16) -> String {
    let line = rejection(seconds, addr);
    let (stamp, _) = line.split_once(" mx ").unwrap();
    format!("{stamp} mx courieresmtpd: started,ip=[::ffff:{addr}],port=[{port}]")
}

/// Each block: its address, and its start and end in seconds from [`AT`].
fn blocks(prediction: &Prediction) -> Vec<(String, u64, u64)> {
    let since = |at: SystemTime| at.duration_since(wall(AT)).unwrap().as_secs();
    let blocks = prediction.blocks.iter();
    blocks
        .map(|block| {
            (
                block.target.to_string(),
                since(block.from),
                since(block.until),
            )
        })
        .collect()
}

#[test]
fn a_block_ends_after_the_last_packet_that_the_log_shows() {
    let addr = "192.0.2.1";
    let lines = [
        rejection(AT, addr),
        // The repeat of a second ago blocks nobody anew.
        rejection(AT, addr),
        started(AT + 500, addr, 1),
        rejection(AT + 1000, addr),
        // The block has just ended.
        started(AT + 1601, addr, 2),
        rejection(AT + 1700, addr),
        rejection(AT + 1701, "2001:db8::1"),
    ];
    let prediction = predicted(&lines);
    let expected = [
        ("192.0.2.1".to_owned(), 0, 1600),
        ("192.0.2.1".to_owned(), 1700, 2300),
        ("2001:db8::/64".to_owned(), 1701, 2301),
    ];
    assert_eq!(blocks(&prediction), expected);
    let first = &prediction.blocks[0];
    assert_eq!((first.offences, first.refused), (2, 1));
    assert_eq!(first.rule, "courier-511");
    assert_eq!((prediction.blocked, prediction.sources), (3, 2));
    assert_eq!((prediction.renewed, prediction.refused_connections), (1, 1));
    assert_eq!(prediction.events[&"repeat"], 1);
    assert_eq!(prediction.from, Some(wall(AT)));
    assert_eq!(prediction.until, Some(wall(AT + 1701)));
}

#[test]
fn packets_do_not_extend_a_block_beyond_its_hard_limit_or_against_the_setting() {
    let addr = "192.0.2.1";
    let mut lines = vec![rejection(AT, addr)];
    lines.extend((1..10).map(|n| started(AT + 500 * n, addr, 1)));
    let end = |settings| blocks(&replay(&mut dry_run(settings), &lines))[0].2;
    assert_eq!(end(dry_run_settings()), 3600);
    let with = |change: fn(&mut BlockTerm)| {
        let mut settings = dry_run_settings();
        change(&mut settings.term);
        end(settings)
    };
    assert_eq!(with(|term| term.hard_limit_s = 0), 4500 + 600);
    assert_eq!(with(|term| term.refresh = Refresh::Never), 600);
    assert_eq!(with(|term| term.ttl_s = 499), 499);
}

fn known_record() -> Record {
    let mail = [9, 8, 1].map(|days| Record::accepted(UnixSeconds::new(AT - days * DAY)));
    mail.into_iter().fold(Record::default(), Record::join)
}

#[test]
fn known_senders_that_would_be_blocked_are_listed() {
    let known: IpAddr = "192.0.2.1".parse().unwrap();
    let senders = HashMap::from([(known.into(), known_record())]);
    let (protected, zones) = (Protected::default(), ZoneNames::default());
    let mut dry_run = DryRun::new(dry_run_settings(), protected, senders, zones);
    let lines = [
        // It becomes known by this log: three messages on two days.
        acceptance(AT - DAY, "192.0.2.2"),
        acceptance(AT - DAY + 60, "192.0.2.2"),
        acceptance(AT, "192.0.2.2"),
        rejection(AT + 60, "192.0.2.1"),
        rejection(AT + 120, "192.0.2.1"),
        rejection(AT + 180, "192.0.2.2"),
        rejection(AT + 240, "192.0.2.3"),
        // It was demoted an hour after its rejection.
        rejection(AT + 9000, "192.0.2.1"),
    ];
    let prediction = replay(&mut dry_run, &lines);
    let hits = prediction.known_hits.iter();
    let hits: Vec<_> = hits
        .map(|hit| (hit.addr.to_string(), hit.at, hit.text.as_str()))
        .collect();
    let expected = [
        ("192.0.2.1".to_owned(), wall(AT + 60), "Listed"),
        ("192.0.2.2".to_owned(), wall(AT + 180), "Listed"),
    ];
    assert_eq!(hits, expected);
    assert_eq!(prediction.known_blocked, 2);
}

#[test]
fn mail_that_was_accepted_from_blocked_senders_is_listed() {
    let prediction = predicted(&[
        rejection(AT, "192.0.2.1"),
        acceptance(AT + 10, "192.0.2.1"),
        acceptance(AT + 10, "192.0.2.2"),
        acceptance(AT + 601, "192.0.2.1"),
    ]);
    assert_eq!(prediction.accepted_while_blocked, 1);
    assert_eq!(prediction.accepted_hits[0].at, wall(AT + 10));
}

#[test]
fn rejections_that_do_not_block_are_counted_by_reason() {
    let unstamped = "<19>1 - mx courieresmtpd - - - error,relay=192.0.2.9,from=<a>,to=<b>: 511 x";
    let prediction = predicted(&[
        rejection(AT, "127.0.0.1"),
        rejection(AT, "127.0.0.1"),
        unknown_recipient(AT + 1, "192.0.2.1"),
        rejection(AT + 700, "192.0.2.2"),
        rejection(AT + 99, "192.0.2.3"),
        unstamped.to_owned(),
        "error,relay=192.0.2.1: 511".to_owned(),
        delivery(AT + 701, "192.0.2.4"),
    ]);
    let expected = [
        ("loopback".to_owned(), 2),
        ("the line is too old".to_owned(), 1),
        ("the recipient was refused, not the sender".to_owned(), 1),
    ];
    assert_eq!(prediction.ignored, BTreeMap::from(expected));
    assert_eq!(
        prediction.protected,
        [("127.0.0.1".parse().unwrap(), 2)].into()
    );
    assert_eq!(prediction.near_misses.values().sum::<u64>(), 1);
    assert_eq!(prediction.unstamped, 1);
    let blocked: Vec<_> = blocks(&prediction)
        .into_iter()
        .map(|it| (it.0, it.1))
        .collect();
    assert_eq!(
        blocked,
        [("192.0.2.2".to_owned(), 700), ("192.0.2.9".to_owned(), 700)]
    );
}

#[test]
fn a_blocklist_that_lists_everybody_is_called_out() {
    let sender = |n: u64| format!("198.51.100.{n}");
    let mut lines = Vec::new();
    for day in [5, 4, 3, 2, 1] {
        for n in 1..=30 {
            lines.push(acceptance(AT - day * DAY + 60 * n, &sender(n)));
        }
    }
    lines.extend((1..=30).map(|n| rejection(AT + 60 * n, &sender(n))));
    let prediction = predicted(&lines);
    // The ceiling trips at the sixth of thirty.
    assert_eq!(prediction.known_blocked, 5);
    let [pause] = prediction.pauses.as_slice() else {
        panic!("{:?}", prediction.pauses);
    };
    assert!(pause.why.starts_with("6 of the "), "{pause:?}");
    assert_eq!((pause.until, pause.rejections), (None, 25));
    assert_eq!(prediction.paused(), Duration::from_secs(24 * 60));
    let [outage] = prediction.outages.as_slice() else {
        panic!("{:?}", prediction.outages);
    };
    assert_eq!((outage.from, outage.until), (wall(AT + 60), None));
    assert_eq!(outage.text, "Listed");
    // The message of the first sender is a day old.
    assert!(outage.regulars >= 29);
    assert!(outage.refused >= 6);
}

#[test]
fn a_private_address_with_most_connections_is_not_blocked() {
    let mut lines: Vec<_> = (0..30).map(|n| acceptance(AT + n, "172.17.0.1")).collect();
    lines.push(rejection(AT + 60, "172.17.0.1"));
    let prediction = predicted(&lines);
    assert_eq!(
        prediction.proxies,
        ["172.17.0.1".parse::<IpAddr>().unwrap()]
    );
    assert_eq!(prediction.blocked, 0);
    assert_eq!(prediction.protected.len(), 1);
}

fn postfix(seconds: u64, program: &str, message: &str) -> String {
    let line = rejection(seconds, "192.0.2.1");
    let (stamp, _) = line.split_once(" mx ").unwrap();
    format!("{stamp} mx {program}[7]: {message}")
}

#[test]
fn connections_while_slots_ran_short_are_counted_by_standing() {
    let mut settings = dry_run_settings();
    settings.engine.parser.servers = vec![MailServer::Postfix];
    let known: IpAddr = "192.0.2.1".parse().unwrap();
    let senders = HashMap::from([(known.into(), known_record())]);
    let (protected, zones) = (Protected::default(), ZoneNames::default());
    let mut dry_run = DryRun::new(settings, protected, senders, zones);
    let smtpd = |at, message: &str| postfix(AT + at, "postfix/smtpd", message);
    let mut lines: Vec<_> = (1..=7)
        .map(|n| smtpd(n, &format!("connect from unknown[198.51.100.{n}]")))
        .collect();
    // Another port has processes of its own.
    lines.extend((1..=7).map(|n| {
        let program = "postfix/submission/smtpd";
        postfix(
            AT + 7,
            program,
            &format!("connect from unknown[203.0.113.{n}]"),
        )
    }));
    let reject = "NOQUEUE: reject: RCPT from unknown[198.51.100.9]: 554 5.7.1 Service unavailable; Client host [198.51.100.9] blocked using zen.example; from=<a@b.example>";
    lines.extend([
        // More than 60 % are taken: seven of ten.
        smtpd(8, "connect from mx.example[192.0.2.1]"),
        // More than 70 %.
        smtpd(9, "connect from unknown[198.51.100.9]"),
        // More than 80 %.
        smtpd(10, "connect from unknown[198.51.100.10]"),
        smtpd(12, reject),
        smtpd(
            25,
            "disconnect from unknown[198.51.100.9] ehlo=1 mail=1 rcpt=0/1 commands=2/3",
        ),
        smtpd(26, "connect from unknown[198.51.100.9]"),
    ]);
    let prediction = replay(&mut dry_run, &lines);
    let slots = prediction.slots;
    assert_eq!(slots.ends, Some(ConnectionEnds::Logged));
    assert_eq!((slots.connections, slots.peak), (11, 10));
    let counts = slots
        .shortages
        .map(|it| (it.connections, it.known, it.listed, it.unknown));
    assert_eq!(counts, [(4, 1, 2, 1), (3, 0, 2, 1), (2, 0, 1, 1)]);
    assert_eq!(slots.shortages.map(|it| it.above_percent), [60, 70, 80]);
    // Held for 13 s, of which 3 s are the grace.
    assert_eq!(prediction.held_connections, 1);
    assert_eq!(prediction.held, Duration::from_secs(10));
    assert_eq!(prediction.refused_connections, 1);
}

#[test]
fn a_live_log_is_taken_with_the_real_time() {
    let mut live = dry_run(dry_run_settings());
    let moment = |seconds: u64| Moment {
        wall: wall(PRESENT + seconds),
        mono: Duration::from_secs(1_000 + seconds),
    };
    let mut take = |seconds: u64, is_backlog: bool, line: &str| {
        let now = moment(seconds);
        live.look_after(now);
        let found = live.take_line(line.as_bytes(), Path::new("a.log"), is_backlog, now);
        found.map(|block| (block.addr.to_string(), block.is_renewed))
    };
    let (first, renewed) = (
        Some(("192.0.2.1".to_owned(), false)),
        Some(("192.0.2.1".to_owned(), true)),
    );
    assert_eq!(take(2, false, &rejection(PRESENT, "192.0.2.1")), first);
    assert_eq!(
        take(9, false, &rejection(PRESENT + 9, "192.0.2.1")),
        renewed
    );
    assert_eq!(take(9, true, &rejection(PRESENT - 601, "192.0.2.2")), None);
    assert_eq!(
        take(10, false, &acceptance(PRESENT + 10, "192.0.2.3")),
        None
    );
    let prediction = live.prediction();
    // It was blocked as of the rejection.
    assert_eq!(prediction.blocks[0].from, wall(PRESENT));
    assert_eq!(prediction.blocks[0].until, wall(PRESENT + 609));
    assert_eq!(prediction.ignored.len(), 1);
}

fn line(happening: &Happening) -> String {
    let addr = model::address(happening.addr).to_string();
    match happening.fact {
        Fact::Accepted => acceptance(happening.at, &addr),
        Fact::Listed => rejection(happening.at, &addr),
        Fact::Unknown(sender, port) => {
            let port = port.map_or(String::new(), |port| format!(",port={port}"));
            let from = format!("relay={addr}{port},from=<{sender}>");
            let line = unknown_recipient(happening.at, &addr);
            line.replace(&format!("relay={addr},from=<{}>", happening.at), &from)
        }
        Fact::Delivered(recipient) => {
            let line = delivery(happening.at, &addr);
            line.replace("addr=<c@d>", &format!("addr=<{recipient}>"))
        }
    }
}

/// The blocks of an engine that gets the events of a log at their time, and the
/// counts of its decisions: address, start and end.
type LiveRun = (Vec<(IpAddr, u64, u64)>, BTreeMap<&'static str, u64>);

fn live(log: &[Happening], ttl: u64) -> LiveRun {
    let mut engine = Engine::new(settings(), Protected::default());
    let mut blocks: Vec<(IpAddr, u64, u64)> = Vec::new();
    let start = log.first().map_or(0, |first| first.at);
    for happening in log {
        let now = Moment {
            wall: wall(happening.at),
            mono: Duration::from_secs(5_000_000 + happening.at - start),
        };
        engine.settle(now, false);
        let event = model::event(happening);
        let live =
            |block: &&mut (IpAddr, u64, u64)| block.0 == event.addr && block.2 >= happening.at;
        let last = blocks.iter_mut().rev().find(live);
        let decision = engine.decide(&event, now, last.is_some()).decision;
        if let Decision::Block { addr, .. } = decision {
            let end = happening.at + ttl;
            match last {
                Some(block) => block.2 = end,
                None => blocks.push((addr, happening.at, end)),
            }
        }
    }
    (blocks, engine.counts().clone())
}

/// Logs of some weeks with some more listings.
fn log() -> impl Strategy<Value = Vec<Happening>> {
    let listed = (0..20 * DAY, 0..4u8).prop_map(|(after, addr)| Happening {
        at: model::START + after,
        addr,
        fact: Fact::Listed,
    });
    let near = (0..4_000u64, 0..4u8).prop_map(|(after, addr)| Happening {
        at: model::START + 9 * DAY + after,
        addr,
        fact: Fact::Listed,
    });
    let more = prop::collection::vec(prop_oneof![1 => listed, 4 => near], 0..60);
    (model::log(), more).prop_map(|(mut log, more)| {
        log.extend(more);
        log.sort_by_key(|happening| happening.at);
        log
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_replay_is_the_engine_run_live_with_the_logs_clock(
        log in log(),
        ttl in prop_oneof![Just(600u32), 1..4_000u32],
    ) {
        let mut settings = dry_run_settings();
        settings.term = BlockTerm { ttl_s: ttl, hard_limit_s: 0, refresh: Refresh::Packet };
        // The clock of the run must not decide.
        let present = model::START + 30 * DAY;
        let mut dry_run = dry_run(settings);
        let mut clock = LogClock::new(wall(present));
        for happening in &log {
            dry_run.replay_line(line(happening).as_bytes(), Path::new("a"), &mut clock);
        }
        let prediction = dry_run.prediction();
        let seconds = |at: SystemTime| {
            at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
        };
        let blocks: Vec<_> = prediction
            .blocks
            .iter()
            .map(|block| (block.target.net().addr(), seconds(block.from), seconds(block.until)))
            .collect();
        let (expected, counts) = live(&log, ttl.into());
        prop_assert_eq!(blocks, expected);
        prop_assert_eq!(prediction.events, counts);
    }
}
