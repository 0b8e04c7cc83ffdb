//! New connections, while the server's slots run out.

use core::arch::asm;

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use spamdrop_common::{
    counter::Reason,
    gate::{CLASSES, Gate, Mode, Passage, Syn, class, floor, net_key, source_key},
    packet::Segment,
};

use crate::{maps, touch::exchange};

/// What becomes of a new connection from a source that is not blocked;
/// `otherwise` if the gate has nothing to say.
#[inline(always)]
pub fn pass(segment: &Segment, otherwise: Reason) -> Reason {
    // A call costs more than all of this.
    if maps::gate().is_none_or(|gate| gate.mode == Mode::Off as u32) {
        return otherwise;
    }
    let rest =
        u64::from(segment.v6) << 24 | u64::from(segment.ttl) << 16 | u64::from(segment.from_port);
    match consider(&segment.source, rest, segment.sequence) {
        ANSWERED => Reason::GateAnswered,
        PREFERRED => Reason::GatePreferred,
        REFUSED => Reason::GateRefused,
        _ => otherwise,
    }
}

const ADMITTED: u64 = 0;
const PREFERRED: u64 = 1;
const ANSWERED: u64 = 2;
const REFUSED: u64 = 3;

/// A function of its own, with its own stack, which the verifier need not
/// follow for each way that leads to it.
#[inline(never)]
fn consider(source: &[u8; 16], rest: u64, sequence: u32) -> u64 {
    let (Some(gate), Some(passage)) = (maps::gate(), maps::passage()) else {
        return ADMITTED;
    };
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    let mode = gate.mode(now);
    if matches!(mode, Mode::Off) {
        return ADMITTED;
    }
    let sender = Sender::new(source, rest, sequence);
    let outcome = match judge(&sender, gate, passage, now) {
        REFUSED if !matches!(mode, Mode::On) => ADMITTED,
        outcome => outcome,
    };
    // SAFETY: `passage` is the map's.
    unsafe {
        if outcome == ADMITTED || outcome == PREFERRED {
            add(&raw mut (*passage).admitted);
        }
        if outcome == PREFERRED {
            add(&raw mut (*passage).preferred);
        }
    }
    outcome
}

/// Who wants to open a connection.
struct Sender<'a> {
    v6: bool,
    source: &'a [u8; 16],
    key: [u8; 8],
    ttl: u8,
    port: u16,
    sequence: u32,
}

impl<'a> Sender<'a> {
    #[inline(always)]
    fn new(source: &'a [u8; 16], rest: u64, sequence: u32) -> Self {
        let v6 = rest >> 24 != 0;
        Self {
            v6,
            source,
            key: source_key(v6, *source),
            ttl: (rest >> 16) as u8,
            port: rest as u16,
            sequence,
        }
    }
}

#[inline(always)]
fn judge(sender: &Sender<'_>, gate: &Gate, passage: *mut Passage, now: u64) -> u64 {
    let found = maps::verdict(sender.key);
    let verdict = found.and_then(|verdict| verdict.standing(now));
    let rejected = found.is_some_and(|verdict| verdict.rejects(sender.v6, *sender.source, now));
    let preferred = || maps::is_known(sender.key) || maps::is_allowed(sender.v6, sender.source);
    if rejected && gate.answers(sender.v6) && !preferred() {
        return ANSWERED;
    }
    // SAFETY: `passage` is the map's.
    let held = gate.held(unsafe { (&raw const (*passage).admitted).read_volatile() });
    if gate.flooded == 0 && gate.admits(CLASSES - 1, held) {
        return ADMITTED;
    }
    if preferred() {
        return PREFERRED;
    }
    if gate.flooded != 0 && !is_repeated(sender, gate.seed, now) {
        // SAFETY: as above.
        add(unsafe { &raw mut (*passage).unrepeated });
        return REFUSED;
    }
    let near_known = maps::is_near_known(net_key(sender.v6, sender.key));
    let class = class(near_known, verdict, sender.ttl) % CLASSES;
    if gate.admits(class, held) {
        return ADMITTED;
    }
    maps::ask(whole(sender), verdict.is_some());
    settle(passage, class, now)
}

/// Above the limit of its class: the floor, or nothing.
#[inline(always)]
fn settle(passage: *mut Passage, class: usize, now: u64) -> u64 {
    // SAFETY: `passage` is the map's, and `class` below `CLASSES`.
    let (floors, refused) = unsafe {
        let floors = (&raw mut (*passage).floors).cast::<u64>();
        let refused = (&raw mut (*passage).refused).cast::<u64>();
        (floors.add(class), refused.add(class))
    };
    // SAFETY: as above.
    let next = unsafe { floors.read_volatile() };
    if let Some(then) = floor(next, now)
        && exchange(floors, next, then)
    {
        // SAFETY: as above.
        add(unsafe { &raw mut (*passage).floored });
        return ADMITTED;
    }
    add(refused);
    REFUSED
}

/// Whether the same SYN was seen a moment ago; remembers it. Who forges
/// addresses seldom repeats, and gains no more by it than a sender with one
/// connection.
#[inline(always)]
fn is_repeated(sender: &Sender<'_>, seed: u32, now: u64) -> bool {
    let (slot, syn) = Syn::of(sender.key, sender.port, sender.sequence, seed, now);
    let Some(cell) = maps::recent_syn(slot) else {
        return true;
    };
    // SAFETY: the pointer is the map's, and every bit pattern is valid; halves
    // of two only mistake one SYN for another.
    unsafe {
        let last = cell.read_volatile();
        cell.write_volatile(syn);
        syn.repeats(last)
    }
}

/// The address, IPv4 as `::ffff:a.b.c.d`.
#[inline(always)]
fn whole(sender: &Sender<'_>) -> [u8; 16] {
    if sender.v6 {
        return *sender.source;
    }
    let [a, b, c, d, ..] = *sender.source;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// Adds one, whatever other CPUs do.
#[inline(always)]
fn add(cell: *mut u64) {
    // SAFETY: the callers pass aligned fields in map memory. Rust has no
    // atomics for this target, so the instruction is given.
    unsafe {
        asm!(
            "lock *(u64 *)({cell} + 0) += {one}",
            cell = in(reg) cell,
            one = in(reg) 1_u64,
        );
    }
}
