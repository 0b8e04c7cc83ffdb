//! All questions about one source, and what follows from the answers.

use std::net::IpAddr;
use std::time::Duration;

use domain::base::Message;
use domain::base::iana::Rtype;
use spamdrop_common::gate::Standing;
use spamdrop_core::courier::smtpaccess::Entry;
use spamdrop_core::dnsbl::answer::{Failure, Records};
use spamdrop_core::dnsbl::decision::{Decision, Outcome, decide};
use spamdrop_core::dnsbl::host_name::is_generic;
use spamdrop_core::dnsbl::refusal::Refusals;
use spamdrop_core::dnsbl::reply_text::behind_code;
use spamdrop_core::dnsbl::rule::{Effect, Rule, Text};
use spamdrop_core::dnsbl::zone::{self, Heard, Reply, Said, Trouble};
use spamdrop_core::dnsbl::{LONGEST, SHORTEST};
use spamdrop_core::zones::Zones;
use tokio::time::{Instant, timeout_at};

use super::PATIENCE;
use super::join::join_all;
use super::message;
use super::question::{self, Name};
use super::resolver::Resolver;

/// As many names of a host are tried: who has more chose them to be asked.
const MAX_NAMES: usize = 3;

/// What was learned of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// What each zone said, in the order of the zones; empty where the mail
    /// server's own table decides.
    pub replies: Vec<Reply>,
    /// What follows from that.
    pub decision: Decision,
    /// The host's name, asked for if no zone lists it.
    pub name: Option<HostName>,
}

/// What was learned of a host's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    /// A server's own, and it leads back to the host.
    Confirmed(String),
    /// It leads back to the host, but it could have been made from the
    /// address.
    Generic(String),
    /// It does not lead back to the host.
    Unconfirmed(String),
    /// There is none.
    Absent,
    /// It could not be asked for.
    Failed(Failure),
}

impl Findings {
    /// What that makes of the source; `None`: there is no verdict.
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

    /// What stands behind the code of the rejection, if the source is listed.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let Outcome::Listed(index) = self.decision.outcome else {
            return None;
        };
        match &self.replies.get(index)?.said {
            Said::Yes(text) => Some(behind_code(text)),
            _ => None,
        }
    }
}

/// Asks all there is to ask of a source, within [`PATIENCE`]; zones that refuse
/// to serve are left alone.
pub async fn inquire(
    zones: &Zones,
    resolver: &Resolver,
    refusals: &Refusals,
    addr: IpAddr,
) -> Findings {
    let asker = Asker {
        resolver,
        addr: addr.to_canonical(),
        deadline: Instant::now() + PATIENCE,
    };
    let (replies, decision) = match zones.access().of(asker.addr) {
        Entry::Silent => {
            let replies = join_all(
                zones
                    .rules()
                    .iter()
                    .map(|rule| asker.unless_paused(rule, refusals)),
            )
            .await;
            let decision = decide(zones.rules(), &replies);
            (replies, decision)
        }
        Entry::Spares => (Vec::new(), by_table(Outcome::Unlisted)),
        Entry::Refuses => (Vec::new(), by_table(Outcome::Unknown)),
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

fn by_table(outcome: Outcome) -> Decision {
    Decision {
        outcome,
        ttl: LONGEST,
    }
}

/// A name that could not be asked for is asked for again soon.
fn for_name(decision: Decision, name: Option<&HostName>) -> Decision {
    match name {
        Some(HostName::Failed(_)) => Decision {
            ttl: decision.ttl.min(SHORTEST),
            ..decision
        },
        _ => decision,
    }
}

/// Asks one zone, for `config check`.
pub async fn ask_zone(resolver: &Resolver, rule: &Rule, addr: IpAddr, wait: Duration) -> Reply {
    let asker = Asker {
        resolver,
        addr,
        deadline: Instant::now() + wait,
    };
    asker.zone(rule).await
}

struct Asker<'a> {
    resolver: &'a Resolver,
    addr: IpAddr,
    deadline: Instant,
}

type Read<T> = fn(&Message<[u8]>) -> Result<Records<T>, Failure>;

impl Asker<'_> {
    async fn ask<T>(&self, name: &Name, kind: Rtype, read: Read<T>) -> Result<Records<T>, Failure> {
        let answer = self.resolver.ask(name, kind, read);
        match timeout_at(self.deadline, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::TimedOut),
        }
    }

    async fn unless_paused(&self, rule: &Rule, refusals: &Refusals) -> Reply {
        match refusals.pause(&rule.zone, Instant::now().into_std()) {
            Some(left) => Reply::paused(left),
            None => self.zone(rule).await,
        }
    }

    async fn zone(&self, rule: &Rule) -> Reply {
        let Some(name) = question::in_zone(self.addr, &rule.zone) else {
            return Reply::failed(Failure::Broken);
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
        if rule.effect != Effect::Reject(Text::Record) {
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

    /// The first name that is confirmed and not generic, or else what the last
    /// one is.
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
