//! The short way for sources that were dropped a moment ago.

use aya_ebpf::helpers::generated::bpf_jiffies64;
use spamdrop_common::{
    hot::{Hot, WAYS},
    packet::Segment,
    settings::Settings,
};

use crate::maps;

/// Whether the source's packets are known to be dropped; counts the hit.
#[inline(always)]
pub fn hit(segment: &Segment, settings: &Settings) -> bool {
    let Some(set) = set(segment) else {
        return false;
    };
    let source = segment.source4();
    let mut way = 0;
    while way < WAYS {
        let slot = at(set, way);
        // SAFETY: a slot of the set, whose every bit pattern is a valid `Hot`.
        // Another CPU may write it meanwhile: then a hit is counted for the
        // wrong source, or a source is dropped for as long as another.
        let seen = unsafe { slot.read_volatile() };
        if seen.source == source {
            let holds = seen.is_taken(settings.generation as u16, tick()) && seen.hits < u16::MAX;
            if holds {
                // SAFETY: as above.
                unsafe { (&raw mut (*slot).hits).write_volatile(seen.hits + 1) };
            }
            return holds;
        }
        way += 1;
    }
    false
}

/// Has [`hit`] answer for a source, whose entry has nothing due for so many
/// nanoseconds, if there is a slot for it.
#[inline(always)]
pub fn remember(segment: &Segment, settings: &Settings, quiet: u64) {
    let Some(set) = set(segment) else {
        return;
    };
    let (source, now) = (segment.source4(), tick());
    let generation = settings.generation as u16;
    let mut free = None;
    let mut way = 0;
    while way < WAYS {
        let slot = at(set, way);
        // SAFETY: as in `hit`.
        let seen = unsafe { slot.read_volatile() };
        if seen.source == source {
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
    maps::add_hits(seen.source, seen.hits);
    let ticks = quiet.checked_div(settings.tick_ns.into()).unwrap_or(0);
    let new = Hot {
        until: now + ticks,
        source,
        generation,
        hits: 0,
    };
    // SAFETY: as in `hit`.
    unsafe { slot.write_volatile(new) };
}

#[inline(always)]
fn set(segment: &Segment) -> Option<*mut [Hot; WAYS]> {
    // IPv6 is left out: no flood of it is known.
    (!segment.v6).then(|| maps::hot(Hot::set(segment.source4())))?
}

#[inline(always)]
fn at(set: *mut [Hot; WAYS], way: usize) -> *mut Hot {
    set.cast::<Hot>().wrapping_add(way)
}

/// The kernel writes this as a plain load, where a clock would be a call.
#[inline(always)]
fn tick() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_jiffies64() }
}
