//! The requirements for a wave's outcome.

use spamdrop_lab::wave::{Class, Mode, Outcome, PredictionError, Scale};

/// A requirement; panics if it is not met.
pub type Check = fn(&Scale, &Outcome);

/// Checks that the server is at its capacity for at least 80 % of the wave. This shows
/// that the wave is strong enough for the other checks.
pub fn height_is_uncut(scale: &Scale, outcome: &Outcome) {
    let (p95, capacity) = (outcome.open.p95, scale.capacity());
    // A connection may end while the connections are counted.
    assert!(p95.abs_diff(capacity) <= 2, "{p95} of {capacity}");
    let saturated = outcome.saturated;
    assert!(saturated >= 0.8, "saturated for {saturated} of the wave");
}

/// Checks that the number of connections in the kernel's tables, which spamdrop
/// uses, is close to the server's own number. The numbers differ by the connections
/// that begin or end during the count.
pub fn connections_are_seen(_: &Scale, outcome: &Outcome) {
    let (seen, open) = (outcome.connections.p95, outcome.open.p95);
    assert!(seen.abs_diff(open) <= open / 20, "{seen} seen of {open}");
}

/// Maximum wait of a known sender for the banner in seconds, beyond the
/// server's look-ups.
const BANNER: f64 = 2.0;
/// Maximum waits of new senders for the banner in seconds: median and 90th
/// percentile.
const NEW_P50: f64 = 15.0;
const NEW_P90: f64 = 75.0;
/// Maximum time from a listed mail server's first `connect()` to its 511, in
/// seconds.
const TOLD: f64 = 15.0;
/// Maximum number of connections that the responder holds.
const ASIDE: usize = 150;

/// Checks that the connections fit into the server's slots.
pub fn height_is_cut(scale: &Scale, outcome: &Outcome) {
    let (p95, saturated) = (outcome.open.p95, outcome.saturated);
    assert!(p95 <= scale.slots, "{p95} of {}", scale.slots);
    assert!(saturated <= 0.1, "saturated for {saturated} of the wave");
}

/// Checks that known senders are not delayed.
pub fn known_do_not_wait(scale: &Scale, outcome: &Outcome) {
    assert_eq!(outcome.retransmissions[&Class::Known], 0);
    let p99 = outcome.banner[&Class::Known].p99;
    assert!(p99 <= scale.lookup.as_secs_f64() + BANNER, "{p99} s");
}

/// Checks that new senders, which may wait, are served.
pub fn new_senders_enter(_: &Scale, outcome: &Outcome) {
    let times = outcome.banner[&Class::New];
    assert!(times.p50 <= NEW_P50 && times.p90 <= NEW_P90, "{times:?}");
    assert_eq!(outcome.lost.some, 0, "{:?}", outcome.ends);
}

/// Checks that listed mail servers and nearly all listed bots receive a 511,
/// and that the responder holds few connections.
pub fn listed_are_told(_: &Scale, outcome: &Outcome) {
    let longest = outcome.listed_servers.max;
    assert!(longest <= TOLD, "{longest} s");
    let bots = outcome.listed_bots;
    assert!(bots.part() >= 0.95, "{bots:?}");
    let aside = outcome.aside.max;
    assert!(aside <= ASIDE, "{aside}");
}

/// The most by which a prediction may differ, in percent.
pub const PREDICTED: f64 = 2.0;

/// Checks that a replay of the log predicts the blocked sources and the times of
/// their blocks within 2 %, and no block of a known sender.
pub fn replay_predicts_the_blocks(mode: Mode, error: &PredictionError) {
    eprintln!(
        "replay, {mode}: {} of {} wrong; {:.2} % of the blocked time, {:.2} % without the dropped \
         connections",
        error.wrong.len(),
        error.blocked,
        error.time.percent(),
        error.time_without_dropped.percent()
    );
    // In the mode `Recent` (as in 2009), every packet of a blocked bot is dropped, and
    // most other bots find no slot. So there are few blocks.
    assert!(error.blocked >= 10, "{error:?}");
    assert!(error.wrong.len() * 50 <= error.blocked, "{error:?}");
    // In that mode, every packet of a session that was cut extends the block. No log
    // shows these packets.
    assert!(
        error.time.percent() <= PREDICTED || mode == Mode::Recent,
        "{error:?}"
    );
    assert_eq!(error.known_blocked, 0);
}
