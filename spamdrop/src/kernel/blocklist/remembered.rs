//! The maps of which the filter remembers entries: what it found in them, it uses again
//! until it is too old, or until the epoch is raised.
//!
//! So the epoch must be raised after every change that removes or weakens an entry which it
//! may have found. Nobody can forget that: these maps are written only with a [`Change`],
//! which only [`Blocklist::change`] gives.

use std::io;

use anyhow::Result;
use aya::Pod;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{HashMap, MapData, MapError};

use super::{Blocklist, fd, recent_drops};
use crate::kernel::bpf::Reading;

/// Permits to write to the maps of which the filter remembers entries.
#[derive(Default)]
pub(super) struct Change {
    is_outdated: bool,
    keeps_epoch: bool,
}

impl Change {
    /// The filter remembers what has no entry any more.
    pub(super) fn outdates(&mut self) {
        self.is_outdated = true;
    }

    /// Leaves the epoch as it is: the filter remembers nothing that is removed or weakened.
    pub(super) fn keep_epoch(&mut self) {
        self.keeps_epoch = true;
    }
}

impl Blocklist {
    /// Changes entries. If that wrote to a map of which the filter remembers entries, the epoch
    /// is raised afterwards, unless the change keeps it; also after an error, because a part
    /// may have been written.
    pub(super) fn change<T>(
        &mut self,
        write: impl FnOnce(&mut Self, &mut Change) -> Result<T>,
    ) -> Result<T> {
        let mut change = Change::default();
        let written = write(self, &mut change);
        if change.is_outdated && !change.keeps_epoch {
            self.change_settings(|settings| settings.epoch = recent_drops::current(settings))?;
        }
        written
    }
}

/// A map of which the filter remembers entries.
pub(super) struct Remembered<M>(M);

impl<M> Remembered<M> {
    pub(super) fn new(map: M) -> Self {
        Self(map)
    }

    /// The map, to write to it.
    pub(super) fn write(&mut self, change: &mut Change) -> &mut M {
        change.outdates();
        &mut self.0
    }
}

impl<K: Pod + Send, V: Pod + Send> Remembered<HashMap<MapData, K, V>> {
    pub(super) fn get(&self, key: &K) -> Result<V, MapError> {
        self.0.get(key, 0)
    }

    /// Begins to read all entries.
    pub(super) fn read_ahead(&self) -> io::Result<Reading<K, V>> {
        Reading::begin(fd(&self.0))
    }
}

impl<K: Pod, V: Pod> Remembered<LpmTrie<MapData, K, V>> {
    pub(super) fn get(&self, key: &Key<K>) -> Result<V, MapError> {
        self.0.get(key, 0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Result<(Key<K>, V), MapError>> {
        self.0.iter()
    }
}
