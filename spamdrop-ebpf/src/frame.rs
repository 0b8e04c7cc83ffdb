//! Bounds-checked access to the frame. Only this module reads packet bytes.

use core::arch::asm;

use aya_ebpf::{EbpfContext as _, bindings::xdp_md, programs::XdpContext};
use spamdrop_common::packet::{Aligned, Packet};

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
    fn load<const N: usize>(&self, offset: usize) -> Option<Aligned<N>> {
        let at = sum(self.start, offset);
        if at + N > self.end {
            return None;
        }
        // SAFETY: the N bytes at `at` lie within the frame, as just checked; the verifier
        // proves it again.
        Some(unsafe { bytes(at) })
    }
}

/// The sum, in a register. The compiler must not compute it twice: to the verifier, the
/// second result would be an address that was not checked.
#[inline(always)]
fn sum(start: usize, offset: usize) -> usize {
    let mut at = start;
    // SAFETY: the instruction changes this register only.
    unsafe {
        asm!(
            "{at} += {offset}",
            at = inout(reg) at,
            offset = in(reg) offset,
            options(pure, nomem, nostack),
        );
    }
    at
}

macro_rules! word {
    ($number:ty, $size:literal, $at:expr) => {{
        let word: u64;
        asm!(
            concat!("{word} = *(", $size, " *)({at} + 0)"),
            word = out(reg) word,
            at = in(reg) $at,
            options(pure, readonly, nostack),
        );
        (word as $number).to_ne_bytes()
    }};
}

/// The bytes at an address.
///
/// Words are read in one piece. LLVM would read single bytes and put them together, because
/// it assumes no alignment. The verifier allows unaligned words for processors that can read
/// them, such as x86-64 and arm64.
///
/// # Safety
///
/// The bytes are readable.
#[inline(always)]
unsafe fn bytes<const N: usize>(at: usize) -> Aligned<N> {
    let mut bytes = Aligned([0; N]);
    let into: *mut u8 = bytes.0.as_mut_ptr();
    let mut done = 0;
    // SAFETY: the caller promises readable bytes; the writes stay within `bytes`.
    unsafe {
        while done + 8 <= N {
            into.add(done)
                .cast::<[u8; 8]>()
                .write(word!(u64, "u64", at + done));
            done += 8;
        }
        if done + 4 <= N {
            into.add(done)
                .cast::<[u8; 4]>()
                .write(word!(u32, "u32", at + done));
            done += 4;
        }
        if done + 2 <= N {
            into.add(done)
                .cast::<[u8; 2]>()
                .write(word!(u16, "u16", at + done));
            done += 2;
        }
        if done < N {
            into.add(done).write(*((at + done) as *const u8));
        }
    }
    bytes
}
