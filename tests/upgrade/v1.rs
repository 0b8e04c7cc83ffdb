//! The maps of layout v1, each with some content.

use std::path::Path;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, IterableMap as _, Map, MapData, PerCpuArray, PerCpuValues};
use spamdrop::clock;
use spamdrop::kernel::blocklist::migrate::v1::{
    AllowEntry, CidrEntry, Counters, Entry, Hot, Origin, Passage, Settings, Verdict,
};
use spamdrop_common::entry::{ORIGIN_HAND, ORIGIN_LOG, SEALED};
use spamdrop_common::gate::{Standing, net_key, source_key};

use super::old_filter::Offsets;
use super::site::{
    ALLOWED, BLOCKED, BLOCKED6, CIDR, CIDR6, Expected, FILLERS, KNOWN, OldBlocked, TTL, filler,
    open,
};

pub const OFFSETS: Offsets = Offsets {
    ttl_s: 12,
    hits: 16,
};

/// The map `blocked4` of layout v1, opened from its pin.
pub struct Old(pub HashMap<MapData, [u8; 4], Entry>);

impl OldBlocked for Old {
    fn map(&self) -> &MapData {
        self.0.map()
    }

    fn expires(&self) -> u64 {
        self.0.get(&BLOCKED.octets(), 0).unwrap().expires
    }
}

/// Fills the maps that are pinned in `dir`.
pub fn fill(dir: &Path) -> (Box<dyn OldBlocked>, Expected) {
    let now = clock::monotonic_ns();
    let minutes = now.plus_seconds(600);
    let entry = |ttl_s, flags| Entry {
        expires: now.plus_seconds(ttl_s).ns(),
        ttl_s,
        flags,
        ..Entry::default()
    };
    let mut blocked4: HashMap<_, [u8; 4], Entry> =
        Map::LruHashMap(open(dir, "blocked4")).try_into().unwrap();
    blocked4
        .insert(BLOCKED.octets(), entry(TTL, ORIGIN_LOG | SEALED), 0)
        .unwrap();
    for number in 0..FILLERS {
        let value = Entry {
            hits: number,
            hard_until_s: minutes.second() + 60,
            refreshes: 3,
            ..entry(600, ORIGIN_HAND)
        };
        let key = filler(number).octets();
        blocked4.insert(key, value, 0).unwrap();
    }
    let mut blocked6: HashMap<_, [u8; 8], Entry> =
        Map::LruHashMap(open(dir, "blocked6")).try_into().unwrap();
    let key6 = source_key(true, BLOCKED6.octets());
    blocked6.insert(key6, entry(600, SEALED), 0).unwrap();

    // Five hits of the first filler are still in the cache, and not yet in its
    // entry.
    let generation = 7;
    let mut hot: Array<_, [Hot; 4]> = Map::Array(open(dir, "hot4")).try_into().unwrap();
    let slot = Hot {
        until: 0,
        source: u32::from_ne_bytes(filler(0).octets()),
        generation,
        hits: 5,
    };
    hot.set(
        99,
        [Hot::default(), slot, Hot::default(), Hot::default()],
        0,
    )
    .unwrap();
    let settings = Settings {
        ports: [25, 0, 0, 0, 0, 0, 0, 0],
        cidrs4: 1,
        cidrs6: 1,
        generation: generation.into(),
        tick_ns: clock::tick_ns(),
        ..Settings::default()
    };
    let mut map: Array<_, Settings> = Map::Array(open(dir, "settings")).try_into().unwrap();
    map.set(0, settings, 0).unwrap();

    let cidr = CidrEntry {
        expires_s: minutes.second(),
        hits: 11,
    };
    let mut map: LpmTrie<_, [u8; 4], CidrEntry> =
        Map::LpmTrie(open(dir, "cidr4")).try_into().unwrap();
    map.insert(&Key::new(24, CIDR.octets()), cidr, 0).unwrap();
    let mut map: LpmTrie<_, [u8; 16], CidrEntry> =
        Map::LpmTrie(open(dir, "cidr6")).try_into().unwrap();
    map.insert(&Key::new(48, CIDR6.octets()), cidr, 0).unwrap();
    let allow = AllowEntry { automatic: 1 };
    let mut map: LpmTrie<_, [u8; 4], AllowEntry> =
        Map::LpmTrie(open(dir, "allow4")).try_into().unwrap();
    map.insert(&Key::new(32, ALLOWED.octets()), allow, 0)
        .unwrap();
    let mut map: LpmTrie<_, [u8; 16], AllowEntry> =
        Map::LpmTrie(open(dir, "allow6")).try_into().unwrap();
    map.insert(&Key::new(64, CIDR6.octets()), allow, 0).unwrap();

    let cpus = aya::util::nr_cpus().unwrap();
    let counted = PerCpuValues::try_from(vec![Counters([3; 16]); cpus]).unwrap();
    let mut map: PerCpuArray<_, Counters> =
        Map::PerCpuArray(open(dir, "counters")).try_into().unwrap();
    map.set(0, counted, 0).unwrap();

    let mut whole = [0; 16];
    whole[..4].copy_from_slice(&KNOWN.octets());
    let known = source_key(false, whole);
    for (name, key) in [("known", known), ("known_nets", net_key(false, known))] {
        let mut map: HashMap<_, [u8; 8], u8> = Map::HashMap(open(dir, name)).try_into().unwrap();
        map.insert(key, 1, 0).unwrap();
    }
    let verdict = Verdict {
        until: minutes.ns(),
        standing: Standing::Listed as u32,
        ..Verdict::default()
    };
    let mut map: HashMap<_, [u8; 8], Verdict> =
        Map::LruHashMap(open(dir, "verdicts")).try_into().unwrap();
    map.insert(known, verdict, 0).unwrap();
    let passage = Passage {
        admitted: 40,
        preferred: 10,
        floored: 2,
        refused: [1, 2, 3],
        unrepeated: 9,
        floors: [7, 8, now.ns()],
    };
    let mut map: Array<_, Passage> = Map::Array(open(dir, "passage")).try_into().unwrap();
    map.set(0, passage, 0).unwrap();

    let mut text = [0; 200];
    text[..3].copy_from_slice(b"511");
    let origin = Origin {
        first_unix_s: 1_795_000_000,
        offence: now.ns(),
        offences: 2,
        release_pending: 1,
        text_len: 3,
        text,
    };
    let mut map: HashMap<_, [u8; 16], Origin> =
        Map::HashMap(open(dir, "origins")).try_into().unwrap();
    map.insert(BLOCKED.to_ipv6_mapped().octets(), origin, 0)
        .unwrap();

    let expected = Expected {
        now,
        per_counter: 3 * cpus as u64,
    };
    (Box::new(Old(blocked4)), expected)
}
