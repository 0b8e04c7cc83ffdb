//! `list`: the entries.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::json;
use super::table::{self, Column, Style, left, right};
use spamdrop_core::duration::human;
use spamdrop_core::owners::ShownOwners;
use spamdrop_core::target::Target;

/// A live entry. `list --json` prints an array of these, IPv4 first, by
/// address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveEntry {
    /// The IPv4 address, IPv6 /64 or prefix: `"192.0.2.1"`,
    /// `"2001:db8::/64"`, `"192.0.2.0/24"`.
    #[serde(rename = "addr")]
    pub target: Target,
    /// `"open"`: only new connections are dropped; `"sealed"`: every packet.
    pub state: EntryState,
    /// `expires_in_s`: seconds until it expires if no packet extends it.
    #[serde(rename = "expires_in_s", serialize_with = "json::seconds")]
    pub expires_in: Duration,
    /// `hard_limit_in_s`: seconds until the time beyond which no packet extends it;
    /// `null`: there is no limit.
    #[serde(rename = "hard_limit_in_s", serialize_with = "json::optional_seconds")]
    pub hard_limit_in: Option<Duration>,
    /// Seconds from a packet to the expiry; 0 if the entry is fixed.
    pub ttl_s: u32,
    /// Packets that matched.
    pub hits: u32,
    /// Packets that extended the entry.
    pub refreshes: u16,
    /// `"log"` if only the log wants it, otherwise `"hand"`.
    pub origin: EntryOrigin,
    /// The owners, by name: `["log", "import:drop"]`.
    pub owners: ShownOwners,
    /// Whether the entry expires at a fixed time, whatever packets arrive.
    pub fixed: bool,
    /// `true` if the allowlist covers the entry, so that it has no effect;
    /// otherwise absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allowed: bool,
}

/// Which packets of an entry are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryState {
    /// New connections.
    Open,
    /// Every packet.
    Sealed,
}

/// Where an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryOrigin {
    /// The daemon, because of a line of the mail log.
    Log,
    /// Any other owner: the administrator, the FIFO, an imported list or a jail.
    Hand,
}

impl LiveEntry {
    /// The text of the column STATE: `allowed` if the entry has no effect, otherwise
    /// `open` or `sealed`, and `fixed` if no packet extends the entry.
    #[must_use]
    pub fn state(&self) -> &'static str {
        if self.allowed {
            return "allowed";
        }
        match (self.state, self.fixed) {
            (EntryState::Open, false) => "open",
            (EntryState::Open, true) => "open, fixed",
            (EntryState::Sealed, false) => "sealed",
            (EntryState::Sealed, true) => "sealed, fixed",
        }
    }

    /// Whether the expiry has reached the hard limit, so that no packet extends
    /// the entry further.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.hard_limit_in
            .is_some_and(|limit| limit <= self.expires_in)
    }

    pub(super) fn expires(&self, text: &mut String) -> fmt::Result {
        let time = human(self.expires_in);
        match self.hard_limit_in {
            Some(_) if self.is_final() => write!(text, "{time}, final"),
            // The hard limit is less than two ttls away.
            Some(limit) if limit < Duration::from_secs(self.ttl_s.into()) * 2 => {
                write!(text, "{time}, at most {}", human(limit))
            }
            _ => write!(text, "{time}"),
        }
    }
}

const COLUMNS: [Column<LiveEntry>; 5] = [
    left("ADDRESS", |entry, text| write!(text, "{}", entry.target)),
    left("STATE", |entry, text| text.write_str(entry.state())),
    left("EXPIRES", LiveEntry::expires),
    right("HITS", |entry, text| write!(text, "{}", entry.hits)),
    left("BY", |entry, text| write!(text, "{}", entry.owners)),
];

/// Sorts entries: IPv4 first, by address, a prefix before the addresses in it.
pub fn sort(entries: &mut [LiveEntry]) {
    entries.sort_unstable_by_key(|entry| entry.target.net());
}

/// Writes entries as a table.
pub fn write_text(out: &mut impl Write, style: Style, entries: &[LiveEntry]) -> io::Result<()> {
    table::write(out, style, &COLUMNS, entries)
}

#[cfg(test)]
pub(in crate::render) mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::rc::Rc;

    use spamdrop_core::owners::{OwnerBit, OwnerMask};

    use super::*;

    pub fn entry(target: &str) -> LiveEntry {
        LiveEntry {
            target: target.parse().unwrap(),
            state: EntryState::Sealed,
            expires_in: Duration::from_millis(552_250),
            hard_limit_in: None,
            ttl_s: 600,
            hits: 7,
            refreshes: 3,
            origin: EntryOrigin::Hand,
            owners: owners([OwnerBit::HAND]),
            fixed: false,
            allowed: false,
        }
    }

    pub fn owners(bits: impl IntoIterator<Item = OwnerBit>) -> ShownOwners {
        let bits = bits.into_iter();
        let mask = bits.fold(OwnerMask::default(), OwnerMask::and);
        ShownOwners::new(mask, &Rc::default())
    }

    fn some() -> Vec<LiveEntry> {
        let from_log = LiveEntry {
            state: EntryState::Open,
            hard_limit_in: Some(Duration::from_secs(3300)),
            origin: EntryOrigin::Log,
            owners: owners([OwnerBit::LOG]),
            hits: 12345,
            ..entry("192.0.2.10")
        };
        let prefix = LiveEntry {
            ttl_s: 0,
            fixed: true,
            ..entry("192.0.2.0/24")
        };
        vec![entry("2001:db8::1"), from_log, prefix, entry("192.0.2.9")]
    }

    #[test]
    fn sorted_by_number_with_ipv4_first() {
        let mut entries = some();
        sort(&mut entries);
        let mut out = Vec::new();
        write_text(&mut out, Style::Plain, &entries).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
ADDRESS        STATE          EXPIRES   HITS  BY
192.0.2.0/24   sealed, fixed  9m 12s       7  hand
192.0.2.9      sealed         9m 12s       7  hand
192.0.2.10     open           9m 12s   12345  log
2001:db8::/64  sealed         9m 12s       7  hand
"
        );
    }

    #[test]
    fn a_near_hard_limit_is_shown() {
        let limited = |seconds| LiveEntry {
            hard_limit_in: Some(Duration::from_secs(seconds)),
            ..entry("192.0.2.1")
        };
        for (seconds, shown) in [
            (1200, "9m 12s"),
            (1199, "9m 12s, at most 19m 59s"),
            (552, "9m 12s, final"),
        ] {
            let mut text = String::new();
            limited(seconds).expires(&mut text).unwrap();
            assert_eq!(text, shown);
        }
    }

    #[test]
    fn json_has_one_object_a_line() {
        let mut out = Vec::new();
        json::array(&mut out, &some()[..2]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"[
{"addr":"2001:db8::/64","state":"sealed","expires_in_s":552.25,"hard_limit_in_s":null,"ttl_s":600,"hits":7,"refreshes":3,"origin":"hand","owners":["hand"],"fixed":false},
{"addr":"192.0.2.10","state":"open","expires_in_s":552.25,"hard_limit_in_s":3300.0,"ttl_s":600,"hits":12345,"refreshes":3,"origin":"log","owners":["log"],"fixed":false}
]
"#
        );
    }
}
