//! Bounds-checked access to the frame. Only this module reads packet bytes.

use aya_ebpf::{EbpfContext as _, bindings::xdp_md, programs::XdpContext};
use spamdrop_common::packet::Packet;

/// The linear part of a frame.
pub struct Frame {
    start: usize,
    end: usize,
}

impl Frame {
    #[inline(always)]
    pub fn new(ctx: &XdpContext) -> Self {
        let ctx = ctx.as_ptr().cast::<xdp_md>();
        // SAFETY: the kernel passes a valid context. The reads are volatile
        // because LLVM would otherwise move them from a function that parses
        // the frame to its callers, which the verifier does not allow.
        unsafe {
            Self {
                start: (&raw const (*ctx).data).read_volatile() as usize,
                end: (&raw const (*ctx).data_end).read_volatile() as usize,
            }
        }
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = self.start + offset;
        if at + N > self.end {
            return None;
        }
        // SAFETY: the N bytes at `at` lie within the frame, as just checked
        // (the verifier proves it again), and a byte array needs no alignment.
        Some(unsafe { *(at as *const [u8; N]) })
    }
}
