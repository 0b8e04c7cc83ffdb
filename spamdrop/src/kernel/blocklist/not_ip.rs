//! Packets that are not IP, by interface.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use super::Blocklist;

impl Blocklist {
    /// Lets the filter count the packets of exactly these interfaces that are
    /// not IP. Only the daemon calls this, so it needs no write lock.
    ///
    /// # Errors
    ///
    /// A map operation fails, or there are more than 64 interfaces.
    pub fn count_not_ip(&mut self, interfaces: &BTreeSet<u32>) -> Result<()> {
        let counted = self.not_ip.keys().collect::<Result<BTreeSet<u32>, _>>();
        let counted = counted.context("cannot read not_ip")?;
        for interface in counted.difference(interfaces) {
            self.not_ip
                .remove(interface)
                .context("cannot write not_ip")?;
        }
        for interface in interfaces.difference(&counted) {
            self.not_ip
                .insert(interface, 0, 0)
                .context("cannot write not_ip")?;
        }
        Ok(())
    }

    /// The number of packets of an interface that were not IP, since the filter began to
    /// count them.
    ///
    /// # Errors
    ///
    /// The interface is not counted, or the map cannot be read.
    pub fn not_ip(&self, interface: u32) -> Result<u64> {
        self.not_ip.get(&interface, 0).context("cannot read not_ip")
    }
}
