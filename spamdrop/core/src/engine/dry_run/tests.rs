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
        // A repeat within the same second does not renew the block.
        rejection(AT, addr),
        rejection(AT + 400, addr),
        started(AT + 1000, addr, 1),
        // The connection of this rejection was dropped.
        rejection(AT + 1001, addr),
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
    assert_eq!((first.offences, first.dropped), (2, 1));
    assert_eq!(first.rule, "courier-511");
    assert_eq!((prediction.blocked, prediction.sources), (3, 2));
    assert_eq!((prediction.renewed, prediction.dropped_connections), (1, 1));
    assert_eq!(prediction.prevented, 1);
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

#[test]
fn the_rejection_of_a_dropped_connection_extends_no_hard_limit() {
    let mut settings = dry_run_settings();
    settings.term.hard_limit_s = 1200;
    let mut lines = Vec::new();
    for at in (0..3 * 3600).step_by(300) {
        let port = u16::try_from(at / 300).unwrap();
        let line = rejection(AT + at + 2, "192.0.2.1");
        lines.push(started(AT + at, "192.0.2.1", port));
        lines.push(line.replace("192.0.2.1,", &format!("192.0.2.1,port={port},")));
    }
    let prediction = replay(&mut dry_run(settings), &lines);
    let starts: Vec<_> = blocks(&prediction).into_iter().map(|it| it.1).collect();
    let expected: Vec<_> = (0..8).map(|n| 1500 * n + 2).collect();
    assert_eq!(starts, expected);
    assert_eq!((prediction.renewed, prediction.prevented), (0, 28));
}

#[test]
fn a_log_that_was_learned_shows_the_same_known_senders() {
    let addr = "192.0.2.1";
    let times = [AT - DAY, AT - DAY + 60, AT, AT + 30];
    let mut lines: Vec<_> = times.map(|at| acceptance(at, addr)).into();
    lines.push(rejection(AT + 60, addr));
    let accepted = times.map(|at| Record::accepted(UnixSeconds::new(at)));
    let learned = accepted.into_iter().fold(Record::default(), Record::join);
    let learned = learned.join(Record::demoted(UnixSeconds::new(AT + 60)));
    let hits = |record: Record| {
        let source: IpAddr = addr.parse().unwrap();
        let senders = HashMap::from([(source.into(), record)]);
        let (protected, zones) = (Protected::default(), ZoneNames::default());
        let mut dry_run = DryRun::new(dry_run_settings(), protected, senders, zones);
        replay(&mut dry_run, &lines).known_blocked
    };
    assert_eq!(hits(Record::default()), 1);
    assert_eq!(hits(learned), 1);
    // The administrator has removed the sender since.
    assert_eq!(hits(learned.removed(UnixSeconds::new(PRESENT))), 0);
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
        // 192.0.2.2 becomes known by this log: three messages on two days.
        acceptance(AT - DAY, "192.0.2.2"),
        acceptance(AT - DAY + 60, "192.0.2.2"),
        acceptance(AT, "192.0.2.2"),
        rejection(AT + 60, "192.0.2.1"),
        rejection(AT + 120, "192.0.2.1"),
        rejection(AT + 180, "192.0.2.2"),
        rejection(AT + 240, "192.0.2.3"),
        // 192.0.2.1 was demoted an hour after its first rejection.
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
            // The last one is less than a day before the sender's rejection.
            lines.push(acceptance(AT - day * DAY + 60 * n + 30, &sender(n)));
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
    assert_eq!((outage.text.as_str(), outage.regulars), ("Listed", 30));
    // The last was rejected after the last check.
    assert_eq!(outage.rejected, 29);
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
    let known: IpAddr = "192.0.2.1".parse().unwrap();
    let senders = HashMap::from([(known.into(), known_record())]);
    let (protected, zones) = (Protected::default(), ZoneNames::default());
    let mut dry_run = DryRun::new(postfix_settings(), protected, senders, zones);
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
        // More than 60 % are in use: seven of ten.
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
    // The peer held its connection for 13 s after the rejection, of which 3 s are the grace.
    assert_eq!(prediction.held_connections, 1);
    assert_eq!(prediction.held, Duration::from_secs(10));
    assert_eq!(prediction.dropped_connections, 1);
}

#[test]
fn a_sender_that_was_refused_a_recipient_is_not_counted_as_listed() {
    for (refusal, expected) in [
        (rejection(AT + 9, "198.51.100.8"), 1),
        (unknown_recipient(AT + 9, "198.51.100.8"), 0),
    ] {
        let mut lines: Vec<String> = (1..=8)
            .map(|n| started(AT + n, &format!("198.51.100.{n}"), 4_000))
            .collect();
        lines.push(refusal);
        let [shortage, ..] = predicted(&lines).slots.shortages;
        assert_eq!((shortage.connections, shortage.listed), (1, expected));
    }
}

fn postfix_settings() -> DryRunSettings {
    let mut settings = dry_run_settings();
    settings.engine.parser.servers = vec![MailServer::Postfix];
    settings
}

#[test]
fn a_connection_that_postscreen_hands_over_is_dropped_once() {
    let screen = |at, message: &str| postfix(AT + at, "postfix/postscreen", message);
    let reject = "NOQUEUE: reject: RCPT from [192.0.2.1]:99: 550 5.7.1 Service unavailable; client [192.0.2.1] blocked using zen.example; from=<a@b.example>, to=<c@d.example>, proto=ESMTP, helo=<x>";
    let lines = [
        screen(1, "CONNECT from [192.0.2.1]:99 to [203.0.113.1]:25"),
        screen(2, reject),
        screen(3, "DISCONNECT [192.0.2.1]:99"),
        screen(60, "CONNECT from [192.0.2.1]:98 to [203.0.113.1]:25"),
        screen(61, "PASS OLD [192.0.2.1]:98"),
        postfix(AT + 61, "postfix/smtpd", "connect from unknown[192.0.2.1]"),
    ];
    let prediction = replay(&mut dry_run(postfix_settings()), &lines);
    assert_eq!((prediction.blocked, prediction.dropped_connections), (1, 1));
    assert_eq!(prediction.slots.connections, 2);
}

#[test]
fn connections_of_this_machine_take_no_slot() {
    let own: IpAddr = "203.0.113.1".parse().unwrap();
    let protected = Protected::new([(own.into(), Protection::OwnAddress)]);
    let zones = ZoneNames::default();
    let mut dry_run = DryRun::new(postfix_settings(), protected, HashMap::new(), zones);
    let connect = |addr| postfix(AT, "postfix/smtpd", &format!("connect from x[{addr}]"));
    let lines = ["127.0.0.1", "::1", "203.0.113.1", "192.0.2.1"].map(connect);
    assert_eq!(replay(&mut dry_run, &lines).slots.connections, 1);
}

#[test]
fn lines_about_connections_count_once_if_several_logs_have_them() {
    let mut dry_run = dry_run(dry_run_settings());
    let mut clock = LogClock::new(wall(PRESENT));
    // One log has two connections of this second.
    let line = started(AT, "192.0.2.1", 1);
    for log in ["a", "b", "a", "b", "c"] {
        dry_run.replay_line(line.as_bytes(), Path::new(log), &mut clock);
    }
    assert_eq!(dry_run.prediction().slots.connections, 2);
}

#[test]
fn stamps_of_all_centuries_are_survived() {
    let stamps = ["0001-01-01", "1970-01-02", "2300-01-01", "9999-12-31"];
    let mut lines = Vec::new();
    for stamp in stamps.iter().cycle().take(400) {
        let line = rejection(AT, "192.0.2.1");
        let (_, rest) = line.split_once(' ').unwrap();
        lines.push(format!("{stamp}T00:00:00Z {rest}"));
    }
    lines.push(rejection(AT, "192.0.2.2"));
    let prediction = predicted(&lines);
    assert_eq!(blocks(&prediction), [("192.0.2.2".to_owned(), 0, 600)]);
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
    // The block begins at the rejection, 2 s before its line was read.
    assert_eq!(prediction.blocks[0].from, wall(PRESENT));
    assert_eq!(prediction.blocks[0].until, wall(PRESENT + 609));
    assert_eq!(prediction.ignored.len(), 1);
}

fn happening_line(happening: &Happening) -> String {
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

/// A line of a log.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Happening(Happening),
    /// A connection begins: its time and address.
    Started(u64, u8),
}

impl Entry {
    fn second(&self) -> u64 {
        match self {
            Self::Happening(happening) => happening.at,
            Self::Started(at, _) => *at,
        }
    }

    fn log_line(&self) -> String {
        match self {
            Self::Happening(happening) => happening_line(happening),
            Self::Started(at, addr) => {
                let line = started(*at, &model::address(*addr).to_string(), 1);
                line.replace(",port=[1]", "")
            }
        }
    }
}

/// A block of [`LiveRun`], which applies the rules of the documentation without the
/// code of the filter.
#[derive(Clone, Copy, Debug)]
struct LiveBlock {
    addr: IpAddr,
    start: u64,
    end: u64,
    offence: u64,
}

/// An engine that gets each event of a log at the event's time, and the blocks.
struct LiveRun {
    engine: Engine,
    ttl: u64,
    hard_limit: u64,
    blocks: Vec<LiveBlock>,
    /// The time of an address's last connection, if that connection was dropped.
    dropped: HashMap<IpAddr, u64>,
    /// Dropped connections, and rejections in them.
    counts: (u64, u64),
}

impl LiveRun {
    fn new(ttl: u64, hard_limit: u64) -> Self {
        Self {
            engine: Engine::new(settings(), Protected::default()),
            ttl,
            hard_limit,
            blocks: Vec::new(),
            dropped: HashMap::new(),
            counts: (0, 0),
        }
    }

    fn block(&mut self, addr: IpAddr, at: u64) -> Option<&mut LiveBlock> {
        let mut blocks = self.blocks.iter_mut().rev();
        blocks.find(|block| block.addr == addr && block.end >= at)
    }

    fn start(&mut self, at: u64, addr: IpAddr) {
        self.engine.contacts.connected(addr, UnixSeconds::new(at));
        let (ttl, hard_limit) = (self.ttl, self.hard_limit);
        let Some(block) = self.block(addr, at) else {
            self.dropped.remove(&addr);
            return;
        };
        let limit = match hard_limit {
            0 => u64::MAX,
            limit => block.offence + limit,
        };
        block.end = block.end.max(limit.min(at + ttl));
        self.dropped.insert(addr, at);
        self.counts.0 += 1;
    }

    fn happen(&mut self, happening: &Happening, now: Moment) {
        let event = model::event(happening);
        let (addr, at) = (event.addr, happening.at);
        let is_dropped = self
            .dropped
            .get(&addr)
            .is_some_and(|since| at - since < 3600);
        if is_dropped && matches!(event.kind, EventKind::Rejected { .. }) {
            self.counts.1 += 1;
            return;
        }
        let is_blocked = self.block(addr, at).is_some();
        let decision = self.engine.decide(&event, now, is_blocked).decision;
        if let Decision::Block { addr, .. } = decision {
            let new = LiveBlock {
                addr,
                start: at,
                end: at + self.ttl,
                offence: at,
            };
            match self.block(addr, at) {
                Some(block) => (block.end, block.offence) = (block.end.max(new.end), at),
                None => self.blocks.push(new),
            }
        }
    }

    fn run(mut self, log: &[Entry]) -> Self {
        let start = log.first().map_or(0, Entry::second);
        for entry in log {
            let now = Moment {
                wall: wall(entry.second()),
                mono: Duration::from_secs(5_000_000 + entry.second() - start),
            };
            self.engine.settle(now, false);
            match entry {
                Entry::Happening(happening) => self.happen(happening, now),
                Entry::Started(at, addr) => self.start(*at, model::address(*addr)),
            }
        }
        self
    }
}

/// The logs of [`model::log`], with further listings and with connections.
fn log() -> impl Strategy<Value = Vec<Entry>> {
    let some = (0..20 * DAY, 0..4u8);
    let near = (9 * DAY..9 * DAY + 4_000, 0..4u8);
    let more = (prop_oneof![1 => some, 4 => near], any::<bool>());
    let more = more.prop_map(|((after, addr), is_listed)| {
        let at = model::START + after;
        let fact = Fact::Listed;
        match is_listed {
            true => Entry::Happening(Happening { at, addr, fact }),
            false => Entry::Started(at, addr),
        }
    });
    let more = prop::collection::vec(more, 0..90);
    (model::log(), more).prop_map(|(log, more)| {
        let log = log.into_iter().map(Entry::Happening);
        let mut log: Vec<_> = log.chain(more).collect();
        log.sort_by_key(Entry::second);
        log
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_replay_is_the_engine_run_live_with_the_logs_clock(
        log in log(),
        ttl in prop_oneof![Just(600u32), 1..4_000u32],
        hard_limit in prop_oneof![Just(0u32), 4_000..9_000u32],
        // Another log has the same lines.
        is_copied in any::<bool>(),
    ) {
        let mut settings = dry_run_settings();
        settings.term = BlockTerm { ttl_s: ttl, hard_limit_s: hard_limit, refresh: Refresh::Packet };
        // Later than every line of the log.
        let present = model::START + 30 * DAY;
        let mut dry_run = dry_run(settings);
        let mut clock = LogClock::new(wall(present));
        for entry in &log {
            let logs = if is_copied { &["a", "b"][..] } else { &["a"] };
            for path in logs {
                dry_run.replay_line(entry.log_line().as_bytes(), Path::new(path), &mut clock);
            }
        }
        let mut prediction = dry_run.prediction();
        let seconds = |at: SystemTime| {
            at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
        };
        let blocks: Vec<_> = prediction
            .blocks
            .iter()
            .map(|block| (block.target.net().addr(), seconds(block.from), seconds(block.until)))
            .collect();
        let live = LiveRun::new(ttl.into(), hard_limit.into()).run(&log);
        let expected = live.blocks.iter().map(|block| (block.addr, block.start, block.end));
        prop_assert_eq!(blocks, expected.collect::<Vec<_>>());
        prop_assert_eq!((prediction.dropped_connections, prediction.prevented), live.counts);
        prediction.events.remove("duplicate");
        prop_assert_eq!(prediction.events, live.engine.counts().clone());
    }
}
