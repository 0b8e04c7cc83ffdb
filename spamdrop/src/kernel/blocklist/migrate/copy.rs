//! Copies maps of an older version whose keys are the same as in this version.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::Pod;
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{HashMap as BpfHashMap, Map, MapData, PerCpuArray, PerCpuValues};
use spamdrop_common::action::expiry;
use spamdrop_common::time::MonotonicNs;
use spamdrop_common::{counter, entry, names};

use super::super::{Blocklist, data, fd, typed};
use crate::kernel::bpf;

pub(super) fn copy_hash<K: Pod + Send + Sync, V: Pod + Send, N: Pod + Sync + From<V>>(
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

pub(super) fn copy_trie<A: Pod, V: Pod, N: Pod + From<V>>(
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
pub(super) fn slid_since<K: Pod + Send, V: Pod + Send + Into<entry::Entry>>(
    from: &Path,
    name: &str,
    since: MonotonicNs,
) -> Result<Vec<(K, entry::Entry)>> {
    let old: BpfHashMap<_, K, V> = typed(data(from, name)?, Map::LruHashMap)?;
    let mut slid = Vec::new();
    bpf::for_each(fd(&old), |keys: &[K], values: &[V]| {
        let entries = values.iter().map(|&value| -> entry::Entry { value.into() });
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
pub(super) fn add_counters<C: Pod + Into<counter::Counters>>(
    from: &Path,
    to: &mut Blocklist,
) -> Result<()> {
    let old: PerCpuArray<_, C> = typed(data(from, names::COUNTERS)?, Map::PerCpuArray)?;
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
