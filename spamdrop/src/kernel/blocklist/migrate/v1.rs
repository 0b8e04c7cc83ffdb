//! Layout v1, from before maps had a version: all maps are pinned in the pin
//! directory itself.
//!
//! Not copied: the gate, which the daemon writes five times a second and which
//! is open until then; the responder's sockets; look-up requests; SYNs seen in
//! a flood, and their number; when a class may have its next exception; the
//! drops of the last second, except their hits.

mod layout;

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::Pod;
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap as BpfHashMap, Map, MapData, PerCpuArray, PerCpuValues};
use spamdrop_common::action::expiry;
use spamdrop_common::time::MonotonicNs;
use spamdrop_common::{entry, gate, names};
use spamdrop_core::target::Target;

use super::super::{Blocklist, data, fd, typed};
use super::{NewMaps, OldVersion};
use crate::kernel::bpf;
pub use layout::{
    AllowEntry, CidrEntry, Counters, Entry, Hot, MAPS, Origin, Passage, Settings, Verdict,
};
use layout::{HOT4, PASSAGE};

/// The description of version 1.
pub(super) const VERSION: OldVersion = OldVersion {
    version: 1,
    maps: MAPS,
    copy,
    copy_changed,
};

fn copy(from: &Path, new: &mut NewMaps) -> Result<()> {
    let to = &mut new.blocklist;
    copy_settings(from, to)?;
    copy_entries(from, to)?;
    copy_trie::<[u8; 4], CidrEntry, _>(from, names::CIDR4, &mut to.cidr4)?;
    copy_trie::<[u8; 16], CidrEntry, _>(from, names::CIDR6, &mut to.cidr6)?;
    copy_trie::<[u8; 4], AllowEntry, _>(from, names::ALLOW4, &mut to.allow4)?;
    copy_trie::<[u8; 16], AllowEntry, _>(from, names::ALLOW6, &mut to.allow6)?;
    copy_hash::<[u8; 16], Origin, _>(from, names::ORIGINS, Map::HashMap, &to.origins)?;
    let to = &mut new.gate;
    copy_known(from, names::KNOWN, &to.known)?;
    copy_known(from, names::KNOWN_NETS, &to.nets)?;
    copy_hash::<[u8; 8], Verdict, _>(from, names::VERDICTS, Map::LruHashMap, &to.verdicts)
}

fn copy_changed(from: &Path, new: &mut NewMaps, since: MonotonicNs) -> Result<()> {
    let v4 = slid_since::<[u8; 4]>(from, names::BLOCKED4, since)?;
    let v6 = slid_since::<[u8; 8]>(from, names::BLOCKED6, since)?;
    let v4 = v4.into_iter().map(|(key, entry)| (Target::V4(key), entry));
    let v6 = v6.into_iter().map(|(key, entry)| (Target::V6(key), entry));
    for (target, entry) in v4.chain(v6) {
        new.blocklist.take_over(target, entry)?;
    }
    add_counters(from, &mut new.blocklist)?;
    let old: Array<_, Passage> = typed(data(from, PASSAGE)?, Map::Array)?;
    let old = old.get(&0, 0).context("cannot read passage")?;
    new.gate.add_stats(&old.into())
}

fn copy_settings(from: &Path, to: &mut Blocklist) -> Result<()> {
    let old: Array<_, Settings> = typed(data(from, names::SETTINGS)?, Map::Array)?;
    let old = old.get(&0, 0).context("cannot read settings")?;
    to.change_settings(|settings| *settings = old.into())
}

fn copy_entries(from: &Path, to: &Blocklist) -> Result<()> {
    let hot = uncounted_hits(from)?;
    let old: BpfHashMap<_, [u8; 4], Entry> = typed(data(from, names::BLOCKED4)?, Map::LruHashMap)?;
    bpf::for_each(fd(&old), |keys: &[[u8; 4]], values: &[Entry]| {
        let entries: Vec<entry::Entry> = keys
            .iter()
            .zip(values)
            .map(|(key, value)| {
                let mut entry = entry::Entry::from(*value);
                let more = hot.get(key).copied().unwrap_or(0);
                entry.hits = entry.hits.saturating_add(more);
                entry
            })
            .collect();
        bpf::update(fd(&to.v4), keys, &entries)
    })
    .context("cannot copy blocked4")?;
    copy_hash::<[u8; 8], Entry, _>(from, names::BLOCKED6, Map::LruHashMap, &to.v6)
}

/// The hits that are not yet counted in the entries.
fn uncounted_hits(from: &Path) -> Result<HashMap<[u8; 4], u32>> {
    let settings: Array<_, Settings> = typed(data(from, names::SETTINGS)?, Map::Array)?;
    let generation = settings
        .get(&0, 0)
        .context("cannot read settings")?
        .generation as u16;
    let old: Array<_, [Hot; 4]> = typed(data(from, HOT4)?, Map::Array)?;
    let mut hits = HashMap::new();
    bpf::for_each(fd(&old), |_: &[u32], sets: &[[Hot; 4]]| {
        let hit = sets.iter().flatten().filter(|hot| hot.hits != 0);
        let current = hit.filter(|hot| hot.generation == generation);
        hits.extend(current.map(|hot| (hot.source.to_ne_bytes(), hot.hits.into())));
        Ok(())
    })
    .context("cannot read hot4")?;
    Ok(hits)
}

fn copy_hash<K: Pod + Sync, V: Pod, N: Pod + Sync + From<V>>(
    from: &Path,
    name: &str,
    kind: fn(MapData) -> Map,
    to: &BpfHashMap<MapData, K, N>,
) -> Result<()> {
    let old: BpfHashMap<_, K, V> = typed(data(from, name)?, kind)?;
    bpf::for_each(fd(&old), |keys: &[K], values: &[V]| {
        let values: Vec<N> = values.iter().map(|value| (*value).into()).collect();
        bpf::update(fd(to), keys, &values)
    })
    .with_context(|| format!("cannot copy {name}"))
}

fn copy_known(
    from: &Path,
    name: &str,
    to: &BpfHashMap<MapData, [u8; 8], gate::KnownSender>,
) -> Result<()> {
    let old: BpfHashMap<_, [u8; 8], u8> = typed(data(from, name)?, Map::HashMap)?;
    bpf::for_each(fd(&old), |keys: &[[u8; 8]], _: &[u8]| {
        bpf::update(
            fd(to),
            keys,
            &vec![gate::KnownSender::default(); keys.len()],
        )
    })
    .with_context(|| format!("cannot copy {name}"))
}

fn copy_trie<A: Pod, V: Pod, N: Pod + From<V>>(
    from: &Path,
    name: &str,
    to: &mut LpmTrie<MapData, A, N>,
) -> Result<()> {
    let old: LpmTrie<_, A, V> = typed(data(from, name)?, Map::LpmTrie)?;
    for item in old.iter() {
        let (key, value) = item.with_context(|| format!("cannot read {name}"))?;
        to.insert(&key, N::from(value), 0)
            .with_context(|| format!("cannot copy {name}"))?;
    }
    Ok(())
}

/// The entries that a hit may have extended since `since`. A hit sets the
/// expiry to its own time plus the ttl, or to the hard limit.
fn slid_since<K: Pod>(
    from: &Path,
    name: &str,
    since: MonotonicNs,
) -> Result<Vec<(K, entry::Entry)>> {
    let old: BpfHashMap<_, K, Entry> = typed(data(from, name)?, Map::LruHashMap)?;
    let mut slid = Vec::new();
    bpf::for_each(fd(&old), |keys: &[K], values: &[Entry]| {
        let entries = values.iter().map(|value| entry::Entry::from(*value));
        slid.extend(keys.iter().copied().zip(entries).filter(|(_, entry)| {
            entry.ttl_s != 0 && entry.expires >= expiry(since, entry.ttl_s, entry.hard_until_s)
        }));
        Ok(())
    })
    .with_context(|| format!("cannot read {name}"))?;
    Ok(slid)
}

/// Adds the old program's counters to the new program's. Packets that the new
/// program counts during this call may be lost.
fn add_counters(from: &Path, to: &mut Blocklist) -> Result<()> {
    let old: PerCpuArray<_, Counters> = typed(data(from, names::COUNTERS)?, Map::PerCpuArray)?;
    let old = old.get(&0, 0).context("cannot read counters")?;
    let new = to.counters.get(&0, 0).context("cannot read counters")?;
    let sums = new.iter().zip(old.iter()).map(|(new, old)| {
        let mut sum = *new;
        sum.add(&(*old).into());
        sum
    });
    let sums = PerCpuValues::try_from(sums.collect::<Vec<_>>())?;
    to.counters
        .set(0, sums, 0)
        .context("cannot write counters")?;
    Ok(())
}
