#![expect(clippy::unwrap_used, reason = "a test may panic")]
use super::*;

/// 2026-12-01.
const NOW: UnixSeconds = UnixSeconds::new(1_796_083_200);

fn parsed(text: &str) -> Allowlist {
    Allowlist::parse("allow", text, NOW).unwrap()
}

fn nets(text: &str) -> Vec<IpNet> {
    let words = text.split(' ');
    words.map(|word| word.parse().unwrap()).collect()
}

fn shown(nets: &[IpNet]) -> String {
    let nets: Vec<String> = nets.iter().map(ToString::to_string).collect();
    nets.join(" ")
}

#[test]
fn an_entry_is_allowed_until_its_end() {
    let mut list = parsed(
        "192.0.2.1 # until=2026-12-01T00:00:01Z backup MX\n\
         192.0.2.2 # until=2026-12-01T00:00:00Z\n\
         # until=2026-01-01T00:00:00Z is a comment\n\
         192.0.2.3 # rented until=2026-12-07T12:00:00Z from a friend\n\
         192.0.2.4 # until further notice\n\
         192.0.2.2 # until=2026-12-02T00:00:00Z\n",
    );
    assert_eq!(
        shown(list.nets()),
        "192.0.2.1/32 192.0.2.3/32 192.0.2.4/32 192.0.2.2/32"
    );
    let items: Vec<(Option<u64>, &str)> = list
        .items()
        .map(|item| (item.end.time().map(UnixSeconds::get), item.comment))
        .collect();
    let now = NOW.get();
    assert_eq!(
        items,
        [
            (Some(now + 1), "backup MX"),
            (Some(now + 6 * 86_400 + 43_200), "rented from a friend"),
            (None, "until further notice"),
            (Some(now + 86_400), ""),
        ]
    );
    assert_eq!(list.span().until, Some(UnixSeconds::new(now + 1)));
    assert_eq!(list.mistakes("allow").count(), 0);
    let text = list.to_string();
    list.remove_ended();
    assert_eq!(list.to_string(), text);
    // The line that ends at NOW is removed a day later.
    let mut later = Allowlist::parse("allow", &text, UnixSeconds::new(now + 86_400)).unwrap();
    later.remove_ended();
    assert_eq!(later.to_string().lines().count(), 5);
    assert!(later.to_string().contains("# until=2026-01-01"), "{later}");
    assert_eq!(later.nets().len(), 2);
}

#[test]
fn a_list_is_read_again_when_an_entry_ends_or_the_clock_is_set_back() {
    let second = |number: u64| UnixSeconds::new(NOW.get() + number - 10);
    let span = parsed("192.0.2.1 # until=2026-12-01T00:00:05Z\n192.0.2.2\n").span();
    for (now, expected) in [(9, true), (10, false), (14, false), (15, true), (16, true)] {
        assert_eq!(span.is_over(second(now)), expected, "{now}");
    }
    // The only entry has ended. If the clock is ahead and is set back, the list is read again.
    let span = parsed("192.0.2.1 # until=2026-11-30T23:59:59Z\n").span();
    assert!(span.until.is_none() && !span.is_over(second(1_000)));
    assert!(span.is_over(UnixSeconds::new(NOW.get() - 1)));
}

#[test]
fn a_clock_that_was_not_set_yet_gives_no_end() {
    let hour = std::time::Duration::from_secs(3_600);
    let error = end_after(hour, UnixSeconds::new(1_793_491_199)).unwrap_err();
    let expected = "the clock says 2026-10-31T23:59:59Z, so it has not been set yet; \
                    nothing was allowed; without `--for`, an entry has no end";
    assert_eq!(error.to_string(), expected);
    let now = UnixSeconds::new(1_793_491_200);
    assert_eq!(end_after(hour, now), Ok(now.plus(hour)));
}

#[test]
fn an_end_that_is_no_time_is_told_and_the_entry_stays_allowed() {
    for end in [
        "until=",
        "until=tomorrow",
        "until=2026-11-01",
        "until=2026-11-31T00:00:00Z",
        "until=2026-11-01T00:00:00",
        "Until=2026-11-01T00:00:00",
        "until=2026-11-01T00:00:00Z until=2026-11-02T00:00:00Z",
    ] {
        let text = format!("# ours\n192.0.2.1  # {end} x\n");
        let mut list = parsed(&text);
        assert_eq!(shown(list.nets()), "192.0.2.1/32", "{end}");
        assert_eq!(list.span().until, None, "{end}");
        let mistakes: Vec<String> = list.mistakes("/etc/allow").collect();
        let [mistake] = &mistakes[..] else {
            panic!("{end}: {mistakes:?}");
        };
        assert!(mistake.starts_with("/etc/allow:2: `"), "{mistake}");
        let rest = "so 192.0.2.1 is allowed without an end";
        assert!(mistake.ends_with(rest), "{mistake}");
        list.remove_ended();
        assert_eq!(list.to_string(), text);
    }
    // With an offset from UTC, the end can be read: it was an hour before NOW.
    let list = parsed("192.0.2.1 # until=2026-12-01T01:00:00+01:00\n");
    assert!(list.nets().is_empty());
}

#[test]
fn adding_again_replaces_the_end_and_the_comment() {
    let mut list = parsed(
        "192.0.2.1  # backup MX\n\
         192.0.2.2  # until=2026-11-30T00:00:00Z office\n\
         192.0.2.3\n\
         192.0.2.1\n",
    );
    let day = AllowTerm {
        until: Some(NOW.plus(std::time::Duration::from_secs(86_400))),
        comment: None,
        shortens: true,
    };
    let all = nets("192.0.2.1/32 192.0.2.2/32 192.0.2.1/32");
    let added = list.add(&all, day);
    assert_eq!(added.added, HashSet::from([all[1]]));
    assert_eq!(added.changed, HashSet::from([all[0]]));
    assert_eq!(added.limited, [all[0]]);
    assert_eq!(
        list.to_string(),
        "192.0.2.2  # until=2026-12-02T00:00:00Z office\n192.0.2.3\n192.0.2.1  # until=2026-12-02T00:00:00Z\n"
    );
    assert_eq!(list.nets().len(), 3);
    // The same again changes nothing. Another comment is a change, and so is no end.
    assert_eq!(list.add(&all, day), AllowAdded::default());
    let named = AllowTerm {
        comment: Some("MX # 2"),
        ..day
    };
    assert_eq!(list.add(&all, named).changed.len(), 2);
    let for_ever = AllowTerm::default();
    let added = list.add(&all[..1], for_ever);
    assert_eq!((added.changed.len(), added.limited.len()), (1, 0));
    assert_eq!(
        list.to_string(),
        "192.0.2.2  # until=2026-12-02T00:00:00Z MX # 2\n192.0.2.3\n192.0.2.1  # MX # 2\n"
    );
    assert_eq!(parsed(&list.to_string()), list);
    // An end that cannot be read is replaced, too.
    let mut list = parsed("192.0.2.1  # until=tomorrow office\n");
    list.add(&all[..1], day);
    assert_eq!(
        list.to_string(),
        "192.0.2.1  # until=2026-12-02T00:00:00Z office\n"
    );
}

/// A timer may add a prefix that the administrator, or another timer, has allowed for a
/// longer time.
#[test]
fn an_entry_that_ends_later_is_kept_unless_it_is_shortened() {
    let text = "192.0.2.1  # our customer\n\
                192.0.2.2  # until=2026-12-09T00:00:00Z other provider\n\
                192.0.2.3  # until=2026-12-02T00:00:00Z provider\n\
                192.0.2.4  # until=friday\n";
    let mut list = parsed(text);
    let all = nets("192.0.2.1/32 192.0.2.2/32 192.0.2.3/32 192.0.2.4/32 192.0.2.5/32");
    let mut term = AllowTerm {
        until: Some(NOW.plus(std::time::Duration::from_secs(2 * 86_400))),
        comment: Some("provider"),
        shortens: false,
    };
    let added = list.add(&all, term);
    assert_eq!(added.kept, [0, 1, 3].map(|index| all[index]).into());
    assert_eq!(added.changed, HashSet::from([all[2]]));
    assert_eq!(added.added, HashSet::from([all[4]]));
    assert!(added.limited.is_empty());
    assert_eq!(
        list.to_string(),
        text.replace("12-02", "12-03") + "192.0.2.5  # until=2026-12-03T00:00:00Z provider\n"
    );
    term.shortens = true;
    let added = list.add(&all, term);
    assert!(added.kept.is_empty() && added.added.is_empty());
    assert_eq!(added.changed, [0, 1, 3].map(|index| all[index]).into());
    assert_eq!(added.limited, [all[0], all[3]]);
    let ends: HashSet<AllowEnd> = list.items().map(|item| item.end).collect();
    assert_eq!(ends, HashSet::from([AllowEnd::At(term.until.unwrap())]));
}

/// The prefix is allowed until the last of its lines ends.
#[test]
fn all_lines_of_a_prefix_count() {
    let both = "192.0.2.1\n192.0.2.1  # until=2026-12-01T00:10:00Z\n";
    let all = nets("192.0.2.1/32");
    let mut term = AllowTerm {
        until: Some(NOW.plus(std::time::Duration::from_secs(3_600))),
        ..AllowTerm::default()
    };
    let mut list = parsed(both);
    let added = list.add(&all, term);
    assert_eq!((added.kept.len(), added.changed.len()), (1, 0));
    assert_eq!(list.to_string(), both);
    // The line without an end counts, not the last line.
    assert_eq!(list.item(all[0]).unwrap().end, AllowEnd::Never);
    assert_eq!(list.item("192.0.2.2/32".parse().unwrap()), None);
    term.shortens = true;
    assert_eq!(list.add(&all, term).limited, all);
    let one = "192.0.2.1  # until=2026-12-01T01:00:00Z\n";
    assert_eq!(list.to_string(), one);
    // A new line replaces the lines that have ended.
    let ended = "192.0.2.1 # until=2026-11-30T23:00:00Z\n".repeat(2);
    let mut list = parsed(&ended);
    assert_eq!(list.add(&all, term).added.len(), 1);
    assert_eq!(list.to_string(), one);
}

#[test]
fn a_carriage_return_ends_a_line() {
    for text in ["\r", "192.0.2.1 # x\r", "192.0.2.1 # x\r\r\n# y\r\r"] {
        let list = parsed(text);
        assert!(!list.to_string().contains('\r'), "{text:?}");
        assert_eq!(parsed(&list.to_string()), list, "{text:?}");
    }
}

#[test]
fn the_end_in_a_comment_is_a_word() {
    let list = parsed("192.0.2.1 # xuntil=2026-12-02T00:00:00Z until=2026-12-02T00:00:00Z y\n");
    let comments: Vec<&str> = list.items().map(|item| item.comment).collect();
    assert_eq!(comments, ["xuntil=2026-12-02T00:00:00Z y"]);
}

#[test]
fn a_comment_is_one_line_without_an_end() {
    assert_eq!(checked_comment(" backup  MX ").unwrap(), "backup  MX");
    for wrong in [
        "a\n192.0.2.0/24",
        "\u{1b}[2J",
        "until=2026-12-01T00:00:00Z",
        "x UNTIL=y",
    ] {
        assert!(checked_comment(wrong).is_err(), "{wrong}");
    }
    assert!(checked_comment(&"x".repeat(201)).is_err());
}

#[test]
fn edits_keep_comments_and_order() {
    let text = "# ours\n192.0.2.0/24\n\n2001:db8::1  # backup MX";
    let mut list = parsed(text);
    let set = |text: &str| HashSet::from_iter(nets(text));
    let present_and_new = nets("192.0.2.0/24 198.51.100.7/32 198.51.100.7/32");
    let added = list.add(&present_and_new, AllowTerm::default());
    assert_eq!(added.added, set("198.51.100.7/32"));
    assert!(added.changed.is_empty());
    let present_and_missing = nets("192.0.2.0/24 192.0.2.1/32");
    assert_eq!(list.remove(&present_and_missing), set("192.0.2.0/24"));
    assert!(list.remove(&present_and_missing).is_empty());
    let added = list.add(&nets("203.0.113.0/24"), AllowTerm::default());
    assert_eq!(added.added.len(), 1);
    assert_eq!(
        list.to_string(),
        "# ours\n\n2001:db8::1  # backup MX\n198.51.100.7\n203.0.113.0/24\n"
    );
    assert_eq!(list.nets().len(), 3);
    assert_eq!(Allowlist::default().to_string(), "");
}

/// With a search of the list for each prefix, this took minutes.
#[test]
fn large_edits_take_time_in_proportion() {
    let host = |number: u32| IpNet::from(std::net::IpAddr::from(number.to_be_bytes()));
    let hosts: Vec<IpNet> = (0..100_000).map(host).collect();
    let start = std::time::Instant::now();
    let mut list = Allowlist::default();
    let added = list.add(&hosts, AllowTerm::default());
    assert_eq!(added.added.len(), hosts.len());
    let term = AllowTerm {
        until: Some(UnixSeconds::new(1)),
        shortens: true,
        ..AllowTerm::default()
    };
    assert_eq!(list.add(&hosts, term).changed.len(), hosts.len());
    let added = list.add(&hosts, AllowTerm::default());
    assert_eq!(added.changed.len(), hosts.len());
    assert_eq!(list.remove(&hosts[1..]).len(), hosts.len() - 1);
    assert_eq!(list.to_string(), "0.0.0.0\n");
    assert!(start.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn a_bad_line_is_named() {
    let error = Allowlist::parse("/etc/allow", "192.0.2.1\nfriend.example # x\n", NOW);
    let expected = "/etc/allow:2: `friend.example` is not an address or prefix";
    assert_eq!(error.unwrap_err().to_string(), expected);
}

#[test]
fn a_prefix_is_covered_by_wider_ones_only() {
    let nets = ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/48"];
    let allowed: AllowedNets = nets.iter().filter_map(|net| net.parse().ok()).collect();
    for (net, expected) in [
        ("192.0.2.9/32", true),
        ("192.0.2.0/24", true),
        ("192.0.0.0/16", false),
        ("198.51.100.7/32", true),
        ("198.51.100.8/32", false),
        ("2001:db8:0:1::/64", true),
        ("2001:db8:1::/64", false),
    ] {
        let covered = net.parse().map(|net| allowed.cover(net));
        assert_eq!(covered, Ok(expected), "{net}");
    }
}
