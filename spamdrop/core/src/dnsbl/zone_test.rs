//! Whether a zone answers as a blocklist should (RFC 5782 section 5), and
//! whether the name servers answer at all.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::answer::Failure;
use super::key::mask;
use super::question::{TEST_LISTED, TEST_UNLISTED};
use super::refusal_code::{explain, is_refusal};
use super::rule::{Effect, Rule, Text};
use super::zone::{Distrust, Reply, Said, Trouble};

/// How long the name servers may be silent.
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

    /// Interprets the replies about 127.0.0.2 and 127.0.0.1.
    #[must_use]
    pub fn of(rule: &Rule, listed: &Reply, unlisted: &Reply) -> Self {
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
        // Half of a test does not show that the zone works.
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
            false => Effect::Reject(Text::Plain),
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
    /// Whether a later query had no answer.
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

    /// Takes over what is known from earlier tests of the same zones.
    pub fn carry_over(&mut self, earlier: &Self) {
        for (rule, state) in &mut self.zones {
            let mut zones = earlier.zones.iter();
            if let Some((_, old)) = zones.find(|(other, _)| other == rule) {
                state.clone_from(old);
            }
        }
        (self.answered, self.is_silent) = (earlier.answered, earlier.is_silent);
    }

    /// Records that a name server answered a query of another kind.
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
        // A name server that is silent does not mend a zone.
        if is_whole || state.distrust() != Some(Distrust::Broken) {
            *state = ZoneState::of(rule, listed, unlisted);
        }
        if is_silent {
            self.is_silent = true;
        } else {
            self.answered(now);
        }
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
        self.line(|state| match state {
            ZoneState::Broken(text) => Some(text),
            _ => None,
        })
    }

    /// The zones that could not be tested, in one line.
    #[must_use]
    pub fn untested(&self) -> Option<String> {
        self.line(|state| match state {
            ZoneState::Untested(text) => Some(text),
            _ => None,
        })
    }

    fn line(&self, text: impl Fn(&ZoneState) -> Option<&String>) -> Option<String> {
        let texts = self.zones.iter().filter_map(|(_, state)| text(state));
        let texts: Vec<&str> = texts.map(String::as_str).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    /// A sentence if the name servers have been silent for a minute.
    #[must_use]
    pub fn silence(&self, now: Instant) -> Option<String> {
        let lasts = now.saturating_duration_since(self.answered) >= SILENT;
        (self.is_silent && lasts).then(|| {
            "no name server has answered for a minute, so senders are not looked up; see `nameserver` in the file that `resolv_conf` names".into()
        })
    }
}

/// Whether no name server answered the query.
#[must_use]
pub fn is_unanswered(reply: &Reply) -> bool {
    let silent = [Failure::TimedOut, Failure::Unreachable];
    match &reply.said {
        Said::Nothing(Trouble::Failed(failure)) => silent.contains(failure),
        said => *said == Said::Exempt,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const YES: [u8; 4] = [127, 0, 0, 2];

    fn reply(addresses: &[[u8; 4]]) -> Reply {
        let addresses: Vec<Ipv4Addr> = addresses.iter().copied().map(Into::into).collect();
        let rule = Rule::of_config("b.example").unwrap();
        let said = match super::super::zone::heard(&rule, &addresses) {
            super::super::zone::Heard::Absent => Said::No,
            super::super::zone::Heard::Present => Said::Yes("x".into()),
            super::super::zone::Heard::Odd(address) => Said::Nothing(Trouble::Odd(address)),
        };
        Reply {
            said,
            addresses,
            ttl: Duration::ZERO,
        }
    }

    fn state(listed: &[[u8; 4]], unlisted: &[[u8; 4]]) -> ZoneState {
        let rule = test_rule(&Rule::of_config("b.example").unwrap());
        ZoneState::of(&rule, &reply(listed), &reply(unlisted))
    }

    #[test]
    fn a_zone_is_broken_untested_or_works() {
        assert_eq!(state(&[YES], &[]), ZoneState::Works);
        for (listed, unlisted, text) in [
            (
                &[YES][..],
                &[YES][..],
                "lists 127.0.0.1, so it lists every address",
            ),
            (
                &[[203, 0, 113, 9]],
                &[],
                "answered 203.0.113.9, which is not a listing",
            ),
            (
                &[YES],
                &[[203, 0, 113, 9]],
                "answered 203.0.113.9, which is not a listing",
            ),
        ] {
            let ZoneState::Broken(found) = state(listed, unlisted) else {
                panic!("{listed:?} {unlisted:?}")
            };
            assert!(found.starts_with("b.example "), "{found}");
            assert!(found.contains(text), "{found}");
        }
        const REFUSAL: [u8; 4] = [127, 255, 255, 254];
        for (listed, unlisted) in [(&[REFUSAL][..], &[][..]), (&[YES], &[REFUSAL])] {
            let ZoneState::Refuses(found) = state(listed, unlisted) else {
                panic!("{listed:?} {unlisted:?}")
            };
            assert!(
                found.starts_with("b.example answered 127.255.255.254: "),
                "{found}"
            );
        }
        // URIBL answers 127.0.0.1 to those who ask too often.
        for listed in [&[][..], &[[127, 0, 0, 1]]] {
            assert!(
                matches!(state(listed, &[]), ZoneState::Untested(_)),
                "{listed:?}"
            );
        }
    }

    #[test]
    fn only_a_zone_that_works_is_trusted() {
        let text = || "x".to_owned();
        for (state, expected) in [
            (ZoneState::Pending, Some(Distrust::Untested)),
            (ZoneState::Works, None),
            (ZoneState::Broken(text()), Some(Distrust::Broken)),
            (ZoneState::Refuses(text()), Some(Distrust::Broken)),
            (ZoneState::Untested(text()), Some(Distrust::Untested)),
        ] {
            assert_eq!(state.distrust(), expected, "{state:?}");
        }
    }

    #[test]
    fn a_silent_name_server_neither_breaks_nor_mends_a_zone() {
        let now = Instant::now();
        let rules = ["a.example", "b.example"].map(|zone| Rule::of_config(zone).unwrap());
        let mut tests = ZoneTests::new(&rules, now);
        let failed = || [Failure::TimedOut, Failure::Unreachable].map(Reply::failed);
        tests.record(0, &[reply(&[YES]), reply(&[])], now);
        tests.record(1, &[reply(&[YES]), reply(&[YES])], now);
        assert_eq!(tests.distrusts(), [None, Some(Distrust::Broken)]);
        tests.record(0, &failed(), now);
        tests.record(1, &failed(), now);
        let expected = [Some(Distrust::Untested), Some(Distrust::Broken)];
        assert_eq!(tests.distrusts(), expected);
        // Nor does half of a test.
        for half in [
            [reply(&[YES]), Reply::failed(Failure::TimedOut)],
            [Reply::failed(Failure::TimedOut), reply(&[])],
        ] {
            tests.record(0, &half, now);
            tests.record(1, &half, now);
            assert_eq!(tests.distrusts(), expected);
        }
        tests.record(1, &[reply(&[YES]), reply(&[])], now);
        assert_eq!(tests.distrusts()[1], None);
    }

    #[test]
    fn an_allow_list_may_answer_anything_but_must_not_list_everybody() {
        let rule = Rule::of_courier(b"-allow=w.example").unwrap();
        let of = |listed: &[[u8; 4]], unlisted: &[[u8; 4]]| {
            ZoneState::of(&test_rule(&rule), &reply(listed), &reply(unlisted))
        };
        assert_eq!(of(&[], &[]), ZoneState::Works);
        assert_eq!(of(&[YES], &[]), ZoneState::Works);
        assert!(matches!(of(&[YES], &[YES]), ZoneState::Broken(_)));
    }

    #[test]
    fn name_servers_are_silent_after_a_minute_without_any_answer() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let rules = ["a.example", "b.example"].map(|zone| Rule::of_config(zone).unwrap());
        let mut tests = ZoneTests::new(&rules, start);
        assert_eq!((tests.silence(at(900)), tests.untested()), (None, None));
        let failed = || [Failure::TimedOut, Failure::Unreachable].map(Reply::failed);
        tests.record(0, &failed(), at(5));
        assert_eq!(tests.silence(at(59)), None);
        assert!(tests.silence(at(60)).is_some());
        assert!(
            tests
                .untested()
                .unwrap()
                .starts_with("a.example could not be queried")
        );
        // SERVFAIL is an answer.
        let servfail = || [Failure::Code(2), Failure::TimedOut].map(Reply::failed);
        tests.record(1, &servfail(), at(61));
        assert_eq!(tests.silence(at(200)), None);
        tests.record(0, &failed(), at(100));
        assert_eq!(tests.silence(at(120)), None);
        assert!(tests.silence(at(121)).is_some());
        tests.answered(at(121));
        assert_eq!(tests.silence(at(900)), None);
        tests.record(0, &failed(), at(122));
        let mut after_a_reload = ZoneTests::new(&rules[..1], at(180));
        after_a_reload.carry_over(&tests);
        assert!(after_a_reload.silence(at(181)).is_some());
        let untested = after_a_reload.untested().unwrap();
        assert!(untested.starts_with("a.example could not"), "{untested}");
        tests.record(0, &[reply(&[YES]), reply(&[])], at(130));
        tests.record(1, &[reply(&[YES]), reply(&[YES])], at(131));
        assert_eq!((tests.silence(at(900)), tests.untested()), (None, None));
        assert!(
            tests
                .broken()
                .unwrap()
                .starts_with("b.example lists 127.0.0.1")
        );
    }
}
