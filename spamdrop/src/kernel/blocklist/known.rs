//! The filter's map of known senders.

use std::collections::HashSet;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, MapData};
use spamdrop_common::gate::{KnownSender, net_key, source_key};

use super::{fd, present, walk};
use crate::kernel::bpf;
use spamdrop_core::target::Target;

/// A map whose values are not used yet.
pub(super) type Keys = HashMap<MapData, [u8; 8], KnownSender>;

/// The keys of the known senders in the filter, and the keys of their networks.
#[derive(Debug, Default)]
pub struct Known {
    pub(super) sources: HashSet<[u8; 8]>,
    pub(super) nets: HashSet<[u8; 8]>,
}

impl Known {
    /// Whether a source is among them.
    #[must_use]
    pub fn contains(&self, source: IpAddr) -> bool {
        key(source.into()).is_some_and(|(_, key)| self.sources.contains(&key))
    }

    /// The number of senders.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether there are no senders.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }
}

impl FromIterator<Target> for Known {
    /// Prefixes are ignored.
    fn from_iter<I: IntoIterator<Item = Target>>(sources: I) -> Self {
        let mut known = Self::default();
        for (v6, key) in sources.into_iter().filter_map(key) {
            known.sources.insert(key);
            known.nets.insert(net_key(v6, key));
        }
        known
    }
}

/// The source's key, and whether the source is an IPv6 address; `None` for a
/// prefix.
pub(super) fn key(source: Target) -> Option<(bool, [u8; 8])> {
    let whole = |bytes: &[u8]| {
        let mut whole = [0; 16];
        whole
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        whole
    };
    match source {
        Target::V4(bytes) => Some((false, source_key(false, whole(&bytes)))),
        Target::V6(bytes) => Some((true, source_key(true, whole(&bytes)))),
        Target::V6Address(bytes) => Some((true, source_key(true, bytes))),
        Target::Net(_) => None,
    }
}

/// Replaces the map's keys by `wanted`, whatever it holds.
pub(super) fn hold_exactly(map: &mut Keys, wanted: &HashSet<[u8; 8]>) -> Result<()> {
    let mut held = HashSet::default();
    walk(map, |key, _| {
        held.insert(key);
    })?;
    hold_instead(map, &held, wanted)
}

/// Replaces the map's keys, which are `held`, by `wanted`.
pub(super) fn hold_instead(
    map: &mut Keys,
    held: &HashSet<[u8; 8]>,
    wanted: &HashSet<[u8; 8]>,
) -> Result<()> {
    // Removals come first, so that a full map has room.
    for key in held.difference(wanted) {
        present(map.remove(key))?;
    }
    let keys: Vec<[u8; 8]> = wanted.difference(held).copied().collect();
    bpf::update(fd(map), &keys, &vec![KnownSender::default(); keys.len()])
        .context("cannot write the known senders")
}
