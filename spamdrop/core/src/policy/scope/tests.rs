#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::target::parse_net;

fn scope() -> Scope {
    let net = |text: &str| -> IpNet { text.parse().unwrap() };
    let allowed = |text| (net(text), Protection::Allowlist(net(text)));
    let protected = Protected::new([
        allowed("2001:db8:0:1::5/128"),
        allowed("2001:db8:0:2:8000::/80"),
        allowed("2001:db8:3::/48"),
        (net("2001:db8:0:4::25/128"), Protection::OwnAddress),
        (net("2001:db8:0:5::1/128"), Protection::Gateway),
    ]);
    let known = ["2001:db8:0:6::1", "192.0.2.1"];
    let known = known.map(|addr| addr.parse::<Target>().unwrap());
    Scope {
        protected,
        known: known.into_iter().collect(),
    }
}

fn target(scope: &Scope, addr: &str) -> String {
    scope.target(addr.parse().unwrap()).to_string()
}

#[test]
fn an_offender_is_blocked_alone_beside_a_protected_address_or_a_known_sender() {
    let scope = scope();
    for (offender, blocked) in [
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:1::6", "2001:db8:0:1::6/128"),
        ("2001:db8:0:2::6", "2001:db8:0:2::6/128"),
        ("2001:db8:0:4::6", "2001:db8:0:4::6/128"),
        ("2001:db8:0:5::6", "2001:db8:0:5::6/128"),
        ("2001:db8:0:6::6", "2001:db8:0:6::6/128"),
        // A known sender is not exempt from blocks.
        ("2001:db8:0:6::1", "2001:db8:0:6::1/128"),
        ("2001:db8:0:7::6", "2001:db8:0:7::/64"),
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.2", "192.0.2.2"),
        ("64:ff9b::192.0.2.2", "192.0.2.2"),
    ] {
        assert_eq!(target(&scope, offender), blocked, "{offender}");
    }
}

#[test]
fn while_the_known_senders_are_unread_no_64_is_blocked_as_a_whole() {
    let scope = Scope {
        known: KnownNets::Unread,
        ..Scope::default()
    };
    assert_eq!(target(&scope, "2001:db8::1"), "2001:db8::1/128");
    assert_eq!(target(&scope, "192.0.2.1"), "192.0.2.1");
    assert_eq!(target(&Scope::default(), "2001:db8::1"), "2001:db8::/64");
}

#[test]
fn what_is_given_is_widened_narrowed_or_refused() {
    let scope = scope();
    let choose = |word: &str| match scope.choose(word.parse().unwrap(), parse_net(word).unwrap()) {
        Ok(Choice { target, neighbour }) => match neighbour {
            None => target.to_string(),
            Some(neighbour) => format!("{target}, it {neighbour}"),
        },
        Err(refusal) => format!("refused: {refusal}"),
    };
    for (word, chosen) in [
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::/64", "2001:db8::/64"),
        ("2001:db8::1/128", "2001:db8::1/128"),
        (
            "2001:db8:0:1::6",
            "2001:db8:0:1::6/128, it holds 2001:db8:0:1::5 of the allowlist",
        ),
        (
            "2001:db8:0:4::6",
            "2001:db8:0:4::6/128, it holds 2001:db8:0:4::25, an address of this machine",
        ),
        (
            "2001:db8:0:6::6",
            "2001:db8:0:6::6/128, it holds a known sender",
        ),
        ("2001:db8:0:6::6/128", "2001:db8:0:6::6/128"),
        (
            "2001:db8:0:6::/64",
            "refused: holds a known sender; block single addresses of it",
        ),
        (
            "2001:db8:0:2::/64",
            "refused: holds 2001:db8:0:2:8000::/80 of the allowlist; block single addresses of it",
        ),
        // A prefix that holds an address of this machine, and one without protected addresses.
        ("2001:db8::/60", "refused: an address of this machine"),
        ("2001:db8:0:10::/60", "2001:db8:0:10::/60"),
        (
            "2001:db8:3::1",
            "refused: on the allowlist (2001:db8:3::/48)",
        ),
        ("192.0.2.0/24", "192.0.2.0/24"),
    ] {
        assert_eq!(choose(word), chosen, "{word}");
    }
}

#[test]
fn the_64s_that_are_new_are_named() {
    let nets = |words: &[&str]| -> KnownNets {
        let targets = words.iter().map(|word| word.parse::<Target>().unwrap());
        targets.collect()
    };
    let (one, both) = (
        nets(&["2001:db8::1"]),
        nets(&["2001:db8::1", "2001:db9::1"]),
    );
    let second = [0x20, 0x01, 0x0d, 0xb9, 0, 0, 0, 0];
    assert_eq!(both.new_since(&one), [second]);
    assert_eq!(both.new_since(&KnownNets::Unread).len(), 2);
    assert_eq!(one.new_since(&both), [[0; 8]; 0]);
    assert_eq!(KnownNets::Unread.new_since(&both), [[0; 8]; 0]);
    let words = ["2001:db9::1/128", "2001:db9::/64", "192.0.2.1/32"];
    let around = nets_around(words.map(|word| word.parse().unwrap()));
    assert_eq!(around.collect::<Vec<_>>(), [second]);
}
