//! Who may open a connection while the server's slots run out.
//!
//! The server is asked how many connections it holds; while there are few,
//! everybody passes. Above that, whoever is known to send good mail passes,
//! and of the others each class only up to its own limit, so that the worst
//! are the first to wait. Who is refused is not told: its kernel sends the SYN
//! again after a second or more.

use crate::verdict::SECOND;

/// The controller writes at least this often; a gate that was written longer
/// ago is open to all.
pub const FRESH: u64 = 2 * SECOND;
/// The port of the gate and the responder; on others a server's own users
/// submit their mail.
pub const PORT: u16 = 25;
/// Bits of [`Gate::answers`]: a responder for IPv4,
pub const ANSWERS4: u32 = 1;
/// and one for IPv6.
pub const ANSWERS6: u32 = 2;
/// Classes of senders who are neither known nor trusted.
pub const CLASSES: usize = 3;
/// However full the server is, one sender of each class passes in this time.
pub const FLOOR_PERIOD: u64 = 10 * SECOND;
/// Senders whom a class can save up for by sending none.
const FLOOR_BURST: u64 = 2;

/// The gate, as the controller last set it: the one value of the `gate` map,
/// which the filter only reads. All zero, as the kernel creates it, is an open
/// gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Gate {
    /// When it was written.
    pub written: u64,
    /// [`Passage::admitted`] before the connections were counted.
    pub admitted: u64,
    /// A [`Mode`] as a number.
    pub mode: u32,
    /// Connections that the server held.
    pub open: u32,
    /// From so many connections on a class has to wait; the first class, the
    /// best, has the highest limit.
    pub limits: [u32; CLASSES],
    /// 1: a flood of SYNs that nobody follows up, so only those that are sent
    /// again count.
    pub flooded: u32,
    /// In which families a responder answers listed senders, so that they pass:
    /// [`ANSWERS4`], [`ANSWERS6`].
    pub answers: u32,
    /// Keeps others from knowing which SYNs share a slot of `recent_syns`.
    pub seed: u32,
}

/// What the filter counts and remembers at the gate; the one value of the
/// `passage` map, shared by all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Passage {
    /// SYNs that passed.
    pub admitted: u64,
    /// Of them, those of known or trusted senders while others had to wait.
    pub preferred: u64,
    /// Of them, those that passed so that no class starves.
    pub floored: u64,
    /// SYNs that were refused, or would have been, by class.
    pub refused: [u64; CLASSES],
    /// First SYNs that were not considered because of a flood.
    pub unrepeated: u64,
    /// When the next sender of each class passes, however full the server is;
    /// see [`floor`].
    pub floors: [u64; CLASSES],
}

/// What the gate does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    /// Nothing.
    #[default]
    Off = 0,
    /// Counts what it would refuse.
    Observe = 1,
    /// Refuses.
    On = 2,
}

impl Mode {
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
    pub const fn mode(&self, now: u64) -> Mode {
        if !self.is_fresh(now) {
            return Mode::Off;
        }
        Mode::from_number(self.mode)
    }

    /// Whether a responder answers listed senders of a family, while the gate is
    /// tended.
    #[inline(always)]
    #[must_use]
    pub const fn answers(&self, v6: bool) -> bool {
        self.answers & if v6 { ANSWERS6 } else { ANSWERS4 } != 0
    }

    /// Whether a responder answers listed senders of a family now.
    #[inline(always)]
    #[must_use]
    pub const fn is_answering(&self, v6: bool, now: u64) -> bool {
        self.answers(v6) && self.is_fresh(now)
    }

    #[inline(always)]
    const fn is_fresh(&self, now: u64) -> bool {
        now.saturating_sub(self.written) <= FRESH
    }

    /// The connections that the server holds by now, if `admitted` have passed.
    #[inline(always)]
    #[must_use]
    pub const fn held(&self, admitted: u64) -> u64 {
        // Below 0 if the gate was set since `admitted` was read.
        let since = admitted.wrapping_sub(self.admitted) as i64;
        self.open as u64 + if since > 0 { since as u64 } else { 0 }
    }

    /// Whether a class passes at so many connections.
    #[inline(always)]
    #[must_use]
    pub const fn admits(&self, class: usize, held: u64) -> bool {
        held < self.limits[class % CLASSES] as u64
    }
}

/// The class of a sender who is neither known nor trusted; 0 is the best.
#[inline(always)]
#[must_use]
pub const fn class(near_known: bool, standing: Option<Standing>, ttl: u8) -> usize {
    // What starts at 64 is seldom Windows, and bots often are.
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

/// When a class's floor lets the next one pass, if one passes now; `None` if
/// it may not. `next` is its [`Passage::floors`].
#[inline(always)]
#[must_use]
pub const fn floor(next: u64, now: u64) -> Option<u64> {
    let saved = now.saturating_sub((FLOOR_BURST - 1) * FLOOR_PERIOD);
    let due = if next > saved { next } else { saved };
    if due <= now {
        Some(due + FLOOR_PERIOD)
    } else {
        None
    }
}

/// What the blocklists say of a source; the value of the `verdicts` map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Verdict {
    /// The last nanosecond at which it holds.
    pub until: u64,
    /// The last eight bytes of the IPv6 address that was asked about, as they
    /// lie in memory: a /64 shares a verdict, but not a rejection. 0 for IPv4.
    pub host: u64,
    /// A [`Standing`] as a number.
    pub standing: u32,
    /// The blocklist that lists it, counted from 0 in the order of the
    /// server's configuration; for people to read.
    pub zone: u32,
}

/// What [`Verdict::host`] is for a source.
#[inline(always)]
#[must_use]
pub const fn host(v6: bool, source: [u8; 16]) -> u64 {
    let [.., i, j, k, l, m, n, o, p] = source;
    if v6 {
        u64::from_ne_bytes([i, j, k, l, m, n, o, p])
    } else {
        0
    }
}

/// What is known of a source by asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Standing {
    /// On a blocklist that the server rejects by.
    Listed = 1,
    /// On none; its name was not asked for, or could not be.
    Unlisted = 2,
    /// On none, and it has no name of a server's own: none at all, one that
    /// does not lead back to it, or one made of its address.
    Unnamed = 3,
    /// On none, with a server's name that leads back to it.
    Confirmed = 4,
}

impl Verdict {
    /// Whether this very address is listed now, not only one of its /64, so that
    /// a responder may say so.
    #[inline(always)]
    #[must_use]
    pub const fn rejects(&self, v6: bool, source: [u8; 16], now: u64) -> bool {
        matches!(self.standing(now), Some(Standing::Listed)) && self.host == host(v6, source)
    }

    /// What it says now.
    #[inline(always)]
    #[must_use]
    pub const fn standing(&self, now: u64) -> Option<Standing> {
        if now > self.until {
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

/// The key of a source's neighbourhood in `known_nets`: an IPv4 /24 or an
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

/// A source whose class has to wait, as the `asks` ring buffer tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ask {
    /// The address; IPv4 as `::ffff:a.b.c.d`.
    pub source: [u8; 16],
    /// 1: there is a verdict; 0: it is asked for.
    pub judged: u32,
}

/// Slots of `recent_syns`; a power of two.
pub const SYNS: u32 = 1 << 17;
/// The unit of [`Syn::seen`]: an eighth of a second.
const SYN_TICK: u64 = SECOND / 8;
/// For how long a SYN is remembered, 16 s: the longest wait before the second
/// repetition of a usual system is six, and the kernel may be late.
const SYN_KEPT: u32 = 16 * 8;
/// No usual system repeats a SYN within a second.
const SYN_PAUSE: u32 = 6;

/// A SYN that was seen during a flood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Syn {
    /// What of its hash does not choose the slot; never 0 in one that is used.
    pub tag: u32,
    /// When it was seen, in eighths of a second.
    pub seen: u32,
}

impl Syn {
    /// The slot of a SYN, and how it is remembered there.
    #[inline(always)]
    #[must_use]
    pub const fn of(key: [u8; 8], port: u16, sequence: u32, seed: u32, now: u64) -> (u32, Self) {
        let mut hash = u64::from_ne_bytes(key) ^ ((seed as u64) << 32 | seed as u64);
        hash = mix(hash) ^ ((port as u64) << 32 | sequence as u64);
        hash = mix(hash ^ seed as u64);
        let syn = Self {
            tag: (hash >> 32) as u32 | 1,
            seen: (now / SYN_TICK) as u32,
        };
        (hash as u32 & (SYNS - 1), syn)
    }

    /// Whether it repeats the one in its slot, as a kernel would.
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

const _: () = assert!(size_of::<Gate>() == 48);
const _: () = assert!(size_of::<Passage>() == 80);
const _: () = assert!(size_of::<Verdict>() == 24);
const _: () = assert!(size_of::<Ask>() == 20);
const _: () = assert!(size_of::<Syn>() == 8);

#[cfg(feature = "user")]
mod pod {
    use super::{Ask, Gate, Passage, Syn, Verdict};

    // SAFETY: repr(C) without padding (sizes asserted above), integers only.
    unsafe impl aya::Pod for Gate {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Passage {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Verdict {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Ask {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Syn {}
}

#[cfg(test)]
mod tests;
