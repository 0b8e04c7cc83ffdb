//! The pinned maps: what they must look like, and whether they do.
//!
//! aya 0.14 takes any map that is pinned under the right name. A wider value
//! than ours would then let the kernel write past our buffers, so every pin
//! is compared before it is opened or handed to the loader.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{MapInfo, MapType, lpm_trie::Key};
use spamdrop_common::{
    counter::Counters,
    entry::{AllowEntry, CidrEntry, Entry, Origin},
    gate::{Gate, Passage, SYNS, Syn, Verdict},
    hot::{Hot, SETS, WAYS},
    names,
    settings::Settings,
};

use crate::exit::{Exit, Failure};

/// The sizes that the configuration chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Entries for IPv4 addresses.
    pub v4: u32,
    /// Entries for IPv6 prefixes.
    pub v6: u32,
    /// Known senders.
    pub known: u32,
}

/// Where sizes do not matter.
const ANY: Capacity = Capacity {
    v4: 0,
    v6: 0,
    known: 0,
};

/// What a pinned map must look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    /// Its name, and that of its pin.
    pub name: &'static str,
    kind: MapType,
    key_size: u32,
    value_size: u32,
    flags: u32,
    /// Its capacity.
    pub max_entries: u32,
}

const NO_PREALLOC: u32 = aya_obj::generated::BPF_F_NO_PREALLOC;
/// Capacity of each trie, in prefixes.
pub const PREFIXES: u32 = 65_536;
/// Sources of whom a verdict is kept.
const VERDICTS: u32 = 131_072;
/// Room for some 2,700 sources that wait to be read.
const ASKS_BYTES: u32 = 65_536;

const fn spec<K, V>(name: &'static str, kind: MapType, flags: u32, max_entries: u32) -> Spec {
    Spec {
        name,
        kind,
        key_size: size_of::<K>() as u32,
        value_size: size_of::<V>() as u32,
        flags,
        max_entries,
    }
}

/// Every pinned map, for these sizes.
#[must_use]
pub const fn specs(capacity: Capacity) -> [Spec; 18] {
    let origins = capacity.v4.saturating_add(capacity.v6);
    [
        spec::<[u8; 4], Entry>(names::BLOCKED4, MapType::LruHash, 0, capacity.v4),
        spec::<[u8; 8], Entry>(names::BLOCKED6, MapType::LruHash, 0, capacity.v6),
        spec::<u32, [Hot; WAYS]>(names::HOT4, MapType::Array, 0, SETS),
        trie::<[u8; 4], CidrEntry>(names::CIDR4),
        trie::<[u8; 16], CidrEntry>(names::CIDR6),
        trie::<[u8; 4], AllowEntry>(names::ALLOW4),
        trie::<[u8; 16], AllowEntry>(names::ALLOW6),
        spec::<u32, Settings>(names::SETTINGS, MapType::Array, 0, 1),
        spec::<u32, Counters>(names::COUNTERS, MapType::PerCpuArray, 0, 1),
        spec::<[u8; 8], u8>(names::KNOWN, MapType::Hash, NO_PREALLOC, capacity.known),
        spec::<[u8; 8], u8>(
            names::KNOWN_NETS,
            MapType::Hash,
            NO_PREALLOC,
            capacity.known,
        ),
        spec::<[u8; 8], Verdict>(names::VERDICTS, MapType::LruHash, 0, VERDICTS),
        spec::<u32, Gate>(names::GATE, MapType::Array, 0, 1),
        spec::<u32, Passage>(names::PASSAGE, MapType::Array, 0, 1),
        spec::<u32, Syn>(names::RECENT_SYNS, MapType::Array, 0, SYNS),
        spec::<u32, u32>(names::RESPONDER, MapType::SockMap, 0, 2),
        spec::<(), ()>(names::ASKS, MapType::RingBuf, 0, ASKS_BYTES),
        spec::<[u8; 16], Origin>(names::ORIGINS, MapType::Hash, NO_PREALLOC, origins),
    ]
}

const fn trie<K, V>(name: &'static str) -> Spec {
    spec::<Key<K>, V>(name, MapType::LpmTrie, NO_PREALLOC, PREFIXES)
}

/// Compares every map that is pinned in `dir` with what this version needs;
/// `capacity` of `None` takes any size. Maps that are not pinned yet are fine.
///
/// # Errors
///
/// A map differs; the message names the map, the property and the way out.
pub fn check(dir: &Path, capacity: Option<Capacity>) -> Result<()> {
    for spec in specs(capacity.unwrap_or(ANY)) {
        let path = dir.join(spec.name);
        if !exists(&path)? {
            continue;
        }
        let info = MapInfo::from_pin(&path)
            .with_context(|| format!("cannot open the pinned map {}", path.display()))?;
        if let Some(difference) = spec.difference(&info, capacity.is_some()) {
            let message = format!(
                "the pinned map {} has {difference}; it is left alone. To start with empty maps: `spamdrop detach`, then start again",
                path.display()
            );
            return Err(Failure::new(Exit::Failed, message));
        }
    }
    Ok(())
}

impl Spec {
    fn difference(&self, info: &MapInfo, sized: bool) -> Option<String> {
        let kind = info.map_type().ok();
        if kind != Some(self.kind) {
            let found =
                kind.map_or_else(|| "an unknown type".into(), |kind| format!("type {kind:?}"));
            return Some(format!("{found} instead of {:?}", self.kind));
        }
        let properties = [
            ("a key of", info.key_size(), self.key_size, "bytes", true),
            (
                "a value of",
                info.value_size(),
                self.value_size,
                "bytes",
                true,
            ),
            (
                "a capacity of",
                info.max_entries(),
                self.max_entries,
                "entries",
                sized,
            ),
            ("flags", info.map_flags(), self.flags, "", true),
        ];
        properties
            .iter()
            .find(|(_, found, wanted, _, compared)| *compared && found != wanted)
            .map(|(what, found, wanted, unit, _)| {
                format!("{what} {found} instead of {wanted} {unit}")
                    .trim_end()
                    .to_owned()
            })
    }
}

/// Whether anything is pinned in `dir`.
///
/// # Errors
///
/// The directory cannot be looked at.
pub fn exist(dir: &Path) -> Result<bool> {
    exists(&dir.join(names::SETTINGS))
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists()
        .with_context(|| format!("cannot look at {}", path.display()))
}

/// Makes the pin directory, for root only.
///
/// # Errors
///
/// It is not on a BPF file system, or cannot be made.
pub fn make_dir(dir: &Path) -> Result<()> {
    let parent = dir.parent().unwrap_or(dir);
    let stat = rustix::fs::statfs(parent)
        .map_err(io::Error::from)
        .with_context(|| format!("cannot look at {}", parent.display()))?;
    if stat.f_type != BPF_FS_MAGIC {
        let parent = parent.display();
        anyhow::bail!("{parent} is not a BPF file system; mount one: `mount -t bpf bpf {parent}`");
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make the directory {}", dir.display()))
        }
        _ => Ok(()),
    }
}

const BPF_FS_MAGIC: rustix::fs::FsWord = 0xcafe_4a11;

/// The maps that are pinned in `dir`, by name.
///
/// # Errors
///
/// The directory cannot be looked at.
pub fn present(dir: &Path) -> Result<Vec<&'static str>> {
    let mut names = Vec::new();
    for spec in specs(ANY) {
        if exists(&dir.join(spec.name))? {
            names.push(spec.name);
        }
    }
    Ok(names)
}

/// Removes every map pin but those named in `keep`, and the directory if it
/// is empty then.
///
/// # Errors
///
/// A pin cannot be removed.
pub fn remove_except(dir: &Path, keep: &[&str]) -> Result<()> {
    for name in present(dir)? {
        let path = dir.join(name);
        if !keep.contains(&name) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    match fs::remove_dir(dir) {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}
