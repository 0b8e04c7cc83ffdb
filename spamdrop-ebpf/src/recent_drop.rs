//! The fast path for recently dropped sources.
//!
//! All CPUs share the slots without a lock. A slot is one word, which is read and
//! written in one piece. In any interleaving, a valid slot is of a source that some CPU
//! has found sealed, and is valid for the time that this CPU has written. Hits may be
//! lost or counted twice.

use core::arch::asm;

use aya_ebpf::helpers::generated::bpf_jiffies64;
use spamdrop_common::{
    packet::{Plain, Segment},
    recent_drop::{Line, MOST_HITS, MOST_UNITS, Place, RecentDrop, SLOTS},
    settings::{Refresh, Settings},
    time::MonotonicNs,
};

use crate::{destination, maps};

/// The current unit of ticks. Read it before the entry is looked up, so that a source
/// whose entry is removed meanwhile is not cached.
///
/// The kernel inlines this helper as a plain load; a clock would be a call.
#[inline(always)]
pub fn unit() -> u32 {
    // SAFETY: the helper has no preconditions.
    (unsafe { bpf_jiffies64() } >> maps::unit_bits()) as u32
}

/// The fields of an IPv4 packet that the cache needs.
pub struct Flow {
    source: [u8; 4],
    destination: [u8; 4],
    syn: bool,
}

impl Flow {
    #[inline(always)]
    pub fn from_plain(plain: Plain) -> Self {
        Self {
            source: plain.source4(),
            destination: plain.destination4(),
            syn: plain.syn(),
        }
    }
}

/// As [`hit`], for any segment. A separate function: otherwise LLVM merges both, and the
/// values of both would be in memory.
#[inline(never)]
pub fn segment_hit(segment: &Segment, settings: &Settings, now: u32) -> bool {
    // IPv6 is not cached, because no IPv6 flood has been seen.
    let flow = Flow {
        source: segment.source4(),
        destination: segment.destination4,
        syn: segment.syn,
    };
    !segment.packet_v6 && hit(&flow, settings, now)
}

/// Whether the cache knows that the source's packets to this destination are
/// dropped; counts the hit.
#[inline(always)]
pub fn hit(flow: &Flow, settings: &Settings, now: u32) -> bool {
    let Some((place, line)) = find_line(flow.source) else {
        return false;
    };
    // Most sources are in their home slot, so the first comparison is predictable. A search
    // from the line's start would not be, and the processor would wait for the line.
    let mut found = slot(line, place.home());
    let mut word;
    let mut index = 0;
    loop {
        word = read(found);
        if place.is_of(word) {
            break;
        }
        if index == SLOTS as u64 {
            return false;
        }
        found = slot(line, index);
        index += 1;
    }
    let seen = RecentDrop::from_word(word);
    let answers = seen.is_valid(epoch(settings), now)
        && seen.hits < MOST_HITS
        && destination::is_ours_in(now, settings, flow.destination);
    if answers {
        let slides = Refresh::from_number(settings.refresh).slides(flow.syn);
        write(found, seen.hit(now, slides));
    }
    answers
}

/// Caches the source from the unit `now` for about `units` units, if a slot of its line is
/// its own or invalid. If that slot still holds hits of a source, adds them and the
/// postponed slide to that source's entry. `time`: the clock in the unit `now`.
#[inline(always)]
pub fn remember(segment: &Segment, settings: &Settings, now: u32, time: MonotonicNs, units: u32) {
    if segment.packet_v6 || units == 0 {
        return;
    }
    let Some((place, line)) = find_line(segment.source4()) else {
        return;
    };
    let epoch = epoch(settings);
    let mut slot = of_source(line, place);
    let mut word = read(slot);
    if !place.is_of(word) {
        slot = invalid(line, place, epoch, now);
        word = read(slot);
        if RecentDrop::from_word(word).is_valid(epoch, now) {
            return;
        }
    }
    write(
        slot,
        RecentDrop {
            tag: place.tag,
            from: now,
            units: place.spread(units),
            last: 0,
            hits: 0,
        },
    );
    let seen = RecentDrop::from_word(word);
    if seen.hits != 0 && seen.is_after(epoch, now) {
        let place = Place {
            tag: seen.tag,
            ..place
        };
        maps::add_recent_drop(place, seen.hits, last(settings, seen, now, time));
    }
}

/// The time of the last hit that slides the expiry, or up to two units before.
#[inline(always)]
fn last(settings: &Settings, seen: RecentDrop, now: u32, time: MonotonicNs) -> Option<MonotonicNs> {
    // One unit more, because the hit was perhaps at the beginning of its unit.
    let age = u64::from(seen.last_age(now)? + 1) * u64::from(settings.unit_ns);
    Some(MonotonicNs::from_ns(time.ns().saturating_sub(age)))
}

/// The number of whole units from `now` until `end`, at most [`MOST_UNITS`].
#[inline(always)]
pub fn units(settings: &Settings, now: MonotonicNs, end: MonotonicNs) -> u32 {
    let ns = end.ns().saturating_sub(now.ns());
    let units = ns.checked_div(settings.unit_ns.into()).unwrap_or(0) as u32;
    if units < MOST_UNITS {
        units
    } else {
        MOST_UNITS
    }
}

/// The current [`Settings::epoch`].
#[inline(always)]
fn epoch(settings: &Settings) -> u32 {
    // SAFETY: a reference is always valid. The read is volatile because user
    // space writes the field at any time.
    unsafe { (&raw const settings.epoch).read_volatile() }
}

#[inline(always)]
fn find_line(source: [u8; 4]) -> Option<(Place, *mut Line)> {
    let place = Place::from_source(source, maps::line_bits());
    Some((place, maps::recent_drops(place)?))
}

/// The slot of the source; any slot if the source has none.
///
/// The search has no branch: the processor could not predict it, and the verifier would
/// follow every combination of slots.
#[inline(always)]
fn of_source(line: *mut Line, place: Place) -> *mut u64 {
    let (mut found, mut index) = (0, 0);
    while index < SLOTS as u64 {
        let is_of = is_less(place.difference(read(slot(line, index))), 1);
        found = choose(found, index, is_of);
        index += 1;
    }
    slot(line, bounded(found))
}

/// An invalid slot, preferably the source's home; any slot if all are valid.
#[inline(always)]
fn invalid(line: *mut Line, place: Place, epoch: u32, now: u32) -> *mut u64 {
    let since_epoch = now.saturating_sub(epoch).into();
    let (mut found, mut step) = (0, 0);
    while step < SLOTS as u64 {
        step += 1;
        // The home comes last.
        let index = (place.home() + step) % SLOTS as u64;
        let seen = RecentDrop::from_word(read(slot(line, index)));
        let age = u64::from(seen.age(now));
        let is_valid = is_less(age, seen.units.into()) & is_less(age, since_epoch);
        found = choose(found, index, is_valid ^ 1);
    }
    slot(line, bounded(found))
}

/// Returns `index` unchanged. The AND proves to the verifiers of older kernels that it is
/// below [`SLOTS`].
#[inline(always)]
fn bounded(index: u64) -> u64 {
    let mut bounded = index;
    // SAFETY: the instruction changes this register only. It is inline assembly, because
    // the compiler would leave out an AND that changes nothing.
    unsafe {
        asm!(
            "{bounded} &= {most}",
            bounded = inout(reg) bounded,
            most = const SLOTS - 1,
            options(pure, nomem, nostack),
        );
    }
    bounded
}

/// `new` if `is_new` is 1, `old` if it is 0.
#[inline(always)]
fn choose(old: u64, new: u64, is_new: u64) -> u64 {
    old ^ ((old ^ new) & 0_u64.wrapping_sub(is_new))
}

/// 1 if `a` is less than `b`, else 0; both are less than 2^63.
#[inline(always)]
fn is_less(a: u64, b: u64) -> u64 {
    let mut less = a;
    // SAFETY: the instructions change this register only. They are inline assembly,
    // because the compiler makes branches of comparisons.
    unsafe {
        asm!(
            "{less} -= {b}",
            "{less} >>= 63",
            less = inout(reg) less,
            b = in(reg) b,
            options(pure, nomem, nostack),
        );
    }
    less
}

#[inline(always)]
fn slot(line: *mut Line, index: u64) -> *mut u64 {
    line.cast::<u64>().wrapping_add(index as usize % SLOTS)
}

#[inline(always)]
fn read(slot: *mut u64) -> u64 {
    // SAFETY: `slot` points to a slot of a line in the map.
    unsafe { slot.read_volatile() }
}

#[inline(always)]
fn write(slot: *mut u64, new: RecentDrop) {
    // SAFETY: as in `read`.
    unsafe { slot.write_volatile(new.word()) }
}
