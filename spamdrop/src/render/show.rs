//! `show`: the entries and origins of an address.

use std::io::{self, Write};
use std::time::Duration;

use ipnet::IpNet;
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use spamdrop_common::time::UnixSeconds;

use super::allowed::{as_text, shown};
use super::entries::{EntryOrigin, EntryState, LiveEntry};
use super::json;
use spamdrop_core::duration::human;
use spamdrop_core::target::Target;

/// An address in detail. `show --json` prints one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AddressDetail {
    /// The requested address or prefix.
    pub addr: String,
    /// The allowlisted prefix that contains the address, so that its packets
    /// pass whatever entries exist; `null`: none.
    pub allowed_by: Option<String>,
    /// The entries that cover it, as in `list --json`, the narrowest first.
    pub entries: Vec<LiveEntry>,
    /// For each entry with several owners, the end of each owner. Empty: no entry has
    /// several owners, or the ends are unknown.
    pub ends: Vec<OwnerEnd>,
    /// The origins of what `entries` block: of the address or, if its whole /64 is blocked,
    /// of every address in that /64 that has an origin; and of the prefixes in `entries`.
    pub origins: Vec<BlockOrigin>,
}

impl AddressDetail {
    /// Whether an entry covers the address, even one without effect.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !self.entries.is_empty()
    }
}

/// Until when one of several owners wants an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwnerEnd {
    /// The entry.
    #[serde(rename = "addr")]
    pub target: Target,
    /// The owner, by name.
    pub owner: String,
    /// `expires_in_s`: seconds until the end if no packet extends it.
    #[serde(rename = "expires_in_s", serialize_with = "json::seconds")]
    pub expires_in: Duration,
    /// `hard_limit_in_s`: seconds until the time beyond which no packet extends the end;
    /// `null`: there is no limit.
    #[serde(rename = "hard_limit_in_s", serialize_with = "json::optional_seconds")]
    pub hard_limit_in: Option<Duration>,
    /// Seconds from a packet to the end; 0: packets do not extend it.
    pub ttl_s: u32,
}

/// Why an address or prefix was blocked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BlockOrigin {
    /// The address or prefix.
    #[serde(serialize_with = "as_text")]
    pub addr: IpNet,
    /// When it was first blocked, in seconds since 1970.
    pub first_unix_s: u64,
    /// Offences in the log since the first block; 0 if the address was blocked
    /// by hand.
    pub offences: u32,
    /// `last_offence_ago_s`: seconds since the last offence; `null`: none.
    #[serde(
        rename = "last_offence_ago_s",
        serialize_with = "json::optional_seconds"
    )]
    pub last_offence_ago: Option<Duration>,
    /// Whether its connections are still to be released.
    pub release_pending: bool,
    /// The log line, or the reason given by hand, cut at 200 bytes. Bytes
    /// other than printable ASCII are `\xNN`, a backslash is `\\`.
    pub text: String,
}

/// Writes the details, with times in `zone`.
pub fn write_text(out: &mut impl Write, detail: &AddressDetail, zone: &TimeZone) -> io::Result<()> {
    for entry in &detail.entries {
        let passes = detail.allowed_by.as_ref().map(|_| detail.addr.as_str());
        write_entry(out, entry, &detail.ends, passes)?;
    }
    for origin in &detail.origins {
        write_origin(out, origin, zone)?;
    }
    if let Some(net) = &detail.allowed_by {
        let addr = &detail.addr;
        writeln!(out, "{addr} is allowed by {net}: its packets pass")?;
    }
    Ok(())
}

/// Writes an entry. `passes`: the shown address, if it is allowed.
fn write_entry(
    out: &mut impl Write,
    entry: &LiveEntry,
    ends: &[OwnerEnd],
    passes: Option<&str>,
) -> io::Result<()> {
    let mut drops = match entry.state {
        _ if entry.allowed => "no effect: it is allowed, so its packets pass".to_owned(),
        EntryState::Open => "open: only new connections are dropped".to_owned(),
        EntryState::Sealed => "sealed: every packet is dropped".to_owned(),
    };
    if let Some(addr) = passes.filter(|_| !entry.allowed) {
        drops += &format!(", but none of {addr}");
    }
    let is = match entry.allowed {
        true => "has an entry",
        false => "is blocked",
    };
    writeln!(out, "{} {is}", entry.target)?;
    field(out, "state", &drops)?;
    let by = match entry.origin {
        EntryOrigin::Log => "the daemon, from the log".into(),
        EntryOrigin::Hand => entry.owners.to_string(),
    };
    field(out, "by", &by)?;
    let expires = expiry(entry.expires_in, entry.hard_limit_in, entry.ttl_s);
    field(out, "expires", &expires)?;
    for end in ends.iter().filter(|end| end.target == entry.target) {
        let expires = expiry(end.expires_in, end.hard_limit_in, end.ttl_s);
        field(out, &format!("  {}", end.owner), &expires)?;
    }
    if let Some(limit) = entry.hard_limit_in {
        field(out, "hard limit", &format!("in {}", human(limit)))?;
    }
    let hits = format!("{}, {} of them extended it", entry.hits, entry.refreshes);
    field(out, "hits", &hits)
}

/// When an entry or an owner's hold of it ends.
fn expiry(expires_in: Duration, hard_limit_in: Option<Duration>, ttl_s: u32) -> String {
    let slides = match ttl_s {
        0 => "at a fixed time".into(),
        _ if hard_limit_in.is_some_and(|limit| limit <= expires_in) => {
            "no packet extends it any more".into()
        }
        ttl => {
            let ttl = Duration::from_secs(ttl.into());
            format!("{} after the peer's last packet", human(ttl))
        }
    };
    format!("in {}, {slides}", human(expires_in))
}

fn write_origin(out: &mut impl Write, origin: &BlockOrigin, zone: &TimeZone) -> io::Result<()> {
    writeln!(out, "{}", shown(origin.addr))?;
    field(
        out,
        "blocked since",
        &local_time(UnixSeconds::new(origin.first_unix_s), zone),
    )?;
    if let Some(ago) = origin.last_offence_ago {
        let offences = format!("{}, the last {} ago", origin.offences, human(ago));
        field(out, "offences", &offences)?;
    }
    if origin.release_pending {
        field(out, "connections", "will be ended")?;
    }
    if !origin.text.is_empty() {
        field(out, "why", &origin.text)?;
    }
    Ok(())
}

fn field(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {name:<13}  {value}")
}

/// Formats a time in `zone`, such as `2026-11-23 12:00:01 +01:00`.
#[must_use]
pub fn local_time(at: UnixSeconds, zone: &TimeZone) -> String {
    let stamp = i64::try_from(at.get())
        .ok()
        .and_then(|s| Timestamp::from_second(s).ok());
    stamp.map_or_else(
        || "an unknown time".into(),
        |stamp| {
            let local = stamp.to_zoned(zone.clone());
            local.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
        },
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::render::entries::tests::entry;
    use spamdrop_core::escape::escape;

    fn detail() -> AddressDetail {
        let from_log = LiveEntry {
            state: EntryState::Open,
            origin: EntryOrigin::Log,
            hard_limit_in: Some(Duration::from_secs(3300)),
            allowed: true,
            ..entry("192.0.2.1")
        };
        let prefix = LiveEntry {
            ttl_s: 0,
            fixed: true,
            hits: 0,
            refreshes: 0,
            ..entry("192.0.2.0/24")
        };
        let origin = BlockOrigin {
            addr: "192.0.2.1/32".parse().unwrap(),
            first_unix_s: 1_795_431_601,
            offences: 2,
            last_offence_ago: Some(Duration::from_millis(130_500)),
            release_pending: true,
            text: escape(b"from=<\x1b[2J>: 511 no"),
        };
        AddressDetail {
            addr: "192.0.2.1".into(),
            allowed_by: Some("192.0.2.0/28".into()),
            entries: vec![from_log, prefix],
            ends: Vec::new(),
            origins: vec![origin],
        }
    }

    #[test]
    fn text_says_everything() {
        let mut out = Vec::new();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        write_text(&mut out, &detail(), &zone).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
192.0.2.1 has an entry
  state          no effect: it is allowed, so its packets pass
  by             the daemon, from the log
  expires        in 9m 12s, 10m after the peer's last packet
  hard limit     in 55m
  hits           7, 3 of them extended it
192.0.2.0/24 is blocked
  state          sealed: every packet is dropped, but none of 192.0.2.1
  by             hand
  expires        in 9m 12s, at a fixed time
  hits           0, 0 of them extended it
192.0.2.1
  blocked since  2026-11-23 12:00:01 +01:00
  offences       2, the last 2m 10s ago
  connections    will be ended
  why            from=<\\x1b[2J>: 511 no
192.0.2.1 is allowed by 192.0.2.0/28: its packets pass
"
        );
    }

    #[test]
    fn owners_of_a_shared_entry_have_ends_of_their_own() {
        let mut detail = detail();
        detail.entries = vec![entry("192.0.2.1"), entry("192.0.2.0/24")];
        detail.origins.clear();
        let end = |owner: &str, seconds, limit: Option<u64>, ttl_s| OwnerEnd {
            target: "192.0.2.1".parse().unwrap(),
            owner: owner.into(),
            expires_in: Duration::from_secs(seconds),
            hard_limit_in: limit.map(Duration::from_secs),
            ttl_s,
        };
        detail.ends = vec![
            end("log", 600, Some(600), 600),
            end("hand", 60, None, 90),
            end("import:drop", 7_200, None, 0),
        ];
        let mut out = Vec::new();
        write_text(&mut out, &detail, &TimeZone::UTC).unwrap();
        let shown = String::from_utf8(out).unwrap();
        let expected = "\
  expires        in 9m 12s, 10m after the peer's last packet
    log          in 10m, no packet extends it any more
    hand         in 1m, 1m 30s after the peer's last packet
    import:drop  in 2h, at a fixed time
";
        assert!(shown.contains(expected), "{shown}");
        assert_eq!(shown.matches("import:drop").count(), 1, "{shown}");
        let mut out = Vec::new();
        json::array(&mut out, &detail.ends[1..2]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"[
{"addr":"192.0.2.1","owner":"hand","expires_in_s":60.0,"hard_limit_in_s":null,"ttl_s":90}
]
"#
        );
    }

    #[test]
    fn json_has_entries_and_origins() {
        let mut out = Vec::new();
        let mut detail = detail();
        detail.entries.clear();
        json::object(&mut out, &detail).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"addr":"192.0.2.1","allowed_by":"192.0.2.0/28","entries":[],"ends":[],"origins":[{"addr":"192.0.2.1","first_unix_s":1795431601,"offences":2,"last_offence_ago_s":130.5,"release_pending":true,"text":"from=<\\x1b[2J>: 511 no"}]}
"#
        );
    }
}
