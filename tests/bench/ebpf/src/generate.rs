//! The generator: gives a frame a random source and sends it.

use aya_ebpf::{
    Global,
    bindings::xdp_action::XDP_ABORTED,
    helpers::{bpf_get_prandom_u32, bpf_redirect},
    macros::xdp,
    programs::XdpContext,
};

use crate::scatter::scatter;

/// Where to send.
#[unsafe(no_mangle)]
static INTERFACE: Global<u32> = Global::new(0);
/// The first source.
#[unsafe(no_mangle)]
static FIRST: Global<u32> = Global::new(0);
/// Their number, a power of two, less one.
#[unsafe(no_mangle)]
static MASK: Global<u32> = Global::new(0);

const ETHERNET: usize = 14;
/// The words of an IPv4 header without options, and where its fields are.
const WORDS: usize = 10;
const CHECKSUM: usize = 5;
const SOURCE: usize = 6;

/// Takes an Ethernet frame with IPv4 in it. `XDP_TX` would send it too: a test
/// run redirects it then, to the interface it pretends to come from.
#[xdp]
pub fn generate(ctx: XdpContext) -> u32 {
    let header = ctx.data() + ETHERNET;
    if header + 2 * WORDS > ctx.data_end() {
        return XDP_ABORTED;
    }
    // SAFETY: the helper has no preconditions.
    let random = unsafe { bpf_get_prandom_u32() };
    let source = FIRST.load() + scatter(random & MASK.load());
    // SAFETY: the header lies within the frame, as just checked, and nothing
    // else refers to it.
    set_source(unsafe { &mut *(header as *mut [u16; WORDS]) }, source);
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_redirect(INTERFACE.load(), 0) as u32 }
}

/// Changes the source and, by RFC 1624, equation 3, the checksum.
#[inline(always)]
fn set_source(header: &mut [u16; WORDS], source: u32) {
    let [a, b, c, d] = source.to_be_bytes();
    let new = [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])];
    let mut sum = u32::from(!header[CHECKSUM]);
    sum += u32::from(!header[SOURCE]) + u32::from(new[0]);
    sum += u32::from(!header[SOURCE + 1]) + u32::from(new[1]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    header[CHECKSUM] = !(sum as u16);
    header[SOURCE] = new[0];
    header[SOURCE + 1] = new[1];
}
