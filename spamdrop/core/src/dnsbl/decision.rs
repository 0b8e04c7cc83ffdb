//! The replies of all zones → whether the mail server rejects the source.
//!
//! Courier asks the zones in order. The first that lists the source sets
//! `BLOCK`, and Courier asks no later zone. spamdrop asks all zones at once. A
//! source counts as listed only if the server answers 5xx regardless of the
//! answers that are missing.

use std::time::Duration;

use super::rule::{Effect, Rule};
use super::zone::{Reply, Said, Trouble};
use super::{LONGEST, RETRY, SHORTEST};

/// The mail server's decision about the source, derived from the replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server rejects the source, because of the rule with this index.
    Listed(usize),
    /// The server accepts the source.
    Unlisted,
    /// The result cannot be determined.
    Unknown,
}

/// A decision and how long it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The result.
    pub outcome: Outcome,
    /// The lifetime, from the records that led to the decision, limited to
    /// [`SHORTEST`] and [`LONGEST`]. [`RETRY`] if the outcome is unknown
    /// because a zone failed.
    pub ttl: Duration,
}

/// Combines the replies. A reply belongs to the rule of the same index.
#[must_use]
pub fn decide(rules: &[Rule], replies: &[Reply]) -> Decision {
    let mut course = Course::default();
    for (index, (rule, reply)) in rules.iter().zip(replies).enumerate() {
        course.ttl = course.ttl.min(reply.ttl);
        if let Some(outcome) = course.next(index, &rule.effect, &reply.said) {
            let ttl = match outcome {
                Outcome::Listed(_) => reply.ttl,
                Outcome::Unlisted | Outcome::Unknown => course.ttl,
            };
            return course.end(outcome, ttl);
        }
    }
    let outcome = match course.maybe_rejected {
        true => Outcome::Unknown,
        false => Outcome::Unlisted,
    };
    course.end(outcome, course.ttl)
}

/// The evaluation of the zones so far, in order.
struct Course {
    /// A zone failed, or may reject the source depending on the server. Then
    /// the source does not count as unlisted.
    maybe_rejected: bool,
    /// A zone failed that could have kept the server from replying 5xx. Then
    /// the source does not count as listed.
    maybe_spared: bool,
    /// A zone failed and is worth another query soon; one that was not asked is
    /// not.
    failed: bool,
    ttl: Duration,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            maybe_rejected: false,
            maybe_spared: false,
            failed: false,
            ttl: LONGEST,
        }
    }
}

impl Course {
    fn next(&mut self, index: usize, effect: &Effect, said: &Said) -> Option<Outcome> {
        match (effect, said) {
            (_, Said::No) => None,
            (Effect::Allow { .. } | Effect::Defer, Said::Nothing(trouble)) => {
                self.failed |= is_worth_a_retry(trouble);
                self.maybe_rejected = true;
                self.maybe_spared = true;
                None
            }
            (_, Said::Nothing(trouble)) => {
                self.failed |= is_worth_a_retry(trouble);
                self.maybe_rejected = true;
                None
            }
            (Effect::Allow { .. }, _) => Some(match self.maybe_rejected {
                true => Outcome::Unknown,
                false => Outcome::Unlisted,
            }),
            (Effect::Defer, _) | (_, Said::Defer) => Some(Outcome::Unknown),
            (Effect::Unsure, Said::Yes(_)) => {
                self.maybe_rejected = true;
                None
            }
            (Effect::Reject(_), Said::Yes(_)) => Some(match self.maybe_spared {
                true => Outcome::Unknown,
                false => Outcome::Listed(index),
            }),
        }
    }

    fn end(&self, outcome: Outcome, ttl: Duration) -> Decision {
        let ttl = match (outcome, self.failed) {
            (Outcome::Unknown, true) => RETRY,
            _ => ttl.clamp(SHORTEST, LONGEST),
        };
        Decision { outcome, ttl }
    }
}

fn is_worth_a_retry(trouble: &Trouble) -> bool {
    !matches!(trouble, Trouble::Paused | Trouble::Distrusted(_))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::super::answer::Failure;
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
        Reply::failed(Failure::TimedOut)
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

    fn decided(zones: &[(&str, Reply)]) -> Decision {
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
