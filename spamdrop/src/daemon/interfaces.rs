//! The state of each configured interface, and the pauses after a refusal of the filter.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::kernel::attach::{AttachMode, Attached, Linked};
use crate::kernel::network::{Interface, named, overlaps};

/// The pause between the first refusal of an interface and the next attempt. Each
/// further refusal doubles the pause.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The maximum pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The interfaces that refused the filter.
#[derive(Default)]
pub(super) struct AttachRefusals(HashMap<String, AttachRefusal>);

/// An interface that refused the filter.
struct AttachRefusal {
    /// The index of the interface. A new interface of the same name has another index,
    /// and is tried at once.
    index: u32,
    reason: String,
    pause: Duration,
    next_try: Instant,
}

impl AttachRefusals {
    /// Why an interface refused the filter, if that was so short ago that it is not
    /// tried again yet.
    pub fn reason(&self, name: &str, index: u32, now: Instant) -> Option<String> {
        let refusal = self.0.get(name)?;
        (index == refusal.index && now < refusal.next_try).then(|| refusal.reason.clone())
    }

    /// Records that an interface refused the filter. Each further refusal doubles the pause
    /// until the next attempt.
    pub fn add(&mut self, name: &str, index: u32, reason: String, now: Instant) {
        let last = self.0.get(name).filter(|last| last.index == index);
        let pause = last.map_or(FIRST_PAUSE, |last| (2 * last.pause).min(LONGEST_PAUSE));
        let refusal = AttachRefusal {
            index,
            reason,
            pause,
            next_try: now + pause,
        };
        self.0.insert(name.to_owned(), refusal);
    }

    /// Forgets the refusal of an interface that got the filter or is gone.
    pub fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }
}

/// Describes the interfaces with the filter in one line.
pub(super) fn describe(attached: &[Attached]) -> String {
    if attached.is_empty() {
        return "not protecting: no interface has the filter".into();
    }
    let each = attached.iter().map(|attached| {
        let native = attached.interface.xdp.is_some_and(|xdp| xdp.native);
        let mode = if native { "native" } else { "generic" };
        format!("{} ({mode})", attached.name)
    });
    format!("filter on {}", each.collect::<Vec<_>>().join(", "))
}

/// The state of a configured interface.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InterfaceState {
    /// It has the filter.
    Protected,
    /// It has the filter, but not as configured.
    Impaired(String),
    /// It can take the filter; its index.
    Ready(u32),
    /// It does not exist.
    Absent,
    /// It has an XDP program that is not this filter's.
    Foreign(Interface),
    /// It must not have the filter, because another interface carries the same packets.
    Excluded(String),
}

/// Determines the state of a configured interface. This check is cheap, whereas
/// loading a program for an interface that refuses it costs the verifier a
/// tenth of a second.
pub(super) fn standing(
    name: &str,
    wanted: &[String],
    mode: AttachMode,
    linked: &[Linked],
    present: &[Interface],
) -> InterfaceState {
    let Some(interface) = named(present, name) else {
        return InterfaceState::Absent;
    };
    let mut overlaps = overlaps(wanted, present).into_iter();
    let overlap = overlaps.find(|overlap| overlap.lower == name || overlap.upper == name);
    let link = linked.iter().find(|link| link.name == name);
    let has_filter = link.is_some_and(|link| link.interface().is_some());
    let is_generic = interface.xdp.is_some_and(|xdp| !xdp.native);
    match overlap {
        Some(overlap) if has_filter => InterfaceState::Impaired(overlap.to_string()),
        Some(overlap) => InterfaceState::Excluded(overlap.to_string()),
        None if has_filter && is_generic && mode == AttachMode::Native => {
            InterfaceState::Impaired(format!(
                "the filter on {name} is generic, and `mode` is \"native\"; stop the daemon, run \
             `spamdrop detach {name}`, and start the daemon again"
            ))
        }
        None if has_filter => InterfaceState::Protected,
        // A link of this filter under the interface's old name is replaced.
        None if interface.xdp.is_none()
            || linked.iter().any(|link| link.is_on(interface.index)) =>
        {
            InterfaceState::Ready(interface.index)
        }
        None => InterfaceState::Foreign(interface.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::kernel::attach::LinkPlace;
    use crate::kernel::network::Xdp;

    fn interface(index: u32, name: &str, program_id: Option<u32>) -> Interface {
        Interface {
            index,
            name: name.into(),
            xdp: program_id.map(|program_id| Xdp {
                program_id,
                native: false,
            }),
            ..Interface::default()
        }
    }

    fn link(name: &str, place: LinkPlace) -> Linked {
        Linked {
            name: name.into(),
            place,
            program_id: Some(7),
        }
    }

    #[test]
    fn each_interface_is_looked_at_for_itself() {
        let wanted = ["a", "b", "c", "d", "e", "f", "g"].map(String::from);
        let mut vlan = interface(7, "g", None);
        vlan.parent = Some(6);
        let present = [
            interface(1, "a", Some(7)),
            interface(2, "b", None),
            interface(3, "c", Some(9)),
            // It was renamed, and has the filter that was attached under the old name.
            interface(4, "e", Some(7)),
            interface(6, "f", Some(7)),
            vlan,
        ];
        let linked = [
            link("a", LinkPlace::Here(present[0].clone())),
            link("x", LinkPlace::Renamed(present[3].clone())),
            // The interface was created anew after this link was made.
            link("b", LinkPlace::Gone),
            link("f", LinkPlace::Here(present[4].clone())),
        ];
        let of = |name, mode| standing(name, &wanted, mode, &linked, &present);
        assert_eq!(of("a", AttachMode::Auto), InterfaceState::Protected);
        assert!(matches!(
            of("a", AttachMode::Native),
            InterfaceState::Impaired(_)
        ));
        assert_eq!(of("b", AttachMode::Auto), InterfaceState::Ready(2));
        assert_eq!(
            of("c", AttachMode::Auto),
            InterfaceState::Foreign(present[2].clone())
        );
        assert_eq!(of("d", AttachMode::Auto), InterfaceState::Absent);
        assert_eq!(of("e", AttachMode::Auto), InterfaceState::Ready(4));
        assert!(matches!(
            of("f", AttachMode::Auto),
            InterfaceState::Impaired(_)
        ));
        let InterfaceState::Excluded(reason) = of("g", AttachMode::Auto) else {
            panic!("g is a VLAN of f")
        };
        assert!(
            reason.starts_with("f and g carry the same packets"),
            "{reason}"
        );
    }

    #[test]
    fn refusals_make_tries_rare_for_one_interface_until_it_is_attached() {
        let mut refusals = AttachRefusals::default();
        let mut now = clock::instant();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert_eq!(refusals.reason("a", 1, now), None);
            refusals.add("a", 1, "busy".into(), now);
            let next = refusals.0["a"].next_try;
            let before = next - Duration::from_nanos(1);
            assert_eq!(refusals.reason("a", 1, before).as_deref(), Some("busy"));
            assert_eq!(refusals.reason("b", 1, before), None);
            pauses.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        // Another interface has the name now.
        refusals.add("a", 1, "busy".into(), now);
        assert_eq!(refusals.reason("a", 2, now), None);
        refusals.forget("a");
        refusals.add("a", 1, "busy".into(), now);
        assert_eq!(refusals.reason("a", 1, now + FIRST_PAUSE), None);
    }

    #[test]
    fn no_interface_is_no_protection() {
        assert!(describe(&[]).starts_with("not protecting"));
        let attached = Attached {
            name: "a".into(),
            interface: interface(1, "a", Some(7)),
            replaced: false,
        };
        assert_eq!(describe(&[attached]), "filter on a (generic)");
    }
}
