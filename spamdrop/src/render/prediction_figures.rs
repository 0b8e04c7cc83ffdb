//! The figures of a prediction, with their labels.

use spamdrop_core::duration::human;
use spamdrop_core::engine::Prediction;

/// The labels of figures that are shown also if they are 0.
pub(super) const MUST_BE_SHOWN: [&str; 2] = [BLOCKS, KNOWN];

const BLOCKS: &str = "blocks";
const KNOWN: &str = "blocks of known senders; must be 0";

/// The figures in their order.
pub(super) fn figures(prediction: &Prediction) -> Vec<(String, String)> {
    let event = |name| prediction.events.get(name).copied().unwrap_or_default();
    let mut figures: Vec<(String, String)> = Vec::new();
    let mut add = |label: &str, value: u64| figures.push((label.into(), value.to_string()));
    add(BLOCKS, prediction.blocked);
    add("addresses and /64s that were blocked", prediction.sources);
    add("blocks renewed by a rejection", prediction.renewed);
    add(
        "connections in the log that a block dropped",
        prediction.dropped_connections,
    );
    add(
        "rejections in these connections, which would not have happened",
        prediction.prevented,
    );
    add(KNOWN, prediction.known_blocked);
    add(
        "messages accepted from a blocked address",
        prediction.accepted_while_blocked,
    );
    add(
        "connections that a rejected sender held beyond the grace",
        prediction.held_connections,
    );
    add(
        "seconds beyond the grace for which such connections held their slots",
        prediction.held.as_secs(),
    );
    for (reason, count) in &prediction.ignored {
        add(&format!("rejections that did not block: {reason}"), *count);
    }
    for (reason, count) in &prediction.near_misses {
        add(&format!("near misses: {reason}"), *count);
    }
    add("lines without a stamp", prediction.unstamped);
    add("times that the stamps went back", prediction.set_back);
    add("lines that another log had, too", event("duplicate"));
    add("accepted messages", event("accepted"));
    add("deliveries", event("delivered"));
    let slots = &prediction.slots;
    add("connections", slots.connections);
    if slots.connections > 0 {
        add("connections at most at a time", slots.peak.into());
        let number = slots
            .slots
            .map_or("unknown".into(), |slots| slots.to_string());
        figures.push(("slots".into(), number));
    }
    let mut add = |label: &str, value: u64| figures.push((label.into(), value.to_string()));
    for shortage in slots.shortages.iter().filter(|_| slots.slots.is_some()) {
        let in_use = format!(
            "while over {} % of the slots were in use",
            shortage.above_percent
        );
        add(&format!("connections {in_use}"), shortage.connections);
        add(&format!("  of known senders, {in_use}"), shortage.known);
        add(&format!("  of listed senders, {in_use}"), shortage.listed);
        add(&format!("  of others, {in_use}"), shortage.unknown);
    }
    let paused = human(prediction.paused()).to_string();
    let paused = if prediction.pauses.is_empty() {
        "0".into()
    } else {
        paused
    };
    figures.push(("time in which blocking paused".into(), paused));
    figures
}
