//! Whether a zone answers as a blocklist should (RFC 5782 section 5), and
//! whether the name servers answer at all.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::key::mask;
use super::question::{TEST_LISTED, TEST_UNLISTED};
use super::refusal_code::{explain, is_refusal};
use super::response::QueryFailure;
use super::rule::{Effect, RejectionText, Rule};
use super::zone::{Distrust, Reply, Said, Trouble};

/// After this time without an answer, [`ZoneTests::silence`] reports the name
/// servers.
const SILENT: Duration = Duration::from_secs(60);

/// The result of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneState {
    /// The zone's first test has no result yet.
    Pending,
    /// The zone lists 127.0.0.2 and not 127.0.0.1.
    Works,
    /// The zone lists every address, or its answers are no listings, for this
    /// reason.
    Broken(String),
    /// The zone refuses to serve, for this reason.
    Refuses(String),
    /// The zone is silent, or does not list 127.0.0.2.
    Untested(String),
}

impl ZoneState {
    /// The reason why look-ups by the zone give no verdict.
    #[must_use]
    pub fn distrust(&self) -> Option<Distrust> {
        match self {
            Self::Works => None,
            Self::Broken(_) | Self::Refuses(_) => Some(Distrust::Broken),
            Self::Pending | Self::Untested(_) => Some(Distrust::Untested),
        }
    }

    /// The state in one word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Works => "works",
            Self::Broken(_) => "broken",
            Self::Refuses(_) => "refuses",
            Self::Untested(_) => "untested",
        }
    }

    /// Interprets the replies about 127.0.0.2 and 127.0.0.1.
    #[must_use]
    pub fn from_replies(rule: &Rule, listed: &Reply, unlisted: &Reply) -> Self {
        let zone = mask(&rule.zone);
        let addresses = listed.addresses.iter().chain(&unlisted.addresses);
        let is_allow_list = rule.effect.is_allowing();
        for address in addresses {
            if is_refusal(*address) {
                let why = explain(*address);
                return Self::Refuses(format!("{zone} answered {address}: {why}"));
            }
            if !address.is_loopback() && !is_allow_list {
                return Self::Broken(format!(
                    "{zone} answered {address}, which is not a listing; is it still a blocklist?"
                ));
            }
        }
        if unlisted.said != Said::No && !unlisted.addresses.is_empty() {
            return Self::Broken(format!(
                "{zone} lists {TEST_UNLISTED}, so it lists every address; remove it"
            ));
        }
        // Without an answer about 127.0.0.1, the zone may list every address.
        if is_unanswered(unlisted) {
            return Self::Untested(format!(
                "{zone} could not be queried: no answer about {TEST_UNLISTED}"
            ));
        }
        match &listed.said {
            Said::Nothing(Trouble::Complaint(text)) => Self::Broken(format!(
                "{zone} complains: {text}; is it still a blocklist?"
            )),
            Said::Nothing(trouble) => {
                Self::Untested(format!("{zone} could not be queried: {trouble}"))
            }
            Said::No if !is_allow_list => Self::Untested(format!(
                "{zone} does not list {TEST_LISTED}, as every blocklist does; is its name right?"
            )),
            _ => Self::Works,
        }
    }
}

/// The rule by which a zone is tested: its own text and its filter of addresses
/// do not matter.
#[must_use]
pub fn test_rule(rule: &Rule) -> Rule {
    Rule {
        only: None,
        effect: match rule.effect.is_allowing() {
            true => Effect::Allow { by_text: false },
            false => Effect::Reject(RejectionText::Plain),
        },
        ..rule.clone()
    }
}

/// The addresses of a test.
pub const TEST_ADDRESSES: [Ipv4Addr; 2] = [TEST_LISTED, TEST_UNLISTED];

/// The last test of each zone.
#[derive(Clone, Debug)]
pub struct ZoneTests {
    zones: Vec<(Rule, ZoneState)>,
    /// When a name server answered last, or the tests began.
    answered: Instant,
    /// Whether both queries of a test after `answered` had no answer.
    is_silent: bool,
}

impl ZoneTests {
    /// Begins with zones that were not tested.
    #[must_use]
    pub fn new(rules: &[Rule], now: Instant) -> Self {
        let zones = rules
            .iter()
            .map(|rule| (test_rule(rule), ZoneState::Pending));
        Self {
            zones: zones.collect(),
            answered: now,
            is_silent: false,
        }
    }

    /// Takes over the results of earlier tests of the same zones.
    pub fn carry_over(&mut self, earlier: &Self) {
        for (rule, state) in &mut self.zones {
            let mut zones = earlier.zones.iter();
            if let Some((_, old)) = zones.find(|(other, _)| other == rule) {
                state.clone_from(old);
            }
        }
        (self.answered, self.is_silent) = (earlier.answered, earlier.is_silent);
    }

    /// Records that a name server answered another query than that of a test.
    pub fn answered(&mut self, now: Instant) {
        (self.answered, self.is_silent) = (now, false);
    }

    /// The rules to test by, in the order of the zones.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.zones.iter().map(|(rule, _)| rule)
    }

    /// Records the replies of the zone with this index about the
    /// [`TEST_ADDRESSES`].
    pub fn record(&mut self, index: usize, [listed, unlisted]: &[Reply; 2], now: Instant) {
        let Some((rule, state)) = self.zones.get_mut(index) else {
            return;
        };
        let is_silent = is_unanswered(listed) && is_unanswered(unlisted);
        let is_whole = !is_unanswered(listed) && !is_unanswered(unlisted);
        // A broken zone stays broken until both queries of a test are answered.
        if is_whole || state.distrust() != Some(Distrust::Broken) {
            *state = ZoneState::from_replies(rule, listed, unlisted);
        }
        if is_silent {
            self.is_silent = true;
        } else {
            self.answered(now);
        }
    }

    /// The results, in the order of the zones.
    pub fn states(&self) -> impl Iterator<Item = &ZoneState> {
        self.zones.iter().map(|(_, state)| state)
    }

    /// For each zone, in their order, the reason why look-ups by it give no
    /// verdict.
    #[must_use]
    pub fn distrusts(&self) -> Vec<Option<Distrust>> {
        let states = self.zones.iter().map(|(_, state)| state.distrust());
        states.collect()
    }

    /// The zones that are broken, in one line; without those that refuse to
    /// serve.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        self.join_texts(|state| match state {
            ZoneState::Broken(text) => Some(text),
            _ => None,
        })
    }

    /// The zones that could not be tested, in one line.
    #[must_use]
    pub fn untested(&self) -> Option<String> {
        self.join_texts(|state| match state {
            ZoneState::Untested(text) => Some(text),
            _ => None,
        })
    }

    fn join_texts(&self, text: impl Fn(&ZoneState) -> Option<&String>) -> Option<String> {
        let texts = self.zones.iter().filter_map(|(_, state)| text(state));
        let texts: Vec<&str> = texts.map(String::as_str).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    /// A warning if the name servers have been silent for a minute.
    #[must_use]
    pub fn silence(&self, now: Instant) -> Option<String> {
        let lasts = now.saturating_duration_since(self.answered) >= SILENT;
        (self.is_silent && lasts).then(|| {
            "no name server has answered for a minute, so senders are not looked up; see `nameserver` in the file that `resolv_conf` names".into()
        })
    }
}

/// Whether no name server answered the query, or the zone was exempt from it.
#[must_use]
pub fn is_unanswered(reply: &Reply) -> bool {
    let silent = [QueryFailure::TimedOut, QueryFailure::Unreachable];
    match &reply.said {
        Said::Nothing(Trouble::Failed(failure)) => silent.contains(failure),
        said => *said == Said::Exempt,
    }
}

#[cfg(test)]
mod tests;
