//! The maps of the layouts v2 and v3, each with some content.

use std::path::Path;

use aya::Pod;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, IterableMap as _, Map, MapData, PerCpuArray, PerCpuValues};
use spamdrop::clock;
use spamdrop_common::counter::{Counters, Reason};
use spamdrop_common::entry::{
    AllowEntry, CidrEntry, Entry, ORIGIN_HAND, ORIGIN_LOG, Origin, SEALED,
};
use spamdrop_common::gate::{GateStats, KnownSender, Standing, Verdict, net_key, source_key};
use spamdrop_common::names;
use spamdrop_common::settings::Settings;
use spamdrop_common::time::UnixSeconds;

use super::old_filter::Offsets;
use super::site::{
    ALLOWED, BLOCKED, BLOCKED6, CIDR, CIDR6, Expected, FILLERS, KNOWN, OldBlocked, TTL, filler,
    open,
};

pub const OFFSETS: Offsets = Offsets {
    ttl_s: std::mem::offset_of!(Entry, ttl_s) as i16,
    hits: std::mem::offset_of!(Entry, hits) as i16,
};

/// The map `blocked4` of these layouts, opened from its pin.
struct Old(HashMap<MapData, [u8; 4], Entry>);

impl OldBlocked for Old {
    fn map(&self) -> &MapData {
        self.0.map()
    }

    fn expires(&self) -> u64 {
        self.0.get(&BLOCKED.octets(), 0).unwrap().expires.ns()
    }
}

/// Fills the maps that are pinned in `dir`.
pub fn fill(dir: &Path) -> (Box<dyn OldBlocked>, Expected) {
    let now = clock::monotonic_ns();
    let minutes = now.plus_seconds(600);
    let entry = |ttl_s, flags| Entry {
        expires: now.plus_seconds(ttl_s),
        ttl_s,
        flags,
        ..Entry::default()
    };
    let lru = Map::LruHashMap;
    let mut blocked4 = hash(dir, names::BLOCKED4, lru);
    blocked4
        .insert(BLOCKED.octets(), entry(TTL, ORIGIN_LOG | SEALED), 0)
        .unwrap();
    for number in 0..FILLERS {
        let value = Entry {
            // The fixture of version 1 has five further hits in its cache.
            hits: number + if number == 0 { 5 } else { 0 },
            hard_until_s: minutes.second() + 60,
            refreshes: 3,
            ..entry(600, ORIGIN_HAND)
        };
        let key = filler(number).octets();
        blocked4.insert(key, value, 0).unwrap();
    }
    let key6 = source_key(true, BLOCKED6.octets());
    insert(hash(dir, names::BLOCKED6, lru), key6, entry(600, SEALED));
    let settings = Settings {
        ports: [25, 0, 0, 0, 0, 0, 0, 0],
        cidrs4: 1,
        cidrs6: 1,
        // In these layouts, `unit_ns` is the length of a tick, and `epoch` a serial number.
        unit_ns: clock::tick_ns(),
        epoch: u32::MAX,
        ..Settings::default()
    };
    set(dir, names::SETTINGS, settings);

    let cidr = CidrEntry {
        expires_s: minutes.second(),
        hits: 11,
        ..CidrEntry::default()
    };
    put(dir, names::CIDR4, Key::new(24, CIDR.octets()), cidr);
    put(dir, names::CIDR6, Key::new(48, CIDR6.octets()), cidr);
    let allow = AllowEntry { automatic: 1 };
    put(dir, names::ALLOW4, Key::new(32, ALLOWED.octets()), allow);
    put(dir, names::ALLOW6, Key::new(64, CIDR6.octets()), allow);

    let cpus = aya::util::nr_cpus().unwrap();
    let mut counters = Counters::default();
    for reason in Reason::ALL {
        *counters.by_name(reason.name()).unwrap() = 3;
    }
    let counted = PerCpuValues::try_from(vec![counters; cpus]).unwrap();
    let mut map: PerCpuArray<_, Counters> = Map::PerCpuArray(open(dir, names::COUNTERS))
        .try_into()
        .unwrap();
    map.set(0, counted, 0).unwrap();

    let mut whole = [0; 16];
    whole[..4].copy_from_slice(&KNOWN.octets());
    let known = source_key(false, whole);
    for (name, key) in [
        (names::KNOWN, known),
        (names::KNOWN_NETS, net_key(false, known)),
    ] {
        insert(hash(dir, name, Map::HashMap), key, KnownSender::default());
    }
    let verdict = Verdict {
        until: minutes,
        standing: Standing::Listed as u32,
        ..Verdict::default()
    };
    insert(hash(dir, names::VERDICTS, lru), known, verdict);
    let stats = GateStats {
        admitted: 40,
        known_or_allowed: 10,
        starvation_admits: 2,
        refused: [1, 2, 3],
        ..GateStats::default()
    };
    set(dir, names::GATE_STATS, stats);

    let mut origin = Origin {
        first_blocked: UnixSeconds::new(1_795_000_000),
        last_offence: now,
        offences: 2,
        release_pending: 1,
        ..Origin::default()
    };
    origin.set_text(b"511");
    let key = BLOCKED.to_ipv6_mapped().octets();
    insert(hash(dir, names::ORIGINS, Map::HashMap), key, origin);

    let expected = Expected {
        now,
        per_counter: 3 * cpus as u64,
    };
    (Box::new(Old(blocked4)), expected)
}

fn hash<K: Pod, V: Pod>(
    dir: &Path,
    name: &str,
    kind: fn(MapData) -> Map,
) -> HashMap<MapData, K, V> {
    kind(open(dir, name)).try_into().unwrap()
}

fn insert<K: Pod, V: Pod>(mut map: HashMap<MapData, K, V>, key: K, value: V) {
    map.insert(key, value, 0).unwrap();
}

fn put<A: Pod, V: Pod>(dir: &Path, name: &str, key: Key<A>, value: V) {
    let mut map: LpmTrie<_, A, V> = Map::LpmTrie(open(dir, name)).try_into().unwrap();
    map.insert(&key, value, 0).unwrap();
}

/// Sets the only value of an array.
fn set<V: Pod>(dir: &Path, name: &str, value: V) {
    let mut map: Array<_, V> = Map::Array(open(dir, name)).try_into().unwrap();
    map.set(0, value, 0).unwrap();
}
