//! Crowds of strangers at a server with free slots above the limits of their class.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::*;

const SLOTS: u32 = 40;
/// The time between two looks, in milliseconds.
const LOOK_MS: u64 = 200;

/// A kernel that sends a SYN at these seconds.
struct Sender {
    syns: Vec<u64>,
    connects: bool,
}

/// The seconds at which Linux sends a SYN, from `begin` on: with pauses that double up to a
/// minute, as often as wanted.
fn linux(begin: u64, count: usize) -> Vec<u64> {
    let mut next = (begin, 1);
    let mut syns = Vec::new();
    for _ in 0..count {
        syns.push(next.0);
        next = (next.0 + next.1, (next.1 * 2).min(60));
    }
    syns
}

/// The senders that connect, each with the second at which it does. They hold their slots.
fn connections(senders: &[Sender], held: u32, until: u64) -> HashMap<usize, u64> {
    let mut strangers = WaitingStrangers::default();
    let mut promises = HashMap::new();
    let mut connected = HashMap::new();
    for ms in (0..until * 1_000).step_by(LOOK_MS as usize) {
        let now = MonotonicNs::from_ns((1_000_000 + ms) * 1_000_000);
        let second = ms / 1_000;
        for (number, sender) in senders.iter().enumerate() {
            let is_sent = ms.is_multiple_of(1_000) && sender.syns.contains(&second);
            if !is_sent || connected.contains_key(&number) {
                continue;
            }
            let source = Ipv4Addr::from_bits(0x0a00_0000 + number as u32).into();
            let is_promised = promises.remove(&source).is_some_and(|until| now <= until);
            if is_promised && sender.connects {
                connected.insert(number, second);
                strangers.connected(source);
            } else if !is_promised {
                let syn = RefusedSyn {
                    source,
                    source_port: 4711,
                    sequence: 1,
                };
                strangers.refused(syn, 2, now);
            }
        }
        let open = Occupancy {
            open: held + connected.len() as u32,
            ..Occupancy::default()
        };
        for admit in strangers.admit(open, SLOTS, WhenFull::Waits, now) {
            promises.insert(admit.source, admit.until);
        }
    }
    connected
}

/// The seconds for which six clean senders wait that begin at this second, among this many
/// forged sources. A sender that gives up is left out.
fn under_forgery(forged: u64, begin_s: u64) -> Vec<u64> {
    let forged = (0..forged).map(|number| Sender {
        syns: linux(number % 60, 20),
        connects: false,
    });
    let mut senders: Vec<Sender> = forged.collect();
    let begin = senders.len();
    senders.extend((0..6).map(|number| Sender {
        syns: linux(begin_s + number / 3, 7),
        connects: true,
    }));
    let connected = connections(&senders, 28, begin_s + 130);
    let mut waited: Vec<u64> = (begin..senders.len())
        .filter_map(|number| Some(connected.get(&number)? - begin_s))
        .collect();
    waited.sort_unstable();
    waited
}

/// Each of the forged sources sends its SYN once a minute.
#[test]
fn forged_syns_keep_no_clean_sender_out() {
    for (forged, begin_s) in [(0, 0), (40, 60), (200, 60), (200, 200), (1_000, 200)] {
        let waited = under_forgery(forged, begin_s);
        assert_eq!(waited.len(), 6, "{forged} since {begin_s} s: {waited:?}");
        assert!(waited[5] <= 20, "{forged} since {begin_s} s: {waited:?}");
    }
}

/// At the slow rate, ten connect in 100 s. Before the crowd is one, the fast rate applies.
#[test]
fn a_crowd_that_connects_gets_no_more_than_the_rates() {
    for one_in in [1, 2, 4] {
        let crowd: Vec<Sender> = (0..300)
            .map(|number| Sender {
                syns: linux(number / 3, 6),
                connects: number % one_in == 0,
            })
            .collect();
        let connected = connections(&crowd, 28, 100).len();
        assert!(connected <= 16, "1 in {one_in} connects: {connected}");
    }
}
