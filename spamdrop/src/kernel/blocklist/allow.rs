//! The allowlist in the kernel.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use aya::maps::lpm_trie::Key;
use ipnet::IpNet;
use spamdrop_common::entry::AllowEntry;

use super::{Blocklist, cached_map::MapChange, prefixes::net, present};
use crate::lock::WriteLock;
use spamdrop_core::policy::ProtectionChanges;

impl Blocklist {
    /// The prefixes that the filter never drops, and whether the daemon added
    /// each by itself.
    pub fn allowed(&self) -> Result<Vec<(IpNet, bool)>> {
        let mut all = Vec::new();
        for item in self.allow4.iter() {
            let (key, value) = item.context("cannot read allow4")?;
            all.extend(
                net(key.data().into(), key.prefix_len()).map(|net| (net, value.automatic != 0)),
            );
        }
        for item in self.allow6.iter() {
            let (key, value) = item.context("cannot read allow6")?;
            all.extend(
                net(key.data().into(), key.prefix_len()).map(|net| (net, value.automatic != 0)),
            );
        }
        Ok(all)
    }

    /// Replaces the filter's allowlist by exactly these prefixes.
    pub fn allow_exactly(&mut self, lock: &WriteLock, wanted: &[(IpNet, bool)]) -> Result<()> {
        let wanted: HashMap<IpNet, bool> = wanted.iter().copied().collect();
        let present: HashMap<IpNet, bool> = self.allowed()?.into_iter().collect();
        let removed = present.keys().filter(|net| !wanted.contains_key(net));
        let changes = ProtectionChanges {
            removed: removed.copied().collect(),
            set: wanted
                .into_iter()
                .filter(|(net, automatic)| present.get(net) != Some(automatic))
                .collect(),
        };
        self.change_allowed(lock, &changes)
    }

    /// Changes the filter's allowlist, without reading it. Prefixes are removed
    /// before others are added, so that a full trie has room.
    pub fn change_allowed(&mut self, _lock: &WriteLock, changes: &ProtectionChanges) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.change(|list, change| list.write_allowed(changes, change))
    }

    fn write_allowed(&mut self, changes: &ProtectionChanges, change: &mut MapChange) -> Result<()> {
        for net in &changes.removed {
            let length = net.prefix_len().into();
            present(match net {
                IpNet::V4(net) => self
                    .allow4
                    .write(change)
                    .remove(&Key::new(length, net.addr().octets())),
                IpNet::V6(net) => self.allow6.remove(&Key::new(length, net.addr().octets())),
            })
            .with_context(|| format!("cannot take {net} off the allowlist"))?;
        }
        for &(net, automatic) in &changes.set {
            let value = AllowEntry {
                automatic: automatic.into(),
            };
            let length = net.prefix_len().into();
            match net {
                IpNet::V4(net) => self.allow4.write(change).insert(
                    &Key::new(length, net.addr().octets()),
                    value,
                    0,
                ),
                IpNet::V6(net) => {
                    self.allow6
                        .insert(&Key::new(length, net.addr().octets()), value, 0)
                }
            }
            .with_context(|| format!("cannot allow {net}"))?;
        }
        Ok(())
    }
}
