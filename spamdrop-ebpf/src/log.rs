//! `run --log-packets`: logs a line for each dropped packet.
//!
//! The level is a constant by the time the verifier runs, so the verifier removes
//! the branch at level 0. The call is in a cold function of its own: if inlined,
//! its registers would be saved and restored even when logging is off.

use aya_ebpf::programs::XdpContext;
use spamdrop_common::packet::Segment;

/// Whether dropped packets are logged.
#[inline(always)]
pub fn is_on() -> bool {
    #[cfg(feature = "packet-log")]
    return aya_log_ebpf::macro_support::level_enabled(aya_log_ebpf::macro_support::Level::Debug);
    #[cfg(not(feature = "packet-log"))]
    false
}

#[cfg(not(feature = "packet-log"))]
#[inline(always)]
pub fn dropped(_ctx: &XdpContext, _segment: &Segment) {}

#[cfg(feature = "packet-log")]
#[inline(always)]
pub fn dropped(ctx: &XdpContext, segment: &Segment) {
    if is_on() {
        write(ctx, segment);
    }
}

#[cfg(feature = "packet-log")]
#[cold]
#[inline(never)]
fn write(ctx: &XdpContext, segment: &Segment) {
    use aya_log_ebpf::debug;

    let (syn, port) = (u8::from(segment.syn), segment.port);
    if segment.v6 {
        debug!(
            ctx,
            "dropped {:i}, port {}, syn {}", segment.source, port, syn
        );
    } else {
        let source = u32::from_be_bytes(segment.source4());
        debug!(ctx, "dropped {:i}, port {}, syn {}", source, port, syn);
    }
}
