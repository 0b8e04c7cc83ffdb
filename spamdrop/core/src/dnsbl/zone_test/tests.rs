#![expect(clippy::unwrap_used, reason = "a test may panic")]
use super::*;

const YES: [u8; 4] = [127, 0, 0, 2];

fn reply(addresses: &[[u8; 4]]) -> Reply {
    let addresses: Vec<Ipv4Addr> = addresses.iter().copied().map(Into::into).collect();
    let rule = Rule::of_config("b.example").unwrap();
    let said = match crate::dnsbl::zone::heard(&rule, &addresses) {
        crate::dnsbl::zone::Heard::Absent => Said::No,
        crate::dnsbl::zone::Heard::Present => Said::Yes("x".into()),
        crate::dnsbl::zone::Heard::Odd(address) => Said::Nothing(Trouble::Odd(address)),
    };
    Reply {
        said,
        addresses,
        ttl: Duration::ZERO,
    }
}

fn state(listed: &[[u8; 4]], unlisted: &[[u8; 4]]) -> ZoneState {
    let rule = test_rule(&Rule::of_config("b.example").unwrap());
    ZoneState::from_replies(&rule, &reply(listed), &reply(unlisted))
}

#[test]
fn a_zone_is_tested_without_its_text_and_filter() {
    let rule = |option: &[u8]| test_rule(&Rule::of_courier(option).unwrap());
    let listing = rule(b"-block=b.example,BLOCK/127.0.0.9,*");
    assert_eq!(listing.only, None);
    assert_eq!(listing.effect, Effect::Reject(RejectionText::Plain));
    assert_eq!(
        rule(b"-block=b.example,BLOCK,*").effect,
        Effect::Reject(RejectionText::Plain)
    );
    let allowing = rule(b"-allow=w.example,BLOCK,");
    assert_eq!(allowing.effect, Effect::Allow { by_text: false });
    for (weight, is_allowing) in [(-2, true), (0, false), (2, false)] {
        let effect = Effect::Weigh {
            weight,
            threshold: 5,
        };
        assert_eq!(effect.is_allowing(), is_allowing, "{weight}");
    }
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
    // URIBL answers 127.0.0.1 to a name server that sends too many queries.
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
    let (broken, untested) = (Some(Distrust::Broken), Some(Distrust::Untested));
    for (state, name, expected) in [
        (ZoneState::Pending, "pending", untested),
        (ZoneState::Works, "works", None),
        (ZoneState::Broken(text()), "broken", broken),
        (ZoneState::Refuses(text()), "refuses", broken),
        (ZoneState::Untested(text()), "untested", untested),
    ] {
        assert_eq!((state.name(), state.distrust()), (name, expected));
    }
}

#[test]
fn a_silent_name_server_neither_breaks_nor_mends_a_zone() {
    let now = Instant::now();
    let rules = ["a.example", "b.example"].map(|zone| Rule::of_config(zone).unwrap());
    let mut tests = ZoneTests::new(&rules, now);
    let failed = || [QueryFailure::TimedOut, QueryFailure::Unreachable].map(Reply::failed);
    tests.record(0, &[reply(&[YES]), reply(&[])], now);
    tests.record(1, &[reply(&[YES]), reply(&[YES])], now);
    assert_eq!(tests.distrusts(), [None, Some(Distrust::Broken)]);
    tests.record(0, &failed(), now);
    tests.record(1, &failed(), now);
    let expected = [Some(Distrust::Untested), Some(Distrust::Broken)];
    assert_eq!(tests.distrusts(), expected);
    // A test with only one answer changes nothing, either.
    for half in [
        [reply(&[YES]), Reply::failed(QueryFailure::TimedOut)],
        [Reply::failed(QueryFailure::TimedOut), reply(&[])],
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
        ZoneState::from_replies(&test_rule(&rule), &reply(listed), &reply(unlisted))
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
    let failed = || [QueryFailure::TimedOut, QueryFailure::Unreachable].map(Reply::failed);
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
    let servfail = || [QueryFailure::Code(2), QueryFailure::TimedOut].map(Reply::failed);
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
