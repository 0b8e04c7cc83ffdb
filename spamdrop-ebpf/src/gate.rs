//! Decides about new connections while the server's slots run out.

use spamdrop_common::{
    counter::Reason,
    gate::{
        CLASSES, Gate, GateMode, GateStats, LookupRequest, Standing, net_key, source_key,
        stranger_class,
    },
    packet::Segment,
    settings::Settings,
    time::MonotonicNs,
};

use crate::{clock, destination::Received, maps, touch::add_one};

/// The fate of a new connection that no block drops; `otherwise` if the gate does
/// not intervene. A connection to another host takes no slot here, so the gate
/// does not consider it.
#[inline(always)]
pub fn pass(
    received: &Received,
    segment: &Segment,
    settings: &Settings,
    otherwise: Reason,
) -> Reason {
    // The mode is checked here, because a call of `consider` costs more.
    if maps::gate().is_none_or(|gate| gate.mode == GateMode::Off as u32) {
        return otherwise;
    }
    if !received.is_ours(settings, segment) {
        return Reason::OtherHost;
    }
    match consider(segment) {
        Outcome::Admitted => otherwise,
        Outcome::KnownOrAllowed => Reason::GateKnownOrAllowed,
        Outcome::ToResponder => Reason::GateAnswered,
        Outcome::Refused => Reason::GateRefused,
    }
}

/// The decision of the gate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The SYN passes.
    Admitted,
    /// The SYN of a known or allowlisted sender passes; a stranger's might not.
    KnownOrAllowed,
    /// The SYN passes, and the responder takes the connection.
    ToResponder,
    /// The SYN is dropped.
    Refused,
}

/// A separate function with its own stack, so that the verifier checks it once
/// and not on every path that leads to it.
#[inline(never)]
fn consider(segment: &Segment) -> Outcome {
    let (Some(gate), Some(stats)) = (maps::gate(), maps::gate_stats()) else {
        return Outcome::Admitted;
    };
    let now = clock::now();
    let mode = gate.mode(now);
    if matches!(mode, GateMode::Off) {
        return Outcome::Admitted;
    }
    let outcome = match decide(&copied(segment), gate, stats, now) {
        Outcome::Refused if !matches!(mode, GateMode::On) || is_paused(now) => Outcome::Admitted,
        outcome => outcome,
    };
    // SAFETY: `stats` points into the map.
    unsafe {
        if matches!(outcome, Outcome::Admitted | Outcome::KnownOrAllowed) {
            add_one(&raw mut (*stats).admitted);
        }
        if matches!(outcome, Outcome::KnownOrAllowed) {
            add_one(&raw mut (*stats).known_or_allowed);
        }
    }
    outcome
}

/// Whether the gate is paused: it then counts what it would refuse.
#[inline(always)]
fn is_paused(now: MonotonicNs) -> bool {
    maps::settings().is_some_and(|settings| settings.is_gate_paused(now))
}

/// Whether the responder is paused. Called for listed senders only, as it costs a look-up.
#[inline(always)]
fn is_responder_paused(now: MonotonicNs) -> bool {
    maps::settings().is_some_and(|settings| settings.is_responder_paused(now))
}

/// Copies the segment with one read of each field. If LLVM may read the fields
/// again through the reference, it duplicates most of the gate for each family.
#[inline(always)]
fn copied(segment: &Segment) -> Segment {
    // SAFETY: a reference is always valid.
    unsafe {
        Segment {
            v6: (&raw const segment.v6).read_volatile(),
            packet_v6: (&raw const segment.packet_v6).read_volatile(),
            ttl: (&raw const segment.ttl).read_volatile(),
            source_port: (&raw const segment.source_port).read_volatile(),
            sequence: (&raw const segment.sequence).read_volatile(),
            ..*segment
        }
    }
}

#[inline(always)]
fn decide(segment: &Segment, gate: &Gate, stats: *mut GateStats, now: MonotonicNs) -> Outcome {
    let (v6, source) = (segment.v6, segment.source);
    let key = source_key(v6, source);
    // A verdict of zeros has expired. The fields of an absent `Option` would be
    // undefined, and the verifier refuses registers that LLVM leaves undefined.
    let verdict = maps::verdict(key).unwrap_or_default();
    let is_listed = verdict.rejects(v6, source, now);
    let is_known_or_allowed =
        || maps::is_known(v6, &source, is_listed) || maps::is_allowed(v6, &source);
    if gate.has_responder(segment.packet_v6)
        && is_listed
        && !is_responder_paused(now)
        && !is_known_or_allowed()
    {
        return Outcome::ToResponder;
    }
    // SAFETY: `stats` points into the map.
    let held = gate.held(unsafe { (&raw const (*stats).admitted).read_volatile() });
    if gate.admits(CLASSES - 1, held) {
        return Outcome::Admitted;
    }
    if is_known_or_allowed() {
        return Outcome::KnownOrAllowed;
    }
    let standing = verdict.standing(now);
    let class = class(segment, key, standing);
    if gate.admits(class, held) {
        return Outcome::Admitted;
    }
    // SAFETY: as above, and `class` is less than `CLASSES`.
    let (starvation_admits, refused) = unsafe {
        let refused = (&raw mut (*stats).refused).cast::<u64>();
        (&raw mut (*stats).starvation_admits, refused.add(class))
    };
    if maps::take_next_admit(key, now) {
        add_one(starvation_admits);
        return Outcome::Admitted;
    }
    maps::request_lookup(LookupRequest {
        source: full_address(segment),
        sequence: segment.sequence,
        source_port: segment.source_port,
        class: class as u8,
        has_verdict: standing.is_some().into(),
    });
    add_one(refused);
    Outcome::Refused
}

#[inline(always)]
fn class(segment: &Segment, key: [u8; 8], standing: Option<Standing>) -> usize {
    let near_known = maps::is_near_known(net_key(segment.v6, key));
    stranger_class(near_known, standing, segment.ttl) % CLASSES
}

/// The full address; IPv4 as `::ffff:a.b.c.d`.
#[inline(always)]
fn full_address(segment: &Segment) -> [u8; 16] {
    if segment.v6 {
        return segment.source;
    }
    let [a, b, c, d] = segment.source4();
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}
