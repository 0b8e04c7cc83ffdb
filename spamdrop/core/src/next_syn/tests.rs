#![expect(clippy::unwrap_used, reason = "a test may panic")]

use spamdrop_common::entry::SEALED;
use spamdrop_common::gate::{RESPONDER_IPV4, SHARE_ONE};

use super::*;

const NOW: MonotonicNs = MonotonicNs::from_second(1_000);
const PAST: MonotonicNs = MonotonicNs::from_second(999);
const FUTURE: MonotonicNs = MonotonicNs::from_second(1_001);
const UNIX: u8 = 64;
const WINDOWS: u8 = 128;

fn facts(addr: &str) -> SourceFacts {
    let mut settings = Settings::default();
    settings.ports[0] = 25;
    SourceFacts {
        addr: addr.parse().unwrap(),
        settings,
        address: None,
        net: None,
        prefix: None,
        is_allowed: false,
        gate: Gate::default(),
        admitted: 0,
        known: None,
        is_known_alone: false,
        is_near_known: false,
        verdict: Verdict::default(),
        next_admit: NextAdmit::default(),
    }
}

fn entry(expires: MonotonicNs, flags: u16) -> Option<Entry> {
    Some(Entry {
        expires,
        flags,
        ..Entry::default()
    })
}

fn prefix(expires_s: u32) -> Option<CidrEntry> {
    Some(CidrEntry {
        expires_s,
        ..CidrEntry::default()
    })
}

/// A gate at which the two last classes wait.
fn busy() -> Gate {
    Gate {
        written: NOW,
        mode: GateMode::On as u32,
        open: 28,
        limits: [32, 28, 24],
        share: SHARE_ONE,
        ..Gate::default()
    }
}

fn listed() -> Verdict {
    Verdict {
        until: FUTURE,
        standing: Standing::Listed as u32,
        ..Verdict::default()
    }
}

#[test]
fn a_block_drops_unless_it_has_expired_or_the_source_is_allowed() {
    let stranger = facts("192.0.2.1");
    for (address, prefix, is_allowed, expected) in [
        (None, None, false, Reason::NotBlocked),
        (None, None, true, Reason::NotBlocked),
        (entry(FUTURE, 0), None, false, Reason::OpenDropped),
        (entry(FUTURE, SEALED), None, false, Reason::SealedDropped),
        (entry(FUTURE, SEALED), None, true, Reason::Allowed),
        (entry(PAST, SEALED), None, false, Reason::Expired),
        (
            entry(PAST, SEALED),
            prefix(1_000),
            false,
            Reason::CidrDropped,
        ),
        (
            entry(FUTURE, SEALED),
            prefix(999),
            false,
            Reason::SealedDropped,
        ),
        (None, prefix(1_000), false, Reason::CidrDropped),
        (None, prefix(999), false, Reason::Expired),
        (None, prefix(1_000), true, Reason::Allowed),
    ] {
        let facts = SourceFacts {
            address,
            prefix,
            is_allowed,
            ..stranger
        };
        let seen = facts.next_syn(UNIX, NOW);
        assert_eq!(seen, expected, "{address:?} {prefix:?} {is_allowed}");
    }
}

#[test]
fn of_an_ipv6_address_and_its_64_the_entry_decides_that_drops_more() {
    let one = facts("2001:db8::1");
    for (address, net, expected) in [
        (None, entry(FUTURE, 0), Reason::OpenDropped),
        (
            entry(FUTURE, 0),
            entry(FUTURE, SEALED),
            Reason::SealedDropped,
        ),
        (entry(PAST, SEALED), entry(FUTURE, 0), Reason::OpenDropped),
        (entry(FUTURE, 0), entry(PAST, SEALED), Reason::OpenDropped),
        (entry(PAST, 0), entry(PAST, 0), Reason::Expired),
    ] {
        let seen = SourceFacts {
            address,
            net,
            ..one
        }
        .next_syn(UNIX, NOW);
        assert_eq!(seen, expected, "{address:?} {net:?}");
    }
}

#[test]
fn a_pause_lets_a_blocked_source_pass_to_the_gate() {
    let mut blocked = facts("192.0.2.1");
    blocked.address = entry(FUTURE, SEALED);
    blocked.settings.drop_paused_until = FUTURE;
    assert_eq!(blocked.next_syn(UNIX, NOW), Reason::Paused);
    blocked.gate = Gate { open: 40, ..busy() };
    assert_eq!(blocked.next_syn(UNIX, NOW), Reason::GateRefused);
    blocked.settings.gate_paused_until = FUTURE;
    assert_eq!(blocked.next_syn(UNIX, NOW), Reason::Paused);
}

#[test]
fn strangers_wait_by_their_class() {
    let stranger = SourceFacts {
        gate: busy(),
        ..facts("192.0.2.1")
    };
    // Class 1 with a TTL of Unix, class 2 with that of Windows.
    assert_eq!(stranger.next_syn(UNIX, NOW), Reason::GateRefused);
    assert_eq!(stranger.stranger(WINDOWS, NOW).waits_from, 24);
    let near = SourceFacts {
        is_near_known: true,
        ..stranger
    };
    assert_eq!(near.next_syn(WINDOWS, NOW), Reason::NotBlocked);
    assert_eq!(
        near.stranger(WINDOWS, NOW),
        StrangerClass {
            class: 0,
            waits_from: 32
        }
    );
    let known = SourceFacts {
        known: Some(KnownSender::default()),
        ..stranger
    };
    assert_eq!(known.next_syn(UNIX, NOW), Reason::GateKnownOrAllowed);
    let allowed = SourceFacts {
        is_allowed: true,
        ..stranger
    };
    assert_eq!(allowed.next_syn(UNIX, NOW), Reason::GateKnownOrAllowed);
    let promised = SourceFacts {
        next_admit: NextAdmit { until: NOW },
        ..stranger
    };
    assert_eq!(promised.next_syn(UNIX, NOW), Reason::NotBlocked);
    let mut observed = stranger;
    observed.gate.mode = GateMode::Observe as u32;
    assert_eq!(observed.next_syn(UNIX, NOW), Reason::NotBlocked);
    let mut stale = stranger;
    stale.gate.written = MonotonicNs::from_second(990);
    assert_eq!(stale.next_syn(UNIX, NOW), Reason::NotBlocked);
    assert_eq!((stale.held(NOW), stranger.held(NOW)), (None, Some(28)));
}

#[test]
fn the_responder_answers_listed_strangers_only() {
    let mut sender = facts("192.0.2.1");
    sender.gate = Gate {
        open: 0,
        responders: RESPONDER_IPV4,
        ..busy()
    };
    assert_eq!(sender.next_syn(UNIX, NOW), Reason::NotBlocked);
    sender.verdict = listed();
    assert_eq!(sender.next_syn(UNIX, NOW), Reason::GateAnswered);
    sender.settings.responder_paused_until = FUTURE;
    assert_eq!(sender.next_syn(UNIX, NOW), Reason::NotBlocked);
    sender.settings.responder_paused_until = PAST;
    sender.known = Some(KnownSender::default());
    assert_eq!(sender.next_syn(UNIX, NOW), Reason::NotBlocked);
}

#[test]
fn a_listed_ipv6_address_is_not_known_by_its_64() {
    let mut sender = facts("2001:db8::1");
    sender.known = Some(KnownSender::default());
    assert!(sender.is_known(NOW));
    let IpAddr::V6(addr) = sender.addr else {
        return;
    };
    sender.verdict = Verdict {
        host: spamdrop_common::gate::host_bits(true, addr.octets()),
        ..listed()
    };
    assert!(!sender.is_known(NOW));
    sender.is_known_alone = true;
    assert!(sender.is_known(NOW));
    sender.verdict = Verdict::default();
    let flags = KnownSender::NOT_WHOLE;
    sender.known = Some(KnownSender { flags });
    assert!(sender.is_known(NOW));
    sender.is_known_alone = false;
    assert!(!sender.is_known(NOW));
}

#[test]
fn a_filter_that_does_not_watch_port_25_drops_nothing_there() {
    let mut blocked = facts("192.0.2.1");
    blocked.address = entry(FUTURE, SEALED);
    blocked.settings.ports[0] = 465;
    assert_eq!(blocked.next_syn(UNIX, NOW), Reason::OtherPort);
    assert_eq!(Fate::from_reason(Reason::OtherPort), Fate::Accepted);
}

#[test]
fn the_commands_are_those_that_change_the_fate() {
    let addr: IpAddr = "192.0.2.1".parse().unwrap();
    let net = "192.0.2.0/24".parse().unwrap();
    let commands = |reason, circumstances: &Circumstances| -> Vec<String> {
        let changes = changes(addr, reason, circumstances).into_iter();
        changes.map(|change| change.command).collect()
    };
    let blocked = Circumstances {
        blocked_by: vec![addr.into(), Target::Net(net)],
        ..Circumstances::default()
    };
    let unblock = "spamdrop remove 192.0.2.1 192.0.2.0/24";
    let allow = "spamdrop allow add 192.0.2.1";
    let know = "spamdrop known add 192.0.2.1";
    assert_eq!(commands(Reason::SealedDropped, &blocked), [unblock, allow]);
    let by_prefix = Circumstances {
        blocked_by: vec![Target::Net(net)],
        ..Circumstances::default()
    };
    let unblock = "spamdrop remove 192.0.2.0/24";
    assert_eq!(commands(Reason::CidrDropped, &by_prefix), [unblock, allow]);
    let none = Circumstances::default();
    assert_eq!(commands(Reason::GateRefused, &none), [know, allow]);
    assert_eq!(commands(Reason::GateAnswered, &none), [know, allow]);
    assert_eq!(commands(Reason::Paused, &blocked), ["spamdrop resume"]);
    assert_eq!(
        commands(Reason::NotBlocked, &none),
        ["spamdrop add 192.0.2.1"]
    );
    assert_eq!(commands(Reason::Allowed, &none), [""; 0]);
    let own = Circumstances {
        is_protected: true,
        allowed_by: vec![net],
        ..Circumstances::default()
    };
    assert_eq!(commands(Reason::NotBlocked, &own), [""; 0]);
    assert_eq!(commands(Reason::Allowed, &own), [""; 0]);
    assert_eq!(commands(Reason::OtherPort, &none), [""; 0]);
    let known = Circumstances {
        is_known: true,
        known: vec![addr.into()],
        ..Circumstances::default()
    };
    let forget = "spamdrop known remove 192.0.2.1";
    assert_eq!(commands(Reason::GateKnownOrAllowed, &known), [forget]);
}

#[test]
fn all_that_lets_a_source_pass_is_taken_away() {
    let addr: IpAddr = "2001:db8::1".parse().unwrap();
    let net = |text: &str| -> IpNet { text.parse().unwrap() };
    let command = |reason, circumstances: &Circumstances| -> String {
        let changes = changes(addr, reason, circumstances).into_iter();
        let commands: Vec<String> = changes.map(|change| change.command).collect();
        commands.join("; ")
    };
    let mut one = Circumstances {
        allowed_by: vec![net("2001:db8::/48"), net("2001:db8::1/128")],
        ..Circumstances::default()
    };
    let disallow = "spamdrop allow remove 2001:db8::/48 2001:db8::1";
    assert_eq!(command(Reason::Allowed, &one), disallow);
    assert_eq!(command(Reason::NotBlocked, &one), disallow);
    // The address is known alone, and by its /64.
    one.known = vec![Target::alone(addr), addr.into()];
    one.is_known = true;
    let forget = "spamdrop known remove 2001:db8::1/128 2001:db8::/64";
    let both = format!("{disallow} && {forget}");
    assert_eq!(command(Reason::GateKnownOrAllowed, &one), both);
    one.allowed_by.clear();
    assert_eq!(command(Reason::NotBlocked, &one), forget);
    // If the address is listed, its /64 does not make it known.
    one.is_known = false;
    assert_eq!(
        command(Reason::NotBlocked, &one),
        "spamdrop add 2001:db8::1"
    );
}
