//! The monotonic clock for entries, and the wall clock for times shown to
//! users.

use std::fs;
use std::io::ErrorKind;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use jiff::Zoned;
use jiff::civil::DateTime;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};
use spamdrop_common::time::{MonotonicNs, UnixSeconds};
use spamdrop_core::saved::Clocks;

use crate::exit::{Exit, Failure};

/// `CLOCK_MONOTONIC`. The filter's coarse reading of this clock may be one tick
/// behind.
#[must_use]
pub fn monotonic() -> Duration {
    duration(clock_gettime(ClockId::Monotonic))
}

/// The CPU time that this process has used.
#[must_use]
pub fn processor_time() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

fn duration(time: Timespec) -> Duration {
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// [`monotonic`] in the type that entries store.
#[must_use]
pub fn monotonic_ns() -> MonotonicNs {
    MonotonicNs::default().plus(monotonic())
}

/// The wall clock.
#[must_use]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// [`wall`] in whole seconds.
#[must_use]
pub fn unix_seconds() -> UnixSeconds {
    spamdrop_core::time::unix_seconds(wall())
}

/// Both clocks.
#[must_use]
pub fn both() -> Clocks {
    Clocks {
        unix: unix_seconds(),
        mono: monotonic_ns(),
    }
}

/// The wall clock in the time zone of this machine.
#[must_use]
pub fn local() -> DateTime {
    Zoned::now().datetime()
}

/// The kernel's tick (a jiffy) in nanoseconds, at least 1: the resolution of a
/// coarse clock.
#[must_use]
pub fn tick_ns() -> u32 {
    let tick = clock_getres(ClockId::MonotonicCoarse).tv_nsec;
    u32::try_from(tick).unwrap_or(u32::MAX).max(1)
}

/// The kernel's ticks per second (`CONFIG_HZ`).
#[must_use]
pub fn ticks_per_second() -> u64 {
    let tick = u64::from(tick_ns());
    // Round, because a tick of 1/300 s is not a whole number of nanoseconds.
    (1_000_000_000 + tick / 2) / tick
}

/// The file in which the kernel shows the id of this boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The id of this boot. Values of the monotonic clock can be compared only if they
/// are of the same boot.
///
/// # Errors
///
/// The id cannot be read.
pub fn boot_id() -> Result<String> {
    let id = fs::read_to_string(BOOT_ID).with_context(|| format!("cannot read {BOOT_ID}"))?;
    Ok(id.trim_ascii_end().to_owned())
}

/// A starting point for measuring elapsed time.
#[must_use]
pub fn instant() -> Instant {
    Instant::now()
}

/// The offsets of this process's time namespace.
const OFFSETS: &str = "/proc/self/timens_offsets";

/// Fails in a time namespace whose monotonic clock differs from that of the
/// filter: blocks would last for days, or not at all.
///
/// # Errors
///
/// The clocks differ, or the offsets cannot be read.
pub fn ensure_kernels_clock() -> Result<()> {
    let text = match fs::read_to_string(OFFSETS) {
        // The kernel has no time namespaces (before Linux 5.6).
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        read => read.with_context(|| format!("cannot read {OFFSETS}"))?,
    };
    if !has_monotonic_offset(&text) {
        return Ok(());
    }
    let message = "this time namespace has an offset for CLOCK_MONOTONIC, which the packet filter does not see, so times of blocks would be wrong; run spamdrop in the initial time namespace";
    Err(Failure::new(Exit::Failed, message))
}

/// Whether the offset of the monotonic clock is not 0. A line of the file has the
/// clock's name, seconds and nanoseconds.
fn has_monotonic_offset(offsets: &str) -> bool {
    let mut lines = offsets.lines().map(str::split_whitespace);
    lines.any(|mut words| {
        words.next() == Some("monotonic") && words.any(|number| number.parse() != Ok(0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_monotonic_clock_matters() {
        let offsets = |seconds: i64, nanoseconds: u32, boot: i64| {
            has_monotonic_offset(&format!(
                "monotonic {seconds:>11} {nanoseconds:>9}\nboottime  {boot:>11}         0\n"
            ))
        };
        assert!(!offsets(0, 0, 0));
        assert!(!offsets(0, 0, 7));
        assert!(offsets(-86_400, 0, 0));
        assert!(offsets(0, 1, 0));
        assert!(!has_monotonic_offset(""));
    }
}
