//! The generator: gives a frame a random source address and sends it.

use aya_ebpf::{
    Global, bindings::xdp_action::XDP_ABORTED, helpers::bpf_redirect, macros::xdp,
    programs::XdpContext,
};

use crate::scatter::scatter;

/// The index of the interface to which frames are sent.
#[unsafe(no_mangle)]
static INTERFACE: Global<u32> = Global::new(0);
/// The first source address.
#[unsafe(no_mangle)]
static FIRST: Global<u32> = Global::new(0);
/// The number of source addresses, a power of two, minus 1.
#[unsafe(no_mangle)]
static MASK: Global<u32> = Global::new(0);

/// The state of [`random`].
#[unsafe(no_mangle)]
static mut STATE: u64 = 0;

const ETHERNET: usize = 14;
/// The number of 16-bit words in an IPv4 header and a TCP header, both without
/// options. The next three constants are positions of fields, in such words.
const WORDS: usize = 20;
const CHECKSUM: usize = 5;
const SOURCE: usize = 6;
const TCP_CHECKSUM: usize = 18;

/// Gives a frame a random source address and redirects it to [`INTERFACE`]. The frame has
/// to be an Ethernet frame that contains TCP over IPv4. `XDP_TX` would be no faster: in a
/// test run, the kernel turns it into a redirect to the interface of the run's context.
#[xdp]
pub fn generate(ctx: XdpContext) -> u32 {
    let header = ctx.data() + ETHERNET;
    if header + 2 * WORDS > ctx.data_end() {
        return XDP_ABORTED;
    }
    let source = FIRST.load() + scatter(random() & MASK.load());
    // SAFETY: the header lies within the frame, as just checked, and nothing
    // else refers to it.
    set_source(unsafe { &mut *(header as *mut [u16; WORDS]) }, source);
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_redirect(INTERFACE.load(), 0) as u32 }
}

/// A random number (a linear congruential generator with Knuth's constants). With the
/// kernel's helper, the generator would be slower than the receiver that it saturates.
#[inline(always)]
fn random() -> u32 {
    // SAFETY: only one CPU generates.
    unsafe {
        let state = (&raw mut STATE).read_volatile();
        let next = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (&raw mut STATE).write_volatile(next);
        (next >> 32) as u32
    }
}

/// Replaces the source address and updates both checksums, which cover it (RFC
/// 1624, equation 3).
#[inline(always)]
fn set_source(header: &mut [u16; WORDS], source: u32) {
    let [a, b, c, d] = source.to_be_bytes();
    let new = [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])];
    let mut change = u32::from(!header[SOURCE]) + u32::from(new[0]);
    change += u32::from(!header[SOURCE + 1]) + u32::from(new[1]);
    header[CHECKSUM] = updated(header[CHECKSUM], change);
    header[TCP_CHECKSUM] = updated(header[TCP_CHECKSUM], change);
    header[SOURCE] = new[0];
    header[SOURCE + 1] = new[1];
}

#[inline(always)]
fn updated(checksum: u16, change: u32) -> u16 {
    let mut sum = u32::from(!checksum) + change;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}
