//! Pinned maps with wrong properties are detected before they are opened, and before a
//! filter is loaded with them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use aya::maps::MapData;
use aya_obj::generated::bpf_map_type::{
    BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LPM_TRIE, BPF_MAP_TYPE_LRU_HASH,
};
use aya_obj::generated::{BPF_F_NO_COMMON_LRU, bpf_map_type};
use spamdrop::kernel::attach::{AttachMode, Plan, attach};
use spamdrop::kernel::blocklist::pins::{Capacity, check, make_dirs, maps_dir};
use spamdrop::lock::WriteLock;
use spamdrop_common::abi::MAPS;
use spamdrop_lab::host::Host;

const CAPACITY: Capacity = Capacity {
    v4: 8_192,
    v6: 4_096,
    known: 1_024,
};

/// The properties of a pinned `blocked4`, and the error that they cause.
struct Odd {
    kind: bpf_map_type,
    key: u32,
    value: u32,
    capacity: u32,
    flags: u32,
    said: &'static str,
}

const RIGHT: Odd = Odd {
    kind: BPF_MAP_TYPE_LRU_HASH,
    key: 4,
    value: 32,
    capacity: 8_192,
    flags: 0,
    said: "",
};

fn pin(odd: &Odd, path: &Path) {
    let map =
        aya_obj::Map::new_from_params(odd.kind as u32, odd.key, odd.value, odd.capacity, odd.flags);
    MapData::create(map, "blocked4", None)
        .unwrap()
        .pin(path)
        .unwrap();
}

#[test]
fn each_difference_is_found_and_nothing_is_touched() {
    let odd = [
        Odd {
            kind: BPF_MAP_TYPE_HASH,
            said: "type Hash instead of LruHash",
            ..RIGHT
        },
        Odd {
            key: 8,
            said: "a key of 8 instead of 4 bytes",
            ..RIGHT
        },
        Odd {
            value: 40,
            said: "a value of 40 instead of 32 bytes",
            ..RIGHT
        },
        Odd {
            capacity: 4_096,
            said: "a capacity of 4096 instead of 8192 entries",
            ..RIGHT
        },
        Odd {
            flags: BPF_F_NO_COMMON_LRU,
            said: "flags 2 instead of 0",
            ..RIGHT
        },
    ];
    let host = Host::new("pins").unwrap();
    host.run(move || {
        let run_dir = tempfile::tempdir().unwrap();
        let turn = WriteLock::acquire(run_dir.path()).unwrap();
        let dir = Path::new("/sys/fs/bpf/spamdrop");
        make_dirs(dir).unwrap();
        let maps = maps_dir(dir);
        let path = maps.join("blocked4");
        for odd in &odd {
            pin(odd, &path);
            let error = check(&maps, Some(CAPACITY)).unwrap_err().to_string();
            assert!(error.contains(odd.said), "{error}");
            assert!(
                error.contains("/sys/fs/bpf/spamdrop/v4/blocked4"),
                "{error}"
            );
            let plan = Plan {
                capacity: CAPACITY,
                mode: AttachMode::Auto,
                log_level: 0,
            };
            let Err(error) = attach(&turn, dir, &["lo".into()], plan) else {
                panic!("loaded over a map with {}", odd.said);
            };
            assert!(error.to_string().contains(odd.said), "{error}");
            let left: Vec<_> = std::fs::read_dir(&maps)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            assert_eq!(left, ["blocked4"]);
            std::fs::remove_file(&path).unwrap();
        }
        pin(&RIGHT, &path);
        check(&maps, Some(CAPACITY)).unwrap();
        // Another capacity than the wanted one is an error; commands want none.
        let Odd { capacity, .. } = RIGHT;
        check(
            &maps,
            Some(Capacity {
                v4: capacity * 2,
                ..CAPACITY
            }),
        )
        .unwrap_err();
        check(&maps, None).unwrap();
    });
}

#[test]
fn every_map_is_compared() {
    let host = Host::new("pins").unwrap();
    host.run(|| {
        let dir = Path::new("/sys/fs/bpf/spamdrop");
        make_dirs(dir).unwrap();
        let odd = Odd {
            kind: BPF_MAP_TYPE_LPM_TRIE,
            key: 12,
            value: 12,
            capacity: 7,
            flags: 1,
            ..RIGHT
        };
        let maps = maps_dir(dir);
        for spec in MAPS {
            let path = maps.join(spec.name);
            pin(&odd, &path);
            let error = check(&maps, None).unwrap_err().to_string();
            assert!(error.contains(spec.name), "{error}");
            std::fs::remove_file(path).unwrap();
        }
    });
}
