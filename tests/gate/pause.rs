//! Pauses of the gate, the responder and the drops.

use spamdrop_core::pause::Layer;

use super::*;

fn pause(site: &mut Site, layer: Layer) {
    let until = clock::monotonic_ns().plus(Duration::from_secs(60));
    let Filter { list, turn, .. } = &mut site.filter;
    list.end_pauses(turn, clock::monotonic_ns()).unwrap();
    list.pause(turn, &[layer], until).unwrap();
}

fn resume(site: &mut Site) {
    let Filter { list, turn, .. } = &mut site.filter;
    let ended = list.end_pauses(turn, clock::monotonic_ns()).unwrap();
    assert_eq!(ended.len(), 1);
}

#[test]
fn a_paused_gate_counts_whom_it_would_refuse() {
    let mut site = Site::new();
    site.open(1_000);
    assert_eq!(site.syn(STRANGER, WINDOWS), REFUSED);
    pause(&mut site, Layer::Gate);
    assert_eq!(site.syn(STRANGER, WINDOWS), ADMITTED);
    assert_eq!(site.stats().refused, [0, 0, 2]);
    assert_eq!(site.syn(KNOWN, WINDOWS), PREFERRED);
    resume(&mut site);
    assert_eq!(site.syn(STRANGER, WINDOWS), REFUSED);
}

#[test]
fn while_the_responder_is_paused_a_listed_sender_is_held_to_the_limits() {
    let mut site = Site::new();
    site.judge(STRANGER, Standing::Listed);
    site.tend(1_000, |gate| gate.responders = RESPONDER_IPV4);
    assert_eq!(site.syn(STRANGER, UNIX), (PASS, Reason::GateAnswered));
    pause(&mut site, Layer::Responder);
    assert_eq!(site.syn(STRANGER, UNIX), REFUSED);
    resume(&mut site);
    assert_eq!(site.syn(STRANGER, UNIX), (PASS, Reason::GateAnswered));
}

#[test]
fn while_drops_are_paused_a_blocked_stranger_waits_like_any_other() {
    let mut site = Site::new();
    site.filter.add(STRANGER, 600, 0, true);
    site.open(1_000);
    let blocked = (DROP, Reason::SealedDropped);
    assert_eq!(site.syn(STRANGER, WINDOWS), blocked);
    pause(&mut site, Layer::Drop);
    assert_eq!(site.syn(STRANGER, WINDOWS), REFUSED);
    site.open(0);
    assert_eq!(site.syn(STRANGER, WINDOWS), (PASS, Reason::Paused));
    resume(&mut site);
    assert_eq!(site.syn(STRANGER, WINDOWS), blocked);
}

/// A pause of one layer does not pause another.
#[test]
fn a_pause_of_another_layer_changes_nothing_at_the_gate() {
    let mut site = Site::new();
    for layer in [Layer::Drop, Layer::Release, Layer::Responder] {
        pause(&mut site, layer);
        site.open(1_000);
        assert_eq!(site.syn(STRANGER, WINDOWS), REFUSED, "{layer:?}");
    }
    site.judge(STRANGER, Standing::Listed);
    for layer in [Layer::Drop, Layer::Release, Layer::Gate] {
        pause(&mut site, layer);
        site.tend(1_000, |gate| gate.responders = RESPONDER_IPV4);
        let found = site.syn(STRANGER, UNIX);
        assert_eq!(found, (PASS, Reason::GateAnswered), "{layer:?}");
    }
}
