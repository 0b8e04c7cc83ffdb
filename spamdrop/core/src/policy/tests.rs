#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::borrow::Cow;
use std::time::SystemTime;

use super::*;
use crate::dnsbl::rule::Rule;
use crate::event::{Clock, Envelope};

mod replay;

const START: Duration = Duration::from_secs(1_000_000);

fn moment(millis: u64) -> Moment {
    let passed = Duration::from_millis(millis);
    Moment {
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_424_400) + passed,
        mono: START + passed,
    }
}

fn policy() -> Policy {
    Policy::new(PolicyConfig::default())
}

/// A policy that knows these senders since before its start.
fn knowing(senders: impl IntoIterator<Item = String>) -> Policy {
    let mut policy = policy();
    for sender in senders {
        policy.remember(sender.parse().unwrap(), Duration::ZERO, moment(0));
    }
    policy
}

fn senders(numbers: std::ops::RangeInclusive<u8>) -> impl Iterator<Item = String> {
    numbers.map(|n| format!("192.0.2.{n}"))
}

const SENDER: Envelope<'_> = Envelope {
    sender: Some(Cow::Borrowed(b"a@example.net")),
    recipient: None,
    port: None,
};

fn rejected<'line>(addr: &str, text: &'line str, at: Option<SystemTime>) -> Event<'line> {
    Event {
        addr: addr.parse().unwrap(),
        kind: EventKind::Rejected {
            text: text.as_bytes().into(),
        },
        at,
        clock: Clock::Zoned,
        rule: "courier-511".into(),
        envelope: SENDER,
    }
}

fn accepted(addr: &str, at: Option<SystemTime>) -> Event<'static> {
    Event {
        addr: addr.parse().unwrap(),
        kind: EventKind::Accepted,
        at,
        clock: Clock::Zoned,
        rule: "courier-newmsg".into(),
        envelope: Envelope::default(),
    }
}

fn delivered(addr: &str, at: Option<SystemTime>) -> Event<'static> {
    Event {
        kind: EventKind::Delivered,
        ..accepted(addr, at)
    }
}

/// Decides with no blocked source, and only the default protected addresses.
fn decide(policy: &mut Policy, event: &Event<'_>, now: Moment) -> Decision {
    policy.decide(event, now, &Protected::default(), false)
}

fn decide_text(config: PolicyConfig, text: &str) -> Decision {
    let event = rejected("192.0.2.1", text, None);
    decide(&mut Policy::new(config), &event, moment(0))
}

fn block(addr: &str, age: u64) -> Decision {
    Decision::Block {
        addr: addr.parse().unwrap(),
        age: Duration::from_secs(age),
    }
}

#[test]
fn age_is_the_time_since_the_stamp() {
    let now = moment(0);
    let at = |age: u64| Some(now.wall - Duration::from_secs(age));
    let ahead = |seconds: u64| Some(now.wall + Duration::from_secs(seconds));
    for (stamp, expected) in [
        (at(0), block("192.0.2.1", 0)),
        (at(599), block("192.0.2.1", 599)),
        (at(600), block("192.0.2.1", 600)),
        (at(601), Decision::Ignore(IgnoreReason::Stale)),
        (None, block("192.0.2.1", 0)),
        // A stamp may lie in the future, but by no more than the ttl.
        (ahead(600), block("192.0.2.1", 0)),
        (ahead(601), Decision::Ignore(IgnoreReason::Stale)),
    ] {
        let event = rejected("192.0.2.1", "Listed", stamp);
        assert_eq!(decide(&mut policy(), &event, now), expected, "{stamp:?}");
    }
}

#[test]
fn acceptance_is_remembered_for_a_day() {
    let now = moment(0);
    let at = |hours: u64| Some(now.wall - Duration::from_secs(hours * 3600));
    for (stamp, expected) in [
        (None, Decision::Known),
        (at(0), Decision::Known),
        (at(23), Decision::Known),
        (at(24), Decision::Ignore(IgnoreReason::Stale)),
    ] {
        let event = accepted("192.0.2.1", stamp);
        assert_eq!(decide(&mut policy(), &event, now), expected, "{stamp:?}");
    }
}

#[test]
fn couriers_own_refusals_of_a_recipient_block_nobody() {
    for text in [
        "Unknown user.",
        "Undeliverable address.",
        "Headers specify no receipients.",
        "Unknown user. ",
    ] {
        let decision = decide_text(PolicyConfig::default(), text);
        assert_eq!(decision, Decision::Ignore(IgnoreReason::OwnText), "{text}");
    }
    // Any other text may be that of a blocklist.
    for text in ["Unknown user. Listed", "unknown user", "Access denied.", ""] {
        let decision = decide_text(PolicyConfig::default(), text);
        assert_eq!(decision, block("192.0.2.1", 0), "{text}");
    }
}

#[test]
fn reject_text_replaces_the_exclusion_of_couriers_own() {
    let config = |pattern: &str| PolicyConfig {
        reject_text: Some(Regex::new(pattern).unwrap()),
        ..PolicyConfig::default()
    };
    assert_eq!(
        decide_text(config(".*"), "Unknown user."),
        block("192.0.2.1", 0)
    );
    assert_eq!(
        decide_text(config("^Blacklisted by"), "Listed"),
        Decision::Ignore(IgnoreReason::OtherText)
    );
    assert_eq!(
        decide_text(config("^Blacklisted by"), "Blacklisted by x"),
        block("192.0.2.1", 0)
    );
    assert_eq!(
        decide_text(config(".*"), "open resolver"),
        Decision::Ignore(IgnoreReason::BrokenBlocklist)
    );
}

#[test]
fn complaint_of_a_blocklist_blocks_nobody() {
    for text in [
        "Error: open resolver; https://check.spamhaus.org/returnc/pub/192.0.2.53",
        "ERROR: OPEN RESOLVER",
        "https://check.spamhaus.org/ReturnC/vol/",
    ] {
        let decision = decide_text(PolicyConfig::default(), text);
        assert_eq!(
            decision,
            Decision::Ignore(IgnoreReason::BrokenBlocklist),
            "{text}"
        );
    }
}

#[test]
fn protected_addresses_are_not_blocked() {
    let event = rejected("127.0.0.1", "Listed", None);
    assert_eq!(
        decide(&mut policy(), &event, moment(0)),
        Decision::Ignore(IgnoreReason::Protected(Protection::Loopback))
    );
}

#[test]
fn repeat_within_a_second_is_ignored() {
    let mut policy = policy();
    let event = rejected("192.0.2.1", "Listed", None);
    let other = rejected("192.0.2.2", "Listed", None);
    let mut decide =
        |event, now, listed: bool| policy.decide(event, moment(now), &Protected::default(), listed);
    let repeat = Decision::Ignore(IgnoreReason::Repeat);
    assert_eq!(decide(&event, 0, false), block("192.0.2.1", 0));
    assert_eq!(decide(&event, 999, true), repeat);
    assert_eq!(decide(&other, 999, false), block("192.0.2.2", 0));
    assert_eq!(decide(&event, 1000, true), block("192.0.2.1", 0));
    assert_eq!(decide(&event, 1999, true), repeat);
    // An exception: the address was unblocked meanwhile.
    assert_eq!(decide(&event, 1999, false), block("192.0.2.1", 0));
}

#[test]
fn repeats_take_bounded_memory() {
    let mut repeats = Repeats::default();
    for bits in 0..100_000_u32 {
        assert!(!repeats.seen(std::net::Ipv4Addr::from_bits(bits).into(), START));
    }
    assert!(repeats.len() <= 8192);
}

#[test]
fn tripped_ceiling_blocks_nobody_and_recovers() {
    let mut policy = Policy::new(PolicyConfig {
        max_new_per_minute: 1,
        ..PolicyConfig::default()
    });
    let first = rejected("192.0.2.1", "Listed", None);
    let second = rejected("192.0.2.2", "Listed", None);
    assert_eq!(
        decide(&mut policy, &first, moment(0)),
        block("192.0.2.1", 0)
    );
    assert_eq!(policy.ceiling(moment(0)), None);
    assert_eq!(
        decide(&mut policy, &second, moment(0)),
        Decision::Ignore(IgnoreReason::Ceiling)
    );
    // The block of an address that is blocked already is not renewed, either.
    assert_eq!(
        policy.decide(&first, moment(2000), &Protected::default(), true),
        Decision::Ignore(IgnoreReason::Ceiling)
    );
    assert!(policy.ceiling(moment(2000)).is_some());
    assert_eq!(policy.ceiling(moment(61_000)), None);
    assert_eq!(
        decide(&mut policy, &second, moment(61_000)),
        block("192.0.2.2", 0)
    );
}

#[test]
fn refused_recipients_of_known_senders_do_not_trip_the_ceiling() {
    let mut policy = knowing(senders(1..=9));
    for n in 1..=9 {
        decide(
            &mut policy,
            &accepted(&format!("192.0.2.{n}"), None),
            moment(0),
        );
        let event = rejected(&format!("192.0.2.{n}"), "Unknown user.", None);
        decide(&mut policy, &event, moment(1));
    }
    assert_eq!(policy.ceiling(moment(2)), None);
}

#[test]
fn allowlisted_sources_tell_of_a_wrong_blocklist() {
    let allowed = "192.0.2.0/24".parse().unwrap();
    let protected = Protected::new([(allowed, Protection::Allowlist(allowed))]);
    let mut policy = knowing(senders(1..=5));
    for n in 1..=5 {
        let addr = format!("192.0.2.{n}");
        let event = rejected(&addr, "Listed", None);
        policy.decide(&event, moment(1), &protected, false);
    }
    let refused = Some(Trip::Share {
        refused: 5,
        known: 5,
    });
    assert_eq!(policy.ceiling(moment(2)), refused);
}

#[test]
fn names_differ_and_texts_tell_the_reason() {
    let all = [
        IgnoreReason::Stale,
        IgnoreReason::OwnText,
        IgnoreReason::OtherText,
        IgnoreReason::BrokenBlocklist,
        IgnoreReason::BrokenZone,
        IgnoreReason::Protected(Protection::Gateway),
        IgnoreReason::Repeat,
        IgnoreReason::Ceiling,
    ];
    let names: std::collections::HashSet<_> = all.map(IgnoreReason::name).into();
    assert_eq!(names.len(), all.len());
    assert_eq!(
        IgnoreReason::Protected(Protection::Gateway).to_string(),
        "a gateway of this machine"
    );
}

#[test]
fn evidence_is_what_an_event_tells_of_its_source() {
    let allowed = "198.51.100.0/24".parse().unwrap();
    let protected = Protected::new([(allowed, Protection::Allowlist(allowed))]);
    let year = Duration::from_secs(365 * 86_400);
    let evidence = |event: &Event<'_>, wall_later: Duration| {
        let mut policy = policy();
        let now = moment(0);
        let wall = now.wall + wall_later;
        let now = Moment { wall, ..now };
        policy.decide(event, now, &protected, false);
        policy.evidence(event, &protected)
    };
    for (event, expected) in [
        (accepted("192.0.2.1", None), Some(Evidence::Accepted)),
        (accepted("198.51.100.1", None), None),
        (delivered("192.0.2.1", None), Some(Evidence::Delivered)),
        (delivered("198.51.100.1", None), None),
        (
            rejected("192.0.2.1", "Listed", None),
            Some(Evidence::Listed),
        ),
        (rejected("198.51.100.1", "Listed", None), None),
        (
            rejected("192.0.2.1", "Unknown user.", None),
            Some(Evidence::UnknownRecipient),
        ),
        (rejected("192.0.2.1", "Undeliverable address.", None), None),
        (rejected("192.0.2.1", "open resolver", None), None),
    ] {
        assert_eq!(evidence(&event, Duration::ZERO), expected, "{event:?}");
        let at = Some(moment(0).wall);
        let old = Event { at, ..event };
        assert_eq!(evidence(&old, year), expected, "{old:?}");
    }
}

#[test]
fn who_takes_mail_is_none_of_the_senders_that_the_ceiling_counts() {
    let mut policy = policy();
    for n in 1..=9 {
        let event = delivered(&format!("192.0.2.{n}"), None);
        assert_eq!(decide(&mut policy, &event, moment(0)), Decision::Delivered);
    }
    for n in 1..=9 {
        let event = rejected(&format!("192.0.2.{n}"), "Listed", None);
        decide(&mut policy, &event, moment(1));
    }
    assert_eq!(policy.ceiling(moment(1)), None);
}

#[test]
fn nobody_proves_bad_while_the_blocklist_may_be_wrong() {
    let mut policy = knowing(senders(1..=5));
    let mut evidence = Vec::new();
    for n in 1..=6 {
        let event = rejected(&format!("192.0.2.{n}"), "Listed", None);
        decide(&mut policy, &event, moment(1));
        evidence.push(policy.evidence(&event, &Protected::default()));
    }
    let listed = Some(Evidence::Listed);
    assert_eq!(evidence, [listed, listed, listed, listed, None, None]);
    // While the ceiling is tripped, a line that is too old for it is no evidence, either.
    let old = moment(0).wall - Duration::from_secs(3600);
    let event = rejected("192.0.2.9", "Listed", Some(old));
    let stale = Decision::Ignore(IgnoreReason::Stale);
    assert_eq!(decide(&mut policy, &event, moment(1)), stale);
    assert_eq!(policy.evidence(&event, &Protected::default()), None);
}

#[test]
fn a_bounce_to_an_unknown_recipient_says_nothing_of_its_source() {
    let refused = |sender| {
        let event = rejected("192.0.2.1", "Unknown user.", None);
        let envelope = Envelope { sender, ..SENDER };
        policy().evidence(&Event { envelope, ..event }, &Protected::default())
    };
    assert_eq!(
        refused(Some(b"a"[..].into())),
        Some(Evidence::UnknownRecipient)
    );
    assert_eq!(refused(Some(b""[..].into())), None);
    assert_eq!(refused(None), None);
}

/// The policy of a server whose first zone is broken.
fn with_broken_zone() -> Policy {
    let zones = ["bl.broken.example", "bl.works.example"];
    let rules = zones.map(|zone| Rule::of_config(zone).unwrap());
    let mut policy = knowing(senders(1..=9));
    policy.set_zones(ZoneNames::new(&rules, &[true, false]));
    policy
}

#[test]
fn a_broken_zone_blocks_and_demotes_nobody_and_does_not_stop_the_others() {
    let mut policy = with_broken_zone();
    let broken = Decision::Ignore(IgnoreReason::BrokenZone);
    for sender in senders(1..=9) {
        let event = rejected(&sender, "Blacklisted by bl.broken.example", None);
        assert_eq!(decide(&mut policy, &event, moment(0)), broken);
        assert_eq!(policy.evidence(&event, &Protected::default()), None);
    }
    assert_eq!(policy.ceiling(moment(0)), None);
    for text in [
        "Blacklisted by bl.works.example",
        "Blacklisted by other.example",
        "Go",
    ] {
        let event = rejected("203.0.113.1", text, None);
        assert_eq!(
            decide(&mut policy, &event, moment(5000)),
            block("203.0.113.1", 0)
        );
        let listed = Some(Evidence::Listed);
        assert_eq!(policy.evidence(&event, &Protected::default()), listed);
    }
    // The zones stay when another log starts.
    policy.start_log();
    let event = rejected("192.0.2.1", "Blacklisted by bl.broken.example", None);
    assert_eq!(decide(&mut policy, &event, moment(0)), broken);
    policy.set_zones(ZoneNames::default());
    assert_eq!(
        decide(&mut policy, &event, moment(5000)),
        block("192.0.2.1", 0)
    );
}

#[test]
fn a_complaint_does_not_stop_the_other_blocklists() {
    let mut policy = knowing(senders(1..=9));
    for sender in senders(1..=9) {
        let event = rejected(&sender, "List shut down", None);
        let expected = Decision::Ignore(IgnoreReason::BrokenBlocklist);
        assert_eq!(decide(&mut policy, &event, moment(0)), expected);
    }
    assert_eq!(policy.ceiling(moment(0)), None);
}

#[test]
fn only_new_blocks_surge() {
    let mut policy = policy();
    let mut refuse = |n: u8, is_blocked: bool| {
        let event = rejected(&format!("192.0.2.{n}"), "Listed", None);
        policy.decide(
            &event,
            moment(u64::from(n) * 2000),
            &Protected::default(),
            is_blocked,
        );
        policy.take_surge(moment(u64::from(n) * 2000))
    };
    assert!(!(0..60).any(|n| refuse(n, true)));
    assert!(!(60..80).any(|n| refuse(n, false)));
    assert!(refuse(80, false));
}

#[test]
fn a_resumed_policy_blocks_again_until_the_next_trip() {
    let mut policy = knowing(senders(1..=5));
    for sender in senders(1..=5) {
        decide(&mut policy, &rejected(&sender, "Listed", None), moment(0));
    }
    let bot = rejected("203.0.113.1", "Listed", None);
    let pause = Decision::Ignore(IgnoreReason::Ceiling);
    assert_eq!(decide(&mut policy, &bot, moment(0)), pause);
    policy.resume();
    assert_eq!(policy.ceiling(moment(0)), None);
    assert_eq!(
        decide(&mut policy, &bot, moment(5000)),
        block("203.0.113.1", 0)
    );
    for sender in senders(1..=5) {
        decide(
            &mut policy,
            &rejected(&sender, "Listed", None),
            moment(9000),
        );
    }
    assert_eq!(decide(&mut policy, &bot, moment(12_000)), pause);
}

#[test]
fn known_senders_can_be_replaced() {
    let mut policy = knowing(senders(1..=5));
    let day = 86_400_000;
    let later = ["192.0.2.1", "192.0.2.9"].map(|addr| addr.parse().unwrap());
    policy.know_exactly(later.into_iter(), moment(0));
    let refuse = |policy: &mut Policy, at| {
        for sender in senders(1..=9) {
            decide(policy, &rejected(&sender, "Listed", None), moment(at));
        }
        policy.ceiling.trip(moment(at).mono)
    };
    assert_eq!(refuse(&mut policy, 0), None);
    let nine = senders(1..=9).map(|addr| addr.parse().unwrap());
    policy.know_exactly(nine, moment(0));
    assert_eq!(
        refuse(&mut policy, day - 1000),
        None,
        "they are known for less than a day"
    );
    let all = Some(Trip::Share {
        refused: 9,
        known: 9,
    });
    assert_eq!(refuse(&mut policy, day), all);
}
