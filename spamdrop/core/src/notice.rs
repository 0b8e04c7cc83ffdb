//! The events that have a message ID in the journal. Programs find an event by its
//! ID, whatever its text says.

/// An event of which the administrator may want to be notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Slots run short, and strangers have to wait.
    WaveBegins,
    /// The wave is over.
    WaveEnds,
    /// Blocking pauses: a blocklist seems to have gone wrong, or too many addresses are new.
    Ceiling,
    /// A zone lists everybody or refuses to serve.
    ZoneBroken,
    /// A configured interface does not have the filter.
    InterfaceLost,
    /// A known sender was refused, or would have been, which must not happen.
    KnownSenderDelayed,
}

impl Notice {
    /// All events.
    pub const ALL: [Self; 6] = [
        Self::WaveBegins,
        Self::WaveEnds,
        Self::Ceiling,
        Self::ZoneBroken,
        Self::InterfaceLost,
        Self::KnownSenderDelayed,
    ];

    /// The value of the field `SPAMDROP_EVENT`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WaveBegins => "wave-begins",
            Self::WaveEnds => "wave-ends",
            Self::Ceiling => "ceiling",
            Self::ZoneBroken => "zone-broken",
            Self::InterfaceLost => "interface-lost",
            Self::KnownSenderDelayed => "known-sender-delayed",
        }
    }

    /// The value of the field `MESSAGE_ID`: random, and never changed.
    #[must_use]
    pub const fn message_id(self) -> &'static str {
        match self {
            Self::WaveBegins => "59b6249417b54c09afa3d32a291dd7ca",
            Self::WaveEnds => "c46e7b120903456ca521d6e82e32fe94",
            Self::Ceiling => "ed0f96a14bba424487c899823ad0e6fc",
            Self::ZoneBroken => "0bd082a612fe440d853bee39263d2b5a",
            Self::InterfaceLost => "eef66fc4b400482896e6aaf76d1090c5",
            Self::KnownSenderDelayed => "ebd1d440cc644d1bb08a2d0d73a572a9",
        }
    }

    /// The target of its log records.
    #[must_use]
    pub const fn target(self) -> &'static str {
        match self {
            Self::WaveBegins => "spamdrop::notice::wave-begins",
            Self::WaveEnds => "spamdrop::notice::wave-ends",
            Self::Ceiling => "spamdrop::notice::ceiling",
            Self::ZoneBroken => "spamdrop::notice::zone-broken",
            Self::InterfaceLost => "spamdrop::notice::interface-lost",
            Self::KnownSenderDelayed => "spamdrop::notice::known-sender-delayed",
        }
    }

    /// The event of a log record with this target.
    #[must_use]
    pub fn of_target(target: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|notice| notice.target() == target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_a_name_a_target_and_an_id_of_its_own() {
        for notice in Notice::ALL {
            let target = format!("spamdrop::notice::{}", notice.name());
            assert_eq!(notice.target(), target);
            assert_eq!(Notice::of_target(&target), Some(notice));
            let id = notice.message_id();
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            assert!(id.len() == 32 && id.bytes().all(is_hex), "{id}");
            let same = Notice::ALL.iter().filter(|other| other.message_id() == id);
            assert_eq!(same.count(), 1, "{id}");
        }
        assert_eq!(Notice::of_target("spamdrop::notice"), None);
    }
}
