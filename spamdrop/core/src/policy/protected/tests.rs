#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn sample() -> Protected {
    let allowed = |text| (net(text), Protection::Allowlist(net(text)));
    Protected::new([
        (net("192.0.2.10/32"), Protection::OwnAddress),
        (net("192.0.2.1/32"), Protection::Gateway),
        (net("2001:db8:0:1::10/128"), Protection::OwnAddress),
        (net("2001:db8:0:2::1/128"), Protection::Gateway),
        allowed("198.51.100.0/24"),
        allowed("198.51.0.0/16"),
        allowed("2001:db8:5::25/128"),
        allowed("2001:db8:6::/48"),
    ])
}

fn why(protected: &Protected, addr: &str) -> Option<String> {
    let reason = protected.why(addr.parse().unwrap());
    reason.map(|reason| reason.to_string())
}

fn why_net(protected: &Protected, text: &str) -> Option<String> {
    let reason = protected.why_net(net(text));
    reason.map(|reason| reason.to_string())
}

#[test]
fn special_addresses_are_protected_on_any_machine() {
    let protected = Protected::default();
    for (addr, reason) in [
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "the unspecified address"),
        ("::", "the unspecified address"),
        ("169.254.7.7", "link-local"),
        ("fe80::1", "link-local"),
        ("febf::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("::ffff:127.0.0.1", "loopback"),
    ] {
        assert_eq!(why(&protected, addr).as_deref(), Some(reason), "{addr}");
    }
    for addr in [
        "126.255.255.255",
        "128.0.0.1",
        "0.0.0.1",
        "169.253.0.1",
        "fec0::1",
        "2001:db8::1",
    ] {
        assert_eq!(why(&protected, addr), None, "{addr}");
    }
}

#[test]
fn own_and_gateway_addresses_are_protected() {
    let protected = sample();
    assert_eq!(
        why(&protected, "192.0.2.10").as_deref(),
        Some("an address of this machine")
    );
    assert_eq!(
        why(&protected, "::ffff:192.0.2.10").as_deref(),
        Some("an address of this machine")
    );
    assert_eq!(
        why(&protected, "192.0.2.1").as_deref(),
        Some("a gateway of this machine")
    );
    assert_eq!(why(&protected, "192.0.2.2"), None);
}

#[test]
fn own_and_gateway_addresses_do_not_protect_their_neighbours() {
    let protected = sample();
    assert_eq!(
        why(&protected, "2001:db8:0:1::10").as_deref(),
        Some("an address of this machine")
    );
    assert_eq!(why(&protected, "2001:db8:0:1:ffff::1"), None);
    assert!(why(&protected, "2001:db8:0:2::1").is_some());
    assert_eq!(why(&protected, "2001:db8:0:2::99"), None);
}

#[test]
fn of_two_reasons_the_machine_s_counts() {
    let allowed = Protection::Allowlist(net("192.0.2.1/32"));
    let protected = Protected::new([
        (net("192.0.2.1/32"), allowed),
        (net("192.0.2.1/32"), Protection::Gateway),
    ]);
    assert_eq!(
        why(&protected, "192.0.2.1").as_deref(),
        Some("a gateway of this machine")
    );
    let nets = protected
        .nets()
        .filter(|(it, _)| *it == net("192.0.2.1/32"));
    assert_eq!(nets.count(), 1);
}

#[test]
fn other_addresses_of_the_machine_are_a_difference_of_their_own() {
    let old = sample();
    let new = old.with_machine([
        (net("192.0.2.1/32"), Protection::Gateway),
        (net("198.51.100.0/24"), Protection::OwnAddress),
        (net("2001:db8:0:9::1/128"), Protection::OwnAddress),
    ]);
    assert!(why(&new, "198.51.7.7").is_some(), "the allowlist stays");
    assert_eq!(why(&new, "192.0.2.10"), None);
    let changes = new.changes_since(&old);
    let removed = [
        "192.0.2.10/32",
        "2001:db8:0:1::10/128",
        "2001:db8:0:2::1/128",
    ];
    assert_eq!(changes.removed, removed.map(net));
    let set = [("198.51.100.0/24", true), ("2001:db8:0:9::1/128", true)];
    assert_eq!(
        changes.set,
        set.map(|(text, automatic)| (net(text), automatic))
    );
    // An allowlisted prefix stays when it is no longer the machine's.
    let back = old.changes_since(&new);
    assert!(back.set.contains(&(net("198.51.100.0/24"), false)));
    assert_eq!(back.removed, [net("2001:db8:0:9::1/128")]);
    assert!(new.changes_since(&new.clone()).is_empty());
    for is_removed in [false, true] {
        let (mut removed, mut set) = (changes.removed.clone(), changes.set.clone());
        match is_removed {
            true => set.clear(),
            false => removed.clear(),
        }
        assert!(!ProtectionChanges { removed, set }.is_empty());
    }
    // Another allowlist is compared, too.
    let shorter = Protected::new([]);
    assert!(
        shorter
            .changes_since(&old)
            .removed
            .contains(&net("2001:db8:6::/48"))
    );
}

#[test]
fn allowlist_protects_what_it_names() {
    let protected = sample();
    assert_eq!(
        why(&protected, "198.51.100.7").as_deref(),
        Some("on the allowlist (198.51.100.0/24)")
    );
    assert_eq!(
        why(&protected, "198.51.7.7").as_deref(),
        Some("on the allowlist (198.51.0.0/16)")
    );
    assert!(why(&protected, "2001:db8:5::25").is_some());
    // The filter looks up the whole address in the allowlist.
    assert_eq!(why(&protected, "2001:db8:5::26"), None);
    assert!(why(&protected, "2001:db8:6:7::8").is_some());
}

#[test]
fn prefix_around_or_inside_a_protected_one_is_refused() {
    let protected = sample();
    assert_eq!(
        why_net(&protected, "192.0.2.0/24").as_deref(),
        Some("a gateway of this machine")
    );
    assert_eq!(
        why_net(&protected, "192.0.2.8/29").as_deref(),
        Some("an address of this machine")
    );
    assert_eq!(
        why_net(&protected, "192.0.2.10/32").as_deref(),
        Some("an address of this machine")
    );
    assert_eq!(why_net(&protected, "192.0.2.16/28"), None);
    assert_eq!(
        why_net(&protected, "198.51.100.128/25").as_deref(),
        Some("on the allowlist (198.51.100.0/24)")
    );
    assert!(why_net(&protected, "2001:db8::/32").is_some());
    assert!(why_net(&protected, "2001:db8:0:1::/64").is_some());
    assert_eq!(why_net(&protected, "2001:db8:7::/48"), None);
    assert_eq!(why_net(&protected, "203.0.113.0/24"), None);
}

/// The filter asks the allowlist before it drops, so an allowed host does not
/// make its neighbours unblockable.
#[test]
fn a_prefix_around_an_allowlisted_one_may_be_blocked() {
    let protected = sample();
    for text in ["198.0.0.0/8", "2001:db8:5::/64", "2001:db8:4::/46"] {
        assert_eq!(why_net(&protected, text), None, "{text}");
    }
    let mixed = Protected::new([
        (
            net("203.0.113.1/32"),
            Protection::Allowlist(net("203.0.113.1/32")),
        ),
        (net("203.0.113.9/32"), Protection::OwnAddress),
        (net("203.0.114.9/32"), Protection::OwnAddress),
    ]);
    assert_eq!(
        why_net(&mixed, "203.0.113.0/24").as_deref(),
        Some("an address of this machine")
    );
    assert_eq!(why_net(&mixed, "203.0.113.0/29"), None);
}

#[test]
fn host_bits_and_mapped_prefixes_hide_nothing() {
    let protected = sample();
    assert!(why_net(&protected, "192.0.2.99/24").is_some());
    assert!(why_net(&protected, "::ffff:192.0.2.0/120").is_some());
    assert_eq!(why_net(&protected, "::ffff:203.0.113.0/120"), None);
}

#[test]
fn wide_prefixes_are_refused() {
    let protected = Protected::default();
    assert_eq!(
        why_net(&protected, "0.0.0.0/0").as_deref(),
        Some("wider than /8")
    );
    assert_eq!(
        why_net(&protected, "::/0").as_deref(),
        Some("wider than /19")
    );
    assert_eq!(
        why_net(&protected, "10.0.0.0/7").as_deref(),
        Some("wider than /8")
    );
    assert_eq!(
        why_net(&protected, "2000::/18").as_deref(),
        Some("wider than /19")
    );
    assert_eq!(why_net(&protected, "10.0.0.0/8"), None);
    assert_eq!(why_net(&protected, "2000::/19"), None);
    assert_eq!(
        why_net(&protected, "::ffff:0.0.0.0/96").as_deref(),
        Some("wider than /8")
    );
}

#[test]
fn prefix_around_is_told_rather_than_one_inside() {
    let protected = Protected::new([
        (
            net("198.51.0.0/16"),
            Protection::Allowlist(net("198.51.0.0/16")),
        ),
        (net("198.51.100.0/32"), Protection::OwnAddress),
    ]);
    assert_eq!(
        why_net(&protected, "198.51.100.0/24").as_deref(),
        Some("on the allowlist (198.51.0.0/16)")
    );
}
