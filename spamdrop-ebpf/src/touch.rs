//! Stores into an entry through the pointer that its look-up returned.
//!
//! `bpf_map_update_elem` is not used: updating a key of a full LRU map evicts
//! other entries. The cost is that the kernel may give the slot to another
//! address between look-up and store. Therefore the expiry is stored by
//! compare-and-exchange. A hit that is counted for the wrong address at that
//! moment is harmless.

use core::arch::asm;

use spamdrop_common::{
    action::slid_by_recent_drop,
    entry::{CidrEntry, Entry},
    time::MonotonicNs,
};

/// Counts a hit on an entry. Moves its expiry from the value in `seen` to
/// `expires` if they differ.
#[inline(always)]
pub fn hit(entry: *mut Entry, seen: &Entry, expires: MonotonicNs) {
    // SAFETY: `entry` comes from a look-up of this run and points to a whole
    // `Entry` in the map's memory; so do the field pointers made from it.
    unsafe {
        (&raw mut (*entry).hits).write_volatile(seen.hits.saturating_add(1));
    }
    store_expiry(entry, seen, expires);
}

/// Stores the expiry that a recent drop has postponed. `last`: the time of the last
/// hit on the recent drop that slides the expiry.
#[inline(always)]
pub fn slide(entry: *mut Entry, last: MonotonicNs) {
    // SAFETY: `entry` comes from a look-up of this run, and every bit pattern is a
    // valid `Entry`.
    let seen = unsafe { entry.read_volatile() };
    store_expiry(entry, &seen, slid_by_recent_drop(&seen, last));
}

#[inline(always)]
fn store_expiry(entry: *mut Entry, seen: &Entry, expires: MonotonicNs) {
    if expires == seen.expires {
        return;
    }
    // SAFETY: `entry` comes from a look-up of this run, so the field pointers made
    // from it point to the map's memory.
    let cell = unsafe { (&raw mut (*entry).expires).cast::<u64>() };
    if exchange(cell, seen.expires.ns(), expires.ns()) {
        // SAFETY: as above.
        unsafe {
            (&raw mut (*entry).refreshes).write_volatile(seen.refreshes.saturating_add(1));
        }
    }
}

/// Adds hits to an entry.
#[inline(always)]
pub fn add_hits(entry: *mut Entry, number: u32) {
    // SAFETY: `entry` comes from a look-up of this run.
    unsafe {
        let hits = &raw mut (*entry).hits;
        hits.write_volatile(hits.read_volatile().saturating_add(number));
    }
}

/// Counts a hit on a prefix.
#[inline(always)]
pub fn cidr_hit(prefix: *mut CidrEntry) {
    // SAFETY: `prefix` comes from a look-up of this run.
    unsafe {
        let hits = &raw mut (*prefix).hits;
        hits.write_volatile(hits.read_volatile().saturating_add(1));
    }
}

/// Compare-and-exchange (Linux 5.12): stores `new` if the value is still `old`,
/// and returns whether it did.
#[inline(always)]
pub fn exchange(cell: *mut u64, old: u64, new: u64) -> bool {
    let found: u64;
    // SAFETY: the callers pass an aligned u64 in map memory. Rust has no stable
    // compare-exchange for this target, so the instruction is inline assembly.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({cell} + 0, r0, {new})",
            cell = in(reg) cell,
            new = in(reg) new,
            inout("r0") old => found,
        );
    }
    found == old
}

/// Adds one atomically.
#[inline(always)]
pub fn add_one(cell: *mut u64) {
    // SAFETY: the callers pass an aligned u64 in map memory. Rust has no
    // atomics for this target, so the instruction is inline assembly.
    unsafe {
        asm!(
            "lock *(u64 *)({cell} + 0) += {one}",
            cell = in(reg) cell,
            one = in(reg) 1_u64,
        );
    }
}
