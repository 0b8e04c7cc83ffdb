//! The filter's clock.

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use spamdrop_common::time::MonotonicNs;

/// The time of the last tick. Reading it costs a sixth of the exact time.
#[inline(always)]
pub fn now() -> MonotonicNs {
    // SAFETY: the helper has no preconditions.
    MonotonicNs::from_ns(unsafe { bpf_ktime_get_coarse_ns() })
}
