//! New connections, while the server's slots run out.

use core::arch::asm;

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use spamdrop_common::{
    counter::Reason,
    gate::{CLASSES, Gate, Mode, Passage, Standing, Syn, class, floor, net_key, source_key},
    packet::Segment,
};

use crate::{maps, touch::exchange};

/// What becomes of a new connection from a source that is not blocked;
/// `otherwise` if the gate has nothing to say.
#[inline(always)]
pub fn pass(segment: &Segment, otherwise: Reason) -> Reason {
    let (Some(gate), Some(passage)) = (maps::gate(), maps::passage()) else {
        return otherwise;
    };
    // SAFETY: the pointer is the map's, and every bit pattern is a valid
    // `Gate`. The controller may write meanwhile; mixed values last for one
    // packet.
    let gate = unsafe { gate.read_volatile() };
    if gate.mode == Mode::Off as u32 {
        return otherwise;
    }
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    let mode = gate.mode(now);
    if matches!(mode, Mode::Off) {
        return otherwise;
    }
    match judge(segment, &gate, passage, now) {
        Judgement::Answer => Reason::GateAnswered,
        Judgement::Admit => {
            // SAFETY: `passage` is the map's.
            add(unsafe { &raw mut (*passage).admitted });
            otherwise
        }
        Judgement::Prefer => {
            // SAFETY: as above.
            unsafe {
                add(&raw mut (*passage).admitted);
                add(&raw mut (*passage).preferred);
            }
            Reason::GatePreferred
        }
        Judgement::Refuse if matches!(mode, Mode::On) => Reason::GateRefused,
        Judgement::Refuse => {
            // SAFETY: as above.
            add(unsafe { &raw mut (*passage).admitted });
            otherwise
        }
    }
}

enum Judgement {
    Admit,
    Prefer,
    Answer,
    Refuse,
}

#[inline(always)]
fn judge(segment: &Segment, gate: &Gate, passage: *mut Passage, now: u64) -> Judgement {
    let key = source_key(segment.v6, segment.source);
    let verdict = maps::verdict(key).and_then(|verdict| verdict.standing(now));
    let listed = matches!(verdict, Some(Standing::Listed));
    if listed && gate.answers != 0 {
        return Judgement::Answer;
    }
    // SAFETY: `passage` is the map's.
    let held = gate.held(unsafe { (&raw const (*passage).admitted).read_volatile() });
    if gate.flooded == 0 && gate.admits(CLASSES - 1, held) {
        return Judgement::Admit;
    }
    if maps::is_allowed(segment) || maps::is_known(key) {
        return Judgement::Prefer;
    }
    if gate.flooded != 0 && !is_repeated(segment, key, gate.seed, now) {
        // SAFETY: as above.
        add(unsafe { &raw mut (*passage).unrepeated });
        return Judgement::Refuse;
    }
    let near_known = maps::is_near_known(net_key(segment.v6, key));
    let class = class(near_known, verdict, segment.ttl) % CLASSES;
    if gate.admits(class, held) {
        return Judgement::Admit;
    }
    if verdict.is_none() {
        maps::ask(whole(segment));
    }
    settle(passage, class, now)
}

/// Above the limit of its class: the floor, or nothing.
#[inline(always)]
fn settle(passage: *mut Passage, class: usize, now: u64) -> Judgement {
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
        return Judgement::Admit;
    }
    add(refused);
    Judgement::Refuse
}

/// Whether the same SYN was seen a moment ago; remembers it if not. A sender
/// with a false address does not know that it has to repeat it.
#[inline(always)]
fn is_repeated(segment: &Segment, key: [u8; 8], seed: u32, now: u64) -> bool {
    let (slot, syn) = Syn::of(key, segment.from_port, segment.sequence, seed, now);
    let Some(cell) = maps::recent_syn(slot) else {
        return true;
    };
    // SAFETY: the pointer is the map's, and every bit pattern is valid; halves
    // of two only mistake one SYN for another.
    unsafe {
        if syn.repeats(cell.read_volatile()) {
            return true;
        }
        cell.write_volatile(syn);
    }
    false
}

/// The address, IPv4 as `::ffff:a.b.c.d`.
#[inline(always)]
fn whole(segment: &Segment) -> [u8; 16] {
    if segment.v6 {
        return segment.source;
    }
    let [a, b, c, d] = segment.source4();
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
