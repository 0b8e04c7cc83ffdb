//! Admission of new connections while the server's slots run out.
//!
//! The daemon counts the connections that the server holds. While there are
//! few, the gate admits every SYN. Above that, it admits known senders, and
//! each class of strangers only up to a limit of its own, so that the worst
//! class waits first. Waiting means that the SYN is dropped; the sender's
//! kernel repeats it after a second or more.

use core::time::Duration;

pub use crate::settings::SMTP_PORT;
use crate::time::{MonotonicNs, SECOND};

/// The longest time between two writes of the gate by the daemon. A gate that
/// was written longer ago admits every SYN.
pub const FRESH_FOR: Duration = Duration::from_secs(2);
/// Bit of [`Gate::responders`]: a responder takes IPv4 connections.
pub const RESPONDER_IPV4: u32 = 1;
/// Bit of [`Gate::responders`]: a responder takes IPv6 connections.
pub const RESPONDER_IPV6: u32 = 2;
/// The bit of an address family in [`Gate::responders`].
#[inline(always)]
#[must_use]
pub const fn responder_bit(v6: bool) -> u32 {
    if v6 { RESPONDER_IPV6 } else { RESPONDER_IPV4 }
}

/// Number of classes of strangers.
pub const CLASSES: usize = 3;
/// The value of [`Gate::share`] if every SYN becomes a connection. In a flood of
/// 400,000 SYNs per second, few become connections, so a share is a fixed-point
/// number with 30 bits behind the point.
pub const SHARE_ONE: u32 = 1 << SHARE_BITS;
const SHARE_BITS: u32 = 30;

/// The gate, as the daemon last set it: the only value of the `gate` map. The
/// filter only reads it. The kernel creates it as all zeros, which is an open
/// gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Gate {
    /// When the daemon wrote it.
    pub written: MonotonicNs,
    /// [`GateStats::admitted`], as read before the connections were counted.
    pub admitted: u64,
    /// A [`GateMode`] as a number.
    pub mode: u32,
    /// Number of connections that the server held, plus the number that the
    /// handshakes under way were expected to become.
    pub open: u32,
    /// A class waits while the server holds at least this many connections.
    /// Class 0 (the best) has the highest limit.
    pub limits: [u32; CLASSES],
    /// The share of recent SYNs that became connections, in units of 1 / [`SHARE_ONE`].
    /// Until the daemon counts the connections again, each admitted SYN counts as this
    /// part of a connection.
    pub share: u32,
    /// The address families in which a responder takes the connections of
    /// listed senders: [`RESPONDER_IPV4`], [`RESPONDER_IPV6`].
    pub responders: u32,
    /// Reserved for later fields: 0. In such a field, 0 must mean today's behaviour.
    pub reserved: [u32; 9],
}

/// Counters of the filter's gate: the only value of the `gate_stats`
/// map, shared by all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GateStats {
    /// SYNs that were admitted.
    pub admitted: u64,
    /// Part of `admitted`: SYNs of known or allowlisted senders while strangers
    /// had to wait.
    pub known_or_allowed: u64,
    /// Part of `admitted`: SYNs that the limit of their class would have refused, of
    /// sources in the `next_admits` map.
    pub starvation_admits: u64,
    /// SYNs that were refused or, in observe mode or a pause, would have been; by class.
    pub refused: [u64; CLASSES],
    /// Reserved for later fields: 0.
    pub reserved: [u64; 10],
}

/// The mode of the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum GateMode {
    /// Admits every SYN.
    #[default]
    Off = 0,
    /// Counts the SYNs that it would refuse, and admits them.
    Observe = 1,
    /// Refuses SYNs.
    On = 2,
}

impl GateMode {
    /// Reads [`Gate::mode`]; an unknown number counts as `Off`.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Observe,
            2 => Self::On,
            _ => Self::Off,
        }
    }
}

impl Gate {
    /// The mode at `now`: `Off` if the daemon has not written the gate
    /// recently.
    #[inline(always)]
    #[must_use]
    pub const fn mode(&self, now: MonotonicNs) -> GateMode {
        if !self.is_fresh(now) {
            return GateMode::Off;
        }
        GateMode::from_number(self.mode)
    }

    /// Whether the address family has a responder. Valid only while the gate is fresh.
    #[inline(always)]
    #[must_use]
    pub const fn has_responder(&self, v6: bool) -> bool {
        self.responders & responder_bit(v6) != 0
    }

    /// Whether the address family has a responder at `now`.
    #[inline(always)]
    #[must_use]
    pub const fn has_responder_now(&self, v6: bool, now: MonotonicNs) -> bool {
        self.has_responder(v6) && self.is_fresh(now)
    }

    #[inline(always)]
    const fn is_fresh(&self, now: MonotonicNs) -> bool {
        let fresh = FRESH_FOR.as_secs() * SECOND;
        now.ns().abs_diff(self.written.ns()) <= fresh
    }

    /// An estimate of the connections that the server holds, given the current
    /// count of admitted SYNs. Only SYNs that become connections take a slot,
    /// so forged ones do not close the gate.
    #[inline(always)]
    #[must_use]
    pub const fn held(&self, admitted: u64) -> u64 {
        // Negative if the gate was set after `admitted` was read.
        let since = admitted.wrapping_sub(self.admitted) as i64;
        let since = if since > u32::MAX as i64 {
            u32::MAX as u64
        } else if since > 0 {
            since as u64
        } else {
            0
        };
        self.open as u64 + ((since * self.share as u64) >> SHARE_BITS)
    }

    /// Whether a class is admitted at this number of connections.
    #[inline(always)]
    #[must_use]
    pub const fn admits(&self, class: usize, held: u64) -> bool {
        held < self.limits[class % CLASSES] as u64
    }
}

/// The class of a stranger; 0 is the best.
#[inline(always)]
#[must_use]
pub const fn stranger_class(near_known: bool, standing: Option<Standing>, ttl: u8) -> usize {
    // The initial TTL of Windows is 128, that of most other systems 64. Bots
    // often run on Windows, mail servers seldom.
    let unixlike = ttl <= 64;
    match standing {
        Some(Standing::Listed) => 2,
        _ if near_known => 0,
        Some(Standing::Confirmed) => 0,
        Some(Standing::Unlisted) => 1 - unixlike as usize,
        Some(Standing::Unnamed) => 1,
        None => 2 - unixlike as usize,
    }
}

/// The value of the `known`, `known6_addr` and `known_nets` maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct KnownSender {
    /// [`KnownSender::NOT_WHOLE`], or 0.
    pub flags: u64,
}

impl KnownSender {
    /// Flag of a /64: only those of its addresses that are in `known6_addr` are
    /// known.
    pub const NOT_WHOLE: u64 = 1;

    /// Whether all addresses of the source are known.
    #[inline(always)]
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.flags & Self::NOT_WHOLE == 0
    }
}

/// The verdict of the zones on a source; the value of the `verdicts` map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Verdict {
    /// The last nanosecond at which the verdict is valid.
    pub until: MonotonicNs,
    /// [`host_bits`] of the address that was looked up. The addresses of a /64
    /// share a verdict, but only this address may be rejected.
    pub host: u64,
    /// A [`Standing`] as a number.
    pub standing: u32,
    /// The index of the zone that lists the source, from 0, in the order of the
    /// server's configuration. Only for display.
    pub zone: u32,
}

/// The last eight bytes of an IPv6 address, in memory order; 0 for IPv4.
#[inline(always)]
#[must_use]
pub const fn host_bits(v6: bool, source: [u8; 16]) -> u64 {
    let [.., i, j, k, l, m, n, o, p] = source;
    if v6 {
        u64::from_ne_bytes([i, j, k, l, m, n, o, p])
    } else {
        0
    }
}

/// The standing of a source: the answers of the zones and of reverse DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Standing {
    /// Listed in a zone that the server uses for rejections.
    Listed = 1,
    /// In no zone. Its host name was not looked up, or the look-up failed.
    Unlisted = 2,
    /// In no zone. Its host name is missing, generic, or does not resolve back to
    /// the source.
    Unnamed = 3,
    /// In no zone. Its host name resolves back to the source and is not generic.
    Confirmed = 4,
}

impl Verdict {
    /// Whether this exact address is listed at `now`, and not only another
    /// address of its /64. Only then may the responder reject it.
    #[inline(always)]
    #[must_use]
    pub const fn rejects(&self, v6: bool, source: [u8; 16], now: MonotonicNs) -> bool {
        matches!(self.standing(now), Some(Standing::Listed)) && self.host == host_bits(v6, source)
    }

    /// The standing of the source, if the verdict is still valid.
    #[inline(always)]
    #[must_use]
    pub const fn standing(&self, now: MonotonicNs) -> Option<Standing> {
        if now.ns() > self.until.ns() {
            return None;
        }
        match self.standing {
            1 => Some(Standing::Listed),
            2 => Some(Standing::Unlisted),
            3 => Some(Standing::Unnamed),
            4 => Some(Standing::Confirmed),
            _ => None,
        }
    }
}

/// The key of a source in `known`, `verdicts` and `next_admits`: an IPv6 /64, or an IPv4
/// address after four zero bytes. No global IPv6 address begins with four zero bytes.
#[inline(always)]
#[must_use]
pub const fn source_key(v6: bool, source: [u8; 16]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = source;
    if v6 {
        [a, b, c, d, e, f, g, h]
    } else {
        [0, 0, 0, 0, a, b, c, d]
    }
}

/// The key of a source's network in `known_nets`: an IPv4 /24 or an IPv6 /48,
/// in the form of [`source_key`] with zeros at the end.
#[inline(always)]
#[must_use]
pub const fn net_key(v6: bool, key: [u8; 8]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, _] = key;
    if v6 {
        [a, b, c, d, e, f, 0, 0]
    } else {
        [a, b, c, d, e, f, g, 0]
    }
}

/// A SYN whose class has to wait: a record of the `lookup_requests` ring buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LookupRequest {
    /// The address; IPv4 as `::ffff:a.b.c.d`.
    pub source: [u8; 16],
    /// The SYN's sequence number. Together with the source and its port, it
    /// shows whether a SYN is a repetition.
    pub sequence: u32,
    /// The SYN's source port.
    pub source_port: u16,
    /// The stranger's class.
    pub class: u8,
    /// 1: a verdict exists already; 0: the daemon should look the source up.
    pub has_verdict: u8,
}

/// The value of the `next_admits` map: a source that has waited, and whose next
/// SYN is admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct NextAdmit {
    /// The last nanosecond at which a SYN is admitted; 0 once a SYN was admitted.
    pub until: MonotonicNs,
}

const _: () = assert!(size_of::<Gate>() == 80);
const _: () = assert!(size_of::<GateStats>() == 128);
const _: () = assert!(size_of::<KnownSender>() == 8);
const _: () = assert!(size_of::<Verdict>() == 24);
const _: () = assert!(size_of::<LookupRequest>() == 24);
const _: () = assert!(size_of::<NextAdmit>() == 8);

#[cfg(feature = "user")]
mod pod {
    use super::{Gate, GateStats, KnownSender, LookupRequest, NextAdmit, Verdict};

    // SAFETY: repr(C) without padding (sizes asserted above), integers only.
    unsafe impl aya::Pod for Gate {}
    // SAFETY: as above.
    unsafe impl aya::Pod for GateStats {}
    // SAFETY: as above.
    unsafe impl aya::Pod for KnownSender {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Verdict {}
    // SAFETY: as above.
    unsafe impl aya::Pod for LookupRequest {}
    // SAFETY: as above.
    unsafe impl aya::Pod for NextAdmit {}
}

#[cfg(test)]
mod tests;
