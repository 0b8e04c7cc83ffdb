//! The maps and values of layout v1.

use aya::Pod;
use aya::maps::lpm_trie::Key;
use spamdrop_common::abi::{MapKind, MapSpec, NO_PREALLOC, Room};
use spamdrop_common::time::{MonotonicNs, UnixSeconds};
use spamdrop_common::{counter, entry, gate, names, settings};

use crate::kernel::ticks;

pub(super) const HOT4: &str = "hot4";
pub(super) const PASSAGE: &str = "passage";
const PREFIXES: Room = Room::Fixed(65_536);

/// The pinned maps of layout v1.
pub const MAPS: &[MapSpec] = &[
    lru::<[u8; 4], Entry>(names::BLOCKED4, Room::Capacity4),
    lru::<[u8; 8], Entry>(names::BLOCKED6, Room::Capacity6),
    array::<[Hot; 4]>(HOT4, 16_384),
    trie::<Key<[u8; 4]>, CidrEntry>(names::CIDR4),
    trie::<Key<[u8; 16]>, CidrEntry>(names::CIDR6),
    trie::<Key<[u8; 4]>, AllowEntry>(names::ALLOW4),
    trie::<Key<[u8; 16]>, AllowEntry>(names::ALLOW6),
    array::<Settings>(names::SETTINGS, 1),
    MapSpec::new::<u32, Counters>(names::COUNTERS, MapKind::PerCpuArray, 0, Room::Fixed(1)),
    hash::<[u8; 8], u8>(names::KNOWN, Room::KnownCapacity),
    hash::<[u8; 8], u8>(names::KNOWN_NETS, Room::KnownCapacity),
    lru::<[u8; 8], Verdict>(names::VERDICTS, Room::Fixed(131_072)),
    array::<[u64; 6]>(names::GATE, 1),
    array::<Passage>(PASSAGE, 1),
    array::<u64>("recent_syns", 1 << 17),
    MapSpec::new::<u32, u32>(names::RESPONDER, MapKind::SockMap, 0, Room::Fixed(2)),
    MapSpec::new::<(), ()>("asks", MapKind::RingBuf, 0, Room::Fixed(65_536)),
    hash::<[u8; 16], Origin>(names::ORIGINS, Room::BothCapacities),
];

const fn array<V>(name: &'static str, elements: u32) -> MapSpec {
    MapSpec::new::<u32, V>(name, MapKind::Array, 0, Room::Fixed(elements))
}

const fn lru<K, V>(name: &'static str, room: Room) -> MapSpec {
    MapSpec::new::<K, V>(name, MapKind::LruHash, 0, room)
}

const fn hash<K, V>(name: &'static str, room: Room) -> MapSpec {
    MapSpec::new::<K, V>(name, MapKind::Hash, NO_PREALLOC, room)
}

const fn trie<K, V>(name: &'static str) -> MapSpec {
    MapSpec::new::<K, V>(name, MapKind::LpmTrie, NO_PREALLOC, PREFIXES)
}

/// A blocked address or /64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Entry {
    /// The expiry, in nanoseconds of `CLOCK_MONOTONIC`.
    pub expires: u64,
    /// As in the current layout: seconds of `CLOCK_MONOTONIC`; 0: no limit.
    pub hard_until_s: u32,
    /// Seconds; 0: a hit does not extend the entry.
    pub ttl_s: u32,
    /// Packets that matched.
    pub hits: u32,
    /// How often a hit moved `expires`.
    pub refreshes: u16,
    /// As in the current layout.
    pub flags: u16,
}

/// A blocked prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CidrEntry {
    /// The last second in which the prefix matches.
    pub expires_s: u32,
    /// Packets that matched.
    pub hits: u32,
}

/// An allowed prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AllowEntry {
    /// 1: added by the daemon itself.
    pub automatic: u32,
}

/// Why an address is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Origin {
    /// When it was first blocked.
    pub first_unix_s: u64,
    /// The time of the last offence, in nanoseconds of `CLOCK_MONOTONIC`.
    pub offence: u64,
    /// Offences since the first block.
    pub offences: u32,
    /// 1 while connections may still have to be released.
    pub release_pending: u16,
    /// Bytes of `text` in use.
    pub text_len: u16,
    /// The log line, or a reason.
    pub text: [u8; 200],
}

/// A source that was dropped within the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Hot {
    /// The end of the drop's validity, in ticks.
    pub until: u64,
    /// The IPv4 address, its bytes in memory order.
    pub source: u32,
    /// The epoch of the settings when the source was dropped.
    pub generation: u16,
    /// Hits that are not yet counted in the entry.
    pub hits: u16,
}

/// The filter's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// Watched ports.
    pub ports: [u16; 8],
    /// As in the current layout.
    pub refresh: u32,
    /// Prefixes in `cidr4`.
    pub cidrs4: u32,
    /// Prefixes in `cidr6`.
    pub cidrs6: u32,
    /// The epoch.
    pub generation: u32,
    /// Nanoseconds per tick.
    pub tick_ns: u32,
}

/// Packets by reason, in the order of the current layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters(pub [u64; 16]);

/// The filter's counters for the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Passage {
    /// SYNs that passed.
    pub admitted: u64,
    /// SYNs of known or allowlisted senders.
    pub preferred: u64,
    /// SYNs that were admitted so that no class starves.
    pub floored: u64,
    /// Refused SYNs by class.
    pub refused: [u64; 3],
    /// SYNs in a flood that were the first of their connection.
    pub unrepeated: u64,
    /// Time of the next starvation admit of each class, in nanoseconds.
    pub floors: [u64; 3],
}

/// The verdict on a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Verdict {
    /// The last nanosecond of `CLOCK_MONOTONIC` at which the verdict is valid.
    pub until: u64,
    /// As in the current layout.
    pub host: u64,
    /// As in the current layout.
    pub standing: u32,
    /// As in the current layout.
    pub zone: u32,
}

const _: () = assert!(size_of::<Entry>() == 24);
const _: () = assert!(size_of::<CidrEntry>() == 8);
const _: () = assert!(size_of::<AllowEntry>() == 4);
const _: () = assert!(size_of::<Origin>() == 224);
const _: () = assert!(size_of::<Hot>() == 16);
const _: () = assert!(size_of::<Settings>() == 36);
const _: () = assert!(size_of::<Counters>() == 128);
const _: () = assert!(size_of::<Passage>() == 80);
const _: () = assert!(size_of::<Verdict>() == 24);

// SAFETY: repr(C) without padding (sizes asserted above), integers only.
unsafe impl Pod for Entry {}
// SAFETY: as above.
unsafe impl Pod for CidrEntry {}
// SAFETY: as above.
unsafe impl Pod for AllowEntry {}
// SAFETY: as above.
unsafe impl Pod for Origin {}
// SAFETY: as above.
unsafe impl Pod for Hot {}
// SAFETY: as above.
unsafe impl Pod for Settings {}
// SAFETY: as above.
unsafe impl Pod for Counters {}
// SAFETY: as above.
unsafe impl Pod for Passage {}
// SAFETY: as above.
unsafe impl Pod for Verdict {}

impl From<Entry> for entry::Entry {
    fn from(old: Entry) -> Self {
        Self {
            expires: MonotonicNs::from_ns(old.expires),
            hard_until_s: old.hard_until_s,
            ttl_s: old.ttl_s,
            hits: old.hits,
            refreshes: old.refreshes,
            flags: old.flags,
            owners: 0,
        }
    }
}

impl From<CidrEntry> for entry::CidrEntry {
    fn from(old: CidrEntry) -> Self {
        Self {
            expires_s: old.expires_s,
            hits: old.hits,
            ..Self::default()
        }
    }
}

impl From<AllowEntry> for entry::AllowEntry {
    fn from(old: AllowEntry) -> Self {
        Self {
            automatic: old.automatic,
        }
    }
}

impl From<Origin> for entry::Origin {
    fn from(old: Origin) -> Self {
        Self {
            first_blocked: UnixSeconds::new(old.first_unix_s),
            last_offence: MonotonicNs::from_ns(old.offence),
            offences: old.offences,
            release_pending: old.release_pending,
            text_len: old.text_len,
            text: old.text,
        }
    }
}

impl From<Settings> for settings::Settings {
    fn from(old: Settings) -> Self {
        Self {
            ports: old.ports,
            refresh: old.refresh,
            cidrs4: old.cidrs4,
            cidrs6: old.cidrs6,
            unit_ns: ticks::unit_ns(),
            ..Self::default()
        }
    }
}

impl From<Passage> for gate::GateStats {
    fn from(old: Passage) -> Self {
        Self {
            admitted: old.admitted,
            known_or_allowed: old.preferred,
            starvation_admits: old.floored,
            refused: old.refused,
            ..Self::default()
        }
    }
}

impl From<Verdict> for gate::Verdict {
    fn from(old: Verdict) -> Self {
        Self {
            until: MonotonicNs::from_ns(old.until),
            host: old.host,
            standing: old.standing,
            zone: old.zone,
        }
    }
}

impl From<Counters> for counter::Counters {
    fn from(old: Counters) -> Self {
        let [
            not_ip,
            not_tcp,
            later_fragment,
            truncated,
            too_many_headers,
            other_port,
            not_blocked,
            expired,
            allowed,
            open_passed,
            gate_known_or_allowed,
            gate_answered,
            gate_refused,
            open_dropped,
            sealed_dropped,
            cidr_dropped,
        ] = old.0;
        Self {
            not_ip,
            not_tcp,
            later_fragment,
            truncated,
            too_many_headers,
            other_port,
            not_blocked,
            expired,
            allowed,
            open_passed,
            gate_known_or_allowed,
            gate_answered,
            gate_refused,
            open_dropped,
            sealed_dropped,
            cidr_dropped,
            ..Self::default()
        }
    }
}
