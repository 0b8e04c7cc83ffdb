//! Explains why an interface refuses the filter, and how to solve it.

use std::io;

use rustix::io::Errno;

use super::hidden::hidden;
use crate::exit::{Exit, Failure};
use crate::kernel::network::{self, Interface};

/// Whether the generic hook would refuse as well: another program is there, or
/// attaching is not permitted.
pub(super) fn is_final(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::BUSY | Errno::EXIST | Errno::PERM | Errno::ACCESS)
    )
}

/// The driver's refusal of a native program.
pub(super) struct NativeRefusal<'interface> {
    /// The interface.
    pub interface: &'interface Interface,
    /// The error.
    pub error: io::Error,
    /// The driver's explanation, if it gave one.
    pub words: Option<String>,
}

impl NativeRefusal<'_> {
    /// The message if the filter runs in the generic hook instead.
    pub(super) fn falls_back(&self) -> String {
        let name = &self.interface.name;
        let text = format!(
            "{name} refuses native XDP ({}); the filter runs in the slower generic hook",
            self.reason()
        );
        if !self.turns_gro_off() {
            return text;
        }
        format!(
            "{text}. The kernel turns GRO in hardware off for that and may log a warning \
             about GRO_HW; after `spamdrop detach`, `ethtool -K {name} rx-gro-hw on` turns it \
             on again"
        )
    }

    /// The error if the configuration allows native mode only.
    pub(super) fn error(&self) -> anyhow::Error {
        let name = &self.interface.name;
        let reason = self.reason();
        let message = format!(
            "{name} refuses native XDP ({reason}); use `mode = \"auto\"` or `--mode generic`"
        );
        Failure::new(Exit::Failed, message)
    }

    fn reason(&self) -> String {
        match (&self.words, Errno::from_io_error(&self.error)) {
            (Some(words), _) => format!("{}: {words}", self.error),
            (None, Some(Errno::RANGE)) => {
                format!("{}: its MTU is {}", self.error, self.interface.mtu)
            }
            (None, _) => self.error.to_string(),
        }
    }

    /// Whether the generic hook turns off GRO in hardware, which then stays off.
    /// Of the drivers that refuse a program because of GRO in hardware,
    /// virtio_net is the most common.
    fn turns_gro_off(&self) -> bool {
        let words = self.words.as_deref().unwrap_or_default();
        self.interface.is_virtio || words.contains("GRO_HW")
    }
}

/// The error message for a failed attachment.
pub(super) fn explain(error: &io::Error, interface: &Interface) -> anyhow::Error {
    let name = &interface.name;
    let message = match Errno::from_io_error(error) {
        Some(Errno::BUSY | Errno::EXIST) => {
            let found = network::find(name).ok().flatten().unwrap_or_default();
            match found.xdp {
                Some(_) => foreign(&found),
                None => format!(
                    "{name} cannot take an XDP program: an interface above or below it (bond, \
                     bridge, VLAN) has one. `bpftool net` shows it; remove it first"
                ),
            }
        }
        Some(Errno::PERM | Errno::ACCESS) => {
            return Failure::new(
                Exit::NoPermission,
                format!("attaching to {name} is not permitted; run as root"),
            );
        }
        _ => format!("cannot attach to {name}: {error}"),
    };
    Failure::new(Exit::Failed, message)
}

/// The message for an interface with an XDP program that no pin belongs to.
#[must_use]
pub fn foreign(interface: &Interface) -> String {
    let name = &interface.name;
    if let Some(filter) = hidden(interface) {
        return format!(
            "{name} has {filter}; nothing was changed. `{}` removes it, or unmount what was mounted over /sys/fs/bpf",
            filter.remedy(name)
        );
    }
    let id = interface.xdp.map_or(0, |xdp| xdp.program_id);
    format!(
        "{name} already has an XDP program (id {id}) that is not spamdrop's; nothing was changed. `bpftool net` shows it; remove it first, or use another interface"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<'card>(
        interface: &'card Interface,
        errno: Errno,
        words: Option<&str>,
    ) -> NativeRefusal<'card> {
        NativeRefusal {
            interface,
            error: errno.into(),
            words: words.map(String::from),
        }
    }

    #[test]
    fn only_a_program_that_is_there_and_a_missing_right_are_final() {
        for errno in [Errno::BUSY, Errno::EXIST, Errno::PERM, Errno::ACCESS] {
            assert!(is_final(&errno.into()), "{errno}");
        }
        for errno in [
            Errno::OPNOTSUPP,
            Errno::RANGE,
            Errno::INVAL,
            Errno::NOMEM,
            Errno::NOSPC,
            Errno::FAULT,
            Errno::IO,
        ] {
            assert!(!is_final(&errno.into()), "{errno}");
        }
    }

    #[test]
    fn the_message_has_the_mode_and_the_drivers_words() {
        let card = Interface {
            name: "eth0".into(),
            mtu: 9000,
            ..Interface::default()
        };
        let said = refusal(&card, Errno::NOSPC, Some("too many queues")).falls_back();
        assert_eq!(
            said,
            "eth0 refuses native XDP (No space left on device (os error 28): too many queues); \
             the filter runs in the slower generic hook"
        );
        let said = refusal(&card, Errno::RANGE, None).error().to_string();
        assert!(
            said.contains("(os error 34): its MTU is 9000); use `mode"),
            "{said}"
        );
        let advice = "`ethtool -K eth0 rx-gro-hw on`";
        let words = "Can't set XDP while host is implementing GRO_HW/CSUM";
        let said = refusal(&card, Errno::OPNOTSUPP, Some(words)).falls_back();
        assert!(said.contains(advice), "{said}");
        let virtio = Interface {
            is_virtio: true,
            ..card.clone()
        };
        let said = refusal(&virtio, Errno::INVAL, None).falls_back();
        assert!(said.contains(advice), "{said}");
    }
}
