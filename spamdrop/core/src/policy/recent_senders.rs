//! Sources whose mail was accepted.

use std::net::IpAddr;
use std::time::Duration;

use std::collections::HashMap;

/// How long a source is remembered, in seconds.
const REMEMBERED: i64 = 24 * 60 * 60;
/// The interval between removals of expired sources, in seconds.
const SWEEP: i64 = 60;
/// The most sources that are remembered; about 2 MiB.
const CAPACITY: usize = 65_536;

/// The sources of the last 24 h, accurate to a minute.
#[derive(Debug, Default)]
pub(super) struct RecentSenders {
    sources: HashMap<u64, RecentSender>,
    refused: u32,
    swept: i64,
}

#[derive(Clone, Copy, Debug)]
struct RecentSender {
    /// In seconds of the monotonic clock; negative for mail from before the
    /// clock's start. The range is 68 years.
    accepted: i32,
    refused: bool,
}

impl RecentSenders {
    /// Remembers a source whose mail was accepted `age` ago, and forgets
    /// earlier refusals. Returns false if that is too long ago.
    pub(super) fn accept(&mut self, addr: IpAddr, age: Duration, now: Duration) -> bool {
        let now = seconds(now);
        let age = seconds(age);
        let Ok(accepted) = i32::try_from(now - age) else {
            return false;
        };
        if age >= REMEMBERED {
            return false;
        }
        if self.sources.len() >= CAPACITY {
            self.evict();
        }
        let source = RecentSender {
            accepted,
            refused: false,
        };
        let before = self.sources.insert(key(addr), source);
        if before.is_some_and(|before| before.refused) {
            self.refused -= 1;
        }
        true
    }

    /// Records that a source was refused, if it is remembered.
    pub(super) fn refuse(&mut self, addr: IpAddr) {
        if let Some(source) = self.sources.get_mut(&key(addr))
            && !source.refused
        {
            source.refused = true;
            self.refused += 1;
        }
    }

    /// The number of sources that were refused after they were accepted, and of
    /// all sources.
    pub(super) fn count(&mut self, now: Duration) -> (u32, u32) {
        let now = seconds(now);
        if now - self.swept >= SWEEP {
            self.swept = now;
            self.keep(|source| now - i64::from(source.accepted) < REMEMBERED);
        }
        let known = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        (self.refused, known)
    }

    /// Removes the oldest eighth at once, so that the cost per source is small.
    fn evict(&mut self) {
        let mut ages: Vec<i32> = self.sources.values().map(|s| s.accepted).collect();
        let quota = CAPACITY / 8;
        let (older, &mut limit, _) = ages.select_nth_unstable(quota);
        let mut ties = quota - older.iter().filter(|&&accepted| accepted < limit).count();
        self.keep(|source| {
            if source.accepted == limit && ties > 0 {
                ties -= 1;
                return false;
            }
            source.accepted >= limit
        });
    }

    fn keep(&mut self, mut wanted: impl FnMut(&RecentSender) -> bool) {
        self.sources.retain(|_, source| wanted(source));
        let refused = self.sources.values().filter(|source| source.refused);
        self.refused = u32::try_from(refused.count()).unwrap_or(u32::MAX);
    }
}

/// The key of an IPv4 address, or of the /64 of an IPv6 address. The two cannot
/// collide: prefixes below 0100::/8 belong to no host.
fn key(addr: IpAddr) -> u64 {
    match addr {
        IpAddr::V4(addr) => addr.to_bits().into(),
        IpAddr::V6(addr) => (addr.to_bits() >> 64) as u64,
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
