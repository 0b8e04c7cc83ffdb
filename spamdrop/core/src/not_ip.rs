//! Finds interfaces whose packets the filter cannot read, because nearly all of them
//! are not IP.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The packets of this last period are considered.
const PERIOD: Duration = Duration::from_secs(60);
/// Counts that follow the last ones sooner than this are left out.
const SECOND: Duration = Duration::from_secs(1);
/// The fewest packets of the period that allow a conclusion.
const ENOUGH: u64 = 1_000;
/// Fewer packets than this do not clear an interface that was found unreadable.
const FEW: u64 = 100;
/// The percentage of packets that counts as nearly all.
const NEARLY_ALL: u64 = 99;

/// Packet counts of an interface. They restart when it is created anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// All packets.
    pub packets: u64,
    /// Packets that are neither IPv4, IPv6 nor ARP.
    pub not_ip: u64,
}

/// The packets of each interface in the last minute.
#[derive(Debug, Default)]
pub struct NotIpWatch(BTreeMap<String, PacketSamples>);

#[derive(Debug, Default)]
struct PacketSamples {
    samples: VecDeque<(Duration, Received)>,
    is_unreadable: bool,
}

impl NotIpWatch {
    /// Takes the counts of the interfaces that have the filter, and forgets the other
    /// interfaces. Returns the interfaces whose packets are nearly all not IP. `now` is
    /// the monotonic clock.
    pub fn update(&mut self, received: &BTreeMap<String, Received>, now: Duration) -> Vec<&str> {
        self.0.retain(|name, _| received.contains_key(name));
        for (name, counts) in received {
            self.0.entry(name.clone()).or_default().add(*counts, now);
        }
        let unreadable = self.0.iter().filter(|(_, window)| window.is_unreadable);
        unreadable.map(|(name, _)| name.as_str()).collect()
    }
}

impl PacketSamples {
    fn add(&mut self, counts: Received, now: Duration) {
        let is_recent = |last: &(Duration, Received)| now.saturating_sub(last.0) < SECOND;
        if self.samples.back().is_some_and(is_recent) {
            return;
        }
        let is_reset = |last: &(Duration, Received)| counts.packets < last.1.packets;
        if self.samples.back().is_some_and(is_reset) {
            self.samples.clear();
        }
        self.samples.push_back((now, counts));
        while self.samples.len() > 1 && now.saturating_sub(self.samples[0].0) > PERIOD {
            self.samples.pop_front();
        }
        let first = self.samples[0].1;
        let packets = counts.packets - first.packets;
        // The two counts are not taken at the same instant.
        let not_ip = counts.not_ip.saturating_sub(first.not_ip).min(packets);
        let is_nearly_all = not_ip * 100 >= packets * NEARLY_ALL;
        if packets >= ENOUGH && is_nearly_all {
            self.is_unreadable = true;
        } else if packets >= FEW && !is_nearly_all {
            self.is_unreadable = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(watch: &mut NotIpWatch, packets: u64, not_ip: u64, second: u64) -> bool {
        let received = [("eth0".to_owned(), Received { packets, not_ip })].into();
        !watch
            .update(&received, Duration::from_secs(second))
            .is_empty()
    }

    #[test]
    fn nearly_everything_not_ip_is_told_until_ip_comes() {
        let mut watch = NotIpWatch::default();
        assert!(!update(&mut watch, 5_000_000, 0, 0));
        assert!(!update(&mut watch, 5_000_999, 999, 1));
        assert!(update(&mut watch, 5_001_000, 990, 2));
        // Fewer than `FEW` packets change nothing.
        assert!(update(&mut watch, 5_001_000, 990, 200));
        assert!(update(&mut watch, 5_001_099, 990, 201));
        assert!(!update(&mut watch, 5_001_100, 990, 202));
    }

    #[test]
    fn only_the_last_minute_counts() {
        let mut watch = NotIpWatch::default();
        for second in 0..=120 {
            let packets = 16 * second;
            assert!(!update(&mut watch, packets, packets, second), "{second}");
        }
        assert!(update(&mut watch, 16 * 120 + 1_000, 16 * 120 + 1_000, 121));
    }

    #[test]
    fn an_interface_that_is_made_anew_begins_anew() {
        let mut watch = NotIpWatch::default();
        update(&mut watch, 500, 0, 0);
        assert!(!update(&mut watch, 0, 0, 1));
        assert!(update(&mut watch, 1_000, 1_000, 2));
        watch.update(&BTreeMap::new(), Duration::from_secs(3));
        assert!(!update(&mut watch, 2_000, 2_000, 4));
    }
}
