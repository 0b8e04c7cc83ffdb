#![expect(clippy::unwrap_used, reason = "a test may panic")]
use std::time::Duration;

use super::*;
use crate::render::entries::tests::entry;
use crate::render::json;

fn nets(text: &str) -> Vec<IpNet> {
    let target = |word: &str| word.parse::<Target>().unwrap();
    let net = |word: &str| spamdrop_core::target::parse_net(word);
    let words = text.split_whitespace();
    words
        .map(|word| net(word).unwrap_or_else(|| target(word).net()))
        .collect()
}

/// The entries that are selected from six, and the prefixes without an entry.
fn selected(
    nets: Vec<IpNet>,
    states: &[StateWord],
    order: EntryOrder,
    most: Option<usize>,
) -> SelectedEntries {
    let some = |addr: &str, hits, expires, state, fixed, allowed| LiveEntry {
        hits,
        expires_in: Duration::from_secs(expires),
        state,
        fixed,
        allowed,
        ..entry(addr)
    };
    let (open, sealed) = (EntryState::Open, EntryState::Sealed);
    let all = [
        some("192.0.2.10", 5, 100, open, false, false),
        some("192.0.2.9", 5, 300, sealed, false, false),
        some("192.0.2.0/24", 9, 200, sealed, true, false),
        some("2001:db8::/64", 1, 50, sealed, false, true),
        some("2001:db8:0:1::7/128", 7, 60, open, true, false),
        some("198.51.100.0/25", 0, 70, sealed, true, false),
    ];
    let mut selection = EntrySelection::new(nets, states.to_vec(), order, most);
    let since = [("192.0.2.9", 30), ("192.0.2.10", 40), ("2001:db8::/64", 10)];
    let since = since.map(|(addr, at)| (addr.parse().unwrap(), UnixSeconds::new(at)));
    selection.set_since(since.into());
    for entry in all {
        if selection.is_asked(entry.target) {
            selection.take(entry);
        }
    }
    selection.finish()
}

fn shown(selected: &SelectedEntries) -> String {
    let targets = selected
        .entries
        .iter()
        .map(|entry| entry.target.to_string());
    targets.collect::<Vec<_>>().join(" ")
}

fn count(selected: &SelectedEntries) -> String {
    let mut out = Vec::new();
    selected.write_count(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn an_address_selects_what_blocks_it_and_a_prefix_what_is_in_it() {
    for (asked, expected, missing) in [
        ("192.0.2.9", "192.0.2.0/24 192.0.2.9", ""),
        ("192.0.2.8", "192.0.2.0/24", ""),
        ("192.0.2.8/30", "192.0.2.0/24 192.0.2.9 192.0.2.10", ""),
        ("192.0.0.0/16", "192.0.2.0/24 192.0.2.9 192.0.2.10", ""),
        (
            "198.51.100.200 2001:db8::5",
            "2001:db8::/64",
            "198.51.100.200",
        ),
        ("2001:db8::/32", "2001:db8::/64 2001:db8:0:1::7/128", ""),
        ("2001:db8:0:1::/64", "2001:db8:0:1::7/128", ""),
        ("2001:db8:0:1::8", "", "2001:db8:0:1::8"),
    ] {
        let selected = selected(nets(asked), &[], EntryOrder::Address, None);
        assert_eq!(shown(&selected), expected, "{asked}");
        assert_eq!(selected.missing, nets(missing), "{asked}");
    }
}

#[test]
fn states_are_the_words_that_the_table_prints() {
    use StateWord::{Allowed, Fixed, Open, Sealed};
    for (states, expected) in [
        (&[Open][..], "192.0.2.10 2001:db8:0:1::7/128"),
        (&[Sealed], "192.0.2.0/24 192.0.2.9 198.51.100.0/25"),
        (&[Sealed, Fixed], "192.0.2.0/24 198.51.100.0/25"),
        (&[Fixed], "192.0.2.0/24 198.51.100.0/25 2001:db8:0:1::7/128"),
        (&[Allowed], "2001:db8::/64"),
        (&[Open, Sealed], ""),
    ] {
        let selected = selected(Vec::new(), states, EntryOrder::Address, None);
        assert_eq!(shown(&selected), expected, "{states:?}");
    }
    let other = selected(nets("2001:db8::1"), &[Sealed], EntryOrder::Address, None);
    assert_eq!(other.missing, nets("2001:db8::1"));
}

#[test]
fn the_first_of_an_order_are_those_of_the_whole_order() {
    for (order, expected) in [
        (
            EntryOrder::Address,
            "192.0.2.0/24 192.0.2.9 192.0.2.10 198.51.100.0/25 2001:db8::/64 2001:db8:0:1::7/128",
        ),
        (
            EntryOrder::Hits,
            "192.0.2.0/24 2001:db8:0:1::7/128 192.0.2.9 192.0.2.10 2001:db8::/64 198.51.100.0/25",
        ),
        (
            EntryOrder::Expires,
            "2001:db8::/64 2001:db8:0:1::7/128 198.51.100.0/25 192.0.2.10 192.0.2.0/24 192.0.2.9",
        ),
        (
            EntryOrder::Since,
            "192.0.2.10 192.0.2.9 2001:db8::/64 192.0.2.0/24 198.51.100.0/25 2001:db8:0:1::7/128",
        ),
    ] {
        let expected: Vec<&str> = expected.split(' ').collect();
        for most in 1..8 {
            let first = selected(Vec::new(), &[], order, Some(most));
            let expected = expected[..most.min(6)].join(" ");
            assert_eq!(shown(&first), expected, "{order:?} {most}");
        }
        assert_eq!(
            shown(&selected(Vec::new(), &[], order, None)),
            expected.join(" ")
        );
    }
}

#[test]
fn the_count_says_how_many_of_how_many() {
    let count = |asked, most| count(&selected(nets(asked), &[], EntryOrder::Hits, most));
    assert_eq!(count("", None), "6 entries\n");
    assert_eq!(count("", Some(2)), "2 of 6 entries\n");
    assert_eq!(count("192.0.2.9", None), "2 of 6 entries\n");
    assert_eq!(
        count("192.0.2.9", Some(1)),
        "1 of 2 selected, of 6 entries\n"
    );
    assert_eq!(count("192.0.9.9", None), "0 of 6 entries\n");
}

#[test]
fn entries_by_their_beginning_say_it() {
    let selected = selected(nets("192.0.2.9"), &[], EntryOrder::Since, None);
    let dated = selected.dated(&TimeZone::UTC);
    let mut out = Vec::new();
    dated_text(&mut out, Style::Plain, &dated).unwrap();
    json::array(&mut out, &dated[..1]).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"ADDRESS       STATE          EXPIRES  HITS  SINCE                       BY
192.0.2.9     sealed         5m          5  1970-01-01 00:00:30 +00:00  hand
192.0.2.0/24  sealed, fixed  3m 20s      9  -                           hand
[
{"addr":"192.0.2.9","state":"sealed","expires_in_s":300.0,"hard_limit_in_s":null,"ttl_s":600,"hits":5,"refreshes":3,"origin":"hand","owners":["hand"],"fixed":false,"since_unix_s":30}
]
"#
    );
}
