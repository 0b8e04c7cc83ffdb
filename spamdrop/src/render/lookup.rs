//! `lookup`: the zones' verdicts on addresses.

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use spamdrop_common::gate::Standing;
use spamdrop_core::dnsbl::decision::Outcome;
use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::dnsbl::rule::{Effect, Rule};
use spamdrop_core::dnsbl::zone::{Reply, Said};
use spamdrop_core::escape::escape;

use crate::dnsbl::inquiry::{Findings, HostName};

/// An address that was looked up. `lookup --json` prints an array of these, in
/// the order of the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LookedUp<'a> {
    /// The address.
    pub addr: IpAddr,
    /// The verdict of the zones and the host name; `null`: there is no verdict.
    #[serde(serialize_with = "standing_name")]
    pub standing: Option<Standing>,
    /// The zone that lists the address; `null` unless it is listed.
    pub by: Option<Cow<'a, str>>,
    /// The text of the rejection, without the code; `null` unless it is listed.
    pub text: Option<&'a str>,
    /// Seconds for which the verdict holds.
    pub ttl_s: u64,
    /// Each zone's reply, in the mail server's order; empty if the server's own
    /// access table decides.
    pub zones: Vec<ZoneReply<'a>>,
    /// The host's name; `null` if it was not looked up.
    pub name: Option<FoundName>,
}

/// A zone and its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneReply<'a> {
    rule: &'a Rule,
    reply: &'a Reply,
}

/// A host's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundName {
    /// The name; `null` if there is none. Bytes other than printable ASCII are
    /// `\xNN`.
    pub name: Option<String>,
    /// `confirmed`, or the reason why the name is not confirmed.
    pub remark: String,
}

impl<'a> LookedUp<'a> {
    /// The result for an address, looked up by these rules.
    #[must_use]
    pub fn new(addr: IpAddr, rules: &'a [Rule], findings: &'a Findings) -> Self {
        let by = match findings.decision.outcome {
            Outcome::Listed(index) => rules.get(index).map(|rule| mask(&rule.zone)),
            Outcome::Unlisted | Outcome::Unknown => None,
        };
        let zones = rules.iter().zip(&findings.replies);
        Self {
            addr,
            standing: findings.standing(),
            by,
            text: findings.rejection_text(),
            ttl_s: findings.decision.ttl.as_secs(),
            zones: zones
                .map(|(rule, reply)| ZoneReply { rule, reply })
                .collect(),
            name: findings.name.as_ref().map(FoundName::new),
        }
    }
}

impl FoundName {
    fn new(name: &HostName) -> Self {
        let (name, remark) = match name {
            HostName::Confirmed(name) => (Some(name), "confirmed".into()),
            HostName::Generic(name) => (Some(name), "confirmed, but generic".into()),
            HostName::Unconfirmed(name) => (Some(name), "does not resolve to the address".into()),
            HostName::Absent => (None, "none".into()),
            HostName::Failed(failure) => (None, failure.to_string()),
        };
        Self {
            name: name.map(|name| escape(name.as_bytes())),
            remark,
        }
    }
}

impl ZoneReply<'_> {
    /// The zone's finding: its name in JSON, its words in the text, and a remark.
    fn finding(&self) -> (&'static str, &'static str, Option<String>) {
        match &self.reply.said {
            Said::No => ("absent", "no", None),
            Said::Exempt => (
                "exempt",
                "not asked",
                Some("the server exempts the address".into()),
            ),
            Said::Yes(text) => ("present", "yes", Some(text.clone())),
            Said::Defer => (
                "present",
                "yes",
                Some("its text makes the server answer 4xx".into()),
            ),
            Said::Nothing(trouble) => ("failed", "no answer", Some(trouble.to_string())),
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let effect = match self.rule.effect {
            Effect::Allow { .. } => " (lets in)",
            Effect::Reject(_) => "",
            Effect::Defer => " (answers 4xx)",
            Effect::Unsure => " (may reject)",
            Effect::Weigh { weight, .. } => &format!(" (weighs {weight})"),
        };
        let (_, finding, remark) = self.finding();
        write!(out, "  {}{effect}: {finding}", mask(&self.rule.zone))?;
        for address in &self.reply.addresses {
            write!(out, " {address}")?;
        }
        match remark {
            Some(remark) => writeln!(out, ", {remark}"),
            None => writeln!(out),
        }
    }
}

/// Members: `zone`, its name; `effect`, the mail server's reaction to a source
/// in the zone: `"allow"`, `"reject"` (5xx), `"defer"` (4xx), `"weigh"` (5xx if the
/// weights of all zones reach a threshold) or `"unsure"` (5xx or nothing);
/// `finding`: `"absent"`, `"present"`, `"failed"` or `"exempt"` (the server does not
/// ask the zone about the source); `addresses`, the zone's answers for the source;
/// `remark`, the zone's text or the error.
impl Serialize for ZoneReply<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (finding, _, remark) = self.finding();
        let addresses: &[Ipv4Addr] = &self.reply.addresses;
        let mut zone = serializer.serialize_struct("ZoneReply", 5)?;
        zone.serialize_field("zone", &mask(&self.rule.zone))?;
        zone.serialize_field("effect", self.rule.effect.name())?;
        zone.serialize_field("finding", finding)?;
        zone.serialize_field("addresses", addresses)?;
        zone.serialize_field("remark", &remark)?;
        zone.end()
    }
}

/// Writes each address and, below it, the replies.
pub fn write_text(out: &mut impl Write, looked_up: &[LookedUp<'_>]) -> io::Result<()> {
    for one in looked_up {
        let LookedUp { addr, ttl_s, .. } = one;
        match (one.standing, &one.by, one.text) {
            (_, Some(zone), Some(text)) => {
                writeln!(out, "{addr}: listed by {zone}: {text} (for {ttl_s} s)")?;
            }
            (standing, ..) => writeln!(out, "{addr}: {} (for {ttl_s} s)", meaning(standing))?,
        }
        for zone in &one.zones {
            zone.write(out)?;
        }
        if let Some(FoundName { name, remark }) = &one.name {
            let shown = name.as_deref().map(|name| format!("{name}, "));
            writeln!(out, "  name: {}{remark}", shown.unwrap_or_default())?;
        }
    }
    Ok(())
}

fn meaning(standing: Option<Standing>) -> &'static str {
    match standing {
        Some(Standing::Listed) => "listed",
        Some(Standing::Unlisted) => "unlisted",
        Some(Standing::Unnamed) => "unlisted, without a server's name",
        Some(Standing::Confirmed) => "unlisted, with a server's name",
        None => "no verdict",
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn standing_name<S: Serializer>(
    standing: &Option<Standing>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let name = standing.map(|standing| match standing {
        Standing::Listed => "listed",
        Standing::Unlisted => "unlisted",
        Standing::Unnamed => "unnamed",
        Standing::Confirmed => "confirmed",
    });
    name.serialize(serializer)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::render::json;
    use spamdrop_core::dnsbl::decision::ZoneDecision;
    use spamdrop_core::dnsbl::response::QueryFailure;
    use spamdrop_core::dnsbl::rule::RejectionText;
    use spamdrop_core::dnsbl::zone::Trouble;
    use std::time::Duration;

    fn rule(zone: &str, effect: Effect) -> Rule {
        Rule {
            zone: zone.into(),
            only: None,
            list: 0,
            effect,
        }
    }

    fn reply(said: Said, addresses: &[Ipv4Addr]) -> Reply {
        Reply {
            said,
            addresses: addresses.into(),
            ttl: Duration::ZERO,
        }
    }

    fn findings(
        outcome: Outcome,
        ttl_s: u64,
        replies: Vec<Reply>,
        name: Option<HostName>,
    ) -> Findings {
        let ttl = Duration::from_secs(ttl_s);
        let decision = ZoneDecision { outcome, ttl };
        Findings {
            replies,
            decision,
            name,
        }
    }

    #[test]
    fn text_and_json() {
        let rules = [
            rule("w.example", Effect::Allow { by_text: false }),
            rule("b.example", Effect::Reject(RejectionText::Record)),
        ];
        let unsure = [rule("p.example", Effect::Unsure)];
        let bot = reply(Said::Yes("bot".into()), &[Ipv4Addr::new(127, 0, 0, 2)]);
        let replies = vec![reply(Said::No, &[]), bot];
        let listed = findings(Outcome::Listed(1), 300, replies, None);
        let name = HostName::Confirmed("mail.example.org".into());
        let unlisted = findings(Outcome::Unlisted, 300, vec![], Some(name));
        let silent = reply(Said::Nothing(Trouble::Failed(QueryFailure::TimedOut)), &[]);
        let unknown = findings(Outcome::Unknown, 15, vec![silent], None);
        let [one, two] = ["192.0.2.1", "192.0.2.2"].map(|addr| addr.parse().unwrap());
        let looked_up = [
            LookedUp::new(one, &rules, &listed),
            LookedUp::new(two, &rules, &unlisted),
            LookedUp::new(two, &unsure, &unknown),
        ];
        let mut out = Vec::new();
        write_text(&mut out, &looked_up).unwrap();
        json::array(&mut out, &looked_up[..2]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"192.0.2.1: listed by b.example: bot (for 300 s)
  w.example (lets in): no
  b.example: yes 127.0.0.2, bot
192.0.2.2: unlisted, with a server's name (for 300 s)
  name: mail.example.org, confirmed
192.0.2.2: no verdict (for 15 s)
  p.example (may reject): no answer, timed out
[
{"addr":"192.0.2.1","standing":"listed","by":"b.example","text":"bot","ttl_s":300,"zones":[{"zone":"w.example","effect":"allow","finding":"absent","addresses":[],"remark":null},{"zone":"b.example","effect":"reject","finding":"present","addresses":["127.0.0.2"],"remark":"bot"}],"name":null},
{"addr":"192.0.2.2","standing":"confirmed","by":null,"text":null,"ttl_s":300,"zones":[],"name":{"name":"mail.example.org","remark":"confirmed"}}
]
"#
        );
    }
}
