//! Keeps the filter on its interfaces.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::kernel::attach::{Attached, Linked};
use crate::kernel::network::Interface;

/// After a refusal, an interface is retried after this pause; each further
/// pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The maximum pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The interfaces, as they were attached last, and those that refused the
/// filter since.
pub(super) struct Interfaces {
    attached: Vec<Attached>,
    refusals: HashMap<String, Refusal>,
}

/// An interface that refused the filter.
struct Refusal {
    reason: String,
    pause: Duration,
    next_try: Instant,
}

/// Interfaces without the filter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// Interfaces that can take the filter.
    pub ready: Vec<String>,
    /// Reasons why the other interfaces cannot.
    pub reasons: Vec<String>,
}

impl Interfaces {
    pub fn new(attached: Vec<Attached>) -> Self {
        Self {
            attached,
            refusals: HashMap::new(),
        }
    }

    /// Replaces the interfaces after a reload.
    pub fn replace(&mut self, attached: Vec<Attached>) {
        *self = Self::new(attached);
    }

    /// Describes the interfaces in one line.
    pub fn describe(&self) -> String {
        let each = self.attached.iter().map(|attached| {
            let native = attached.interface.xdp.is_some_and(|xdp| xdp.native);
            let mode = if native { "native" } else { "generic" };
            format!("{} ({mode})", attached.interface.name)
        });
        each.collect::<Vec<_>>().join(", ")
    }

    /// Why an interface is not tried now: it refused the filter a short time
    /// ago.
    pub fn refusal(&self, name: &str, now: Instant) -> Option<String> {
        let refusal = self.refusals.get(name)?;
        (now < refusal.next_try).then(|| refusal.reason.clone())
    }

    /// An interface refused the filter.
    pub fn refused(&mut self, name: &str, reason: String, now: Instant) {
        let last = self.refusals.get(name);
        let pause = last.map_or(FIRST_PAUSE, |last| (2 * last.pause).min(LONGEST_PAUSE));
        let refusal = Refusal {
            reason,
            pause,
            next_try: now + pause,
        };
        self.refusals.insert(name.to_owned(), refusal);
    }

    /// An interface got the filter.
    pub fn attached_again(&mut self, name: &str) {
        self.refusals.remove(name);
    }
}

/// Determines which of the `wanted` interfaces have no filter, and which of
/// those are `present` in this network namespace. This check is cheap, whereas
/// loading a program for an interface that refuses it costs the verifier a
/// tenth of a second.
pub(super) fn missing(wanted: &[String], linked: &[Linked], present: &[Interface]) -> Missing {
    let has_filter = |name: &String| {
        let mut links = linked.iter();
        links.any(|link| link.name == *name && link.interface.is_some())
    };
    let mut missing = Missing {
        ready: Vec::new(),
        reasons: Vec::new(),
    };
    for name in wanted.iter().filter(|name| !has_filter(name)) {
        match present.iter().find(|interface| interface.name == *name) {
            None => missing
                .reasons
                .push(format!("there is no interface `{name}`; `ip link` lists them")),
            Some(Interface { xdp: Some(xdp), .. }) => missing.reasons.push(format!(
                "{name} already has an XDP program (id {}) that is not spamdrop's; `bpftool net` shows it; remove it",
                xdp.program_id
            )),
            Some(_) => missing.ready.push(name.clone()),
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::kernel::network::Xdp;

    fn interface(name: &str, program_id: Option<u32>) -> Interface {
        Interface {
            index: 1,
            name: name.into(),
            xdp: program_id.map(|program_id| Xdp {
                program_id,
                native: true,
            }),
            ..Interface::default()
        }
    }

    fn link(name: &str, interface: Option<Interface>) -> Linked {
        Linked {
            name: name.into(),
            interface,
            program_id: Some(7),
        }
    }

    #[test]
    fn each_interface_is_looked_at_for_itself() {
        let wanted = ["a", "b", "c", "d", "e"].map(String::from);
        let present = [
            interface("a", Some(7)),
            interface("b", None),
            interface("c", Some(9)),
            interface("e", None),
        ];
        let linked = [
            link("a", Some(interface("a", Some(7)))),
            // The interface was created anew since.
            link("e", None),
        ];
        let missing = missing(&wanted, &linked, &present);
        assert_eq!(missing.ready, ["b", "e"]);
        assert_eq!(missing.reasons.len(), 2);
        assert!(missing.reasons[0].starts_with("c already has an XDP program (id 9)"));
        assert!(missing.reasons[1].starts_with("there is no interface `d`"));
    }

    #[test]
    fn refusals_make_tries_rare_for_one_interface_until_it_is_attached() {
        let mut interfaces = Interfaces::new(Vec::new());
        let mut now = clock::instant();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert_eq!(interfaces.refusal("a", now), None);
            interfaces.refused("a", "busy".into(), now);
            let next = interfaces.refusals["a"].next_try;
            let before = next - Duration::from_nanos(1);
            assert_eq!(interfaces.refusal("a", before).as_deref(), Some("busy"));
            assert_eq!(interfaces.refusal("b", before), None);
            pauses.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        interfaces.attached_again("a");
        interfaces.refused("a", "busy".into(), now);
        assert_eq!(interfaces.refusal("a", now + FIRST_PAUSE), None);
    }
}
