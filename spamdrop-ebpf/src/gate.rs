//! Decides about new connections while the server's slots run out.

use spamdrop_common::{
    counter::Reason,
    gate::{
        CLASSES, Gate, GateMode, GateStats, RecentSyn, Standing, net_key, source_key,
        starvation_admit, stranger_class,
    },
    packet::Segment,
    settings::Settings,
    time::MonotonicNs,
};

use crate::{
    clock,
    destination::Received,
    maps,
    touch::{add_one, exchange},
};

/// The fate of a new connection from a source that is not blocked; `otherwise`
/// if the gate does not intervene. A connection to another host takes no slot
/// here, so it is not considered.
#[inline(always)]
pub fn pass(
    received: &Received,
    segment: &Segment,
    settings: &Settings,
    otherwise: Reason,
) -> Reason {
    // The check comes first, because a function call costs more.
    if maps::gate().is_none_or(|gate| gate.mode == GateMode::Off as u32) {
        return otherwise;
    }
    if !received.is_ours(settings, segment.packet_v6) {
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
        Outcome::Refused if !matches!(mode, GateMode::On) => Outcome::Admitted,
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
    let verdict = maps::verdict(key);
    let is_known_or_allowed = || maps::is_known(key) || maps::is_allowed(v6, &source);
    if gate.has_responder(segment.packet_v6)
        && verdict.is_some_and(|verdict| verdict.rejects(v6, source, now))
        && !is_known_or_allowed()
    {
        return Outcome::ToResponder;
    }
    // SAFETY: `stats` points into the map.
    let held = gate.held(unsafe { (&raw const (*stats).admitted).read_volatile() });
    if gate.flooded == 0 && gate.admits(CLASSES - 1, held) {
        return Outcome::Admitted;
    }
    if is_known_or_allowed() {
        return Outcome::KnownOrAllowed;
    }
    if gate.flooded != 0 && !is_repeated(segment, key, gate.seed, now) {
        // SAFETY: as above.
        add_one(unsafe { &raw mut (*stats).unconfirmed });
        return Outcome::Refused;
    }
    let standing = verdict.and_then(|verdict| verdict.standing(now));
    let class = class(segment, key, standing);
    if gate.admits(class, held) {
        return Outcome::Admitted;
    }
    maps::request_lookup(full_address(segment), standing.is_some());
    admit_or_refuse(stats, class, now)
}

#[inline(always)]
fn class(segment: &Segment, key: [u8; 8], standing: Option<Standing>) -> usize {
    let near_known = maps::is_near_known(net_key(segment.v6, key));
    stranger_class(near_known, standing, segment.ttl) % CLASSES
}

/// Above the limit of its class, a stranger is admitted only to keep the class
/// from starving.
#[inline(always)]
fn admit_or_refuse(stats: *mut GateStats, class: usize, now: MonotonicNs) -> Outcome {
    // SAFETY: `stats` points into the map, and `class` is less than `CLASSES`.
    let (next_admit, refused) = unsafe {
        let next_admits = (&raw mut (*stats).next_starvation_admit).cast::<u64>();
        let refused = (&raw mut (*stats).refused).cast::<u64>();
        (next_admits.add(class), refused.add(class))
    };
    // SAFETY: as above.
    let next = unsafe { next_admit.read_volatile() };
    if let Some(then) = starvation_admit(MonotonicNs::from_ns(next), now)
        && exchange(next_admit, next, then.ns())
    {
        // SAFETY: as above.
        add_one(unsafe { &raw mut (*stats).starvation_admits });
        return Outcome::Admitted;
    }
    add_one(refused);
    Outcome::Refused
}

/// Whether the same SYN was seen recently; remembers it. Senders of forged SYNs
/// seldom repeat one. A forged SYN that is repeated gains no more than a sender
/// with one connection.
#[inline(always)]
fn is_repeated(segment: &Segment, key: [u8; 8], seed: u32, now: MonotonicNs) -> bool {
    let (slot, syn) = RecentSyn::locate(key, segment.source_port, segment.sequence, seed, now);
    let Some(cell) = maps::recent_syn(slot) else {
        return true;
    };
    // SAFETY: the pointer is into the map, and every bit pattern is valid. A
    // torn read only confuses one SYN with another.
    unsafe {
        let last = cell.read_volatile();
        cell.write_volatile(syn);
        syn.repeats(last)
    }
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
