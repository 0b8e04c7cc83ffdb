//! Whether blocks and the gate apply to a packet's destination: on a bridge, a
//! router or a host of virtual machines, packets for other hosts arrive too.
//!
//! An IPv6 destination is parsed anew where it is needed: if the first parse kept it, the
//! verifier would have to follow each position of the IP header through the whole program.

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use spamdrop_common::{
    packet::{Link, Segment, destination6},
    settings::Settings,
};

use crate::{frame::Frame, maps};

const RECENT_DESTINATIONS: usize = 8;
/// A cache of IPv4 destinations to which blocks apply, each with the unit of ticks of its
/// look-up. A map look-up costs as much as all other work for a recently dropped source.
#[unsafe(no_mangle)]
static mut RECENT_DESTINATIONS4: [u64; RECENT_DESTINATIONS] = [0; RECENT_DESTINATIONS];

/// A packet as it was received.
pub struct Received {
    pub ctx: XdpContext,
    pub link: Link,
}

impl Received {
    /// Whether blocks and the gate apply to the packet.
    #[inline(always)]
    pub fn is_ours(&self, settings: &Settings, segment: &Segment) -> bool {
        settings.destinations == 0 || self.is_listed(segment)
    }

    #[inline(always)]
    fn is_listed(&self, segment: &Segment) -> bool {
        if segment.packet_v6 {
            is_listed6(self.ctx.ctx, self.link)
        } else {
            is_listed4(u32::from_ne_bytes(segment.destination4))
        }
    }
}

/// As [`Received::is_ours`], for an IPv4 destination; caches the destination for this unit of
/// ticks. The caller has checked that `unit` is after the epoch, which is raised
/// when destinations are removed.
#[inline(always)]
pub fn is_ours_in(unit: u32, settings: &Settings, address: [u8; 4]) -> bool {
    if settings.destinations == 0 {
        return true;
    }
    let destination = u32::from_be_bytes(address);
    let word = u64::from(destination) << 32 | u64::from(unit);
    let index = destination as usize % RECENT_DESTINATIONS;
    // SAFETY: `index` is less than the number of words. All CPUs share the words without
    // a lock, so each is read and written in one piece.
    let cell = unsafe { (&raw mut RECENT_DESTINATIONS4).cast::<u64>().add(index) };
    // SAFETY: as above.
    if unsafe { cell.read_volatile() } == word {
        return true;
    }
    let is_listed = is_listed4(u32::from_ne_bytes(address));
    if is_listed {
        // SAFETY: as above.
        unsafe { cell.write_volatile(word) };
    }
    is_listed
}

/// A separate function, so that the key does not take stack of the caller.
#[inline(never)]
fn is_listed4(address: u32) -> bool {
    maps::is_destination4(address.to_ne_bytes())
}

/// As [`is_listed4`]. It takes no reference to [`Received`], which would have to be in memory.
#[inline(never)]
fn is_listed6(ctx: *mut xdp_md, link: Link) -> bool {
    let frame = Frame::new(&XdpContext::new(ctx));
    destination6(&frame, link).is_some_and(maps::is_destination6)
}
