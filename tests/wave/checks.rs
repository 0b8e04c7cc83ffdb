//! What a wave's outcome must be.

use spamdrop_lab::wave::{Outcome, Scale};

/// Panics if it does not hold.
pub type Check = fn(&Scale, &Outcome);

/// The server has as much to do as it can hold, all the time: a test that
/// finds less elsewhere means something.
pub fn height_is_uncut(scale: &Scale, outcome: &Outcome) {
    assert_eq!(outcome.open.p95, scale.capacity());
    let saturated = outcome.saturated;
    assert!(saturated >= 0.8, "saturated for {saturated} of the wave");
}

/// What the kernel knows of connections, and spamdrop from it, is what the
/// server has to do; but for those that change while they are counted.
pub fn connections_are_seen(_: &Scale, outcome: &Outcome) {
    let (seen, open) = (outcome.connections.p95, outcome.open.p95);
    assert!(seen.abs_diff(open) <= open / 20, "{seen} seen of {open}");
}
