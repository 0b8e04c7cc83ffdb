//! The maps whose entries the filter caches. The filter uses the result of a look-up again
//! until the result is too old, or until the epoch is raised.
//!
//! So the epoch must be raised after every change that removes or weakens an entry that may
//! be cached. A write to these maps requires a [`MapChange`], which only [`Blocklist::change`]
//! creates. After the write, it raises the epoch unless [`MapChange::keep_epoch`] was called.

use std::io;

use anyhow::Result;
use aya::Pod;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{HashMap, MapData, MapError};

use super::{Blocklist, fd, recent_drops};
use crate::kernel::bpf::MapReadAhead;

/// The permission to write to the maps whose entries the filter caches.
#[derive(Default)]
pub(super) struct MapChange {
    is_outdated: bool,
    keeps_epoch: bool,
}

impl MapChange {
    /// Requires that the epoch is raised, because a cached entry may be outdated.
    pub(super) fn outdates(&mut self) {
        self.is_outdated = true;
    }

    /// Prevents that the epoch is raised. The caller has checked that the change removes and
    /// weakens no entry that the filter may have cached.
    pub(super) fn keep_epoch(&mut self) {
        self.keeps_epoch = true;
    }
}

impl Blocklist {
    /// Changes entries by `write`. If it writes to a map whose entries the filter caches, the
    /// epoch is raised afterwards, unless [`MapChange::keep_epoch`] was called. This holds also
    /// after an error, because some entries may have been written.
    pub(super) fn change<T>(
        &mut self,
        write: impl FnOnce(&mut Self, &mut MapChange) -> Result<T>,
    ) -> Result<T> {
        let mut change = MapChange::default();
        let written = write(self, &mut change);
        if change.is_outdated && !change.keeps_epoch {
            self.change_settings(|settings| settings.epoch = recent_drops::current(settings))?;
        }
        written
    }
}

/// A map whose entries the filter caches.
pub(super) struct CachedMap<M>(M);

impl<M> CachedMap<M> {
    pub(super) fn new(map: M) -> Self {
        Self(map)
    }

    /// The map, for a write that may outdate the cache.
    pub(super) fn write(&mut self, change: &mut MapChange) -> &mut M {
        change.outdates();
        &mut self.0
    }
}

impl<K: Pod + Send, V: Pod + Send> CachedMap<HashMap<MapData, K, V>> {
    pub(super) fn get(&self, key: &K) -> Result<V, MapError> {
        self.0.get(key, 0)
    }

    /// Begins to read all entries, as [`MapReadAhead::begin`].
    pub(super) fn read(&self, ahead: usize) -> io::Result<MapReadAhead<K, V>> {
        MapReadAhead::begin(fd(&self.0), ahead)
    }
}

impl<K: Pod, V: Pod> CachedMap<LpmTrie<MapData, K, V>> {
    pub(super) fn get(&self, key: &Key<K>) -> Result<V, MapError> {
        self.0.get(key, 0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Result<(Key<K>, V), MapError>> {
        self.0.iter()
    }
}
