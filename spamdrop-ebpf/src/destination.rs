//! Whether blocks and the gate apply to a packet's destination: on a bridge, a
//! router or a host of virtual machines, packets for other hosts arrive too.
//!
//! The destination is parsed anew where it is needed. If the first parse kept
//! it, every clean sender's packet would pay for it, and the verifier would
//! have to follow each position of the IP header through the whole program.

use aya_ebpf::programs::XdpContext;
use spamdrop_common::{
    packet::{Link, destination4, destination6},
    settings::Settings,
};

use crate::{frame::Frame, maps};

/// A packet as it was received.
pub struct Received {
    pub ctx: XdpContext,
    pub link: Link,
}

impl Received {
    /// Whether blocks and the gate apply to the packet.
    #[inline(always)]
    pub fn is_ours(&self, settings: &Settings, v6: bool) -> bool {
        settings.destinations == 0 || is_listed(&self.ctx, self.link, v6)
    }
}

/// A separate function, with its own stack for the key.
#[inline(never)]
fn is_listed(ctx: &XdpContext, link: Link, v6: bool) -> bool {
    let frame = Frame::new(ctx);
    if v6 {
        destination6(&frame, link).is_some_and(maps::is_destination6)
    } else {
        destination4(&frame, link).is_some_and(maps::is_destination4)
    }
}
