//! Layout v1, from before maps had a version: all maps are pinned in the pin
//! directory itself.
//!
//! Not copied: the gate, which is open until the daemon sets it; the responder's
//! sockets; look-up requests; SYNs seen in a flood, and their number; the time of
//! each class's next starvation admit; the cached drops of the last second, except
//! their hits.

mod layout;

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap as BpfHashMap, Map, MapData};
use spamdrop_common::time::MonotonicNs;
use spamdrop_common::{entry, gate, names};
use spamdrop_core::target::Target;

use super::super::{Blocklist, data, fd, typed};
use super::copy::{add_counters, copy_hash, copy_trie, slid_since};
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
    copy_trie::<[u8; 4], CidrEntry, _>(from, names::CIDR4, &mut to.cidr4)?;
    copy_trie::<[u8; 16], CidrEntry, _>(from, names::CIDR6, &mut to.cidr6)?;
    to.change(|to, change| {
        copy_entries(from, to.v4.write(change))?;
        copy_trie::<[u8; 4], AllowEntry, _>(from, names::ALLOW4, to.allow4.write(change))
    })?;
    copy_hash::<[u8; 8], Entry, _>(from, names::BLOCKED6, Map::LruHashMap, &to.v6)?;
    copy_trie::<[u8; 16], AllowEntry, _>(from, names::ALLOW6, &mut to.allow6)?;
    copy_hash::<[u8; 16], Origin, _>(from, names::ORIGINS, Map::HashMap, &to.origins)?;
    let to = &mut new.gate;
    copy_known(from, names::KNOWN, &to.known)?;
    copy_known(from, names::KNOWN_NETS, &to.nets)?;
    copy_hash::<[u8; 8], Verdict, _>(from, names::VERDICTS, Map::LruHashMap, &to.verdicts)
}

fn copy_changed(from: &Path, new: &mut NewMaps, since: MonotonicNs) -> Result<()> {
    let v4 = slid_since::<[u8; 4], Entry>(from, names::BLOCKED4, since)?;
    let v6 = slid_since::<[u8; 8], Entry>(from, names::BLOCKED6, since)?;
    let v4 = v4.into_iter().map(|(key, entry)| (Target::V4(key), entry));
    let v6 = v6.into_iter().map(|(key, entry)| (Target::V6(key), entry));
    for (target, entry) in v4.chain(v6) {
        new.blocklist.take_over(target, entry)?;
    }
    add_counters::<Counters>(from, &mut new.blocklist)?;
    let old: Array<_, Passage> = typed(data(from, PASSAGE)?, Map::Array)?;
    let old = old.get(&0, 0).context("cannot read passage")?;
    new.gate.add_stats(&old.into())
}

fn copy_settings(from: &Path, to: &mut Blocklist) -> Result<()> {
    let old: Array<_, Settings> = typed(data(from, names::SETTINGS)?, Map::Array)?;
    let old = old.get(&0, 0).context("cannot read settings")?;
    to.change_settings(|settings| *settings = old.into())
}

fn copy_entries(from: &Path, to: &BpfHashMap<MapData, [u8; 4], entry::Entry>) -> Result<()> {
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
        bpf::update(fd(to), keys, &entries)
    })
    .context("cannot copy blocked4")
}

/// The hits that are cached and not yet counted in the entries, by source.
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
