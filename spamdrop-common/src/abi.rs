//! The maps that the filter and user space share, and their version.
//!
//! The maps of each version are pinned in a directory of its own (version 4: `v4` below
//! the pin directory), and its filter uses no others. At a start, older pins are converted
//! (`kernel::blocklist::migrate`), or the step that the administrator must take is reported.

use crate::counter::Counters;
use crate::entry::{AllowEntry, CidrEntry, Destination, Entry, Origin};
use crate::gate::{Gate, GateStats, KnownSender, NextAdmit, Verdict};
use crate::names;
use crate::recent_drop::{Line, line_bits};
use crate::settings::Settings;

/// The version of all map layouts together. A unit test of this module fails
/// when a layout changes without a new number.
pub const ABI_VERSION: u32 = 4;

/// Capacity of each trie, in prefixes. A trie takes no memory for prefixes that
/// it does not hold.
pub const PREFIXES: u32 = 1 << 20;
/// Capacity of the `verdicts` map, in sources.
pub const VERDICTS: u32 = 1 << 17;
/// Capacity of the `not_ip` map, in interfaces.
pub const INTERFACES: u32 = 64;
/// Capacity of the `next_admits` map, in sources.
pub const NEXT_ADMITS: u32 = 1 << 10;
/// Size of the `lookup_requests` ring buffer in bytes; enough for 2,048 requests.
pub const LOOKUP_REQUEST_BYTES: u32 = 1 << 16;

/// `BPF_F_NO_PREALLOC`: elements take memory only while they exist.
pub const NO_PREALLOC: u32 = 1;
/// `BPF_F_MMAPABLE`: the first element of the array is at the start of a page, so each
/// element of 64 bytes is one cache line.
pub const MMAPABLE: u32 = 1 << 10;

/// The type of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_ARRAY`.
    Array,
    /// `BPF_MAP_TYPE_HASH`.
    Hash,
    /// `BPF_MAP_TYPE_LPM_TRIE`.
    LpmTrie,
    /// `BPF_MAP_TYPE_LRU_HASH`.
    LruHash,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`.
    PerCpuArray,
    /// `BPF_MAP_TYPE_RINGBUF`.
    RingBuf,
    /// `BPF_MAP_TYPE_SOCKMAP`.
    SockMap,
}

/// The rule for the capacity of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// This number of elements.
    Fixed(u32),
    /// The configuration's `capacity4`.
    Capacity4,
    /// The number of lines of recent drops: one for every eight entries of `capacity4`,
    /// rounded up to a power of two, and at least 2^15.
    LinesOfCapacity4,
    /// The configuration's `capacity6`.
    Capacity6,
    /// A quarter of `capacity6`.
    QuarterOfCapacity6,
    /// `capacity4` and `capacity6` together.
    BothCapacities,
    /// The configuration's `known_capacity`.
    KnownCapacity,
}

/// The capacities that the configuration sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Entries for IPv4 addresses.
    pub v4: u32,
    /// Entries for IPv6 prefixes.
    pub v6: u32,
    /// Known senders.
    pub known: u32,
}

impl Room {
    /// The number of elements that the rule gives; at least 1 if no capacity is 0.
    #[must_use]
    pub const fn elements(self, capacity: Capacity) -> u32 {
        match self {
            Self::Fixed(elements) => elements,
            Self::Capacity4 => capacity.v4,
            Self::LinesOfCapacity4 => 1 << line_bits(capacity.v4),
            Self::Capacity6 => capacity.v6,
            Self::QuarterOfCapacity6 if capacity.v6 < 4 => 1,
            Self::QuarterOfCapacity6 => capacity.v6 / 4,
            Self::BothCapacities => capacity.v4.saturating_add(capacity.v6),
            Self::KnownCapacity => capacity.known,
        }
    }
}

/// The properties that a pinned map must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSpec {
    /// The name of the map and of its pin.
    pub name: &'static str,
    /// The type, as `BPF_MAP_CREATE` takes it.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Creation flags (`BPF_F_…`).
    pub flags: u32,
    /// The rule for its capacity.
    pub room: Room,
}

impl MapSpec {
    /// A map with these key and value types.
    #[must_use]
    pub const fn new<K, V>(name: &'static str, kind: MapKind, flags: u32, room: Room) -> Self {
        Self {
            name,
            kind,
            key_size: size_of::<K>() as u32,
            value_size: size_of::<V>() as u32,
            flags,
            room,
        }
    }

    /// An array of one element.
    const fn single<V>(name: &'static str, kind: MapKind) -> Self {
        Self::new::<u32, V>(name, kind, 0, Room::Fixed(1))
    }

    /// A trie. Its keys are a prefix length and an address.
    const fn trie<A, V>(name: &'static str) -> Self {
        let room = Room::Fixed(PREFIXES);
        let mut spec = Self::new::<A, V>(name, MapKind::LpmTrie, NO_PREALLOC, room);
        spec.key_size += size_of::<u32>() as u32;
        spec
    }

    /// A hash map that allocates memory only for the elements that it holds.
    const fn hash<K, V>(name: &'static str, room: Room) -> Self {
        Self::new::<K, V>(name, MapKind::Hash, NO_PREALLOC, room)
    }

    /// A hash map that evicts the least recently used element when it is full.
    const fn lru<K, V>(name: &'static str, room: Room) -> Self {
        Self::new::<K, V>(name, MapKind::LruHash, 0, room)
    }
}

/// Every pinned map.
pub const MAPS: [MapSpec; 23] = [
    MapSpec::lru::<[u8; 4], Entry>(names::BLOCKED4, Room::Capacity4),
    MapSpec::lru::<[u8; 8], Entry>(names::BLOCKED6, Room::Capacity6),
    MapSpec::lru::<[u8; 16], Entry>(names::BLOCKED6_ADDR, Room::QuarterOfCapacity6),
    MapSpec::new::<u32, Line>(
        names::RECENT_DROPS4,
        MapKind::Array,
        MMAPABLE,
        Room::LinesOfCapacity4,
    ),
    MapSpec::trie::<[u8; 4], CidrEntry>(names::CIDR4),
    MapSpec::trie::<[u8; 16], CidrEntry>(names::CIDR6),
    MapSpec::trie::<[u8; 4], AllowEntry>(names::ALLOW4),
    MapSpec::trie::<[u8; 16], AllowEntry>(names::ALLOW6),
    MapSpec::trie::<[u8; 4], Destination>(names::DESTINATIONS4),
    MapSpec::trie::<[u8; 16], Destination>(names::DESTINATIONS6),
    MapSpec::single::<Settings>(names::SETTINGS, MapKind::Array),
    MapSpec::single::<Counters>(names::COUNTERS, MapKind::PerCpuArray),
    MapSpec::hash::<[u8; 8], KnownSender>(names::KNOWN, Room::KnownCapacity),
    MapSpec::hash::<[u8; 16], KnownSender>(names::KNOWN6_ADDR, Room::KnownCapacity),
    MapSpec::hash::<[u8; 8], KnownSender>(names::KNOWN_NETS, Room::KnownCapacity),
    MapSpec::lru::<[u8; 8], Verdict>(names::VERDICTS, Room::Fixed(VERDICTS)),
    MapSpec::single::<Gate>(names::GATE, MapKind::Array),
    MapSpec::single::<GateStats>(names::GATE_STATS, MapKind::Array),
    MapSpec::hash::<[u8; 8], NextAdmit>(names::NEXT_ADMITS, Room::Fixed(NEXT_ADMITS)),
    MapSpec::new::<u32, u32>(names::RESPONDER, MapKind::SockMap, 0, Room::Fixed(2)),
    MapSpec::new::<(), ()>(
        names::LOOKUP_REQUESTS,
        MapKind::RingBuf,
        0,
        Room::Fixed(LOOKUP_REQUEST_BYTES),
    ),
    MapSpec::hash::<u32, u64>(names::NOT_IP, Room::Fixed(INTERFACES)),
    MapSpec::hash::<[u8; 16], Origin>(names::ORIGINS, Room::BothCapacities),
];

#[cfg(test)]
mod tests;
