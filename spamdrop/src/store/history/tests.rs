#![expect(clippy::unwrap_used, reason = "a test may panic")]

use spamdrop_core::history::{BlockNote, HistoryKind};
use spamdrop_core::target::Target;
use tempfile::TempDir;

use super::*;
use crate::store::{FILE, VERB_WAIT};

const DAY: u64 = 86_400;
const NOW: u64 = 1_795_392_000;
const KEPT: Duration = Duration::from_secs(30 * DAY);

fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join(FILE), VERB_WAIT).unwrap();
    (dir, store)
}

fn seconds_ago(ago: u64) -> UnixSeconds {
    UnixSeconds::new(NOW - ago)
}

fn net(text: &str) -> IpNet {
    text.parse::<Target>().unwrap().net()
}

fn note(target: Target, ago: u64, is_renewed: bool) -> BlockNote {
    let addr = target.net().addr();
    match is_renewed {
        true => BlockNote::renewed(addr, target, seconds_ago(ago), 600, 3_600),
        false => BlockNote::new(addr, target, seconds_ago(ago)),
    }
}

fn blocked(target: &str, ago: u64, is_renewed: bool) -> HistoryEvent {
    let line = format!("{target} {ago}");
    HistoryEvent::blocked(
        &note(target.parse().unwrap(), ago, is_renewed),
        line.as_bytes(),
    )
}

fn refused(target: &str, ago: u64, wave_ago: u64) -> HistoryEvent {
    HistoryEvent {
        continues: true,
        wave: seconds_ago(wave_ago),
        ..HistoryEvent::new(HistoryKind::Refused, Some(net(target)), seconds_ago(ago))
    }
}

fn write(store: &mut Store, events: &[HistoryEvent]) {
    store.write_history(events).unwrap();
}

fn query(addr: Option<&str>) -> HistoryQuery {
    HistoryQuery {
        addr: addr.map(|addr| addr.parse().unwrap()),
        since: UnixSeconds::default(),
        until: None,
    }
}

/// The kind, the beginning, the end and the count of each event.
fn rows(store: &Store, query: &HistoryQuery) -> Vec<(&'static str, u64, u64, u64)> {
    let ago = |at: UnixSeconds| NOW - at.get();
    let events = store.history(query).unwrap().into_iter();
    events
        .map(|it| (it.kind.name(), ago(it.first), ago(it.last), it.count))
        .collect()
}

#[test]
fn the_end_of_a_block_is_written_once_if_there_is_the_block() {
    let (_dir, mut store) = store();
    let (first, other) = ("192.0.2.1", "2001:db8::/64");
    write(
        &mut store,
        &[blocked(first, 900, false), blocked(other, 800, false)],
    );
    let ends = |ago| {
        [
            (net(first), seconds_ago(ago)),
            (net("192.0.2.2"), seconds_ago(ago)),
        ]
    };
    store.write_ends(&ends(300)).unwrap();
    store.write_ends(&ends(290)).unwrap();
    let all = query(None);
    let expected = [
        ("blocked", 900, 900, 1),
        ("blocked", 800, 800, 1),
        ("ended", 300, 300, 1),
    ];
    assert_eq!(rows(&store, &all), expected);
    // A new block ends again.
    write(&mut store, &[blocked(first, 200, false)]);
    store.write_ends(&ends(100)).unwrap();
    let kinds = rows(&store, &query(Some(first))).into_iter();
    let kinds: Vec<&str> = kinds.map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, ["blocked", "ended", "blocked", "ended"]);
    // The entry of an IPv6 address alone is not that of its /64.
    store
        .write_ends(&[(net("2001:db8::1/128"), seconds_ago(90))])
        .unwrap();
    assert_eq!(rows(&store, &query(Some("2001:db8::1"))).len(), 1);
}

#[test]
fn events_are_read_as_they_were_written() {
    let (_dir, mut store) = store();
    let by = "anna".to_owned();
    let all = [
        blocked("192.0.2.1", 90, false),
        HistoryEvent::command(
            Some(net("192.0.2.0/24")),
            1,
            seconds_ago(80),
            by.clone(),
            b"add",
        ),
        HistoryEvent::command(None, 5, seconds_ago(70), by, b"import list"),
        HistoryEvent::new(
            HistoryKind::Demoted,
            Some(net("2001:db8::1")),
            seconds_ago(60),
        ),
    ];
    write(&mut store, &all);
    assert_eq!(store.history(&query(None)).unwrap(), all);
    let unnamed = store.commands_without_address().unwrap();
    assert_eq!(unnamed, all[2..3]);
}

#[test]
fn the_newest_events_come_without_refusals() {
    let (_dir, mut store) = store();
    let all = [
        blocked("192.0.2.1", 90, false),
        refused("192.0.2.2", 80, 85),
        blocked("192.0.2.3", 70, false),
        blocked("192.0.2.4", 60, false),
        refused("192.0.2.5", 50, 85),
    ];
    write(&mut store, &all);
    let newest = store.newest_history(2).unwrap();
    assert_eq!(newest, [all[3].clone(), all[2].clone()]);
    assert_eq!(store.newest_history(9).unwrap().len(), 3);
    // An old block is renewed.
    write(&mut store, &[blocked("192.0.2.1", 55, true)]);
    let newest = store.newest_history(2).unwrap();
    assert_eq!((newest[0].net, newest[0].count), (all[0].net, 2));
    assert_eq!(newest[1], all[3]);
    // The ends that a sweep writes push no other event out.
    let many = (0..2_000).map(|number| {
        let source = IpAddr::from(std::net::Ipv4Addr::from_bits(number)).into();
        HistoryEvent::new(HistoryKind::Ended, Some(source), seconds_ago(10))
    });
    write(&mut store, &many.collect::<Vec<_>>());
    assert_eq!(store.newest_history(2).unwrap(), newest);
}

#[test]
fn a_renewed_block_and_refusals_of_one_wave_are_one_row() {
    let (_dir, mut store) = store();
    write(
        &mut store,
        &[
            blocked("192.0.2.1", 90, false),
            refused("192.0.2.1", 80, 85),
        ],
    );
    write(
        &mut store,
        &[blocked("192.0.2.2", 70, true), refused("192.0.2.1", 60, 85)],
    );
    write(
        &mut store,
        &[blocked("192.0.2.1", 50, true), refused("192.0.2.1", 40, 45)],
    );
    write(&mut store, &[blocked("192.0.2.1", 30, false)]);
    let one = rows(&store, &query(Some("192.0.2.1")));
    let expected = [
        ("blocked", 90, 50, 2),
        ("refused", 80, 60, 2),
        ("refused", 40, 40, 1),
        ("blocked", 30, 30, 1),
    ];
    assert_eq!(one, expected);
    let last = store.history(&query(Some("192.0.2.1"))).unwrap();
    assert_eq!(last[0].text, "192.0.2.1 50");
    // The renewal of a block that has no row gets a row of its own.
    assert_eq!(
        rows(&store, &query(Some("192.0.2.2"))),
        [("blocked", 70, 70, 1)]
    );
}

#[test]
fn a_question_about_an_address_finds_the_prefixes_around_it() {
    let (_dir, mut store) = store();
    let command = |text: &str, ago| {
        let net = Some(net(text));
        HistoryEvent::command(net, 1, seconds_ago(ago), "root".into(), b"add")
    };
    write(
        &mut store,
        &[
            command("192.0.2.0/24", 90),
            command("192.0.3.0/24", 80),
            command("2001:db8::/48", 70),
            blocked("2001:db8::1", 60, false),
            blocked("2001:db8:0:1::1/128", 50, false),
        ],
    );
    let begins = |addr| -> Vec<u64> {
        let rows = rows(&store, &query(Some(addr))).into_iter();
        rows.map(|(_, began, ..)| began).collect()
    };
    assert_eq!(begins("192.0.2.255"), [90]);
    assert_eq!(begins("192.0.4.0"), [0; 0]);
    assert_eq!(begins("2001:db8::2"), [70, 60]);
    assert_eq!(begins("2001:db8:0:1::1"), [70, 50]);
    assert_eq!(begins("2001:db8:0:1::2"), [70]);
    // The end is not part of the period.
    for (until, number) in [(60, 2), (59, 3)] {
        let period = HistoryQuery {
            since: seconds_ago(80),
            until: Some(seconds_ago(until)),
            ..query(None)
        };
        assert_eq!(rows(&store, &period).len(), number);
    }
}

#[test]
fn a_block_long_after_another_is_a_row_of_its_own() {
    let (_dir, mut store) = store();
    let old = 20 * DAY;
    write(&mut store, &[blocked("192.0.2.1", old, false)]);
    // A command has blocked the address since, so its entry is live.
    write(&mut store, &[blocked("192.0.2.1", 4_000, true)]);
    write(&mut store, &[blocked("192.0.2.1", 400, true)]);
    let expected = [("blocked", old, old, 1), ("blocked", 4_000, 400, 2)];
    assert_eq!(rows(&store, &query(None)), expected);
}

#[test]
fn old_events_are_deleted() {
    let (_dir, mut store) = store();
    let old = 30 * DAY;
    write(
        &mut store,
        &[
            blocked("192.0.2.1", old, false),
            blocked("192.0.2.2", old + 1, false),
        ],
    );
    store.forget_old_history(KEPT, seconds_ago(0)).unwrap();
    assert_eq!(rows(&store, &query(None)), [("blocked", old, old, 1)]);
    store
        .forget_old_history(Duration::ZERO, seconds_ago(0))
        .unwrap();
    assert_eq!(rows(&store, &query(None)), []);
}

#[test]
fn refusals_push_out_the_oldest_refusals_only() {
    let (_dir, mut store) = store();
    write(&mut store, &[blocked("192.0.2.3", 9, false)]);
    let addr = |n: u32| IpAddr::from(n.to_be_bytes()).to_string();
    let refusals = |numbers: std::ops::Range<u32>| -> Vec<HistoryEvent> {
        numbers.map(|n| refused(&addr(n), 8, 8)).collect()
    };
    let half = MOST / 2;
    write(&mut store, &refusals(0..half + 1));
    let left = store.history(&query(None)).unwrap();
    assert_eq!(left.len(), 1 + half as usize);
    assert_eq!(left[0].kind, HistoryKind::Blocked);
    assert_eq!(left[1].net, Some(net(&addr(1))));
    let blocks = (0..half).map(|n| {
        let target = Target::V4(n.to_be_bytes());
        HistoryEvent::blocked(&note(target, 7, false), b"")
    });
    write(&mut store, &blocks.collect::<Vec<_>>());
    let left = store.history(&query(None)).unwrap();
    assert_eq!(left.len(), 2 * half as usize);
    assert_eq!(left[0].kind, HistoryKind::Refused);
}

#[test]
fn refusals_without_a_source_are_counted() {
    let (_dir, mut store) = store();
    let others = |kind, count| HistoryEvent {
        count,
        ..HistoryEvent::new(kind, None, seconds_ago(9))
    };
    assert_eq!(store.refusals_without_source().unwrap(), 0);
    write(
        &mut store,
        &[
            others(HistoryKind::Refused, 5),
            others(HistoryKind::Refused, 2),
            others(HistoryKind::Observed, 9),
            refused("192.0.2.1", 9, 9),
        ],
    );
    assert_eq!(store.refusals_without_source().unwrap(), 7);
}

#[test]
fn the_file_holds_no_byte_of_what_was_forgotten() {
    let (dir, mut store) = store();
    let lines = |target: &str| {
        HistoryEvent::blocked(
            &note(target.parse().unwrap(), 90, false),
            format!("line of {target}").repeat(8).as_bytes(),
        )
    };
    let all: Vec<HistoryEvent> = (1..100).map(|n| lines(&format!("192.0.2.{n}"))).collect();
    write(&mut store, &all);
    let bytes = || std::fs::read(dir.path().join(FILE)).unwrap();
    let holds = |text: &[u8]| bytes().windows(text.len()).any(|part| part == text);
    assert!(holds(b"line of 192.0.2.55"));
    // One deleted row leaves a gap in a page, and many leave whole pages unused.
    store.forget_history(&[net("192.0.2.55")]).unwrap();
    assert!(!holds(b"line of 192.0.2.55") && holds(b"line of 192.0.2.56"));
    store.forget_history(&[net("192.0.2.0/24")]).unwrap();
    assert!(!holds(b"line of 192.0.2."));
}

#[test]
fn a_forgotten_address_leaves_the_events_about_wider_prefixes() {
    let (_dir, mut store) = store();
    let by = "root".to_owned();
    write(
        &mut store,
        &[
            blocked("192.0.2.1", 90, false),
            refused("192.0.2.1", 80, 80),
            blocked("192.0.2.2", 70, false),
            HistoryEvent::command(Some(net("192.0.2.0/24")), 1, seconds_ago(60), by, b"add"),
            blocked("2001:db8::1", 50, false),
            refused("2001:db8::1/128", 40, 40),
            refused("2001:db8::2/128", 30, 30),
        ],
    );
    assert_eq!(store.forget_history(&[net("192.0.2.1")]).unwrap(), 2);
    assert_eq!(store.forget_history(&[net("2001:db8::1/128")]).unwrap(), 1);
    assert!(store.has_history_of(net("2001:db8::/64")).unwrap());
    assert!(!store.has_history_of(net("2001:db8::1/128")).unwrap());
    assert_eq!(rows(&store, &query(None)).len(), 4);
    assert_eq!(store.forget_history(&[net("2001:db8::/64")]).unwrap(), 2);
    assert_eq!(store.forget_history(&[net("2001:db8::/64")]).unwrap(), 0);
}
