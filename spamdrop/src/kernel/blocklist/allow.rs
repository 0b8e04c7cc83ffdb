//! The allowlist in the kernel.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use aya::maps::lpm_trie::Key;
use ipnet::IpNet;
use spamdrop_common::entry::AllowEntry;

use super::{Blocklist, prefixes::net};
use crate::lock::WriteLock;

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

    /// Replaces the filter's allowlist by exactly these prefixes. Old prefixes
    /// are removed before new ones are added, so that a full trie has room.
    pub fn allow_exactly(&mut self, _lock: &WriteLock, wanted: &[(IpNet, bool)]) -> Result<()> {
        let changed = self.change_allowed(wanted);
        // The epoch is raised even after an error, because some prefixes may
        // have been changed.
        self.raise_epoch()?;
        changed
    }

    fn change_allowed(&mut self, wanted: &[(IpNet, bool)]) -> Result<()> {
        let wanted: HashMap<IpNet, bool> = wanted.iter().copied().collect();
        let present: HashMap<IpNet, bool> = self.allowed()?.into_iter().collect();
        for net in present.keys().filter(|net| !wanted.contains_key(net)) {
            let length = net.prefix_len().into();
            match net {
                IpNet::V4(net) => self.allow4.remove(&Key::new(length, net.addr().octets())),
                IpNet::V6(net) => self.allow6.remove(&Key::new(length, net.addr().octets())),
            }
            .with_context(|| format!("cannot take {net} off the allowlist"))?;
        }
        for (net, automatic) in wanted {
            if present.get(&net) == Some(&automatic) {
                continue;
            }
            let value = AllowEntry {
                automatic: automatic.into(),
            };
            let length = net.prefix_len().into();
            match net {
                IpNet::V4(net) => {
                    self.allow4
                        .insert(&Key::new(length, net.addr().octets()), value, 0)
                }
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
