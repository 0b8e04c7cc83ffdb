//! Decides from the replies of all zones whether the mail server rejects the source.
//!
//! A server asks its zones in order, and the first that lists the source decides:
//! in Courier it sets `BLOCK`, in Postfix it ends the restrictions. Postfix and
//! Exim have several lists, and an allow-list ends only the list that it is in;
//! postscreen adds up the weights of a list. spamdrop asks all zones at once. A
//! source counts as listed only if the server answers 5xx regardless of the answers
//! that are missing.

use std::time::Duration;

use super::rule::{Effect, Rule};
use super::zone::{Reply, Said, Trouble};
use super::{LONGEST, RETRY, SHORTEST};

/// The mail server's decision about the source, derived from the replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server rejects the source, because of the rule with this index.
    Listed(usize),
    /// No zone makes the server reject the source.
    Unlisted,
    /// The result cannot be determined.
    Unknown,
}

/// A decision and how long it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneDecision {
    /// The result.
    pub outcome: Outcome,
    /// The lifetime, from the records that led to the decision, between
    /// [`SHORTEST`] and [`LONGEST`]. [`RETRY`] if the outcome is unknown
    /// because a zone failed.
    pub ttl: Duration,
}

/// Combines the replies. A reply belongs to the rule of the same index.
#[must_use]
pub fn decide(rules: &[Rule], replies: &[Reply]) -> ZoneDecision {
    let mut course = Course::default();
    let mut list = 0;
    for (index, (rule, reply)) in rules.iter().zip(replies).enumerate() {
        if rule.list != list {
            if let Some(outcome) = course.end_list() {
                return course.end(outcome, course.ttl);
            }
            list = rule.list;
        }
        if course.is_allowed {
            continue;
        }
        course.ttl = course.ttl.min(reply.ttl);
        if let Some(outcome) = course.next(index, &rule.effect, &reply.said) {
            let ttl = match outcome {
                Outcome::Listed(_) => reply.ttl,
                Outcome::Unlisted | Outcome::Unknown => course.ttl,
            };
            return course.end(outcome, ttl);
        }
    }
    let outcome = match (course.end_list(), course.maybe_rejected) {
        (Some(outcome), _) => outcome,
        (None, true) => Outcome::Unknown,
        (None, false) => Outcome::Unlisted,
    };
    course.end(outcome, course.ttl)
}

/// The evaluation of the zones so far, in order.
struct Course {
    /// A zone failed, or may reject the source depending on the server. Then
    /// the source does not count as unlisted.
    maybe_rejected: bool,
    /// A zone failed that could have made the server reply 4xx. Then the source
    /// does not count as listed.
    maybe_deferred: bool,
    /// An allow-list of this list failed. Then no later zone of the list makes
    /// the source listed.
    maybe_allowed: bool,
    /// An allow-list of this list has the source.
    is_allowed: bool,
    /// The weights of this list.
    score: Score,
    /// A zone failed in a way that is worth another query soon. A zone that was
    /// not asked does not set this.
    failed: bool,
    ttl: Duration,
}

/// The sum of the weights of a list.
#[derive(Default)]
struct Score {
    sum: i64,
    /// The most that the failed zones could add.
    more: i64,
    /// The most that the failed zones could take away, as a negative number.
    less: i64,
    /// 0: the list has no weights.
    threshold: i64,
    /// The weight and the index of the rule that has added the most.
    heaviest: Option<(i32, usize)>,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            maybe_rejected: false,
            maybe_deferred: false,
            maybe_allowed: false,
            is_allowed: false,
            score: Score::default(),
            failed: false,
            ttl: LONGEST,
        }
    }
}

impl Course {
    fn next(&mut self, index: usize, effect: &Effect, said: &Said) -> Option<Outcome> {
        if let Said::Nothing(trouble) = said {
            self.failed |= is_worth_a_retry(trouble);
        }
        match (effect, said) {
            (_, Said::Exempt) => None,
            (Effect::Weigh { weight, threshold }, said) => {
                self.score.add(index, *weight, *threshold, said);
                None
            }
            (_, Said::No) => None,
            (effect, Said::Nothing(_)) => {
                self.maybe_allowed |= matches!(effect, Effect::Allow { .. });
                self.maybe_deferred |= *effect == Effect::Defer;
                self.maybe_rejected = true;
                None
            }
            (Effect::Allow { .. }, _) => {
                self.is_allowed = true;
                None
            }
            (Effect::Defer, _) | (_, Said::Defer) => Some(Outcome::Unknown),
            (Effect::Unsure, Said::Yes(_)) => {
                self.maybe_rejected = true;
                None
            }
            (Effect::Reject(_), Said::Yes(_)) => Some(self.listed(index)),
        }
    }

    fn listed(&self, index: usize) -> Outcome {
        match self.maybe_deferred || self.maybe_allowed {
            true => Outcome::Unknown,
            false => Outcome::Listed(index),
        }
    }

    /// Closes a list, because the next one has allow-lists and weights of its
    /// own. Returns the outcome if the sum of the weights decides.
    fn end_list(&mut self) -> Option<Outcome> {
        let score = std::mem::take(&mut self.score);
        let heaviest = score.heaviest.map_or(0, |(_, index)| index);
        let listed = score.reaches(score.less).then(|| self.listed(heaviest));
        self.maybe_rejected |= score.reaches(score.more);
        (self.is_allowed, self.maybe_allowed) = (false, false);
        listed
    }

    fn end(&self, outcome: Outcome, ttl: Duration) -> ZoneDecision {
        let ttl = match (outcome, self.failed) {
            (Outcome::Unknown, true) => RETRY,
            _ => ttl.clamp(SHORTEST, LONGEST),
        };
        ZoneDecision { outcome, ttl }
    }
}

impl Score {
    fn add(&mut self, index: usize, weight: i32, threshold: i32, said: &Said) {
        self.threshold = threshold.into();
        match said {
            Said::Yes(_) | Said::Defer => {
                self.sum = self.sum.saturating_add(weight.into());
                let more = |(heaviest, _)| heaviest < weight;
                if self.heaviest.is_none_or(more) {
                    self.heaviest = Some((weight, index));
                }
            }
            Said::Nothing(_) if weight < 0 => self.less = self.less.saturating_add(weight.into()),
            Said::Nothing(_) => self.more = self.more.saturating_add(weight.into()),
            Said::No | Said::Exempt => {}
        }
    }

    /// Whether the sum reaches the threshold if the failed zones add `failed`.
    fn reaches(&self, failed: i64) -> bool {
        self.threshold > 0 && self.sum.saturating_add(failed) >= self.threshold
    }
}

fn is_worth_a_retry(trouble: &Trouble) -> bool {
    !matches!(trouble, Trouble::Paused | Trouble::Distrusted(_))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::super::response::QueryFailure;
    use super::super::zone::Distrust;
    use super::*;

    const BLOCK: &str = "-block=b.example,BLOCK,x";
    const ALLOW: &str = "-allow=w.example";
    const PLAIN: &str = "-block=p.example";
    const DEFER: &str = "-block=d.example,BLOCK,450 later";

    fn yes() -> Reply {
        reply(Said::Yes("x".into()))
    }

    fn no() -> Reply {
        reply(Said::No)
    }

    fn failed() -> Reply {
        Reply::failed(QueryFailure::TimedOut)
    }

    fn reply(said: Said) -> Reply {
        Reply {
            said,
            addresses: Vec::new(),
            ttl: Duration::from_secs(300),
        }
    }

    fn after(zones: &[(&str, Reply)]) -> Outcome {
        decided(zones).outcome
    }

    fn decided(zones: &[(&str, Reply)]) -> ZoneDecision {
        let (rules, replies): (Vec<_>, Vec<_>) = zones
            .iter()
            .map(|(option, reply)| (Rule::of_courier(option.as_bytes()).unwrap(), reply.clone()))
            .unzip();
        decide(&rules, &replies)
    }

    #[test]
    fn the_first_zone_that_holds_the_source_decides() {
        use Outcome::{Listed, Unlisted};
        assert_eq!(after(&[]), Unlisted);
        assert_eq!(after(&[(BLOCK, no()), (BLOCK, no())]), Unlisted);
        assert_eq!(after(&[(BLOCK, no()), (BLOCK, yes())]), Listed(1));
        assert_eq!(after(&[(BLOCK, yes()), (BLOCK, yes())]), Listed(0));
        assert_eq!(after(&[(ALLOW, yes()), (BLOCK, yes())]), Unlisted);
        assert_eq!(after(&[(BLOCK, yes()), (ALLOW, yes())]), Listed(0));
        assert_eq!(after(&[(ALLOW, no()), (BLOCK, yes())]), Listed(1));
    }

    #[test]
    fn who_may_be_spared_is_not_listed() {
        use Outcome::Unknown;
        assert_eq!(after(&[(ALLOW, failed()), (BLOCK, yes())]), Unknown);
        assert_eq!(after(&[(DEFER, yes()), (BLOCK, yes())]), Unknown);
        assert_eq!(after(&[(DEFER, failed()), (BLOCK, yes())]), Unknown);
        assert_eq!(after(&[(BLOCK, reply(Said::Defer))]), Unknown);
        assert_eq!(after(&[(PLAIN, yes())]), Unknown);
        assert_eq!(after(&[(PLAIN, yes()), (ALLOW, yes())]), Unknown);
    }

    #[test]
    fn a_listing_stands_whatever_another_blocklist_would_say() {
        use Outcome::Listed;
        assert_eq!(after(&[(BLOCK, failed()), (BLOCK, yes())]), Listed(1));
        assert_eq!(after(&[(PLAIN, yes()), (BLOCK, yes())]), Listed(1));
        assert_eq!(after(&[(PLAIN, failed()), (BLOCK, yes())]), Listed(1));
        assert_eq!(after(&[(BLOCK, yes()), (ALLOW, failed())]), Listed(0));
    }

    #[test]
    fn who_could_not_be_asked_about_is_not_unlisted() {
        use Outcome::{Unknown, Unlisted};
        assert_eq!(after(&[(BLOCK, failed())]), Unknown);
        assert_eq!(after(&[(BLOCK, no()), (BLOCK, failed())]), Unknown);
        assert_eq!(after(&[(BLOCK, failed()), (ALLOW, yes())]), Unknown);
        assert_eq!(after(&[(ALLOW, yes()), (BLOCK, failed())]), Unlisted);
    }

    #[test]
    fn a_zone_that_is_not_trusted_decides_nothing() {
        use Outcome::{Listed, Unknown};
        for why in [Distrust::Broken, Distrust::Untested] {
            let distrusted = || Reply::distrusted(why);
            assert_eq!(after(&[(BLOCK, distrusted())]), Unknown);
            assert_eq!(after(&[(BLOCK, distrusted()), (BLOCK, no())]), Unknown);
            assert_eq!(after(&[(BLOCK, distrusted()), (BLOCK, yes())]), Listed(1));
            assert_eq!(after(&[(ALLOW, distrusted()), (BLOCK, yes())]), Unknown);
            assert_eq!(decided(&[(BLOCK, distrusted())]).ttl, SHORTEST);
        }
    }

    /// Rules of two lists: `w` allows, `b` rejects.
    fn in_lists(zones: &[(u16, char, Reply)]) -> Outcome {
        let rule = |list, kind| Rule {
            list,
            ..Rule::of_courier(if kind == 'w' { ALLOW } else { BLOCK }.as_bytes()).unwrap()
        };
        let rules: Vec<Rule> = zones
            .iter()
            .map(|(list, kind, _)| rule(*list, *kind))
            .collect();
        let replies: Vec<Reply> = zones.iter().map(|(_, _, reply)| reply.clone()).collect();
        decide(&rules, &replies).outcome
    }

    #[test]
    fn an_allow_list_ends_only_its_own_list() {
        use Outcome::{Listed, Unknown, Unlisted};
        let zones = |w: Reply, b: Reply, other: Reply| [(0, 'w', w), (0, 'b', b), (1, 'b', other)];
        assert_eq!(in_lists(&zones(yes(), yes(), no())), Unlisted);
        assert_eq!(in_lists(&zones(yes(), yes(), yes())), Listed(2));
        assert_eq!(in_lists(&zones(no(), yes(), no())), Listed(1));
        assert_eq!(in_lists(&zones(failed(), yes(), no())), Unknown);
        assert_eq!(in_lists(&zones(failed(), yes(), yes())), Unknown);
        assert_eq!(in_lists(&zones(failed(), no(), yes())), Listed(2));
        assert_eq!(in_lists(&zones(yes(), failed(), no())), Unlisted);
        assert_eq!(in_lists(&zones(yes(), yes(), failed())), Unknown);
    }

    /// The outcome of zones with these weights. The threshold is a sum of 3.
    fn weighed(zones: &[(i32, Reply)]) -> Outcome {
        let rule = |weight| Rule {
            effect: Effect::Weigh {
                weight,
                threshold: 3,
            },
            ..Rule::of_config("b.example").unwrap()
        };
        let rules: Vec<Rule> = zones.iter().map(|(weight, _)| rule(*weight)).collect();
        let replies: Vec<Reply> = zones.iter().map(|(_, reply)| reply.clone()).collect();
        decide(&rules, &replies).outcome
    }

    #[test]
    fn weights_are_added_up() {
        use Outcome::{Listed, Unknown, Unlisted};
        assert_eq!(weighed(&[(1, yes()), (2, yes())]), Listed(1));
        assert_eq!(weighed(&[(1, yes()), (2, no())]), Unlisted);
        assert_eq!(weighed(&[(2, yes()), (1, failed())]), Unknown);
        assert_eq!(weighed(&[(1, yes()), (1, failed())]), Unlisted);
        assert_eq!(weighed(&[(3, yes()), (1, failed())]), Listed(0));
        assert_eq!(weighed(&[(3, yes()), (-1, yes())]), Unlisted);
        assert_eq!(weighed(&[(3, yes()), (-1, failed())]), Unknown);
        assert_eq!(weighed(&[(4, yes()), (-1, failed())]), Listed(0));
        assert_eq!(weighed(&[(3, Reply::exempt())]), Unlisted);
    }

    #[test]
    fn a_decision_holds_as_long_as_its_records() {
        let with = |reply: Reply, ttl| Reply {
            ttl: Duration::from_secs(ttl),
            ..reply
        };
        let ttl = |zones: &[(&str, Reply)]| decided(zones).ttl.as_secs();
        assert_eq!(ttl(&[(BLOCK, no())]), 300);
        assert_eq!(ttl(&[(BLOCK, no()), (BLOCK, with(no(), 200))]), 200);
        assert_eq!(ttl(&[(BLOCK, with(no(), 90)), (BLOCK, yes())]), 300);
        assert_eq!(ttl(&[(BLOCK, with(yes(), 0))]), 60);
        assert_eq!(ttl(&[(BLOCK, with(yes(), 86_400))]), 600);
        assert_eq!(ttl(&[(BLOCK, failed())]), 15);
        assert_eq!(ttl(&[(PLAIN, yes())]), 300);
        assert_eq!(ttl(&[(BLOCK, failed()), (BLOCK, yes())]), 300);
    }
}
