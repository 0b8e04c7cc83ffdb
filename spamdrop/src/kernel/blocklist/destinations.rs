//! The destinations to which blocks and the gate apply.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use aya::maps::lpm_trie::Key;
use ipnet::IpNet;
use spamdrop_common::entry::Destination;

use super::{Blocklist, cached_map::MapChange, prefixes::net};
use crate::lock::WriteLock;

impl Blocklist {
    /// The destinations to which blocks and the gate apply, if the settings
    /// limit them.
    pub fn destinations(&self) -> Result<HashSet<IpNet>> {
        let mut all = HashSet::new();
        for item in self.destinations4.iter() {
            let (key, _) = item.context("cannot read destinations4")?;
            all.extend(net(key.data().into(), key.prefix_len()));
        }
        for item in self.destinations6.iter() {
            let (key, _) = item.context("cannot read destinations6")?;
            all.extend(net(key.data().into(), key.prefix_len()));
        }
        Ok(all)
    }

    /// Replaces the destinations by exactly these prefixes. Writes nothing if
    /// they are unchanged.
    pub fn apply_exactly_to(&mut self, _lock: &WriteLock, wanted: &[IpNet]) -> Result<()> {
        let held = self.destinations()?;
        let wanted: HashSet<IpNet> = wanted.iter().copied().collect();
        if held == wanted {
            return Ok(());
        }
        self.change(|list, change| {
            let mut gone = held.difference(&wanted);
            if !gone.any(|net| matches!(net, IpNet::V4(_))) {
                change.keep_epoch();
            }
            list.remove_destinations(held.difference(&wanted), change)?;
            list.add_destinations(wanted.difference(&held), change)
        })
    }

    fn remove_destinations<'a>(
        &mut self,
        nets: impl Iterator<Item = &'a IpNet>,
        change: &mut MapChange,
    ) -> Result<()> {
        for net in nets {
            let length = net.prefix_len().into();
            match net {
                IpNet::V4(net) => self
                    .destinations4
                    .write(change)
                    .remove(&Key::new(length, net.addr().octets())),
                IpNet::V6(net) => self
                    .destinations6
                    .remove(&Key::new(length, net.addr().octets())),
            }
            .with_context(|| format!("cannot remove the destination {net}"))?;
        }
        Ok(())
    }

    fn add_destinations<'a>(
        &mut self,
        nets: impl Iterator<Item = &'a IpNet>,
        change: &mut MapChange,
    ) -> Result<()> {
        for net in nets {
            let (length, value) = (net.prefix_len().into(), Destination::default());
            match net {
                IpNet::V4(net) => self.destinations4.write(change).insert(
                    &Key::new(length, net.addr().octets()),
                    value,
                    0,
                ),
                IpNet::V6(net) => {
                    self.destinations6
                        .insert(&Key::new(length, net.addr().octets()), value, 0)
                }
            }
            .with_context(|| format!("cannot add the destination {net}"))?;
        }
        Ok(())
    }
}
