//! The pinned maps; only this module reads and writes them.
//!
//! A method returns an error if the kernel refuses a map operation.

mod addresses;
mod allow;
mod block;
mod cached_map;
mod destinations;
mod edit;
mod gate;
mod known;
pub mod migrate;
mod not_ip;
mod origins;
mod pause;
pub mod pins;
mod prefixes;
mod read;
mod recent_drops;
mod responder;
mod source_facts;
mod split;
mod sweep;

pub use block::Blocked;
pub use gate::{GateMaps, read_gate, read_gate_stats};
pub use known::KnownSet;
pub use read::{EntriesAhead, Found};
pub use responder::Responder;
pub use source_facts::read_source_facts;
pub use split::{OwnEntry, Split, WholeEntry};
pub use sweep::{CHUNK, SweptEntries};

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::Pod;
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap, IterableMap, Map, MapData, MapError, PerCpuArray, PerCpuValues};
use rustix::io::Errno;
use spamdrop_common::{
    counter::Counters,
    entry::{AllowEntry, CidrEntry, Destination, Entry, Origin},
    names,
    recent_drop::Line,
    settings::Settings,
};

use spamdrop_core::pause::Layer;

use crate::kernel::{bpf, ticks};
use crate::lock::WriteLock;
use cached_map::CachedMap;

/// The open maps.
pub struct Blocklist {
    v4: CachedMap<HashMap<MapData, [u8; 4], Entry>>,
    v6: HashMap<MapData, [u8; 8], Entry>,
    v6_addresses: HashMap<MapData, [u8; 16], Entry>,
    recent_drops: Array<MapData, Line>,
    cidr4: LpmTrie<MapData, [u8; 4], CidrEntry>,
    cidr6: LpmTrie<MapData, [u8; 16], CidrEntry>,
    allow4: CachedMap<LpmTrie<MapData, [u8; 4], AllowEntry>>,
    allow6: LpmTrie<MapData, [u8; 16], AllowEntry>,
    destinations4: CachedMap<LpmTrie<MapData, [u8; 4], Destination>>,
    destinations6: LpmTrie<MapData, [u8; 16], Destination>,
    settings: Array<MapData, Settings>,
    counters: PerCpuArray<MapData, Counters>,
    not_ip: HashMap<MapData, u32, u64>,
    origins: HashMap<MapData, [u8; 16], Origin>,
    capacity: pins::Capacity,
}

impl Blocklist {
    /// Opens the pinned maps, whatever their capacity.
    ///
    /// # Errors
    ///
    /// Nothing is pinned ([`Exit::NotAttached`]), or a map has another version
    /// or layout.
    ///
    /// [`Exit::NotAttached`]: crate::exit::Exit::NotAttached
    pub fn open(pin_dir: &Path) -> Result<Self> {
        let _acting = pins::act_as_daemon(pin_dir)?;
        pins::ensure_current(pin_dir)?;
        Self::open_maps(&pins::maps_dir(pin_dir))
    }

    /// Opens the maps that are pinned in `dir` itself.
    fn open_maps(dir: &Path) -> Result<Self> {
        pins::check(dir, None)?;
        let v4 = data(dir, names::BLOCKED4)?;
        let v6 = data(dir, names::BLOCKED6)?;
        let capacity = pins::Capacity {
            v4: v4.info()?.max_entries(),
            v6: v6.info()?.max_entries(),
            known: data(dir, names::KNOWN)?.info()?.max_entries(),
        };
        Ok(Self {
            v4: CachedMap::new(typed(v4, Map::LruHashMap)?),
            v6: typed(v6, Map::LruHashMap)?,
            v6_addresses: typed(data(dir, names::BLOCKED6_ADDR)?, Map::LruHashMap)?,
            recent_drops: typed(data(dir, names::RECENT_DROPS4)?, Map::Array)?,
            cidr4: typed(data(dir, names::CIDR4)?, Map::LpmTrie)?,
            cidr6: typed(data(dir, names::CIDR6)?, Map::LpmTrie)?,
            allow4: CachedMap::new(typed(data(dir, names::ALLOW4)?, Map::LpmTrie)?),
            allow6: typed(data(dir, names::ALLOW6)?, Map::LpmTrie)?,
            destinations4: CachedMap::new(typed(data(dir, names::DESTINATIONS4)?, Map::LpmTrie)?),
            destinations6: typed(data(dir, names::DESTINATIONS6)?, Map::LpmTrie)?,
            settings: typed(data(dir, names::SETTINGS)?, Map::Array)?,
            counters: typed(data(dir, names::COUNTERS)?, Map::PerCpuArray)?,
            not_ip: typed(data(dir, names::NOT_IP)?, Map::HashMap)?,
            origins: typed(data(dir, names::ORIGINS)?, Map::HashMap)?,
            capacity,
        })
    }

    /// The sizes of the block maps.
    #[must_use]
    pub fn capacity(&self) -> pins::Capacity {
        self.capacity
    }

    /// The filter's settings.
    pub fn settings(&self) -> Result<Settings> {
        self.settings.get(&0, 0).context("cannot read settings")
    }

    /// Replaces the part of the filter's settings that the configuration
    /// defines.
    pub fn configure(&mut self, _lock: &WriteLock, mut settings: Settings) -> Result<()> {
        settings.unit_ns = ticks::unit_ns();
        self.change_settings(|old| {
            settings.epoch = recent_drops::current(old);
            // If these were 0 until the counts below, the filter would skip the entries.
            settings.cidrs4 = old.cidrs4;
            settings.cidrs6 = old.cidrs6;
            settings.addresses6 = old.addresses6;
            // A pause is not part of the configuration, so it stays.
            for layer in Layer::ALL {
                *layer.end(&mut settings) = *layer.end(old);
            }
            *old = settings;
        })?;
        self.count_prefixes()?;
        self.count_addresses()
    }

    fn change_settings(&mut self, change: impl FnOnce(&mut Settings)) -> Result<()> {
        let mut settings = self.settings()?;
        change(&mut settings);
        self.settings
            .set(0, settings, 0)
            .context("cannot write settings")
    }

    /// The counters, summed over all CPUs.
    pub fn counters(&self) -> Result<Counters> {
        let cpus = self.counters.get(&0, 0).context("cannot read counters")?;
        let mut sum = Counters::default();
        cpus.iter().for_each(|cpu| sum.add(cpu));
        Ok(sum)
    }

    /// Adds to the counters. Packets that the filter counts during this call may
    /// be lost.
    pub fn add_counters(&mut self, _lock: &WriteLock, more: &Counters) -> Result<()> {
        let cpus = self.counters.get(&0, 0).context("cannot read counters")?;
        let mut cpus: Vec<Counters> = cpus.iter().copied().collect();
        if let Some(first) = cpus.first_mut() {
            first.add(more);
        }
        self.counters
            .set(0, PerCpuValues::try_from(cpus)?, 0)
            .context("cannot write counters")
    }
}

fn data(dir: &Path, name: &str) -> Result<MapData> {
    let path = dir.join(name);
    MapData::from_pin(&path)
        .with_context(|| format!("cannot open the pinned map {}", path.display()))
}

fn typed<M: TryFrom<Map, Error = MapError>>(data: MapData, kind: fn(MapData) -> Map) -> Result<M> {
    Ok(kind(data).try_into()?)
}

fn fd<K: Pod, V: Pod>(map: &impl IterableMap<K, V>) -> BorrowedFd<'_> {
    map.map().fd().as_fd()
}

fn walk<K: Pod + Send, V: Pod + Send>(
    map: &HashMap<MapData, K, V>,
    mut visit: impl FnMut(K, V),
) -> Result<()> {
    bpf::for_each(fd(map), |keys: &[K], values: &[V]| {
        keys.iter()
            .zip(values)
            .for_each(|(key, value)| visit(*key, *value));
        Ok(())
    })
    .context(UNREAD)
}

const UNREAD: &str = "cannot read a block map";

fn optional<T>(result: Result<T, MapError>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error).context("cannot look an address up"),
    }
}

fn present(result: Result<(), MapError>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(MapError::KeyNotFound) => Ok(false),
        Err(MapError::SyscallError(error))
            if Errno::from_io_error(&error.io_error) == Some(Errno::NOENT) =>
        {
            Ok(false)
        }
        Err(error) => Err(error).context("cannot remove an address"),
    }
}
