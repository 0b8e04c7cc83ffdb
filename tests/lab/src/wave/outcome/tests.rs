use jiff::Timestamp;
use std::time::Duration;

use super::super::population::{Manners, Sender};
use super::*;

fn sender(class: Class, addr: &str) -> Sender {
    Sender {
        class,
        addr: addr.parse().expect("an address"),
        ttl: 64,
        connect_timeout: Duration::from_secs(21),
        boredom: Duration::from_secs(30),
        manners: Manners::Polite,
    }
}

fn session(sender: &Sender, called: u64) -> Session {
    Session {
        sender: sender.clone(),
        called: s(called),
        called_at: Timestamp::UNIX_EPOCH,
        port: 0,
        connected: None,
        banner: None,
        recipient: None,
        accepted: None,
        quit: None,
        retransmissions: 0,
        end: End::Unconnected,
    }
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn outcome(server: &[Occupancy], sessions: &[Session]) -> Outcome {
    let scale = Scale {
        length: s(10),
        slots: 4,
        ..Scale::small()
    };
    Outcome::new(&scale, server, sessions)
}

fn seen(at: u64, slots: usize, queue: usize) -> Occupancy {
    Occupancy {
        at: s(at),
        slots,
        queue,
        connections: slots + queue,
    }
}

#[test]
fn only_the_wave_itself_counts_for_the_server() {
    let server = [
        seen(0, 1, 0),
        seen(1, 4, 0),
        seen(2, 4, 3),
        seen(3, 3, 2),
        seen(11, 4, 9),
    ];
    let outcome = outcome(&server, &[]);
    let load = Load {
        p50: 4,
        p95: 7,
        max: 7,
    };
    assert_eq!((outcome.open, outcome.connections), (load, load));
    assert_eq!(outcome.saturated, 0.5);
}

#[test]
fn a_banner_that_never_came_takes_forever() {
    let known = sender(Class::Known, "100.64.0.10");
    let waits = [Some(2), Some(4), None, Some(3)];
    let sessions = waits.map(|wait| Session {
        banner: wait.map(|wait| s(5 + wait)),
        retransmissions: 2,
        ..session(&known, 5)
    });
    let outcome = outcome(&[], &sessions);
    let times = outcome.banner[&Class::Known];
    assert_eq!((times.count, times.p50, times.max), (4, 3.0, f64::INFINITY));
    assert_eq!(outcome.legitimate_banner, times);
    assert_eq!(outcome.retransmissions[&Class::Known], 8);
    let json = serde_json::to_value(&outcome).expect("JSON");
    assert_eq!(json["banner"]["known"]["p50"], 3.0);
    assert_eq!(json["banner"]["known"]["max"], serde_json::Value::Null);
}

#[test]
fn mail_is_lost_unless_accepted_and_bots_lose_nothing() {
    let taken = |class, addr| Session {
        accepted: Some(s(9)),
        ..session(&sender(class, addr), 1)
    };
    let sessions = [
        taken(Class::Known, "100.64.0.10"),
        taken(Class::Bot, "100.72.0.10"),
        session(&sender(Class::New, "100.80.0.10"), 1),
        session(&sender(Class::Bot, "100.72.0.26"), 1),
    ];
    let outcome = outcome(&[], &sessions);
    assert_eq!(outcome.lost, Share { some: 1, all: 2 });
    assert_eq!(outcome.ends[&Class::Bot][&End::Unconnected], 2);
}

#[test]
fn a_listed_servers_wait_begins_with_its_first_try() {
    let server = sender(Class::ListedServer, "100.112.0.10");
    let told = Session {
        recipient: Some((s(9), 511)),
        ..session(&server, 6)
    };
    let never = session(&sender(Class::ListedServer, "100.112.1.10"), 1);
    let times = outcome(&[], &[session(&server, 2), told, never]).listed_servers;
    assert_eq!((times.count, times.p50, times.max), (2, 7.0, f64::INFINITY));
}

#[test]
fn bots_count_once_and_one_shots_need_not_be_told() {
    let [bot, other] = ["100.96.0.10", "100.96.0.26"].map(|addr| sender(Class::Bot, addr));
    let one_shot = Sender {
        connect_timeout: Duration::from_millis(500),
        ..sender(Class::Bot, "100.96.0.42")
    };
    let unlisted = sender(Class::Bot, "100.72.0.10");
    let told = Session {
        banner: Some(s(3)),
        recipient: Some((s(9), 511)),
        ..session(&bot, 2)
    };
    let served = Session {
        banner: Some(s(3)),
        recipient: Some((s(9), 250)),
        ..session(&unlisted, 2)
    };
    let sessions = [
        session(&bot, 1),
        told.clone(),
        told,
        session(&other, 1),
        session(&one_shot, 1),
        served,
    ];
    let outcome = outcome(&[], &sessions);
    assert_eq!(outcome.listed_bots, Share { some: 1, all: 2 });
    assert_eq!(outcome.bots_served, Share { some: 2, all: 4 });
}

#[test]
fn percentiles_are_ranks() {
    let hundred: Vec<usize> = (1..=100).collect();
    let at = |percent| percentile(&hundred, percent).copied();
    assert_eq!(
        [at(0), at(50), at(99), at(100)],
        [Some(1), Some(50), Some(99), Some(100)]
    );
    assert_eq!(percentile::<usize>(&[], 50), None);
}
