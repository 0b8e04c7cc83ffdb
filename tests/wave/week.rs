//! A week of bots: `replay` predicts from the log what the filter then does, to the
//! ends of the blocks.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{JoinHandle, scope, spawn};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use spamdrop::clock;
use spamdrop::kernel::blocklist::Blocklist;
use spamdrop_common::action::is_live;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::target::Target;
use spamdrop_lab::Site;
use spamdrop_lab::wave::week::{
    DAYS, HARD_LIMIT_S, PastDay, TIME_FACTOR, TTL_S, WeekClock, WeekDay,
};
use spamdrop_lab::wave::{BlockTimes, ReplayedLog};

use super::SPAMDROP;
use super::checks::PREDICTED;

/// Time between two reads of the filter's entries.
const LOOK: Duration = Duration::from_millis(100);
/// A block may start and end by this many seconds of the week earlier or later than
/// predicted: a second of the live run, because the filter has the hard limit in seconds.
const TOLERANCE_S: f64 = TIME_FACTOR as f64;

/// The blocks of a filter: the source, and the start and the end of each.
type Blocks = Vec<(Target, Timestamp, Timestamp)>;

/// Reads the entries of a site's filter until `stop`, each time with the end that
/// `list` shows.
fn watch(site: &Site, stop: Receiver<()>) -> JoinHandle<Blocks> {
    site.server.run(move || {
        spawn(move || {
            let blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap();
            let (mut live, mut ended) = (HashMap::new(), Vec::new());
            loop {
                let is_last = stop.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout);
                look(&blocklist, &mut live, &mut ended);
                if is_last {
                    break;
                }
            }
            ended.extend(live);
            let (now, wall) = (clock::monotonic_ns(), Timestamp::now());
            let at = |time: MonotonicNs| {
                let nanoseconds = i128::from(time.ns()) - i128::from(now.ns());
                wall + SignedDuration::from_nanos_i128(nanoseconds)
            };
            let blocks = ended.into_iter();
            blocks
                .map(|(target, [start, end])| (target, at(start), at(end)))
                .collect()
        })
    })
}

/// Adds the entries of this moment. An entry that begins after the known end of its
/// source's block is another block.
fn look(
    blocklist: &Blocklist,
    live: &mut HashMap<Target, [MonotonicNs; 2]>,
    ended: &mut Vec<(Target, [MonotonicNs; 2])>,
) {
    let now = clock::monotonic_ns();
    blocklist
        .for_each(|found| {
            let entry = &found.entry;
            if !is_live(entry.expires, now) {
                return;
            }
            let ttl = Duration::from_secs(entry.ttl_s.into());
            let begin = entry.expires.minus(ttl);
            let new = [begin, entry.expires];
            let block = live.entry(found.target).or_insert(new);
            if begin > block[1] {
                ended.push((found.target, *block));
                *block = new;
            }
            block[1] = block[1].max(entry.expires);
        })
        .unwrap();
}

/// Lives through a day. Returns the day and the blocks of the filter.
fn live_through(day: &WeekDay) -> (PastDay, Blocks) {
    let (stop, stopped) = channel();
    let observer = watch(&day.site, stopped);
    let past = day.pass().unwrap();
    drop(stop);
    (past, observer.join().unwrap())
}

#[test]
fn a_week_is_predicted_by_a_replay_of_its_log() {
    let days: Vec<WeekDay> = scope(|scope| {
        let start = |day| scope.spawn(move || WeekDay::new(Path::new(SPAMDROP), day).unwrap());
        let days: Vec<_> = (0..DAYS).map(start).collect();
        days.into_iter().map(|day| day.join().unwrap()).collect()
    });
    let clock = WeekClock::new();
    let past: Vec<_> = scope(|scope| {
        let days: Vec<_> = days
            .iter()
            .map(|day| scope.spawn(|| live_through(day)))
            .collect();
        days.into_iter().map(|day| day.join().unwrap()).collect()
    });
    let (mut log, mut live) = (String::new(), BlockTimes::default());
    let (mut visits, mut dropped) = (0, 0);
    for (day, (past, blocks)) in (0..).zip(&past) {
        log.push_str(&past.unprotected_log(&clock).unwrap());
        for (target, from, until) in blocks {
            let second = |at| clock.week_time(day, at).as_millisecond() as f64 / 1e3;
            live.add(target.to_string(), second(*from), second(*until));
        }
        let [all, some] = past.visits();
        (visits, dropped) = (visits + all, dropped + some);
    }
    let site = &days[0].site;
    let path = site.path("week.log");
    fs::write(&path, log).unwrap();
    let [ttl, hard_limit] = [("ttl", TTL_S), ("hard_limit", HARD_LIMIT_S)]
        .map(|(key, seconds)| format!("{key} = {seconds}\n"));
    site.configure(&format!("{ttl}{hard_limit}")).unwrap();
    let replayed = ReplayedLog::new(site, &path).unwrap();
    let predicted = &replayed.blocks;
    let difference = live.difference(predicted).percent();
    let blocks = live.count().max(predicted.count());
    let unmatched = 100.0 * live.unmatched(predicted, TOLERANCE_S) as f64 / blocks as f64;
    eprintln!(
        "a week: {visits} visits, {dropped} dropped; {} blocks, {} predicted; {unmatched:.2} % of the \
         blocks, {difference:.2} % of the blocked time",
        live.count(),
        predicted.count(),
    );
    // Blocks end, begin again and are extended.
    assert!(live.count() > 400 && live.count() > live.sources().count());
    assert!(dropped > 150, "{dropped}");
    assert!(unmatched <= PREDICTED && difference <= PREDICTED);
    assert_eq!(replayed.known_blocked, 0);
}
