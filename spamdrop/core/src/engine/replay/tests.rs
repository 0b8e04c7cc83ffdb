#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::engine::tests::{
    PRESENT, acceptance, delivery, learned, rejection, settings, unknown_recipient, wall,
};
use crate::log::{MailServer, Pattern};
use crate::policy::Protection;

fn replay() -> Replay {
    Replay::new(settings(), Protected::default(), wall(PRESENT))
}

fn matched(addr: &str) -> ReplayedLine {
    ReplayedLine::Match(addr.parse().unwrap(), "courier-511".into())
}

#[test]
fn a_replay_tells_what_each_line_would_have_done() {
    let mut replay = replay();
    let at = PRESENT - 86_400;
    let loopback = ReplayedLine::Ignored(IgnoreReason::Protected(Protection::Loopback));
    for (line, expected) in [
        (rejection(at, "192.0.2.1"), matched("192.0.2.1")),
        (rejection(at, "192.0.2.1"), matched("192.0.2.1")),
        (rejection(at, "127.0.0.1"), loopback),
        (
            unknown_recipient(at, "192.0.2.1"),
            ReplayedLine::Ignored(IgnoreReason::OwnText),
        ),
        (
            acceptance(at, "192.0.2.2"),
            ReplayedLine::Accepted("courier-newmsg".into()),
        ),
        (
            delivery(at, "192.0.2.3"),
            ReplayedLine::Delivered("courier-delivered".into()),
        ),
        (
            "error,relay=192.0.2.1: 511".into(),
            ReplayedLine::NearMiss("it does not start with a syslog header"),
        ),
        ("noise".into(), ReplayedLine::Nothing),
    ] {
        assert_eq!(replay.scan(line.as_bytes()), expected, "{line}");
    }
    assert_eq!(replay.record_count(), 0);
    assert_eq!(replay.engine.counts().get("repeat"), Some(&1));
}

/// Blocks 192.0.2.1 and, `gap` seconds later, 192.0.2.2 and again 192.0.2.1. The
/// ceiling allows one new block a minute. Returns whether it refuses the last block,
/// because the first one has ended.
fn is_held_back(gap: u64) -> bool {
    let mut settings = settings();
    settings.policy.max_new_per_minute = 1;
    settings.policy.ttl = Duration::from_secs(100);
    let mut replay = Replay::new(settings, Protected::default(), wall(PRESENT));
    let at = PRESENT - 86_400;
    replay.scan(rejection(at, "192.0.2.1").as_bytes());
    replay.scan(rejection(at + gap, "192.0.2.2").as_bytes());
    let line = rejection(at + gap, "192.0.2.1");
    replay.scan(line.as_bytes()) == ReplayedLine::Ignored(IgnoreReason::Ceiling)
}

#[test]
fn a_replayed_block_lasts_for_its_ttl() {
    assert!(!is_held_back(100));
    assert!(is_held_back(101));
}

#[test]
fn other_settings_count_for_the_next_log() {
    let mut other = settings();
    other.policy.ttl = Duration::from_secs(7);
    other.parser.servers = vec![MailServer::Exim];
    let mut replay = replay();
    replay.reconfigure(other.clone());
    let line = rejection(PRESENT - 60, "192.0.2.1");
    assert_eq!(replay.scan(line.as_bytes()), ReplayedLine::Nothing);
    other.parser = settings().parser;
    replay.reconfigure(other);
    assert_eq!(replay.scan(line.as_bytes()), matched("192.0.2.1"));
    let ends = replay.blocked_until.values();
    assert!(ends.eq([&Duration::from_secs(7)]));
}

#[test]
fn senders_that_the_log_shows_as_known_pause_blocking_when_all_are_refused() {
    const DAY: u64 = 86_400;
    for days in [1, 4] {
        let mut replay = replay();
        let start = PRESENT - 9 * DAY;
        let senders = [1, 2, 3, 4, 5, 6].map(|n| format!("192.0.2.{n}"));
        for day in 0..days {
            for sender in &senders {
                replay.scan(acceptance(start + day * DAY, sender).as_bytes());
            }
        }
        let at = start + days * DAY - 60;
        let lines = senders.map(|sender| replay.scan(rejection(at, &sender).as_bytes()));
        let is_paused = lines.contains(&ReplayedLine::Ignored(IgnoreReason::Ceiling));
        assert_eq!(is_paused, days == 4, "{lines:?}");
    }
}

#[test]
fn a_replay_stands_still_while_stamps_go_back() {
    let mut replay = replay();
    let at = PRESENT - 86_400;
    let times = [0, 10, 5, 12].map(|passed| replay.advance(wall(at + passed)));
    let passed = times.map(|moment| moment.mono.as_secs());
    assert_eq!(passed, [0, 10, 10, 12]);
    assert_eq!(times[2].wall, wall(at + 5));
}

#[test]
fn a_replay_learns_as_of_the_stamps() {
    let mut replay = replay();
    replay.start_log(wall(PRESENT));
    let at = PRESENT - 86_400;
    replay.learn(acceptance(at, "192.0.2.1").as_bytes());
    replay.learn(rejection(at, "192.0.2.2").as_bytes());
    replay.learn(acceptance(PRESENT - 40 * 86_400, "192.0.2.3").as_bytes());
    assert_eq!(replay.record_count(), 1);
    // An hour later in the log, the demotion is applied.
    replay.learn(acceptance(at + 3600, "192.0.2.1").as_bytes());
    assert_eq!(replay.record_count(), 2);
    replay.learn(rejection(at + 3600, "192.0.2.4").as_bytes());
    replay.end_log();
    let records = replay.take_records();
    let sources: Vec<_> = learned(records.clone())
        .into_iter()
        .map(|(source, _)| source)
        .collect();
    assert_eq!(sources, ["192.0.2.1", "192.0.2.2", "192.0.2.4"]);
    replay.give_back(records);
    assert_eq!(replay.record_count(), 3);
}

#[test]
fn a_replayed_line_without_a_stamp_teaches_nothing() {
    let mut settings = settings();
    let pattern = "name = \"p\"\nmatch = '^refused <HOST>$'";
    settings.parser.patterns = vec![toml::from_str::<Pattern>(pattern).unwrap()];
    let mut replay = Replay::new(settings, Protected::default(), wall(PRESENT));
    let expected = ReplayedLine::Match("192.0.2.1".parse().unwrap(), "p".into());
    assert_eq!(replay.learn(b"refused 192.0.2.1"), expected);
    replay.end_log();
    assert_eq!(replay.record_count(), 0);
}

#[test]
fn a_replay_forgets_time_and_blocks_with_each_log() {
    let mut settings = settings();
    settings.policy.max_new_per_minute = 1;
    let mut replay = Replay::new(settings, Protected::default(), wall(PRESENT));
    let (early, late) = (PRESENT - 86_400, PRESENT - 3600);
    replay.start_log(wall(PRESENT));
    assert_eq!(
        replay.scan(rejection(late, "192.0.2.1").as_bytes()),
        matched("192.0.2.1")
    );
    assert_eq!(
        replay.scan(rejection(late, "192.0.2.2").as_bytes()),
        ReplayedLine::Ignored(IgnoreReason::Ceiling)
    );
    replay.start_log(wall(PRESENT));
    assert_eq!(
        replay.scan(rejection(early, "192.0.2.3").as_bytes()),
        matched("192.0.2.3")
    );
    assert_eq!(replay.elapsed, Duration::ZERO);
    assert_eq!(replay.blocked_until.len(), 1);
    assert_eq!(
        replay.blocked_until.values().next(),
        Some(&Duration::from_secs(600))
    );
}

#[test]
fn a_replay_searches_for_what_its_parser_understands() {
    let replay = replay();
    let text = b"noise error,relay=";
    assert_eq!(replay.needles().find(text, 0), Some(6));
}

/// Zero-hour bots: each has a mail accepted and is listed a minute later.
#[test]
fn bots_that_had_a_mail_accepted_do_not_pause_blocking() {
    for bots in [5, 200] {
        let mut replay = replay();
        let at = PRESENT - 86_400;
        for n in 1..=20 {
            replay.scan(acceptance(at, &format!("198.51.100.{n}")).as_bytes());
        }
        let bot = |n| format!("203.0.113.{n}");
        for n in 1..=bots {
            replay.scan(acceptance(at + 100, &bot(n)).as_bytes());
        }
        for n in 1..=bots {
            let line = rejection(at + 160, &bot(n));
            assert_eq!(replay.scan(line.as_bytes()), matched(&bot(n)), "{bots}");
        }
    }
}

/// The server of a known sender bounces mail with forged senders, and the forged
/// addresses do not exist here.
#[test]
fn backscatter_demotes_nobody() {
    let mut replay = replay();
    for ago in [172_800, 86_400, 86_390] {
        replay.learn(acceptance(PRESENT - ago, "192.0.2.25").as_bytes());
    }
    for n in 0..9 {
        let at = PRESENT - 3000 + 60 * n;
        let bounce = unknown_recipient(at, "192.0.2.25");
        let bounce = bounce.replace(&format!("from=<{at}>"), "from=<>");
        replay.learn(bounce.as_bytes());
    }
    replay.end_log();
    let learned = learned(replay.take_records());
    let [(source, record)] = learned.as_slice() else {
        panic!("{learned:?}");
    };
    assert_eq!(source, "192.0.2.25");
    let now = crate::time::UnixSeconds::new(PRESENT);
    assert!(record.standing(now).is_known());
}

#[test]
fn a_replayed_delivery_is_learned_only_where_this_server_wrote_first() {
    const DAY: u64 = 86_400;
    let start = PRESENT - 9 * DAY;
    for (from, expected) in [("203.0.113.1", 1), ("192.0.2.200", 0)] {
        let mut replay = replay();
        for day in 0..=8 {
            let addr = if day == 2 { from } else { "203.0.113.1" };
            replay.learn(acceptance(start + day * DAY, addr).as_bytes());
        }
        replay.learn(delivery(start + 8 * DAY, "192.0.2.1").as_bytes());
        let learned = learned(replay.take_records());
        let delivered = learned.iter().filter(|(source, _)| source == "192.0.2.1");
        assert_eq!(delivered.count(), expected, "{from}");
    }
}
