//! What a wave's outcome must be.

use spamdrop_lab::wave::{Class, Outcome, Scale};

/// Panics if it does not hold.
pub type Check = fn(&Scale, &Outcome);

/// The server has as much to do as it can hold, all the time: a test that
/// finds less elsewhere means something.
pub fn height_is_uncut(scale: &Scale, outcome: &Outcome) {
    let (p95, capacity) = (outcome.open.p95, scale.capacity());
    // One may leave while they are counted.
    assert!(p95.abs_diff(capacity) <= 2, "{p95} of {capacity}");
    let saturated = outcome.saturated;
    assert!(saturated >= 0.8, "saturated for {saturated} of the wave");
}

/// What the kernel knows of connections, and spamdrop from it, is what the
/// server has to do; but for those that change while they are counted.
pub fn connections_are_seen(_: &Scale, outcome: &Outcome) {
    let (seen, open) = (outcome.connections.p95, outcome.open.p95);
    assert!(seen.abs_diff(open) <= open / 20, "{seen} seen of {open}");
}

/// Beyond its look-ups, what a known sender may wait for a banner, in seconds.
const BANNER: f64 = 2.0;
/// What most, and nearly all, new senders may wait for it.
const NEW_P50: f64 = 15.0;
const NEW_P90: f64 = 75.0;
/// From a listed mail server's first `connect()` to its 511.
const TOLD: f64 = 15.0;
/// Connections of the responder.
const ASIDE: usize = 150;

/// The wave fits into the slots.
pub fn height_is_cut(scale: &Scale, outcome: &Outcome) {
    let (p95, saturated) = (outcome.open.p95, outcome.saturated);
    assert!(p95 <= scale.slots, "{p95} of {}", scale.slots);
    assert!(saturated <= 0.1, "saturated for {saturated} of the wave");
}

/// Known senders notice nothing.
pub fn known_do_not_wait(scale: &Scale, outcome: &Outcome) {
    assert_eq!(outcome.retransmissions[&Class::Known], 0);
    let p99 = outcome.banner[&Class::Known].p99;
    assert!(p99 <= scale.lookup.as_secs_f64() + BANNER, "{p99} s");
}

/// New senders wait, but are served.
pub fn new_senders_enter(_: &Scale, outcome: &Outcome) {
    let times = outcome.banner[&Class::New];
    assert!(times.p50 <= NEW_P50 && times.p90 <= NEW_P90, "{times:?}");
    assert_eq!(outcome.lost.some, 0, "{:?}", outcome.ends);
}

/// Whoever is listed hears of it, and the responder stays small.
pub fn listed_are_told(_: &Scale, outcome: &Outcome) {
    let longest = outcome.listed_servers.max;
    assert!(longest <= TOLD, "{longest} s");
    let bots = outcome.listed_bots;
    assert!(bots.part() >= 0.95, "{bots:?}");
    let aside = outcome.aside.max;
    assert!(aside <= ASIDE, "{aside}");
}
