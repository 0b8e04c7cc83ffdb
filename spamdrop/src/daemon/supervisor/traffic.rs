//! Watches whether the interfaces carry packets that the filter can read.

use std::collections::BTreeMap;

use anyhow::Result;
use spamdrop_core::not_ip::Received;

use super::Supervisor;
use crate::clock;
use crate::daemon::health::Subject;
use crate::kernel::attach::Linked;

impl Supervisor {
    /// Compares the packets that are not IP with all packets, for each
    /// interface that has the filter.
    pub(super) fn watch_traffic(&mut self, linked: &[Linked]) {
        let trouble = self.unreadable_traffic(linked).unwrap_or_else(|error| {
            Some(format!(
                "cannot check whether the packets are IP: {error:#}"
            ))
        });
        self.health.set(Subject::Traffic, trouble);
    }

    fn unreadable_traffic(&mut self, linked: &[Linked]) -> Result<Option<String>> {
        let interfaces = linked.iter().filter_map(Linked::interface);
        let interfaces: Vec<_> = interfaces.collect();
        let indexes = interfaces.iter().map(|interface| interface.index);
        self.blocklist.count_not_ip(&indexes.collect())?;
        let mut received = BTreeMap::new();
        for interface in interfaces {
            let counts = Received {
                packets: interface.received,
                not_ip: self.blocklist.not_ip(interface.index)?,
            };
            received.insert(interface.name.clone(), counts);
        }
        let unreadable = self.not_ip.update(&received, clock::monotonic()).join(", ");
        Ok((!unreadable.is_empty()).then(|| {
            format!(
                "{unreadable}: nearly all packets are neither IPv4 nor IPv6, so the filter sees no \
                 mail; name the interface that carries IP, such as `ppp0` for PPPoE"
            )
        }))
    }
}
