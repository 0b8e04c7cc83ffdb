//! Who may open a connection while the server's slots run out.
//!
//! The daemon counts the connections that the server holds; while there are
//! few, everybody passes. Above that, known senders pass, and each class of
//! strangers only up to a limit of its own, so that the worst are the first to
//! wait. A sender that has to wait is not told: its SYN is dropped, and its
//! kernel repeats it after a second or more.

use core::time::Duration;

use crate::time::{MonotonicNs, SECOND};

/// The daemon writes the gate at least this often; a gate that was written
/// longer ago is open to all.
pub const FRESH_FOR: Duration = Duration::from_secs(2);
/// The port of the gate and the responder; on others a server's own users
/// submit their mail.
pub const SMTP_PORT: u16 = 25;
/// Bit of [`Gate::responders`]: there is a responder for IPv4.
pub const RESPONDER_IPV4: u32 = 1;
/// Bit of [`Gate::responders`]: there is a responder for IPv6.
pub const RESPONDER_IPV6: u32 = 2;
/// The bit of a family in [`Gate::responders`].
#[inline(always)]
#[must_use]
pub const fn responder_bit(v6: bool) -> u32 {
    if v6 { RESPONDER_IPV6 } else { RESPONDER_IPV4 }
}

/// Classes of strangers.
pub const CLASSES: usize = 3;
/// However full the server is, one stranger of each class passes in this time.
pub const STARVATION_PERIOD: Duration = Duration::from_secs(10);

/// The gate, as the daemon last set it: the one value of the `gate` map, which
/// the filter only reads. All zero, as the kernel creates it, is an open gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Gate {
    /// When it was written.
    pub written: MonotonicNs,
    /// [`GateStats::admitted`] before the connections were counted.
    pub admitted: u64,
    /// A [`GateMode`] as a number.
    pub mode: u32,
    /// Connections that the server held.
    pub open: u32,
    /// From this many connections on a class has to wait; the first class, the
    /// best, has the highest limit.
    pub limits: [u32; CLASSES],
    /// 1: a flood of SYNs that become no connections, so only repeated ones
    /// count.
    pub flooded: u32,
    /// The families in which a responder takes the connections of listed
    /// senders: [`RESPONDER_IPV4`], [`RESPONDER_IPV6`].
    pub responders: u32,
    /// Keeps senders from knowing which SYNs share a slot of `recent_syns`.
    pub seed: u32,
    /// Room for later fields, whose 0 must mean "as before": 0.
    pub reserved: [u64; 4],
}

/// What the filter counts and remembers at the gate; the one value of the
/// `gate_stats` map, shared by all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GateStats {
    /// SYNs that passed.
    pub admitted: u64,
    /// Of the admitted, those of known or allowlisted senders while others had
    /// to wait.
    pub known_or_allowed: u64,
    /// Of the admitted, those that passed so that no class starves.
    pub starvation_admits: u64,
    /// SYNs that were refused, or would have been, by class.
    pub refused: [u64; CLASSES],
    /// First SYNs that were not considered because of a flood.
    pub unconfirmed: u64,
    /// When the next stranger of each class passes, however full the server
    /// is; see [`starvation_admit`].
    pub next_starvation_admit: [MonotonicNs; CLASSES],
    /// Room for later fields: 0.
    pub reserved: [u64; 6],
}

/// What the gate does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum GateMode {
    /// Nothing.
    #[default]
    Off = 0,
    /// Counts what it would refuse.
    Observe = 1,
    /// Refuses.
    On = 2,
}

impl GateMode {
    /// Reads [`Gate::mode`]; an unknown number is `Off`.
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
    /// What it does now.
    #[inline(always)]
    #[must_use]
    pub const fn mode(&self, now: MonotonicNs) -> GateMode {
        if !self.is_fresh(now) {
            return GateMode::Off;
        }
        GateMode::from_number(self.mode)
    }

    /// Whether a family has a responder, provided that the gate is fresh.
    #[inline(always)]
    #[must_use]
    pub const fn has_responder(&self, v6: bool) -> bool {
        self.responders & responder_bit(v6) != 0
    }

    /// Whether a family has a responder now.
    #[inline(always)]
    #[must_use]
    pub const fn has_responder_now(&self, v6: bool, now: MonotonicNs) -> bool {
        self.has_responder(v6) && self.is_fresh(now)
    }

    #[inline(always)]
    const fn is_fresh(&self, now: MonotonicNs) -> bool {
        let fresh = FRESH_FOR.as_secs() * SECOND;
        now.ns().saturating_sub(self.written.ns()) <= fresh
    }

    /// The connections that the server holds by now, if `admitted` have passed.
    #[inline(always)]
    #[must_use]
    pub const fn held(&self, admitted: u64) -> u64 {
        // Below 0 if the gate was set since `admitted` was read.
        let since = admitted.wrapping_sub(self.admitted) as i64;
        self.open as u64 + if since > 0 { since as u64 } else { 0 }
    }

    /// Whether a class passes at this many connections.
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
    // Windows starts at 128, most other systems at 64; bots often run on
    // Windows, mail servers seldom.
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

/// Whether a stranger above its class's limit passes now so that the class
/// does not starve: then the class's [`GateStats::next_starvation_admit`], of
/// which `next` is the present value.
#[inline(always)]
#[must_use]
pub const fn starvation_admit(next: MonotonicNs, now: MonotonicNs) -> Option<MonotonicNs> {
    // A class that has sent no stranger for long saves up one more.
    let saved = now.minus(STARVATION_PERIOD);
    let due = if next.ns() > saved.ns() { next } else { saved };
    if due.ns() <= now.ns() {
        Some(due.plus(STARVATION_PERIOD))
    } else {
        None
    }
}

/// The value of the `known` and `known_nets` maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct KnownSender {
    /// None is defined yet: 0.
    pub flags: u64,
}

/// What the zones say of a source; the value of the `verdicts` map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Verdict {
    /// The last nanosecond at which it holds.
    pub until: MonotonicNs,
    /// [`host_bits`] of the address that was asked about: a /64 shares a
    /// verdict, but not a rejection.
    pub host: u64,
    /// A [`Standing`] as a number.
    pub standing: u32,
    /// The zone that lists it, counted from 0 in the order of the server's
    /// configuration; for people to read.
    pub zone: u32,
}

/// The last eight bytes of an IPv6 address, as they lie in memory; 0 for IPv4.
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

/// What the zones and the DNS say of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Standing {
    /// In a zone that the server rejects by.
    Listed = 1,
    /// In no zone; its name was not looked up, or could not be.
    Unlisted = 2,
    /// In no zone, and without the name of a server: it has no name, one that
    /// does not lead back to it, or one made of its address.
    Unnamed = 3,
    /// In no zone, with the name of a server that leads back to it.
    Confirmed = 4,
}

impl Verdict {
    /// Whether this very address is listed now, not only another of its /64, so
    /// that the responder may reject it.
    #[inline(always)]
    #[must_use]
    pub const fn rejects(&self, v6: bool, source: [u8; 16], now: MonotonicNs) -> bool {
        matches!(self.standing(now), Some(Standing::Listed)) && self.host == host_bits(v6, source)
    }

    /// The standing of the source, while the verdict holds.
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

/// The key of a source in `known` and `verdicts`: an IPv6 /64, or an IPv4
/// address behind four zero bytes, which begin no IPv6 address that is in use.
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

/// The key of a source's network in `known_nets`: an IPv4 /24 or an
/// IPv6 /48, as [`source_key`] with zeroes at its end.
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

/// A source whose class has to wait: an element of the `lookup_requests` ring
/// buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LookupRequest {
    /// The address; IPv4 as `::ffff:a.b.c.d`.
    pub source: [u8; 16],
    /// 1: there is a verdict already; 0: a look-up is asked for.
    pub has_verdict: u32,
}

/// Slots of `recent_syns`; a power of two.
pub const RECENT_SYN_SLOTS: u32 = 1 << 17;
/// The unit of [`RecentSyn::seen`]: an eighth of a second.
const SYN_TICK: u64 = SECOND / 8;
/// For how long a SYN is remembered, 16 s: the longest wait before the second
/// repetition of a usual system is six, and the kernel may be late.
const SYN_KEPT: u32 = 16 * 8;
/// No usual system repeats a SYN within a second.
const SYN_PAUSE: u32 = 6;

/// A SYN that was seen during a flood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RecentSyn {
    /// The part of its hash that does not choose the slot; never 0 in a slot
    /// in use.
    pub tag: u32,
    /// When it was seen, in eighths of a second.
    pub seen: u32,
}

impl RecentSyn {
    /// The slot of a SYN, and what is stored there.
    #[inline(always)]
    #[must_use]
    pub const fn locate(
        key: [u8; 8],
        source_port: u16,
        sequence: u32,
        seed: u32,
        now: MonotonicNs,
    ) -> (u32, Self) {
        let mut hash = u64::from_ne_bytes(key) ^ ((seed as u64) << 32 | seed as u64);
        hash = mix(hash) ^ ((source_port as u64) << 32 | sequence as u64);
        hash = mix(hash ^ seed as u64);
        let syn = Self {
            tag: (hash >> 32) as u32 | 1,
            seen: (now.ns() / SYN_TICK) as u32,
        };
        (hash as u32 & (RECENT_SYN_SLOTS - 1), syn)
    }

    /// Whether it repeats the last SYN of its slot, after a pause that kernels
    /// make.
    #[inline(always)]
    #[must_use]
    pub const fn repeats(self, last: Self) -> bool {
        let pause = self.seen.wrapping_sub(last.seen);
        self.tag == last.tag && pause >= SYN_PAUSE && pause <= SYN_KEPT
    }
}

/// The finaliser of splitmix64: every bit of the input moves half of the
/// output's.
#[inline(always)]
const fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

const _: () = assert!(size_of::<Gate>() == 80);
const _: () = assert!(size_of::<GateStats>() == 128);
const _: () = assert!(size_of::<KnownSender>() == 8);
const _: () = assert!(size_of::<Verdict>() == 24);
const _: () = assert!(size_of::<LookupRequest>() == 20);
const _: () = assert!(size_of::<RecentSyn>() == 8);

#[cfg(feature = "user")]
mod pod {
    use super::{Gate, GateStats, KnownSender, LookupRequest, RecentSyn, Verdict};

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
    unsafe impl aya::Pod for RecentSyn {}
}

#[cfg(test)]
mod tests;
