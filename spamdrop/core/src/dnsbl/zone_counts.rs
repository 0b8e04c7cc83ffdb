//! Counts the answers of each zone to look-ups, for `status` and the metrics.

use std::collections::BTreeMap;

use super::rule::Rule;
use super::zone::{Reply, Said, Trouble};

/// The answers of one zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerCounts {
    /// The source was listed.
    pub listed: u64,
    /// The source was not listed.
    pub unlisted: u64,
    /// The zone gave no usable answer.
    pub failed: u64,
}

/// The answers of all zones since the start, by the zone's name. A zone that
/// leaves the configuration and comes back keeps its counts.
#[derive(Clone, Debug, Default)]
pub struct ZoneCounts(BTreeMap<String, AnswerCounts>);

/// The answer to one look-up. A zone with several rules is queried once; if the
/// rules interpret the answer differently, the greatest value counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answered {
    Unlisted,
    Failed,
    Listed,
}

impl ZoneCounts {
    /// Counts the replies about one source, which are in the order of the
    /// rules. A zone that was not queried does not count.
    pub fn add(&mut self, rules: &[Rule], replies: &[Reply]) {
        let mut answers: BTreeMap<&str, Answered> = BTreeMap::new();
        for (rule, reply) in rules.iter().zip(replies) {
            let Some(answered) = answered(&reply.said) else {
                continue;
            };
            let known = answers.entry(&rule.zone).or_insert(answered);
            *known = answered.max(*known);
        }
        for (zone, answered) in answers {
            let counts = self.0.entry(zone.to_owned()).or_default();
            let count = match answered {
                Answered::Listed => &mut counts.listed,
                Answered::Unlisted => &mut counts.unlisted,
                Answered::Failed => &mut counts.failed,
            };
            *count += 1;
        }
    }

    /// The answers of a zone.
    #[must_use]
    pub fn answers(&self, zone: &str) -> AnswerCounts {
        self.0.get(zone).copied().unwrap_or_default()
    }
}

fn answered(said: &Said) -> Option<Answered> {
    match said {
        Said::Yes(_) | Said::Defer => Some(Answered::Listed),
        Said::No => Some(Answered::Unlisted),
        Said::Nothing(Trouble::Paused | Trouble::Distrusted(_)) | Said::Exempt => None,
        Said::Nothing(_) => Some(Answered::Failed),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::super::response::QueryFailure;
    use super::super::zone::Distrust;
    use super::*;

    fn reply(said: Said) -> Reply {
        Reply {
            said,
            addresses: Vec::new(),
            ttl: Duration::ZERO,
        }
    }

    fn counts(zone: [u64; 3]) -> AnswerCounts {
        let [listed, unlisted, failed] = zone;
        AnswerCounts {
            listed,
            unlisted,
            failed,
        }
    }

    #[test]
    fn each_answer_counts_by_its_kind_and_no_other_zone() {
        let rules = ["a.example", "b.example"].map(|zone| Rule::of_config(zone).unwrap());
        let mut all = ZoneCounts::default();
        let failed = Said::Nothing(Trouble::Failed(QueryFailure::TimedOut));
        let odd = Said::Nothing(Trouble::Odd(Ipv4Addr::LOCALHOST));
        for (first, second) in [
            (Said::Yes("no".into()), Said::No),
            (Said::Defer, failed),
            (Said::No, odd),
        ] {
            all.add(&rules, &[reply(first), reply(second)]);
        }
        assert_eq!(all.answers("a.example"), counts([2, 1, 0]));
        assert_eq!(all.answers("b.example"), counts([0, 1, 2]));
        assert_eq!(all.answers("c.example"), AnswerCounts::default());
    }

    #[test]
    fn a_zone_that_was_not_queried_does_not_count() {
        let rules = [Rule::of_config("a.example").unwrap()];
        let mut all = ZoneCounts::default();
        for said in [
            Said::Exempt,
            Said::Nothing(Trouble::Paused),
            Said::Nothing(Trouble::Distrusted(Distrust::Broken)),
        ] {
            all.add(&rules, &[reply(said)]);
        }
        all.add(&rules, &[]);
        assert_eq!(all.answers("a.example"), AnswerCounts::default());
    }

    #[test]
    fn a_zone_with_two_rules_counts_once() {
        let rule = Rule::of_config("a.example").unwrap();
        let rules = [rule.clone(), rule];
        let mut all = ZoneCounts::default();
        let yes = || reply(Said::Yes("no".into()));
        all.add(&rules, &[reply(Said::No), yes()]);
        all.add(&rules, &[yes(), reply(Said::No)]);
        assert_eq!(all.answers("a.example"), counts([2, 0, 0]));
    }
}
