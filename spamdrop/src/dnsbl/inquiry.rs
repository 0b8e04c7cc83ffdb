//! All queries about one source, and the decision that follows from the
//! answers.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use domain::base::Message;
use domain::base::iana::Rtype;
use spamdrop_common::gate::Standing;
use spamdrop_core::dnsbl::decision::{Outcome, ZoneDecision, decide};
use spamdrop_core::dnsbl::host_name::is_generic;
use spamdrop_core::dnsbl::refusal::RefusingZones;
use spamdrop_core::dnsbl::reply_text::behind_code;
use spamdrop_core::dnsbl::response::{DnsRecords, QueryFailure};
use spamdrop_core::dnsbl::rule::{Effect, RejectionText, Rule};
use spamdrop_core::dnsbl::zone::{self, Distrust, Heard, Reply, Said, Trouble};
use spamdrop_core::dnsbl::zone_test::TEST_ADDRESSES;
use spamdrop_core::dnsbl::{LONGEST, SHORTEST};
use spamdrop_core::zones::{Queried, Zones};
use tokio::time::{Instant, timeout_at};

use super::TIMEOUT;
use super::join::join_all;
use super::message;
use super::question::{self, Name};
use super::resolver::Resolver;
use spamdrop_core::nat64::canonical;

/// Maximum number of PTR names that are checked per host. The host's owner
/// controls how many exist, so the limit bounds the queries that they can
/// cause.
const MAX_NAMES: usize = 3;

/// The result of all queries about one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Each zone's reply, in the order of the zones; empty if the mail server's
    /// own table decides.
    pub replies: Vec<Reply>,
    /// The decision that follows from the replies.
    pub decision: ZoneDecision,
    /// The host's name; queried only if no zone lists the source.
    pub name: Option<HostName>,
}

/// The result of the PTR look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    /// The name resolves back to the address and does not look generated.
    Confirmed(String),
    /// The name resolves back to the address, but could have been generated
    /// from it.
    Generic(String),
    /// The name does not resolve back to the address.
    Unconfirmed(String),
    /// The address has no PTR record.
    Absent,
    /// The look-up failed.
    Failed(QueryFailure),
}

impl Findings {
    /// The source's standing; `None`: there is no verdict.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        match (self.decision.outcome, &self.name) {
            (Outcome::Unknown, _) => None,
            (Outcome::Listed(_), _) => Some(Standing::Listed),
            (Outcome::Unlisted, None | Some(HostName::Failed(_))) => Some(Standing::Unlisted),
            (Outcome::Unlisted, Some(HostName::Confirmed(_))) => Some(Standing::Confirmed),
            (Outcome::Unlisted, Some(_)) => Some(Standing::Unnamed),
        }
    }

    /// The text that follows the code of the rejection, if the source is
    /// listed.
    #[must_use]
    pub fn rejection_text(&self) -> Option<&str> {
        let Outcome::Listed(index) = self.decision.outcome else {
            return None;
        };
        match &self.replies.get(index)?.said {
            Said::Yes(text) => Some(behind_code(text)),
            _ => None,
        }
    }
}

/// The zones that are not queried.
#[derive(Clone, Debug, Default)]
pub struct Skipped {
    /// The zones that refuse to serve.
    pub refusals: RefusingZones,
    /// By the index of each zone: why it did not pass its test, or `None` if it is
    /// trusted. A zone beyond the end is trusted.
    pub distrusts: Vec<Option<Distrust>>,
}

impl Skipped {
    /// The reply to use instead of a query; `None`: the zone is to be queried. `index` is
    /// the zone's index in the rules.
    fn reply(&self, index: usize, rule: &Rule) -> Option<Reply> {
        let paused = self.refusals.pause(&rule.zone, Instant::now().into_std());
        let distrust = self.distrusts.get(index).copied().flatten();
        paused
            .map(Reply::paused)
            .or_else(|| distrust.map(Reply::distrusted))
    }
}

/// Sends all queries about a source, within [`TIMEOUT`].
pub async fn inquire(
    zones: &Zones,
    resolver: &Resolver,
    skipped: &Skipped,
    addr: IpAddr,
) -> Findings {
    let asker = Asker {
        resolver,
        addr: canonical(addr),
        deadline: Instant::now() + TIMEOUT,
    };
    let (replies, decision) = match zones.queried(asker.addr) {
        Queried::Zones(exempt) => {
            let replies = asker.zones(zones.rules(), &exempt, skipped).await;
            let decision = decide(zones.rules(), &replies);
            (replies, decision)
        }
        Queried::Exempt => (Vec::new(), by_table(Outcome::Unlisted)),
        Queried::Undecided => (Vec::new(), by_table(Outcome::Unknown)),
    };
    let name = match decision.outcome {
        Outcome::Unlisted => Some(asker.name().await),
        _ => None,
    };
    Findings {
        replies,
        decision: for_name(decision, name.as_ref()),
        name,
    }
}

fn by_table(outcome: Outcome) -> ZoneDecision {
    ZoneDecision {
        outcome,
        ttl: LONGEST,
    }
}

/// Shortens the lifetime of a decision if the name look-up failed, so that the
/// name is looked up again soon.
fn for_name(decision: ZoneDecision, name: Option<&HostName>) -> ZoneDecision {
    match name {
        Some(HostName::Failed(_)) => ZoneDecision {
            ttl: decision.ttl.min(SHORTEST),
            ..decision
        },
        _ => decision,
    }
}

/// Queries one zone, for `config check`.
pub async fn ask_zone(resolver: &Resolver, rule: &Rule, addr: IpAddr, wait: Duration) -> Reply {
    let asker = Asker {
        resolver,
        addr,
        deadline: Instant::now() + wait,
    };
    asker.zone(rule).await
}

/// Asks a zone about the test addresses (RFC 5782 section 5). If it lists
/// neither as an IPv4 address, it may be a zone of IPv6 addresses only. Then it is
/// asked about the IPv6 forms of both.
pub async fn test_zone(resolver: &Resolver, rule: &Rule, wait: Duration) -> [Reply; 2] {
    let ask = |addr: Ipv4Addr| ask_zone(resolver, rule, addr.into(), wait);
    let [listed, unlisted] = TEST_ADDRESSES;
    let (by_v4, other_by_v4) = tokio::join!(ask(listed), ask(unlisted));
    if by_v4.said != Said::No || other_by_v4.said != Said::No {
        return [by_v4, other_by_v4];
    }
    let ask = async |addr: Ipv4Addr| {
        let asker = Asker {
            resolver,
            addr: addr.into(),
            deadline: Instant::now() + wait,
        };
        let name = question::test_in_ipv6_zone(addr, &rule.zone);
        asker.zone_by(rule, name).await
    };
    let (by_v6, other_by_v6) = tokio::join!(ask(listed), ask(unlisted));
    match by_v6.addresses.is_empty() && other_by_v6.addresses.is_empty() {
        true => [by_v4, other_by_v4],
        false => [by_v6, other_by_v6],
    }
}

/// For each rule, the index of an earlier rule that sends the same query; `None`: the
/// rule needs a query of its own, or none.
fn earlier_rules(rules: &[Rule], exempt: &[bool]) -> Vec<Option<usize>> {
    let is_asked = |index: usize| exempt.get(index) == Some(&false);
    let same = |index: usize, rule: &Rule| {
        let mut before = rules.iter().take(index).enumerate();
        before.find_map(|(earlier, other)| {
            let is_same = other.zone == rule.zone
                && other.effect.is_allowing() == rule.effect.is_allowing()
                && !other.effect.needs_text();
            (is_same && is_asked(earlier)).then_some(earlier)
        })
    };
    let rules = rules.iter().enumerate();
    rules
        .map(
            |(index, rule)| match is_asked(index) && !rule.effect.needs_text() {
                true => same(index, rule),
                false => None,
            },
        )
        .collect()
}

struct Asker<'a> {
    resolver: &'a Resolver,
    addr: IpAddr,
    deadline: Instant,
}

type Read<T> = fn(&Message<[u8]>) -> Result<DnsRecords<T>, QueryFailure>;

impl Asker<'_> {
    async fn ask<T>(
        &self,
        name: &Name,
        kind: Rtype,
        read: Read<T>,
    ) -> Result<DnsRecords<T>, QueryFailure> {
        let answer = self.resolver.ask(name, kind, read);
        match timeout_at(self.deadline, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(QueryFailure::TimedOut),
        }
    }

    /// Queries the zones from which the source is not exempt. A zone is queried once,
    /// even if several rules with different filters name it.
    async fn zones(&self, rules: &[Rule], exempt: &[bool], skipped: &Skipped) -> Vec<Reply> {
        let earlier = earlier_rules(rules, exempt);
        let asked = rules.iter().zip(exempt).zip(&earlier).enumerate();
        let replies =
            asked.map(
                async |(index, ((rule, is_exempt), earlier))| match (is_exempt, earlier) {
                    (true, _) | (_, Some(_)) => Reply::exempt(),
                    (false, None) => self.unless_skipped(index, rule, skipped).await,
                },
            );
        let mut replies = join_all(replies).await;
        for (index, (rule, earlier)) in rules.iter().zip(earlier).enumerate() {
            if let Some(reply) = earlier.and_then(|earlier| replies.get(earlier)) {
                let reply = zone::again(rule, self.addr, reply);
                replies.splice(index..=index, [reply]);
            }
        }
        replies
    }

    async fn unless_skipped(&self, index: usize, rule: &Rule, skipped: &Skipped) -> Reply {
        match skipped.reply(index, rule) {
            Some(reply) => reply,
            None => self.zone(rule).await,
        }
    }

    async fn zone(&self, rule: &Rule) -> Reply {
        self.zone_by(rule, question::in_zone(self.addr, &rule.zone))
            .await
    }

    /// Queries a zone by a name in it.
    async fn zone_by(&self, rule: &Rule, name: Option<Name>) -> Reply {
        let Some(name) = name else {
            return Reply::failed(QueryFailure::Broken);
        };
        let records = match self.ask(&name, Rtype::A, message::addresses4).await {
            Ok(records) => records,
            Err(failure) => return Reply::failed(failure),
        };
        let said = match zone::heard(rule, &records.values) {
            Heard::Odd(address) => Said::Nothing(Trouble::Odd(address)),
            Heard::Absent if rule.effect == (Effect::Allow { by_text: true }) => {
                self.allowed_by_text(&name, rule).await
            }
            Heard::Absent => Said::No,
            Heard::Present => self.words(&name, rule).await,
        };
        Reply::new(said, records)
    }

    async fn words(&self, name: &Name, rule: &Rule) -> Said {
        if rule.effect != Effect::Reject(RejectionText::Record) {
            return zone::said(rule, self.addr, None);
        }
        match self.ask(name, Rtype::TXT, message::texts).await {
            Ok(records) => zone::said(rule, self.addr, Some(&records.values)),
            Err(failure) => Said::Nothing(Trouble::Failed(failure)),
        }
    }

    async fn allowed_by_text(&self, name: &Name, rule: &Rule) -> Said {
        match self.ask(name, Rtype::TXT, message::texts).await {
            Ok(records) if records.values.iter().all(Vec::is_empty) => Said::No,
            Ok(_) => zone::said(rule, self.addr, None),
            Err(failure) => Said::Nothing(Trouble::Failed(failure)),
        }
    }

    /// Looks up the host's names. Stops at the first that is confirmed and not generic, or
    /// that fails. Returns the result for the last name that was looked up.
    async fn name(&self) -> HostName {
        let Some(reverse) = question::reverse(self.addr) else {
            return HostName::Absent;
        };
        let names = match self.ask(&reverse, Rtype::PTR, message::names).await {
            Ok(records) => records.values,
            Err(failure) => return HostName::Failed(failure),
        };
        let mut found = HostName::Absent;
        for name in names.iter().take(MAX_NAMES) {
            found = self.confirm(name).await;
            if matches!(found, HostName::Confirmed(_) | HostName::Failed(_)) {
                break;
            }
        }
        found
    }

    async fn confirm(&self, name: &Name) -> HostName {
        let confirmed = match self.addr {
            IpAddr::V4(addr) => {
                let records = self.ask(name, Rtype::A, message::addresses4).await;
                records.map(|records| records.values.contains(&addr))
            }
            IpAddr::V6(addr) => {
                let records = self.ask(name, Rtype::AAAA, message::addresses6).await;
                records.map(|records| records.values.contains(&addr))
            }
        };
        let shown = name.to_string();
        match confirmed {
            Ok(true) if is_generic(&shown, self.addr) => HostName::Generic(shown),
            Ok(true) => HostName::Confirmed(shown),
            Ok(false) => HostName::Unconfirmed(shown),
            Err(failure) => HostName::Failed(failure),
        }
    }
}
