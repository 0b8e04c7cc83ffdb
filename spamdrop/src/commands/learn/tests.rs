#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, SystemTime};

use super::*;
use crate::store::{FILE, VERB_WAIT};
use spamdrop_core::reputation::Record;
use spamdrop_core::target::Target;

/// Three logs of the last five days, newest first. Some listed senders have wanted mail
/// in an older log; many have no good evidence at all.
fn logs() -> [String; 3] {
    let now = SystemTime::now();
    let stamp = |days: u64, second: u32| {
        let ago = Duration::from_secs(days * 86_400 - u64::from(second));
        jiff::Timestamp::try_from(now - ago).unwrap()
    };
    let mail = |days, n: u32| {
        let at = stamp(days, n);
        format!("{at} mx courierd: newmsg,id=1: dns; a (a [198.51.100.{n}])\n")
    };
    let listed = |days, net: &str, n: u32| {
        let at = stamp(days, n);
        format!("{at} mx courieresmtpd: error,relay={net}.{n},from=<a>,to=<b>: 511 Listed\n")
    };
    let bad = (37..=40).map(|n| listed(1, "198.51.100", n));
    let bots = (1..=9).map(|n| listed(1, "203.0.113", n));
    let of_day = |days| (1..=40).map(|n| mail(days, n)).collect::<String>();
    let few: Vec<String> = bad.chain(bots).collect();
    [few.concat(), of_day(3), [of_day(5), of_day(4)].concat()]
}

fn learner(store: Store, batch: usize) -> Learner {
    let settings = Config::default().engine().unwrap();
    Learner::new(settings, Protected::default(), store, batch)
}

fn learn(logs: &[String], batch: usize, capacity: usize) -> Vec<(Target, Record)> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join(FILE), VERB_WAIT).unwrap();
    let mut learner = learner(store, batch);
    for log in logs {
        let (counts, ended) = learner.file(log.as_bytes(), clock::wall()).unwrap();
        assert_eq!(counts.lines, log.lines().count() as u64);
        ended.unwrap();
        assert!(learner.replay.record_count() < batch);
    }
    learner.end(capacity).unwrap().known_senders().unwrap()
}

#[test]
fn batches_come_to_the_same_as_all_at_once() {
    let logs = logs();
    for capacity in [100, 20] {
        let whole = learn(&logs, 1000, capacity);
        assert_eq!(whole.len(), if capacity == 100 { 40 } else { 18 });
        for batch in [26, 39, 40] {
            assert_eq!(learn(&logs, batch, capacity), whole, "{batch}");
        }
    }
}

/// Sources without good evidence are dropped, so that the buffer does not grow without
/// bound.
#[test]
fn many_of_whom_nothing_good_is_known_are_forgotten() {
    let logs = logs();
    // The first log has thirteen listed senders.
    let all = learn(&logs, 13, 100);
    let now = clock::unix_seconds();
    assert!(
        all.iter()
            .all(|(_, record)| record.standing(now).is_known())
    );
    assert_eq!(all.len(), 40);
}

#[test]
fn what_cannot_be_written_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let mut learner = learner(Store::open(&path, VERB_WAIT).unwrap(), 9);
    std::fs::write(&path, b"no database".repeat(500)).unwrap();
    let error = learner
        .file(logs()[1].as_bytes(), clock::wall())
        .unwrap_err();
    assert!(format!("{error:#}").starts_with("cannot use "), "{error:#}");
}
