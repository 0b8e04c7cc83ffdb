//! The filter's map of known senders.

use std::collections::HashMap as KeyMap;
use std::hash::Hash;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use aya::Pod;
use aya::maps::{HashMap, MapData};
use spamdrop_common::gate::{KnownSender, net_key, source_key};

use super::{fd, present, walk};
use crate::kernel::bpf;
use spamdrop_core::target::Target;

/// A map of known senders.
pub(super) type Keys<K> = HashMap<MapData, K, KnownSender>;

/// The known senders in the filter, and their networks.
#[derive(Debug, Default)]
pub struct KnownSet {
    pub(super) sources: KeyMap<[u8; 8], KnownSender>,
    /// IPv6 addresses that are known without the rest of their /64. `sources` holds that
    /// /64 with the flag `NOT_WHOLE`, unless all of it is known as well.
    pub(super) addresses: KeyMap<[u8; 16], KnownSender>,
    pub(super) nets: KeyMap<[u8; 8], KnownSender>,
}

impl KnownSet {
    /// Whether a source is known, by itself or by its /64.
    #[must_use]
    pub fn contains(&self, source: IpAddr) -> bool {
        let Some((_, key)) = key(source.into()) else {
            return false;
        };
        let is_alone = || match Target::alone(source) {
            Target::V6Address(address) => self.addresses.contains_key(&address),
            _ => false,
        };
        self.sources
            .get(&key)
            .is_some_and(|known| known.is_whole() || is_alone())
    }

    /// The number of senders.
    #[must_use]
    pub fn len(&self) -> usize {
        let whole = self.sources.values().filter(|known| known.is_whole());
        whole.count() + self.addresses.len()
    }

    /// Whether there are no senders.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }
}

impl FromIterator<Target> for KnownSet {
    /// Prefixes are ignored.
    fn from_iter<I: IntoIterator<Item = Target>>(sources: I) -> Self {
        let mut known = Self::default();
        let not_whole = KnownSender {
            flags: KnownSender::NOT_WHOLE,
        };
        for source in sources {
            let Some((v6, key)) = key(source) else {
                continue;
            };
            known.nets.insert(net_key(v6, key), KnownSender::default());
            if let Target::V6Address(address) = source {
                known.addresses.insert(address, KnownSender::default());
                known.sources.entry(key).or_insert(not_whole);
            } else {
                known.sources.insert(key, KnownSender::default());
            }
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

/// Replaces the content of the map by `wanted`.
pub(super) fn hold_exactly<K: Pod + Eq + Hash + Send + Sync>(
    map: &mut Keys<K>,
    wanted: &KeyMap<K, KnownSender>,
) -> Result<()> {
    let mut held = KeyMap::default();
    walk(map, |key, value| {
        held.insert(key, value);
    })?;
    hold_instead(map, &held, wanted)
}

/// Changes the content of the map from `held` to `wanted`, and writes only the
/// difference.
pub(super) fn hold_instead<K: Pod + Eq + Hash + Sync>(
    map: &mut Keys<K>,
    held: &KeyMap<K, KnownSender>,
    wanted: &KeyMap<K, KnownSender>,
) -> Result<()> {
    // Removals come first, so that a full map has room.
    for key in held.keys().filter(|key| !wanted.contains_key(key)) {
        present(map.remove(key))?;
    }
    let changed = |(key, value): &(&K, &KnownSender)| held.get(key) != Some(value);
    let (keys, values): (Vec<K>, Vec<KnownSender>) = wanted.iter().filter(changed).unzip();
    bpf::update(fd(map), &keys, &values).context("cannot write the known senders")
}
