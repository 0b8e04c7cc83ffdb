//! The fast path for recently dropped sources.
//!
//! All CPUs share the slots without a lock. A slot is two words, each of which is
//! read and written in one piece; words of different sources make no valid slot. In
//! any interleaving, a valid slot names a source that some CPU has found sealed, and
//! ends when that CPU has said. Hits may be lost or counted twice.

use core::mem::transmute;

use aya_ebpf::helpers::generated::bpf_jiffies64;
use spamdrop_common::{
    packet::Segment,
    recent_drop::{Line, MOST_TICKS, RecentDrop, SLOTS},
    settings::{Refresh, Settings},
    time::MonotonicNs,
};

use crate::{destination::Received, maps};

/// The current epoch. Read it before the entry is looked up, so that a source
/// whose entry is removed meanwhile is not cached.
#[inline(always)]
pub fn epoch(settings: &Settings) -> u16 {
    // SAFETY: a reference is always valid. The read is volatile because user
    // space writes the field at any time.
    unsafe { (&raw const settings.epoch).read_volatile() as u16 }
}

/// Whether the cache knows that the source's packets to this destination are
/// dropped; counts the hit.
#[inline(always)]
pub fn hit(received: &Received, segment: &Segment, settings: &Settings, epoch: u16) -> bool {
    let Some(line) = line(segment) else {
        return false;
    };
    let mut index = 0;
    while index < SLOTS {
        let slot = slot(line, index);
        if peek(slot) == source(segment) {
            return is_hit(received, segment, settings, slot, epoch);
        }
        index += 1;
    }
    false
}

#[inline(always)]
fn is_hit(
    received: &Received,
    segment: &Segment,
    settings: &Settings,
    slot: *mut RecentDrop,
    epoch: u16,
) -> bool {
    let seen = read(slot);
    let now = tick();
    let answers = seen.source == source(segment)
        && seen.is_valid(epoch, now)
        && seen.hits < u8::MAX
        && (settings.destinations == 0 || seen.destination == received.destination());
    if answers {
        let slides = Refresh::from_number(settings.refresh).slides(segment.syn);
        let left = if slides {
            seen.left_after(now)
        } else {
            seen.left
        };
        let hits = seen.hits + 1;
        write_second(slot, RecentDrop { left, hits, ..seen });
    }
    answers
}

/// Caches a source from `time` for this many ticks, if a slot is free for it.
/// [`hit`] then returns true for it and the same destination. Adds the hits of the
/// slot to its entry, and the slide that was postponed meanwhile.
#[inline(always)]
pub fn remember(
    received: &Received,
    segment: &Segment,
    settings: &Settings,
    epoch: u16,
    time: MonotonicNs,
    ticks: u32,
) {
    let Some(line) = line(segment).filter(|_| ticks > 0) else {
        return;
    };
    let now = tick();
    let mut free = None;
    let mut index = 0;
    while index < SLOTS {
        let slot = slot(line, index);
        let seen = read(slot);
        if seen.source == source(segment) {
            free = Some((slot, seen));
            break;
        }
        if !seen.is_valid(epoch, now) {
            free = Some((slot, seen));
        }
        index += 1;
    }
    let Some((slot, seen)) = free else {
        return;
    };
    write(
        slot,
        RecentDrop {
            source: source(segment),
            destination: received.destination(),
            until_tick: now.wrapping_add(ticks),
            tag: RecentDrop::tag(source(segment), epoch),
            left: 0,
            hits: 0,
        },
    );
    if seen.is_of(epoch) && seen.hits != 0 {
        let age = u64::from(now.wrapping_sub(seen.last_tick())) * u64::from(settings.tick_ns);
        let last = MonotonicNs::from_ns(time.ns().saturating_sub(age));
        maps::add_recent_drop(&seen, last);
    }
}

/// The number of whole ticks from `now` until `end`.
#[inline(always)]
pub fn ticks(settings: &Settings, now: MonotonicNs, end: MonotonicNs) -> u32 {
    let ns = end.ns().saturating_sub(now.ns());
    let ticks = ns.checked_div(settings.tick_ns.into()).unwrap_or(0) as u32;
    if ticks < MOST_TICKS {
        ticks
    } else {
        MOST_TICKS
    }
}

#[inline(always)]
fn source(segment: &Segment) -> u32 {
    u32::from_ne_bytes(segment.source4())
}

#[inline(always)]
fn line(segment: &Segment) -> Option<*mut Line> {
    // IPv6 is not cached, because no IPv6 flood has been seen.
    (!segment.packet_v6).then(|| maps::recent_drops(source(segment)))?
}

#[inline(always)]
fn slot(line: *mut Line, index: usize) -> *mut RecentDrop {
    line.cast::<RecentDrop>().wrapping_add(index)
}

/// The source alone: most slots are of other sources.
#[inline(always)]
fn peek(slot: *mut RecentDrop) -> u32 {
    // SAFETY: `slot` points to a slot of a line in the map.
    unsafe { (&raw const (*slot).source).read_volatile() }
}

#[inline(always)]
fn read(slot: *mut RecentDrop) -> RecentDrop {
    let words = slot.cast::<u64>();
    // SAFETY: `slot` points to a slot of a line in the map, whose two words are
    // aligned.
    let words = unsafe { [words.read_volatile(), words.add(1).read_volatile()] };
    // SAFETY: both have 16 bytes, and every bit pattern is valid.
    unsafe { transmute::<[u64; 2], RecentDrop>(words) }
}

#[inline(always)]
fn write(slot: *mut RecentDrop, new: RecentDrop) {
    // SAFETY: as in `read`; the type has no padding.
    let [first, _] = unsafe { transmute::<RecentDrop, [u64; 2]>(new) };
    // SAFETY: as in `read`.
    unsafe { slot.cast::<u64>().write_volatile(first) };
    write_second(slot, new);
}

/// Writes everything but the addresses.
#[inline(always)]
fn write_second(slot: *mut RecentDrop, new: RecentDrop) {
    // SAFETY: as in `write`.
    let [_, second] = unsafe { transmute::<RecentDrop, [u64; 2]>(new) };
    // SAFETY: as in `read`.
    unsafe { slot.cast::<u64>().add(1).write_volatile(second) };
}

/// The kernel inlines this helper as a plain load; a clock would be a call.
#[inline(always)]
fn tick() -> u32 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_jiffies64() as u32 }
}
