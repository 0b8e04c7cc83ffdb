//! The known senders of the last day, and those that are refused now.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

/// How long a mail or a refusal counts, in seconds.
const REMEMBERED: i64 = 24 * 60 * 60;
/// How long a sender must have been known before it counts, in seconds. A source
/// that became known within the wave in which it is refused must not count.
const PROBATION: i64 = 24 * 60 * 60;
/// The interval between removals of old events, in seconds.
const SWEEP: i64 = 60;
/// The most senders that are remembered; about 4 MiB.
const CAPACITY: usize = 131_072;
/// The time of an event that has not happened. In `Sender::since`: before the daemon's start.
const NEVER: i32 = i32::MIN;

/// Since when a sender is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// Since before the daemon's start.
    Before,
    /// Since now.
    Now,
}

/// The known senders, accurate to a minute. Other sources are not remembered: the
/// refusal of a source that had its first mail accepted a moment ago says nothing
/// about the blocklists.
#[derive(Debug, Default)]
pub(super) struct KnownSenders {
    senders: HashMap<u64, Sender>,
    heard: u32,
    refused: u32,
    swept: i64,
}

/// Times are in seconds of the monotonic clock; negative for times before the
/// clock's start. The range is 68 years.
#[derive(Clone, Copy, Debug)]
struct Sender {
    since: i32,
    /// The time of the last mail or refusal; [`NEVER`] if there is none that counts.
    heard: i32,
    refused: bool,
    /// False if the sender is no longer known, and kept because it is refused.
    is_known: bool,
}

impl KnownSenders {
    /// Adds a known sender, unless there are too many.
    pub(super) fn add(&mut self, addr: IpAddr, since: Since, now: Duration) {
        self.add_key(key(addr), since, now);
    }

    fn add_key(&mut self, key: u64, since: Since, now: Duration) {
        if let Some(sender) = self.senders.get_mut(&key) {
            sender.is_known = true;
            if since == Since::Before {
                sender.since = NEVER;
            }
        } else if self.senders.len() < CAPACITY {
            let sender = Sender {
                since: match since {
                    Since::Before => NEVER,
                    Since::Now => clamp(seconds(now)),
                },
                heard: NEVER,
                refused: false,
                is_known: true,
            };
            self.senders.insert(key, sender);
        }
    }

    /// Replaces the known senders. A refused sender is kept until its refusal no
    /// longer counts, because a blocklist that went wrong may have demoted it.
    pub(super) fn replace(&mut self, known: impl Iterator<Item = IpAddr>, now: Duration) {
        let known: HashSet<u64> = known.map(key).collect();
        self.senders.retain(|key, sender| {
            sender.is_known = known.contains(key);
            sender.is_known || sender.refused
        });
        for key in known {
            self.add_key(key, Since::Now, now);
        }
        self.recount();
    }

    /// Records that a sender's mail was accepted `age` ago, and forgets earlier
    /// refusals.
    pub(super) fn accept(&mut self, addr: IpAddr, age: Duration, now: Duration) {
        self.hear(addr, false, age, now);
    }

    /// Records that a sender was refused.
    pub(super) fn refuse(&mut self, addr: IpAddr, now: Duration) {
        self.hear(addr, true, Duration::ZERO, now);
    }

    fn hear(&mut self, addr: IpAddr, is_refused: bool, age: Duration, now: Duration) {
        let (now, age) = (seconds(now), seconds(age));
        let Some(sender) = self.senders.get_mut(&key(addr)) else {
            return;
        };
        let is_proven = sender.since == NEVER || now - i64::from(sender.since) >= PROBATION;
        if !is_proven || age >= REMEMBERED {
            return;
        }
        self.heard += u32::from(sender.heard == NEVER);
        self.refused -= u32::from(sender.refused);
        self.refused += u32::from(is_refused);
        sender.heard = clamp(now - age).max(sender.heard);
        sender.refused = is_refused;
    }

    /// Forgets all refusals.
    pub(super) fn pardon(&mut self) {
        for sender in self.senders.values_mut() {
            sender.refused = false;
        }
        self.refused = 0;
    }

    /// The number of senders that were refused after they were last accepted,
    /// and of all that were accepted or refused in the last day.
    pub(super) fn count(&mut self, now: Duration) -> (u32, u32) {
        let now = seconds(now);
        if now - self.swept >= SWEEP {
            self.swept = now;
            self.senders.retain(|_, sender| {
                if now - i64::from(sender.heard) >= REMEMBERED {
                    (sender.heard, sender.refused) = (NEVER, false);
                }
                sender.is_known || sender.refused
            });
            self.recount();
        }
        (self.refused, self.heard)
    }

    fn recount(&mut self) {
        let count = |counts: fn(&&Sender) -> bool| {
            let number = self.senders.values().filter(counts).count();
            u32::try_from(number).unwrap_or(u32::MAX)
        };
        (self.heard, self.refused) = (
            count(|sender| sender.heard != NEVER),
            count(|sender| sender.refused),
        );
    }
}

/// The key of an IPv4 address, or of the /64 of an IPv6 address. The two cannot
/// collide, because no host on the Internet has an address in ::/32.
fn key(addr: IpAddr) -> u64 {
    match addr {
        IpAddr::V4(addr) => addr.to_bits().into(),
        IpAddr::V6(addr) => (addr.to_bits() >> 64) as u64,
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// Converts seconds to a time of [`Sender`] other than [`NEVER`].
fn clamp(seconds: i64) -> i32 {
    i32::try_from(seconds).unwrap_or(i32::MAX).max(NEVER + 1)
}

#[cfg(test)]
mod tests;
