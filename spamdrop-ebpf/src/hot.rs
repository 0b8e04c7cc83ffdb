//! The short way for sources that were dropped a moment ago.
//!
//! Slots are shared by all CPUs without a lock. Whatever they do at once, a
//! slot names a source that one of them has just found sealed, and lets it go
//! within a second; hits may be lost or counted twice.

use aya_ebpf::helpers::generated::bpf_jiffies64;
use spamdrop_common::{
    hot::{Hot, WAYS},
    packet::Segment,
    settings::Settings,
};

use crate::maps;

/// To be read before the entry is looked up: who is let go meanwhile is not
/// remembered.
#[inline(always)]
pub fn generation(settings: &Settings) -> u16 {
    // SAFETY: a reference is valid; the controller writes it at any time.
    unsafe { (&raw const settings.generation).read_volatile() as u16 }
}

/// Whether the source's packets are known to be dropped; counts the hit.
#[inline(always)]
pub fn hit(segment: &Segment, generation: u16) -> bool {
    let Some(set) = set(segment) else {
        return false;
    };
    let mut way = 0;
    while way < WAYS {
        let slot = at(set, way);
        let seen = read(slot);
        if seen.source == source(segment) {
            let holds = seen.is_taken(generation, tick()) && seen.hits < u16::MAX;
            if holds {
                // SAFETY: `slot` is one of the set's.
                unsafe { (&raw mut (*slot).hits).write_volatile(seen.hits + 1) };
            }
            return holds;
        }
        way += 1;
    }
    false
}

/// Has [`hit`] answer for a source during so many ticks, if there is a slot for
/// it.
#[inline(always)]
pub fn remember(segment: &Segment, generation: u16, ticks: u64) {
    let Some(set) = set(segment).filter(|_| ticks > 0) else {
        return;
    };
    let now = tick();
    let mut free = None;
    let mut way = 0;
    while way < WAYS {
        let slot = at(set, way);
        let seen = read(slot);
        if seen.source == source(segment) {
            free = Some((slot, seen));
            break;
        }
        if !seen.is_taken(generation, now) {
            free = Some((slot, seen));
        }
        way += 1;
    }
    let Some((slot, seen)) = free else {
        return;
    };
    write(
        slot,
        Hot {
            until: now + ticks,
            source: source(segment),
            generation,
            hits: 0,
        },
    );
    if seen.generation == generation {
        maps::add_hits(seen.source, seen.hits);
    }
}

/// A time in ticks, rounded down.
#[inline(always)]
pub fn ticks(settings: &Settings, ns: u64) -> u64 {
    ns.checked_div(settings.tick_ns.into()).unwrap_or(0)
}

#[inline(always)]
fn source(segment: &Segment) -> u32 {
    u32::from_ne_bytes(segment.source4())
}

#[inline(always)]
fn set(segment: &Segment) -> Option<*mut [Hot; WAYS]> {
    // IPv6 is left out: no flood of it is known.
    (!segment.v6).then(|| maps::hot(Hot::set(source(segment))))?
}

#[inline(always)]
fn at(set: *mut [Hot; WAYS], way: usize) -> *mut Hot {
    set.cast::<Hot>().wrapping_add(way)
}

/// `until` is read before and written behind the others: a new one never
/// prolongs an old source.
#[inline(always)]
fn read(slot: *mut Hot) -> Hot {
    // SAFETY: `slot` is one of a set in the map, every bit pattern is valid,
    // and each field is read in one piece.
    unsafe {
        Hot {
            until: (&raw const (*slot).until).read_volatile(),
            source: (&raw const (*slot).source).read_volatile(),
            generation: (&raw const (*slot).generation).read_volatile(),
            hits: (&raw const (*slot).hits).read_volatile(),
        }
    }
}

#[inline(always)]
fn write(slot: *mut Hot, new: Hot) {
    // SAFETY: as in `read`.
    unsafe {
        (&raw mut (*slot).source).write_volatile(new.source);
        (&raw mut (*slot).generation).write_volatile(new.generation);
        (&raw mut (*slot).hits).write_volatile(new.hits);
        (&raw mut (*slot).until).write_volatile(new.until);
    }
}

/// The kernel writes this as a plain load, where a clock would be a call.
#[inline(always)]
fn tick() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_jiffies64() }
}
