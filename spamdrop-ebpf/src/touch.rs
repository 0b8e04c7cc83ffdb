//! Stores into an entry through the pointer of its look-up.
//!
//! Never by `bpf_map_update_elem`: updating a key of a full LRU map evicts
//! others. The price is that the kernel may give the slot to another address
//! between look-up and store, so the expiry is exchanged only where it is
//! still the one that was read. A hit that is counted for the wrong address
//! in that instant does no harm.

use core::arch::asm;

use spamdrop_common::{
    entry::{CidrEntry, Entry},
    time::MonotonicNs,
};

/// Counts a hit on an entry, and slides its expiry from what was `seen` to
/// `expires` where they differ.
#[inline(always)]
pub fn hit(entry: *mut Entry, seen: &Entry, expires: MonotonicNs) {
    // SAFETY: `entry` comes from a look-up of this run and points to a whole
    // `Entry` in the map's memory; so do the field pointers made from it.
    unsafe {
        (&raw mut (*entry).hits).write_volatile(seen.hits.saturating_add(1));
    }
    if expires == seen.expires {
        return;
    }
    // SAFETY: as above.
    let cell = unsafe { (&raw mut (*entry).expires).cast::<u64>() };
    if exchange(cell, seen.expires.ns(), expires.ns()) {
        // SAFETY: as above.
        unsafe {
            (&raw mut (*entry).refreshes).write_volatile(seen.refreshes.saturating_add(1));
        }
    }
}

/// Counts more hits on an entry.
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

/// Stores `new` where `old` still stands, and returns whether it did. (Linux
/// 5.12.)
#[inline(always)]
pub fn exchange(cell: *mut u64, old: u64, new: u64) -> bool {
    let found: u64;
    // SAFETY: the callers pass an aligned u64 in map memory. Rust has no stable
    // compare-exchange for this target, so the instruction is given.
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
