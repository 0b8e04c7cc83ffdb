//! Finds the TCP segment in a frame that the fast path (`plain`) does not parse.

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
) -> Result<&'stored mut Segment, Reason> {
    let (kind, offset) = ip_header(&Frame::new(&received.ctx), received.link)?;
    let into = stored.as_mut_ptr();
    let mut index = 0;
    while index < WORDS {
        // SAFETY: the word lies within the segment. The words are written one by one, because
        // LLVM would call a function that sets bytes to write the whole segment.
        unsafe { into.cast::<u64>().add(index).write_volatile(0) };
        index += 1;
    }
    // SAFETY: `into` points to a segment, whose bytes were all written above.
    match unsafe { spamdrop_parse_ip(received.ctx.ctx, kind, offset, into) } {
        // SAFETY: as above.
        FOUND => Ok(unsafe { stored.assume_init_mut() }),
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
/// The symbol is global, so that the verifier checks the function separately, once for all
/// arguments, and the code after the call once for all segments. Otherwise, the verifier
/// would follow each of the paths through the headers up to the gate.
///
/// # Safety
///
/// `ctx` is the context of the program, and `into` points to a segment.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn spamdrop_parse_ip(
    ctx: *mut xdp_md,
    kind: u16,
    offset: usize,
    into: *mut Segment,
) -> u32 {
    // To the verifier, each argument can be any value of its type, also null.
    if into.is_null() || offset > LAST_IP_HEADER {
        return Reason::Truncated as u32;
    }
    match in_ip(&Frame::new(&XdpContext::new(ctx)), kind, offset) {
        Ok(segment) => {
            // SAFETY: the caller's promise.
            unsafe { into.write(segment) };
            FOUND
        }
        Err(reason) => reason as u32,
    }
}
