//! `list --format recent`: the lines of `/proc/net/xt_recent/NAME`.

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use super::entries::LiveEntry;
use spamdrop_core::target::Target;

/// The kernel's tick counter, the unit of xt_recent's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jiffies {
    /// Ticks per second (`CONFIG_HZ`).
    pub hz: u64,
}

impl Jiffies {
    /// The counter at a time of `CLOCK_MONOTONIC`. It starts five minutes
    /// before 2³² (`INITIAL_JIFFIES`), on 64-bit kernels too.
    #[must_use]
    pub fn count_at(self, time: Duration) -> u64 {
        let ticks = time.as_nanos() * u128::from(self.hz) / 1_000_000_000;
        let initial = (1 << 32) - u128::from(self.hz) * 300;
        u64::try_from(initial + ticks).unwrap_or(u64::MAX)
    }
}

/// Writes entries in the format of xt_recent, as far as the fields have a
/// counterpart. Returns the number of prefixes, which the format cannot express
/// and which are left out.
///
/// - `src` of an IPv6 entry is the first address of its /64, or the address itself if
///   it is blocked without its /64.
/// - `last_seen` is the expiry minus one ttl: the last packet that extended the
///   block, within a second. For a fixed entry the configured `ttl` is used.
///   The value is never later than `now` (`CLOCK_MONOTONIC`).
/// - `oldest_pkt` is 1, because `last_seen` is the only known time stamp.
/// - `ttl`, the hop limit of the last packet, is 0, as in entries made by hand.
pub fn write_text(
    out: &mut impl Write,
    entries: &[LiveEntry],
    now: Duration,
    ttl: Duration,
    jiffies: Jiffies,
) -> io::Result<usize> {
    let mut prefixes = 0;
    for entry in entries {
        let Some(src) = source(entry.target) else {
            prefixes += 1;
            continue;
        };
        let ttl = match entry.ttl_s {
            0 => ttl,
            seconds => Duration::from_secs(seconds.into()),
        };
        let seen = (now + entry.expires_in).saturating_sub(ttl).min(now);
        let seen = jiffies.count_at(seen);
        writeln!(
            out,
            "src={src} ttl: 0 last_seen: {seen} oldest_pkt: 1 {seen}"
        )?;
    }
    Ok(prefixes)
}

fn source(target: Target) -> Option<String> {
    match (target, target.net().addr()) {
        (Target::Net(_), _) => None,
        (_, IpAddr::V4(addr)) => Some(addr.to_string()),
        (_, IpAddr::V6(addr)) => {
            let groups = addr.segments().map(|group| format!("{group:04x}"));
            Some(groups.join(":"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::render::entries::tests::entry;

    const HZ: Jiffies = Jiffies { hz: 250 };
    const NOW: Duration = Duration::from_secs(10_000);
    const TTL: Duration = Duration::from_secs(600);

    fn shown(entries: &[LiveEntry]) -> (String, usize) {
        let mut out = Vec::new();
        let left_out = write_text(&mut out, entries, NOW, TTL, HZ).unwrap();
        (String::from_utf8(out).unwrap(), left_out)
    }

    /// The counter begins at 2³² - 300 × 250 = 4294892296. At the last packet, 9,990 s after
    /// the clock began, it has grown by 9,990 × 250 = 2497500.
    #[test]
    fn lines_as_the_kernel_writes_them() {
        let entries = ["192.0.2.1", "192.0.2.0/24", "2001:db8::1"].map(|target| LiveEntry {
            expires_in: Duration::from_secs(590),
            ..entry(target)
        });
        assert_eq!(
            shown(&entries),
            (
                "\
src=192.0.2.1 ttl: 0 last_seen: 4297389796 oldest_pkt: 1 4297389796
src=2001:0db8:0000:0000:0000:0000:0000:0000 ttl: 0 last_seen: 4297389796 oldest_pkt: 1 4297389796
"
                .to_owned(),
                1
            )
        );
    }

    #[test]
    fn nothing_was_seen_later_than_now_or_before_the_clock_began() {
        let fixed = |seconds| LiveEntry {
            expires_in: Duration::from_secs(seconds),
            ttl_s: 0,
            fixed: true,
            ..entry("192.0.2.1")
        };
        assert!(
            shown(&[fixed(86_400)])
                .0
                .contains(" last_seen: 4297392296 ")
        );
        assert!(shown(&[fixed(500)]).0.contains(" last_seen: 4297367296 "));
        let long = LiveEntry {
            ttl_s: 20_000,
            ..entry("192.0.2.1")
        };
        assert!(shown(&[long]).0.contains(" last_seen: 4294892296 "));
    }
}
