//! Prefixes with their reasons, for look-ups by address.

use ipnet::IpNet;

use super::Protection;
use crate::nat64::canonical_net;

/// Prefixes in ascending order, so that a prefix is behind those that contain it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefixes(Vec<ProtectedPrefix>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProtectedPrefix {
    net: IpNet,
    reason: Protection,
    /// The index of the longest other prefix that contains this one.
    parent: Option<usize>,
}

impl Prefixes {
    /// If a prefix has two reasons, the first counts.
    pub(super) fn new(nets: impl IntoIterator<Item = (IpNet, Protection)>) -> Self {
        let canonical = |(net, reason)| (canonical_net(net), reason);
        let mut sorted: Vec<_> = nets.into_iter().map(canonical).collect();
        // The sort is stable, so of two reasons the first stays the first.
        sorted.sort_by_key(|(net, _)| *net);
        sorted.dedup_by_key(|(net, _)| *net);
        let mut all = Self(Vec::with_capacity(sorted.len()));
        for (net, reason) in sorted {
            let parent = all.last_containing(all.0.len(), net);
            all.0.push(ProtectedPrefix {
                net,
                reason,
                parent,
            });
        }
        all
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (IpNet, Protection)> + '_ {
        self.0.iter().map(|prefix| (prefix.net, prefix.reason))
    }

    pub(super) fn get(&self, net: IpNet) -> Option<Protection> {
        let found = self.0.binary_search_by_key(&net, |prefix| prefix.net);
        Some(self.0.get(found.ok()?)?.reason)
    }

    /// The longest prefix that contains the given one.
    pub(super) fn covering(&self, net: IpNet) -> Option<(IpNet, Protection)> {
        let end = self.0.partition_point(|prefix| prefix.net <= net);
        let found = self.0.get(self.last_containing(end, net)?)?;
        Some((found.net, found.reason))
    }

    /// The first prefix that is a part of the given one, or the same.
    pub(super) fn first_inside(&self, net: IpNet) -> Option<(IpNet, Protection)> {
        let start = self.0.partition_point(|prefix| prefix.net < net);
        let first = self.0.get(start)?;
        net.contains(&first.net)
            .then_some((first.net, first.reason))
    }

    /// The index of the longest prefix that contains `net`. `end` is the number of prefixes
    /// that are not greater than `net`.
    fn last_containing(&self, end: usize, net: IpNet) -> Option<usize> {
        // Every prefix that contains `net` either is the last one before `end`, or
        // contains that one, too.
        let mut index = end.checked_sub(1)?;
        loop {
            let prefix = self.0.get(index)?;
            if prefix.net.contains(&net) {
                return Some(index);
            }
            index = prefix.parent?;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use proptest::prelude::*;

    /// Prefixes that often contain one another.
    fn nets() -> impl Strategy<Value = IpNet> {
        let v4 = (0_u8..8, 27_u8..=32)
            .prop_map(|(last, bits)| IpNet::new([192, 0, 2, last].into(), bits));
        let v6 = (0_u16..8, 123_u8..=128)
            .prop_map(|(last, bits)| IpNet::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into(), bits));
        prop_oneof![v4, v6].prop_map(|net| net.unwrap().trunc())
    }

    proptest! {
        #[test]
        fn the_longest_prefix_around_and_the_first_inside_are_found(
            all in prop::collection::vec(nets(), 0..12),
            net in nets(),
        ) {
            let prefixes = Prefixes::new(all.iter().map(|net| (*net, Protection::Allowlist(*net))));
            let around = all.iter().filter(|other| other.contains(&net));
            let longest = around.max_by_key(|other| other.prefix_len());
            prop_assert_eq!(prefixes.covering(net).map(|(net, _)| net), longest.copied());
            let inside = all.iter().filter(|other| net.contains(*other)).min();
            prop_assert_eq!(prefixes.first_inside(net).map(|(net, _)| net), inside.copied());
            prop_assert_eq!(prefixes.get(net).is_some(), all.contains(&net));
        }
    }

    #[test]
    fn of_two_reasons_the_first_counts() {
        let net: IpNet = "192.0.2.1/32".parse().unwrap();
        let both = [(net, Protection::Gateway), (net, Protection::OwnAddress)];
        assert_eq!(Prefixes::new(both).get(net), Some(Protection::Gateway));
    }
}
