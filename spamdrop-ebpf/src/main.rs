//! The packet filter: frame → segment → entry → verdict → counter.
//!
//! Thin on purpose: what can be decided without the kernel is decided in
//! `spamdrop-common`, where ordinary tests run it. Nothing here ever returns
//! `XDP_ABORTED`; what is not understood is passed and counted.

#![no_std]
#![no_main]
#![allow(
    missing_docs,
    reason = "the macros wrap the entry points in undocumented ones"
)]
#![feature(asm_experimental_arch)]

mod frame;
mod gate;
mod hot;
mod log;
mod maps;
mod steer;
mod touch;

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    helpers::bpf_ktime_get_coarse_ns,
    macros::xdp,
    programs::XdpContext,
};
use spamdrop_common::{
    counter::Reason,
    entry::Entry,
    gate::PORT,
    packet::{Segment, parse},
    settings::{Refresh, Settings},
    verdict::{is_cidr_live, is_live, judge, quiet, slide},
};

use crate::frame::Frame;

/// For drivers that deliver packets in several buffers (Linux 5.18).
#[xdp(frags)]
pub fn spamdrop(ctx: XdpContext) -> u32 {
    filter(&ctx)
}

/// For kernels and drivers that do not.
#[xdp]
pub fn spamdrop_plain(ctx: XdpContext) -> u32 {
    filter(&ctx)
}

#[inline(always)]
fn filter(ctx: &XdpContext) -> u32 {
    let reason = match parse(&Frame::new(ctx)) {
        Ok(segment) => decide(ctx, &segment),
        Err(reason) => reason,
    };
    maps::count(reason);
    if reason.is_drop() { XDP_DROP } else { XDP_PASS }
}

/// Port, then the sources that were dropped a moment ago, then the block
/// look-up; the clock and the allowlist only on a match, so that a clean sender
/// costs one look-up in a hash map. New connections of those who are not
/// blocked come to the gate.
#[inline(always)]
fn decide(ctx: &XdpContext, segment: &Segment) -> Reason {
    let Some(settings) = maps::settings() else {
        return Reason::OtherPort;
    };
    if !settings.watches(segment.port) {
        return Reason::OtherPort;
    }
    let generation = hot::generation(settings);
    if hot::hit(segment, generation) {
        log::dropped(ctx, segment);
        return Reason::SealedDropped;
    }
    let found = blocked(ctx, segment, settings, generation);
    if segment.syn && segment.port == PORT && matches!(found, Reason::NotListed | Reason::Expired) {
        return gate::pass(segment, found);
    }
    found
}

#[inline(always)]
fn blocked(ctx: &XdpContext, segment: &Segment, settings: &Settings, generation: u16) -> Reason {
    let found = match maps::blocked(segment) {
        Some(entry) => entry_hit(ctx, entry, settings, segment, generation),
        None => Reason::NotListed,
    };
    if found.is_drop() || !maps::has_cidrs(settings, segment) {
        return found;
    }
    if matches!(found, Reason::Allowed) {
        return found;
    }
    // A blocked prefix drops what an open entry of its own would let pass.
    cidr_hit(ctx, segment, found)
}

#[inline(always)]
fn entry_hit(
    ctx: &XdpContext,
    entry: *mut Entry,
    settings: &Settings,
    segment: &Segment,
    generation: u16,
) -> Reason {
    // SAFETY: the look-up returned the pointer, the map's memory outlives the
    // program run, and every bit pattern is a valid `Entry`. The kernel may
    // reuse the slot meanwhile; `touch` is made for that.
    let seen = unsafe { entry.read_volatile() };
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    if !is_live(seen.expires, now) {
        return Reason::Expired;
    }
    if maps::is_allowed(segment.v6, &segment.source) {
        return Reason::Allowed;
    }
    let refresh = Refresh::from_number(settings.refresh);
    let expires = slide(&seen, now, segment.syn, refresh);
    touch::hit(entry, &seen, expires);
    let reason = judge(seen.flags, segment.syn);
    if matches!(reason, Reason::SealedDropped) {
        let quiet = quiet(&Entry { expires, ..seen }, now, refresh);
        hot::remember(segment, generation, hot::ticks(settings, quiet));
    }
    if reason.is_drop() {
        log::dropped(ctx, segment);
    }
    reason
}

#[inline(always)]
fn cidr_hit(ctx: &XdpContext, segment: &Segment, otherwise: Reason) -> Reason {
    let Some(prefix) = maps::blocked_prefix(segment) else {
        return otherwise;
    };
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    // SAFETY: as in `entry_hit`.
    if !is_cidr_live(&unsafe { prefix.read_volatile() }, now) {
        return Reason::Expired;
    }
    if maps::is_allowed(segment.v6, &segment.source) {
        return Reason::Allowed;
    }
    touch::cidr_hit(prefix);
    log::dropped(ctx, segment);
    Reason::CidrDropped
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
