//! The segment in a frame that is not plain.

use core::mem::MaybeUninit;

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use spamdrop_common::{
    counter::Reason,
    packet::{LAST_IP_HEADER, Segment, in_ip, ip_header},
};

use crate::{destination::Received, frame::Frame};

const WORDS: usize = size_of::<Segment>() / 8;

const FOUND: u32 = u32::MAX;
const NOT_IP: u32 = Reason::NotIp as u32;
const NOT_TCP: u32 = Reason::NotTcp as u32;
const LATER_FRAGMENT: u32 = Reason::LaterFragment as u32;
const TOO_MANY_HEADERS: u32 = Reason::TooManyHeaders as u32;

/// Finds the segment in any frame, and stores it.
///
/// # Errors
///
/// The reason for which the packet passes.
#[inline(always)]
pub fn parse<'stored>(
    received: &Received,
    stored: &'stored mut MaybeUninit<Segment>,
) -> Result<&'stored Segment, Reason> {
    let (kind, offset) = ip_header(&Frame::new(&received.ctx), received.link)?;
    let into = stored.as_mut_ptr();
    let mut index = 0;
    while index < WORDS {
        // SAFETY: the word lies within the segment. LLVM would call a function that sets
        // bytes for one write of all.
        unsafe { into.cast::<u64>().add(index).write_volatile(0) };
        index += 1;
    }
    match spamdrop_parse_ip(received.ctx.ctx, kind, offset, into) {
        // SAFETY: every field was written.
        FOUND => Ok(unsafe { stored.assume_init_ref() }),
        NOT_IP => Err(Reason::NotIp),
        NOT_TCP => Err(Reason::NotTcp),
        LATER_FRAGMENT => Err(Reason::LaterFragment),
        TOO_MANY_HEADERS => Err(Reason::TooManyHeaders),
        _ => Err(Reason::Truncated),
    }
}

/// Finds the segment in the packet whose IP header begins at `offset`. Returns [`FOUND`], or
/// the number of a reason.
///
/// The symbol is global, so that the verifier checks the function by itself and only once:
/// for any header, wherever it begins. What follows the call, it checks for any segment.
/// Otherwise it would follow each of the paths through the headers up to the gate.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn spamdrop_parse_ip(
    ctx: *mut xdp_md,
    kind: u16,
    offset: usize,
    into: *mut Segment,
) -> u32 {
    // The verifier knows nothing of the arguments.
    if into.is_null() || offset > LAST_IP_HEADER {
        return Reason::Truncated as u32;
    }
    match in_ip(&Frame::new(&XdpContext::new(ctx)), kind, offset) {
        Ok(segment) => {
            // SAFETY: the caller's pointer to a segment, or the verifier's to as many bytes.
            unsafe { into.write(segment) };
            FOUND
        }
        Err(reason) => reason as u32,
    }
}
