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
    /// The origins of the blocked addresses: of the address itself, or of the
    /// addresses in its /64; and those of the prefixes.
    pub origins: Vec<BlockOrigin>,
}

/// Why one address was blocked.
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
pub fn text(out: &mut impl Write, detail: &AddressDetail, zone: &TimeZone) -> io::Result<()> {
    for entry in &detail.entries {
        let passes = detail.allowed_by.as_ref().map(|_| detail.addr.as_str());
        write_entry(out, entry, passes)?;
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
fn write_entry(out: &mut impl Write, entry: &LiveEntry, passes: Option<&str>) -> io::Result<()> {
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
    let slides = match entry.ttl_s {
        0 => "at a fixed time".into(),
        _ if entry.is_final() => "no packet extends it any more".into(),
        ttl => {
            let ttl = Duration::from_secs(ttl.into());
            format!("{} after the peer's last packet", human(ttl))
        }
    };
    field(
        out,
        "expires",
        &format!("in {}, {slides}", human(entry.expires_in)),
    )?;
    if let Some(limit) = entry.hard_limit_in {
        field(out, "hard limit", &format!("in {}", human(limit)))?;
    }
    let hits = format!("{}, {} of them extended it", entry.hits, entry.refreshes);
    field(out, "hits", &hits)
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
            origins: vec![origin],
        }
    }

    #[test]
    fn text_says_everything() {
        let mut out = Vec::new();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        text(&mut out, &detail(), &zone).unwrap();
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
    fn json_has_entries_and_origins() {
        let mut out = Vec::new();
        let mut detail = detail();
        detail.entries.clear();
        json::object(&mut out, &detail).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"addr":"192.0.2.1","allowed_by":"192.0.2.0/28","entries":[],"origins":[{"addr":"192.0.2.1","first_unix_s":1795431601,"offences":2,"last_offence_ago_s":130.5,"release_pending":true,"text":"from=<\\x1b[2J>: 511 no"}]}
"#
        );
    }
}
