//! Compares the filter in the kernel with an oracle, on a million random frames a run.
//! The oracle applies the rules of the design to the headers that etherparse reads.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod generate;
mod oracle;
mod sources;

use std::env;
use std::fmt::Write as _;

use fastrand::Rng;
use sources::Sources;
use spamdrop::clock;
use spamdrop_common::counter::Reason;
use spamdrop_core::pause::Layer;
use spamdrop_filter::{DROP, Filter, PASS};

const FRAMES: usize = 1_000_000;
/// Frames without their link-layer header.
const PACKETS: usize = 50_000;
/// Frames between two looks at the counters.
const BATCH: usize = 1_000;
/// The variable with the seed of an earlier run, to get the same frames again.
const SEED: &str = "SPAMDROP_FRAMES_SEED";

/// Makes a random generator, and a filter that has the entries of the sources.
fn seeded() -> (Rng, Filter, Sources) {
    let seed = match env::var(SEED) {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => fastrand::u64(..),
    };
    announce(seed);
    let (rng, mut filter, sources) = (Rng::with_seed(seed), Filter::new(), Sources::new());
    sources.install(&mut filter);
    (rng, filter, sources)
}

#[test]
fn filter_and_oracle_agree_on_every_frame() {
    let (mut rng, mut filter, sources) = seeded();
    let start = filter.list.counters().unwrap();
    for _ in 0..FRAMES / BATCH {
        let frames: Vec<Vec<u8>> = (0..BATCH)
            .map(|_| generate::frame(&mut rng, &sources).0)
            .collect();
        compare(&mut filter, &sources, &frames);
    }
    let end = filter.list.counters().unwrap();
    assert_every_reason_occurs(|reason| end.get(reason) - start.get(reason));
}

/// Tests the program for links without a link-layer header, on frames from which that
/// header is removed.
#[test]
fn filter_and_oracle_agree_on_every_packet() {
    let (mut rng, mut filter, sources) = seeded();
    let mut dropped = 0;
    for _ in 0..PACKETS {
        let (frame, ip) = generate::frame(&mut rng, &sources);
        let packet = frame.get(ip..).unwrap_or_default();
        // The kernel takes no shorter packet for a test run.
        if packet.len() < generate::MIN {
            continue;
        }
        let reason = match oracle::parse_ip(packet) {
            Ok(segment) => sources.judge(&segment),
            Err(reason) => reason,
        };
        let found = filter.run_ip(packet);
        assert_eq!(found, (action_of(reason), reason), "{}", hex(packet));
        dropped += usize::from(reason.is_drop());
    }
    assert!(
        dropped * 10 >= PACKETS,
        "only {dropped} of {PACKETS} dropped"
    );
}

#[test]
fn while_drops_are_paused_no_frame_is_dropped() {
    let (mut rng, mut filter, sources) = seeded();
    let end = clock::monotonic_ns().plus_seconds(3_600);
    let Filter { list, turn, .. } = &mut filter;
    list.pause(turn, &[Layer::Drop], end).unwrap();
    let mut paused = 0;
    for _ in 0..PACKETS {
        let (frame, _) = generate::frame(&mut rng, &sources);
        let reason = match expect(&sources, &frame) {
            reason if reason.is_drop() => Reason::Paused,
            reason => reason,
        };
        assert_eq!(filter.run(&frame), (PASS, reason), "{}", hex(&frame));
        paused += usize::from(reason == Reason::Paused);
    }
    assert!(paused * 10 >= PACKETS, "only {paused} of {PACKETS} paused");
}

#[expect(clippy::print_stdout, reason = "shown when the test fails")]
fn announce(seed: u64) {
    println!("the frames of this run: {SEED}={seed}");
}

/// Compares the action of each frame, and then how often each reason was counted.
fn compare(filter: &mut Filter, sources: &Sources, frames: &[Vec<u8>]) {
    let before = filter.list.counters().unwrap();
    let mut expected = [0; Reason::ALL.len()];
    for frame in frames {
        let reason = expect(sources, frame);
        expected[reason as usize] += 1;
        let action = filter.action(frame, 1);
        assert_eq!(
            action,
            action_of(reason),
            "the oracle says {reason:?} of {}",
            hex(frame)
        );
    }
    let after = filter.list.counters().unwrap();
    let counted = Reason::ALL.iter().map(|r| after.get(*r) - before.get(*r));
    if !counted.eq(expected) {
        name_the_frame(filter, sources, frames);
    }
}

fn expect(sources: &Sources, frame: &[u8]) -> Reason {
    match oracle::parse(frame) {
        Ok(segment) => sources.judge(&segment),
        Err(reason) => reason,
    }
}

fn action_of(reason: Reason) -> u32 {
    match reason {
        reason if reason.is_drop() => DROP,
        _ => PASS,
    }
}

/// Runs a batch again, to find the frame whose reason differs.
fn name_the_frame(filter: &mut Filter, sources: &Sources, frames: &[Vec<u8>]) -> ! {
    for frame in frames {
        let (_, counted) = filter.run(frame);
        assert_eq!(counted, expect(sources, frame), "frame {}", hex(frame));
    }
    panic!("the counters differ, but no frame of the batch does when run again");
}

fn assert_every_reason_occurs(counted: impl Fn(Reason) -> u64) {
    let (mut dropped, mut total) = (0, 0);
    for &reason in Reason::ALL {
        let count = counted(reason);
        if reason.is_of_gate() {
            // The gate is off here; tests/gate tests it.
            assert_eq!(count, 0, "{reason:?}");
            continue;
        }
        if reason == Reason::Paused {
            assert_eq!(count, 0);
            continue;
        }
        assert!(count >= 1_000, "{reason:?} occurs only {count} times");
        total += count;
        dropped += if reason.is_drop() { count } else { 0 };
    }
    assert_eq!(total, FRAMES as u64);
    assert!(dropped * 10 >= total, "only {dropped} of {total} dropped");
}

fn hex(frame: &[u8]) -> String {
    frame.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
