//! The bench's own programs: a generator of traffic, and yardsticks that do
//! part of what the filter does.
//!
//! The yardsticks share the filter's parser and its access to the frame, so that
//! they differ from the filter only in the work that they leave out.

#![no_std]
#![no_main]
#![allow(
    missing_docs,
    reason = "the macros wrap the entry points in undocumented ones"
)]
#![feature(asm_experimental_arch)]

#[path = "../../../../spamdrop-ebpf/src/frame.rs"]
mod frame;
mod generate;
mod scatter;

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    btf_maps::{LruHashMap, PerCpuArray, ProgramArray},
    helpers::{bpf_get_prandom_u32, bpf_ktime_get_coarse_ns},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use spamdrop_common::packet::{Link, Segment, parse};

use crate::frame::Frame;

const SMTP: u16 = 25;
/// Number of look-ups that `slow` adds to each packet.
const WASTED_LOOKUPS: u32 = 16;

/// Number of packets that the program dropped, on each CPU. `parse_only`, which drops
/// nothing, counts TCP/25.
#[btf_map(name = "counted")]
static COUNTED: PerCpuArray<u64, 1> = PerCpuArray::new();
/// Address → expiry, in nanoseconds of the kernel's monotonic clock. The loader sets the
/// number of entries.
#[btf_map(name = "expiries")]
static EXPIRIES: LruHashMap<[u8; 4], u64, 1024> = LruHashMap::new();
/// The program that `slow` calls after its look-ups.
#[btf_map(name = "next")]
static NEXT: ProgramArray<1> = ProgramArray::new();

/// Drops every packet without reading it.
#[xdp(frags)]
pub fn untouched(_ctx: XdpContext) -> u32 {
    counted(XDP_DROP)
}

/// Drops TCP/25 without a look-up.
#[xdp(frags)]
pub fn limit(ctx: XdpContext) -> u32 {
    match to_smtp(&ctx) {
        Some(_) => counted(XDP_DROP),
        None => XDP_PASS,
    }
}

/// Drops TCP/25 from sources whose expiry is in the future. This is the minimum
/// that any list of addresses has to do.
#[xdp(frags)]
pub fn plain(ctx: XdpContext) -> u32 {
    let Some(segment) = to_smtp(&ctx) else {
        return XDP_PASS;
    };
    let [a, b, c, d, ..] = segment.source;
    let Some(expires) = EXPIRIES.get_ptr_mut([a, b, c, d]) else {
        return XDP_PASS;
    };
    // SAFETY: the look-up returned the pointer, which stays valid during the
    // run; the helper has no preconditions.
    if unsafe { expires.read_volatile() < bpf_ktime_get_coarse_ns() } {
        return XDP_PASS;
    }
    counted(XDP_DROP)
}

/// Parses and passes every packet. It counts TCP/25, because the compiler would
/// remove a parser whose result is unused.
#[xdp(frags)]
pub fn parse_only(ctx: XdpContext) -> u32 {
    match to_smtp(&ctx) {
        Some(_) => counted(XDP_PASS),
        None => XDP_PASS,
    }
}

/// Adds look-ups, then calls the program in [`NEXT`]. It shows whether the bench notices
/// when a filter is slower.
#[xdp(frags)]
pub fn slow(ctx: XdpContext) -> u32 {
    let mut i = 0;
    while i < WASTED_LOOKUPS {
        // SAFETY: the helper has no preconditions.
        let random = unsafe { bpf_get_prandom_u32() };
        if EXPIRIES.get_ptr_mut(random.to_ne_bytes()).is_some() {
            return XDP_PASS;
        }
        i += 1;
    }
    // SAFETY: a successful call does not return, so it runs no destructors; no
    // value of this function has one.
    unsafe { NEXT.tail_call(&ctx, 0) };
    XDP_PASS
}

#[inline(always)]
fn to_smtp(ctx: &XdpContext) -> Option<Segment> {
    parse(&Frame::new(ctx), Link::Ethernet)
        .ok()
        .filter(|segment| segment.port == SMTP)
}

#[inline(always)]
fn counted(action: u32) -> u32 {
    if let Some(count) = COUNTED.get_ptr_mut(0) {
        // SAFETY: the value belongs to this CPU, and no second packet runs on
        // the CPU in the meantime.
        unsafe { *count += 1 };
    }
    action
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
