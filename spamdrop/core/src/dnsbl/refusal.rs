//! Blocklists that refuse to serve. After a refusal, a zone is not queried for
//! a while, because further queries would count against its query limit.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::key::mask;
use super::refusal_code::{explain, is_refusal};
use super::rule::Rule;
use super::zone::{Reply, Said};

/// How long a zone is not queried after a refusal.
const PAUSE: Duration = Duration::from_secs(30 * 60);

/// The zones that refuse to serve.
#[derive(Clone, Debug, Default)]
pub struct RefusingZones {
    zones: BTreeMap<String, ZoneRefusal>,
}

#[derive(Clone, Copy, Debug)]
struct ZoneRefusal {
    address: Ipv4Addr,
    until: Instant,
}

impl RefusingZones {
    /// The remaining time during which a zone must not be queried; `None`: it may
    /// be queried now.
    #[must_use]
    pub fn pause(&self, zone: &str, now: Instant) -> Option<Duration> {
        let left = self.zones.get(zone)?.until.checked_duration_since(now)?;
        (!left.is_zero()).then_some(left)
    }

    /// Updates the state from the replies. A reply belongs to the rule of the
    /// same index. A zone counts as serving again if it answers after its
    /// pause; a reply during the pause belongs to an earlier query.
    pub fn learn(&mut self, rules: &[Rule], replies: &[Reply], now: Instant) {
        for (Rule { zone, .. }, reply) in rules.iter().zip(replies) {
            let refusal = reply.addresses.iter().find(|addr| is_refusal(**addr));
            if let Some(&address) = refusal {
                let until = now + PAUSE;
                self.zones
                    .insert(zone.clone(), ZoneRefusal { address, until });
            } else if !matches!(reply.said, Said::Nothing(_) | Said::Exempt)
                && self.pause(zone, now).is_none()
            {
                self.zones.remove(zone);
            }
        }
    }

    /// One line about all refusing zones. It contains no time, so that it
    /// changes only when the zones or their codes change.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let of_zone = |(zone, ZoneRefusal { address, .. }): (&String, &ZoneRefusal)| {
            let why = explain(*address);
            let zone = mask(zone);
            format!("{zone} answered {address}, so it is not queried for half an hour: {why}")
        };
        let zones: Vec<String> = self.zones.iter().map(of_zone).collect();
        (!zones.is_empty()).then(|| zones.join("; "))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::super::response::QueryFailure;
    use super::*;

    const ZONE: &str = "b.example";

    fn replied(said: Said, addresses: &[[u8; 4]]) -> Reply {
        Reply {
            said,
            addresses: addresses.iter().copied().map(Into::into).collect(),
            ttl: Duration::ZERO,
        }
    }

    struct Lab(RefusingZones, Instant);

    impl Lab {
        fn learn(&mut self, reply: Reply, minutes: u64) {
            let rule = Rule::of_config(ZONE).unwrap();
            self.0.learn(&[rule], &[reply], self.minute(minutes));
        }

        fn minute(&self, minutes: u64) -> Instant {
            self.1 + Duration::from_secs(60 * minutes)
        }

        fn minutes_left(&self, minutes: u64) -> Option<u64> {
            let left = self.0.pause(ZONE, self.minute(minutes))?;
            Some(left.as_secs() / 60)
        }
    }

    #[test]
    fn a_zone_that_refuses_is_left_alone_for_half_an_hour() {
        let mut lab = Lab(RefusingZones::default(), Instant::now());
        let refused = || replied(Said::Yes("x".into()), &[[127, 255, 255, 254]]);
        lab.learn(replied(Said::Yes("x".into()), &[[127, 0, 0, 2]]), 0);
        assert_eq!((lab.minutes_left(0), lab.0.trouble()), (None, None));
        lab.learn(refused(), 0);
        assert_eq!(lab.minutes_left(1), Some(29));
        // The query of this reply was sent before the refusal.
        lab.learn(replied(Said::No, &[]), 1);
        assert_eq!(lab.minutes_left(1), Some(29));
        assert_eq!(lab.minutes_left(30), None);
        let trouble = lab.0.trouble();
        assert!(trouble.is_some());
        // The zone still refuses, and the text is unchanged.
        lab.learn(refused(), 31);
        assert_eq!(lab.minutes_left(32), Some(29));
        assert_eq!(lab.0.trouble(), trouble);
        lab.learn(Reply::failed(QueryFailure::TimedOut), 62);
        assert_eq!(lab.0.trouble(), trouble);
        lab.learn(replied(Said::No, &[]), 62);
        assert_eq!(lab.0.trouble(), None);
    }

    #[test]
    fn the_line_names_the_zone_and_the_next_step() {
        for (last, step) in [
            (252, "correct its name"),
            (254, "a resolver of your own"),
            (255, "max_lookups_per_day"),
            (7, "refuses your name server"),
        ] {
            let mut lab = Lab(RefusingZones::default(), Instant::now());
            lab.learn(replied(Said::No, &[[127, 255, 255, last]]), 0);
            let text = lab.0.trouble().unwrap();
            let start = format!("b.example answered 127.255.255.{last}, ");
            assert!(text.starts_with(&start) && text.contains(step), "{text}");
        }
    }
}
