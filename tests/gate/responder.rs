//! Listed senders at the gate, with and without a responder.

use super::*;

#[test]
fn a_listed_sender_passes_to_the_responder_if_there_is_one() {
    let mut site = Site::new();
    site.open(1_000);
    site.judge(STRANGER, Standing::Listed);
    assert_eq!(site.syn(STRANGER, UNIX), REFUSED);
    let before = site.stats();
    site.tend(1_000, |gate| gate.responders = RESPONDER_IPV4);
    assert_eq!(site.syn(STRANGER, UNIX), (PASS, Reason::GateAnswered));
    // The connection takes no slot.
    assert_eq!(site.stats(), before);
    // A known sender is not steered to the responder.
    site.judge(KNOWN, Standing::Listed);
    assert_eq!(site.syn(KNOWN, UNIX), PREFERRED);
    let expired = Verdict {
        host: 0,
        until: clock::monotonic_ns().minus(Duration::from_secs(1)),
        standing: Standing::Listed as u32,
        zone: 0,
    };
    site.gate_maps
        .set_verdict(target(STRANGER), expired)
        .unwrap();
    assert_eq!(site.syn(STRANGER, UNIX), REFUSED);
}

/// One address family has no responder, as on a host whose loopback interface
/// has no IPv6.
#[test]
fn who_has_no_responder_is_held_to_the_limits() {
    let mut site = Site::new();
    site.open(1_000);
    let listed6 = "2001:db8:3:1::66";
    for listed in [STRANGER, listed6] {
        site.judge(listed, Standing::Listed);
    }
    for (answers, answered, other) in [
        (RESPONDER_IPV4, STRANGER, listed6),
        (RESPONDER_IPV6, listed6, STRANGER),
    ] {
        site.tend(1_000, |gate| gate.responders = answers);
        let refused = site.stats().refused[2];
        assert_eq!(site.syn(answered, UNIX), (PASS, Reason::GateAnswered));
        assert_eq!(site.syn(other, UNIX), REFUSED);
        assert_eq!(site.stats().refused[2], refused + 1);
    }
}

/// A verdict is that of a whole /64, but the responder rejects a single address.
#[test]
fn the_neighbour_of_a_listed_host_is_not_answered_in_its_place() {
    let mut site = Site::new();
    let [listed, neighbour] = ["2001:db8:3:1::66", "2001:db8:3:1::67"];
    site.judge(listed, Standing::Listed);
    site.tend(0, |gate| gate.responders = RESPONDER_IPV6);
    assert_eq!(site.syn(listed, UNIX), (PASS, Reason::GateAnswered));
    assert_eq!(site.syn(neighbour, UNIX), ADMITTED);
    site.gate_maps.clear_verdicts().unwrap();
    assert_eq!(site.syn(listed, UNIX), ADMITTED);
}
