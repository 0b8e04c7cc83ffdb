//! `lookup`: what the blocklists say of addresses.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use spamdrop_core::dnsbl::rule;

/// An address that was looked up. `lookup --json` prints an array of these, in
/// the order of the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LookedUp {
    /// The address.
    pub addr: IpAddr,
    /// What it is; null: there is no verdict.
    pub standing: Option<State>,
    /// The zone that lists it; null unless it is listed.
    pub by: Option<String>,
    /// What a listed source is told behind the code; null unless it is listed.
    pub text: Option<String>,
    /// For how long that holds.
    pub ttl_s: u64,
    /// What each zone said, in the mail server's order; empty where its own
    /// table of sources decides.
    pub zones: Vec<Zone>,
    /// The host's name; null if it was not asked for.
    pub name: Option<Name>,
}

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "as in `Standing`")]
pub enum State {
    Listed,
    Unlisted,
    Unnamed,
    Confirmed,
}

/// What a zone said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Zone {
    /// Its name.
    pub zone: String,
    /// What the mail server does with whom it holds.
    pub effect: Effect,
    /// Whether it holds the address.
    pub finding: Finding,
    /// Its addresses for that.
    pub addresses: Vec<Ipv4Addr>,
    /// Its text, or what went wrong.
    pub remark: Option<String>,
}

/// What the mail server does with whom a zone holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Lets them in.
    Allow,
    /// Answers 5xx.
    Reject,
    /// Answers 4xx.
    Defer,
    /// Answers 5xx or nothing, by its version.
    Unsure,
}

/// Whether a zone holds an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It does not.
    Absent,
    /// It does.
    Present,
    /// It did not say.
    Failed,
}

/// A host's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Name {
    /// The name; null if there is none. Bytes other than printable ASCII are
    /// `\xNN`.
    pub name: Option<String>,
    /// What is to be said of it.
    pub remark: String,
}

impl From<&rule::Effect> for Effect {
    fn from(effect: &rule::Effect) -> Self {
        match effect {
            rule::Effect::Allow { .. } => Self::Allow,
            rule::Effect::Reject(_) => Self::Reject,
            rule::Effect::Defer => Self::Defer,
            rule::Effect::Unsure => Self::Unsure,
        }
    }
}

/// Writes each address and, below it, what was found.
///
/// # Errors
///
/// The writer fails.
pub fn text(out: &mut impl Write, looked_up: &[LookedUp]) -> io::Result<()> {
    for one in looked_up {
        let LookedUp { addr, ttl_s, .. } = one;
        match (&one.standing, &one.by, &one.text) {
            (_, Some(zone), Some(text)) => {
                writeln!(out, "{addr}: listed by {zone}: {text} (for {ttl_s} s)")?;
            }
            (Some(state), ..) => writeln!(out, "{addr}: {} (for {ttl_s} s)", state.meaning())?,
            (None, ..) => writeln!(out, "{addr}: no verdict (for {ttl_s} s)")?,
        }
        for zone in &one.zones {
            zone_line(out, zone)?;
        }
        if let Some(Name { name, remark }) = &one.name {
            let shown = name.as_deref().map(|name| format!("{name}, "));
            writeln!(out, "  name: {}{remark}", shown.unwrap_or_default())?;
        }
    }
    Ok(())
}

impl State {
    const fn meaning(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Unlisted => "unlisted",
            Self::Unnamed => "unlisted, without a server's name",
            Self::Confirmed => "unlisted, with a server's name",
        }
    }
}

fn zone_line(out: &mut impl Write, zone: &Zone) -> io::Result<()> {
    let effect = match zone.effect {
        Effect::Allow => " (lets in)",
        Effect::Reject => "",
        Effect::Defer => " (answers 4xx)",
        Effect::Unsure => " (rejects or not, by Courier's version)",
    };
    let finding = match zone.finding {
        Finding::Absent => "no",
        Finding::Present => "yes",
        Finding::Failed => "no answer",
    };
    write!(out, "  {}{effect}: {finding}", zone.zone)?;
    for address in &zone.addresses {
        write!(out, " {address}")?;
    }
    match &zone.remark {
        Some(remark) => writeln!(out, ", {remark}"),
        None => writeln!(out),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::render::json;

    fn zone(name: &str, effect: Effect, finding: Finding) -> Zone {
        Zone {
            zone: name.into(),
            effect,
            finding,
            addresses: vec![],
            remark: None,
        }
    }

    fn some() -> [LookedUp; 3] {
        let listed = LookedUp {
            addr: "192.0.2.1".parse().unwrap(),
            standing: Some(State::Listed),
            by: Some("b.example".into()),
            text: Some("bot".into()),
            ttl_s: 300,
            zones: vec![
                zone("w.example", Effect::Allow, Finding::Absent),
                Zone {
                    addresses: vec![Ipv4Addr::new(127, 0, 0, 2)],
                    remark: Some("bot".into()),
                    ..zone("b.example", Effect::Reject, Finding::Present)
                },
            ],
            name: None,
        };
        let unlisted = LookedUp {
            addr: "192.0.2.2".parse().unwrap(),
            standing: Some(State::Confirmed),
            by: None,
            text: None,
            zones: vec![],
            name: Some(Name {
                name: Some("mail.example.org".into()),
                remark: "confirmed".into(),
            }),
            ..listed.clone()
        };
        let unknown = LookedUp {
            standing: None,
            zones: vec![Zone {
                remark: Some("timed out".into()),
                ..zone("p.example", Effect::Unsure, Finding::Failed)
            }],
            name: None,
            ttl_s: 15,
            ..unlisted.clone()
        };
        [listed, unlisted, unknown]
    }

    #[test]
    fn text_and_json() {
        let mut out = Vec::new();
        text(&mut out, &some()).unwrap();
        json::array(&mut out, &some()[..1]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"192.0.2.1: listed by b.example: bot (for 300 s)
  w.example (lets in): no
  b.example: yes 127.0.0.2, bot
192.0.2.2: unlisted, with a server's name (for 300 s)
  name: mail.example.org, confirmed
192.0.2.2: no verdict (for 15 s)
  p.example (rejects or not, by Courier's version): no answer, timed out
[
{"addr":"192.0.2.1","standing":"listed","by":"b.example","text":"bot","ttl_s":300,"zones":[{"zone":"w.example","effect":"allow","finding":"absent","addresses":[],"remark":null},{"zone":"b.example","effect":"reject","finding":"present","addresses":["127.0.0.2"],"remark":"bot"}],"name":null}
]
"#
        );
    }
}
