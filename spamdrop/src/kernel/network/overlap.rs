//! Interfaces that carry the same packets.

use std::fmt;

use super::{Interface, named};

/// Two names whose interfaces carry the same packets, so that filters on both
/// would see each packet twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The name of the interface that receives a packet first.
    pub lower: String,
    /// The name of the interface that receives the packet afterwards.
    pub upper: String,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lower, upper } = self;
        write!(
            f,
            "{lower} and {upper} carry the same packets, so the filter would count each packet \
             twice; name only one of them in `interfaces`"
        )
    }
}

/// The overlaps among the interfaces with these names: a bridge and its port, a
/// bond and its slave, a VLAN and its parent, through any number of steps, and
/// two names of one interface. Interfaces that do not exist overlap with none.
#[must_use]
pub fn overlaps(names: &[String], interfaces: &[Interface]) -> Vec<Overlap> {
    let found: Vec<_> = names
        .iter()
        .filter_map(|name| Some((name, named(interfaces, name)?)))
        .collect();
    let mut overlaps = Vec::new();
    for (position, (name, interface)) in found.iter().enumerate() {
        for (other_position, (other_name, other)) in found.iter().enumerate() {
            let is_same = interface.index == other.index && position < other_position;
            if name != other_name && (is_same || leads_to(interface, other, interfaces)) {
                overlaps.push(Overlap {
                    lower: (*name).clone(),
                    upper: (*other_name).clone(),
                });
            }
        }
    }
    overlaps
}

/// Whether packets that the first interface receives reach the second.
fn leads_to(from: &Interface, to: &Interface, interfaces: &[Interface]) -> bool {
    let mut seen = vec![from.index];
    let mut next = 0;
    while let Some(&index) = seen.get(next) {
        next += 1;
        for above in interfaces
            .iter()
            .filter(|one| is_above(one, index, interfaces))
        {
            if above.index == to.index {
                return true;
            }
            if !seen.contains(&above.index) {
                seen.push(above.index);
            }
        }
    }
    false
}

/// Whether `upper` is directly above the interface with this index.
fn is_above(upper: &Interface, index: u32, interfaces: &[Interface]) -> bool {
    let mut below = interfaces.iter().filter(|below| below.index == index);
    upper.index != index
        && (upper.parent == Some(index) || below.any(|below| below.controller == Some(upper.index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str, controller: u32, parent: u32) -> Interface {
        let some = |index| (index != 0).then_some(index);
        Interface {
            index,
            name: name.into(),
            altnames: vec![format!("alt-{name}")],
            controller: some(controller),
            parent: some(parent),
            ..Interface::default()
        }
    }

    fn pairs(names: &[&str]) -> Vec<String> {
        // eth0 and eth1 are in bond0. bond0.7 and bond0.8 are VLANs of bond0, and bond0.7
        // is a port of br0.
        let interfaces = [
            interface(1, "eth0", 3, 0),
            interface(2, "eth1", 3, 0),
            interface(3, "bond0", 0, 0),
            interface(4, "bond0.7", 5, 3),
            interface(5, "br0", 0, 0),
            interface(6, "bond0.8", 0, 3),
        ];
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let found = overlaps(&names, &interfaces).into_iter();
        found
            .map(|pair| format!("{} {}", pair.lower, pair.upper))
            .collect()
    }

    #[test]
    fn what_is_above_carries_the_same_packets() {
        assert_eq!(pairs(&["bond0", "eth0"]), ["eth0 bond0"]);
        assert_eq!(pairs(&["bond0", "bond0.7"]), ["bond0 bond0.7"]);
        assert_eq!(pairs(&["bond0.7", "br0"]), ["bond0.7 br0"]);
        assert_eq!(pairs(&["br0", "alt-eth1"]), ["alt-eth1 br0"]);
        assert_eq!(pairs(&["eth0", "alt-eth0"]), ["eth0 alt-eth0"]);
    }

    #[test]
    fn neighbours_do_not() {
        assert_eq!(pairs(&["eth0", "eth1", "none", "none"]), [""; 0]);
        assert_eq!(pairs(&["bond0.7", "bond0.8"]), [""; 0]);
        assert_eq!(pairs(&["bond0.8", "br0"]), [""; 0]);
    }
}
