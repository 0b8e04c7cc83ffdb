//! Pauses: packets that would be dropped pass. They are counted and extend entries as
//! before.

use spamdrop_core::pause::Layer;
use spamdrop_lab::wait::until;

use super::*;

const LISTED6_ALONE: &str = "2001:db8:0:8::66/128";
const IN_PREFIX: &str = "203.0.113.7";
const MINUTE: Duration = Duration::from_secs(60);

const PAUSED: (u32, Reason) = (PASS, Reason::Paused);

fn pause(filter: &mut Filter, layers: &[Layer], time: Duration) {
    let until = clock::monotonic_ns().plus(time);
    filter.list.pause(&filter.turn, layers, until).unwrap();
}

fn end(filter: &mut Filter) {
    let now = clock::monotonic_ns();
    let ended = filter.list.end_pauses(&filter.turn, now).unwrap();
    assert_eq!(ended.len(), 1, "{ended:?}");
}

/// Sealed and open entries of all kinds, and a prefix.
fn blocked() -> Filter {
    let mut filter = Filter::new();
    for (target, sealed) in [
        (LISTED, true),
        (CLEAN, false),
        (LISTED6, true),
        (LISTED6_ALONE, true),
    ] {
        filter.add(target, TTL, OLD, sealed);
    }
    filter.add("203.0.113.0/24", TTL, 0, true);
    filter
}

#[test]
fn while_drops_are_paused_every_blocked_source_passes_and_its_hits_count_and_slide() {
    let mut filter = blocked();
    pause(&mut filter, &[Layer::Drop], MINUTE);
    let address6 = LISTED6_ALONE.trim_end_matches("/128");
    for (target, source, dropped) in [
        (LISTED, LISTED, Reason::SealedDropped),
        (CLEAN, CLEAN, Reason::OpenDropped),
        (LISTED6, LISTED6, Reason::SealedDropped),
        (LISTED6_ALONE, address6, Reason::SealedDropped),
        ("203.0.113.0/24", IN_PREFIX, Reason::CidrDropped),
    ] {
        let before = filter.entry(target);
        for _ in 0..3 {
            assert_eq!(filter.run(&syn(source)), PAUSED, "{source}");
        }
        let after = filter.entry(target);
        assert_eq!(after.hits, before.hits + 3, "{source}");
        let slides = after.ttl_s != 0;
        assert_eq!(after.expires > before.expires, slides, "{source}");
        end(&mut filter);
        assert_eq!(filter.run(&syn(source)), (DROP, dropped), "{source}");
        pause(&mut filter, &[Layer::Drop], MINUTE);
    }
}

/// The cache of recent drops answers without the entry.
#[test]
fn a_pause_also_concerns_what_was_dropped_a_moment_ago() {
    let mut filter = blocked();
    for _ in 0..3 {
        let found = filter.run(&packet(LISTED, ACK));
        assert_eq!(found, (DROP, Reason::SealedDropped));
    }
    pause(&mut filter, &[Layer::Drop], MINUTE);
    assert_eq!(filter.run(&packet(LISTED, ACK)), PAUSED);
    end(&mut filter);
    let found = filter.run(&packet(LISTED, ACK));
    assert_eq!(found, (DROP, Reason::SealedDropped));
    assert_eq!(filter.entry(LISTED).hits, 5);
}

/// The filter ends the pause by its clock. No program in user space is needed.
#[test]
fn a_pause_ends_by_itself() {
    let mut filter = blocked();
    let (began, time) = (clock::monotonic(), Duration::from_millis(300));
    pause(&mut filter, &[Layer::Drop], time);
    assert_eq!(filter.run(&syn(LISTED)), PAUSED);
    until("the pause to end", MINUTE, || {
        let found = filter.run(&syn(LISTED));
        Ok((found == (DROP, Reason::SealedDropped)).then_some(()))
    })
    .unwrap();
    let lasted = clock::monotonic() - began;
    assert!(lasted >= time && lasted < 10 * time, "{lasted:?}");
}

#[test]
fn a_pause_of_another_layer_lets_nothing_pass() {
    let mut filter = blocked();
    for layer in [Layer::Release, Layer::Gate, Layer::Responder] {
        pause(&mut filter, &[layer], MINUTE);
        let found = filter.run(&syn(LISTED));
        assert_eq!(found, (DROP, Reason::SealedDropped), "{layer:?}");
    }
}

#[test]
fn a_new_configuration_keeps_the_pause() {
    let mut filter = blocked();
    pause(&mut filter, &[Layer::Drop], MINUTE);
    filter.configure(&[25, 587], Refresh::Packet);
    assert_eq!(filter.run(&syn(LISTED)), PAUSED);
}

#[test]
fn an_end_that_has_passed_is_forgotten_and_another_is_not() {
    let mut filter = blocked();
    pause(&mut filter, &[Layer::Drop], Duration::ZERO);
    pause(&mut filter, &[Layer::Gate], MINUTE);
    let now = clock::monotonic_ns();
    filter.list.forget_ended_pauses(&filter.turn, now).unwrap();
    let settings = filter.list.settings().unwrap();
    assert_eq!(settings.drop_paused_until, MonotonicNs::default());
    assert!(settings.is_gate_paused(now));
}

#[test]
fn an_entry_that_is_opened_again_drops_new_connections_only() {
    let mut filter = blocked();
    // The filter's cache has the source, too.
    for _ in 0..2 {
        let found = filter.run(&packet(LISTED, ACK));
        assert_eq!(found, (DROP, Reason::SealedDropped));
    }
    let target: Target = LISTED.parse().unwrap();
    let open = |filter: &mut Filter, now| {
        let opened = filter.list.open_again(&filter.turn, target, now);
        opened.unwrap()
    };
    let now = clock::monotonic_ns();
    assert!(!open(&mut filter, now.plus_seconds(TTL + 1)));
    assert!(open(&mut filter, now));
    assert!(!open(&mut filter, now));
    assert_eq!(filter.run(&packet(LISTED, ACK)), (PASS, Reason::OpenPassed));
    assert_eq!(filter.run(&syn(LISTED)), (DROP, Reason::OpenDropped));
}
