//! The packet filter: frame → segment → entry → action → counter.
//!
//! This crate is thin on purpose. Everything that can be decided without the
//! kernel is decided in `spamdrop-common`, where ordinary tests run it. The
//! filter never returns `XDP_ABORTED`; it passes and counts packets that it
//! cannot parse.

#![no_std]
#![no_main]
#![allow(
    missing_docs,
    reason = "the macros wrap the entry points in undocumented ones"
)]
#![feature(asm_experimental_arch)]

mod clock;
mod destination;
mod frame;
mod gate;
mod log;
mod maps;
mod recent_drop;
mod segment;
mod steer;
mod touch;

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    macros::xdp,
    programs::XdpContext,
};
use spamdrop_common::{
    action::{blocked_action, is_cidr_live, is_live, quiet_until, slide},
    counter::Reason,
    entry::Entry,
    gate::SMTP_PORT,
    packet::{Link, Segment, is_arp, plain},
    settings::{Refresh, Settings},
    time::MonotonicNs,
};

use crate::{destination::Received, frame::Frame, recent_drop::Flow};

/// For drivers that deliver multi-buffer packets (Linux 5.18).
#[xdp(frags)]
pub fn spamdrop(ctx: XdpContext) -> u32 {
    filter(ctx, Link::Ethernet)
}

/// For kernels and drivers without multi-buffer support.
#[xdp]
pub fn spamdrop_plain(ctx: XdpContext) -> u32 {
    filter(ctx, Link::Ethernet)
}

/// As `spamdrop`, for links without a link-layer header.
#[xdp(frags)]
pub fn spamdrop_ip(ctx: XdpContext) -> u32 {
    filter(ctx, Link::Ip)
}

/// As `spamdrop_plain`, for links without a link-layer header.
#[xdp]
pub fn spamdrop_ip_one(ctx: XdpContext) -> u32 {
    filter(ctx, Link::Ip)
}

#[inline(always)]
fn filter(ctx: XdpContext, link: Link) -> u32 {
    let received = Received { ctx, link };
    let reason = reason(&received);
    if matches!(reason, Reason::NotIp) && !is_arp(&Frame::new(&received.ctx), link) {
        maps::count_not_ip(received.ctx.ingress_ifindex() as u32);
    }
    maps::count(reason);
    if reason.is_drop() { XDP_DROP } else { XDP_PASS }
}

/// Checks the port, then the recently dropped sources, then the block maps. The
/// clock, the allowlist and the destination are read only on a match, so that a
/// clean sender costs one hash map look-up. The gate decides about new connections that no
/// block drops.
#[inline(always)]
fn reason(received: &Received) -> Reason {
    let Some(settings) = maps::settings() else {
        return Reason::OtherPort;
    };
    let unit = recent_drop::unit();
    let mut stored = MaybeUninit::uninit();
    // A frame that is not plain takes the same steps elsewhere, so that the words of a plain
    // one stay in registers.
    let (segment, is_cached) = match plain(&Frame::new(&received.ctx), received.link) {
        Some(plain) => {
            if !settings.watches(plain.port()) {
                return Reason::OtherPort;
            }
            let is_cached = recent_drop::hit(&Flow::from_plain(plain), settings, unit);
            if is_cached && !log::is_on() && !is_drop_paused(settings) {
                return Reason::SealedDropped;
            }
            (stored.write(plain.segment()), is_cached)
        }
        None => {
            let segment = match segment::parse(received, &mut stored) {
                Ok(segment) => segment,
                Err(reason) => return reason,
            };
            if !settings.watches(segment.port) {
                return Reason::OtherPort;
            }
            // The cache holds only sources of IPv4 packets, so NAT64 translation comes after
            // this look-up.
            let is_cached = recent_drop::segment_hit(segment, settings, unit);
            segment.translate(settings);
            (segment, is_cached)
        }
    };
    let mut found = if is_cached {
        Reason::SealedDropped
    } else {
        blocked(received, segment, settings, unit)
    };
    if found.is_drop() {
        if !is_drop_paused(settings) {
            log::dropped(&received.ctx, segment);
            return found;
        }
        found = Reason::Paused;
    }
    if segment.syn
        && segment.port == SMTP_PORT
        && matches!(found, Reason::NotBlocked | Reason::Expired | Reason::Paused)
    {
        return gate::pass(received, segment, settings, found);
    }
    found
}

/// Whether dropping is paused. Reads the clock only if a pause is set.
#[inline(always)]
fn is_drop_paused(settings: &Settings) -> bool {
    settings.drop_paused_until != MonotonicNs::default() && settings.is_drop_paused(clock::now())
}

#[inline(always)]
fn blocked(received: &Received, segment: &Segment, settings: &Settings, unit: u32) -> Reason {
    let found = match maps::blocked(settings, segment) {
        Some(entry) => entry_hit(received, entry, settings, segment, unit),
        None => Reason::NotBlocked,
    };
    if found.is_drop() || !maps::has_cidrs(settings, segment) {
        return found;
    }
    if matches!(found, Reason::Allowed | Reason::OtherHost) {
        return found;
    }
    // A blocked prefix also drops packets that an open entry would pass.
    cidr_hit(received, segment, settings, found)
}

/// A separate function, as [`cidr_hit`]. If inlined, its registers would be saved on the
/// stack even for packets whose source has no entry.
#[inline(never)]
fn entry_hit(
    received: &Received,
    entry: *mut Entry,
    settings: &Settings,
    segment: &Segment,
    unit: u32,
) -> Reason {
    // SAFETY: the look-up returned the pointer, the map's memory outlives the
    // program run, and every bit pattern is a valid `Entry`. The kernel may
    // reuse the slot meanwhile; `touch` handles that.
    let seen = unsafe { entry.read_volatile() };
    let now = clock::now();
    if !is_live(seen.expires, now) {
        return Reason::Expired;
    }
    if maps::is_allowed(segment.v6, &segment.source) {
        return Reason::Allowed;
    }
    if !received.is_ours(settings, segment) {
        return Reason::OtherHost;
    }
    let refresh = Refresh::from_number(settings.refresh);
    let expires = slide(&seen, now, segment.syn, refresh);
    touch::hit(entry, &seen, expires);
    let reason = blocked_action(seen.flags, segment.syn);
    if matches!(reason, Reason::SealedDropped) {
        let end = quiet_until(&Entry { expires, ..seen }, now, refresh);
        let units = recent_drop::units(settings, now, end);
        recent_drop::remember(segment, settings, unit, now, units);
    }
    reason
}

#[inline(never)]
fn cidr_hit(
    received: &Received,
    segment: &Segment,
    settings: &Settings,
    otherwise: Reason,
) -> Reason {
    let Some(prefix) = maps::blocked_prefix(segment) else {
        return otherwise;
    };
    let now = clock::now();
    // SAFETY: as in `entry_hit`.
    if !is_cidr_live(&unsafe { prefix.read_volatile() }, now) {
        return match otherwise {
            Reason::NotBlocked => Reason::Expired,
            _ => otherwise,
        };
    }
    if maps::is_allowed(segment.v6, &segment.source) {
        return Reason::Allowed;
    }
    if !received.is_ours(settings, segment) {
        return Reason::OtherHost;
    }
    touch::cidr_hit(prefix);
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
