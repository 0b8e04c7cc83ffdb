//! Layouts v2 and v3. They differ from this version's layout only in the recent drops, and
//! in two settings: `epoch` was a serial number, `unit_ns` the length of a tick. So this
//! module uses the types of this version. Before one of these types changes, copy it to
//! this module.
//!
//! Not copied: everything that v1 does not copy, and the hits and slides that are not in
//! the entries yet.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{Array, Map};
use spamdrop_common::abi::{self, MapSpec, Room};
use spamdrop_common::counter::Counters;
use spamdrop_common::entry::{AllowEntry, CidrEntry, Destination, Entry, Origin};
use spamdrop_common::gate::{GateStats, KnownSender, Verdict};
use spamdrop_common::names;
use spamdrop_common::settings::Settings;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::target::Target;

use super::super::{data, typed};
use super::copy::{add_counters, copy_hash, copy_trie, slid_since};
use super::{NewMaps, OldVersion};
use crate::kernel::ticks;

/// The pinned maps of layout v2.
const MAPS: [MapSpec; abi::MAPS.len()] = with_lines(16_384);
/// The pinned maps of layout v3. Its number of lines was a quarter of `capacity4`; this is
/// the number for the default `capacity4`.
const MAPS_3: [MapSpec; abi::MAPS.len()] = with_lines(65_536);

const fn with_lines(lines: u32) -> [MapSpec; abi::MAPS.len()] {
    let mut maps = abi::MAPS;
    maps[RECENT_DROPS].room = Room::Fixed(lines);
    maps
}

/// The index of the recent drops in [`abi::MAPS`].
const RECENT_DROPS: usize = 3;

/// The description of version 2.
pub(super) const VERSION: OldVersion = OldVersion {
    version: 2,
    maps: &MAPS,
    copy,
    copy_changed,
};

/// The description of version 3.
pub(super) const VERSION_3: OldVersion = OldVersion {
    version: 3,
    maps: &MAPS_3,
    ..VERSION
};

fn copy(from: &Path, new: &mut NewMaps) -> Result<()> {
    let to = &mut new.blocklist;
    let old: Array<_, Settings> = typed(data(from, names::SETTINGS)?, Map::Array)?;
    let mut settings = old.get(&0, 0).context("cannot read settings")?;
    // In the old layout, these two were a serial number and the length of a tick.
    (settings.epoch, settings.unit_ns) = (0, ticks::unit_ns());
    to.change_settings(|new| *new = settings)?;
    let lru = Map::LruHashMap;
    to.change(|to, change| {
        let (v4, allow4) = (to.v4.write(change), to.allow4.write(change));
        copy_hash::<[u8; 4], Entry, _>(from, names::BLOCKED4, lru, v4)?;
        copy_trie::<[u8; 4], AllowEntry, _>(from, names::ALLOW4, allow4)?;
        let destinations4 = to.destinations4.write(change);
        copy_trie::<[u8; 4], Destination, _>(from, names::DESTINATIONS4, destinations4)
    })?;
    copy_hash::<[u8; 8], Entry, _>(from, names::BLOCKED6, lru, &to.v6)?;
    copy_hash::<[u8; 16], Entry, _>(from, names::BLOCKED6_ADDR, lru, &to.v6_addresses)?;
    copy_trie::<[u8; 4], CidrEntry, _>(from, names::CIDR4, &mut to.cidr4)?;
    copy_trie::<[u8; 16], CidrEntry, _>(from, names::CIDR6, &mut to.cidr6)?;
    copy_trie::<[u8; 16], AllowEntry, _>(from, names::ALLOW6, &mut to.allow6)?;
    copy_trie::<[u8; 16], Destination, _>(from, names::DESTINATIONS6, &mut to.destinations6)?;
    copy_hash::<u32, u64, _>(from, names::NOT_IP, Map::HashMap, &to.not_ip)?;
    copy_hash::<[u8; 16], Origin, _>(from, names::ORIGINS, Map::HashMap, &to.origins)?;
    let (to, hash) = (&mut new.gate, Map::HashMap);
    copy_hash::<[u8; 8], KnownSender, _>(from, names::KNOWN, hash, &to.known)?;
    copy_hash::<[u8; 16], KnownSender, _>(from, names::KNOWN6_ADDR, hash, &to.known_addresses)?;
    copy_hash::<[u8; 8], KnownSender, _>(from, names::KNOWN_NETS, hash, &to.nets)?;
    copy_hash::<[u8; 8], Verdict, _>(from, names::VERDICTS, lru, &to.verdicts)
}

fn copy_changed(from: &Path, new: &mut NewMaps, since: MonotonicNs) -> Result<()> {
    let v4 = slid_since::<[u8; 4], Entry>(from, names::BLOCKED4, since)?;
    let v6 = slid_since::<[u8; 8], Entry>(from, names::BLOCKED6, since)?;
    let addresses = slid_since::<[u8; 16], Entry>(from, names::BLOCKED6_ADDR, since)?;
    let v4 = v4.into_iter().map(|(key, entry)| (Target::V4(key), entry));
    let v6 = v6.into_iter().map(|(key, entry)| (Target::V6(key), entry));
    let addresses = addresses.into_iter();
    let addresses = addresses.map(|(key, entry)| (Target::V6Address(key), entry));
    for (target, entry) in v4.chain(v6).chain(addresses) {
        new.blocklist.take_over(target, entry)?;
    }
    add_counters::<Counters>(from, &mut new.blocklist)?;
    let old: Array<_, GateStats> = typed(data(from, names::GATE_STATS)?, Map::Array)?;
    let old = old.get(&0, 0).context("cannot read gate_stats")?;
    new.gate.add_stats(&old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maps_are_those_that_were_recorded() {
        assert_eq!(MAPS[RECENT_DROPS].name, names::RECENT_DROPS4);
        for (version, recorded) in [
            (
                VERSION,
                include_str!("../../../../../spamdrop-common/abi/v2.txt"),
            ),
            (
                VERSION_3,
                include_str!("../../../../../spamdrop-common/abi/v3.txt"),
            ),
        ] {
            for map in version.maps {
                let MapSpec { name, kind, .. } = map;
                let (key, value) = (map.key_size, map.value_size);
                let flags = map.flags;
                let line =
                    format!("{name}: {kind:?}, key {key}, value {value}, flags {flags:#x}, ");
                let is_there = recorded.lines().any(|it| it.starts_with(&line));
                assert!(is_there, "{line}");
            }
        }
    }
}
