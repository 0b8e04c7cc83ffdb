#![expect(clippy::unwrap_used, reason = "a test may panic")]
use spamdrop_common::time::MonotonicNs;

use super::*;
use crate::term::{LONGEST, Term};

/// As `nft list set` of nftables 1.0.6 prints it.
const NFT: &str = "table inet f {
	set a {
		type ipv4_addr
		flags interval,timeout
		auto-merge
		elements = { 10.0.0.5, 192.0.2.1 timeout 1h expires 59m59s996ms,
			     192.0.2.8-192.0.2.20, 198.51.100.0/24 timeout 1d2h3m4s expires 1d2h3m3s }
	}
	set c {
		type ipv4_addr
		timeout 10m
		elements = { 192.0.2.1 counter packets 0 bytes 0 expires 9m59s992ms, 192.0.2.2 counter packets 0 bytes 0 timeout 30s expires 29s comment \"a , } b\",
			     192.0.2.3 expires 1s996ms comment \"x\" }
	}
	chain x {
		ip saddr 192.0.2.99 drop
		ip saddr { 192.0.2.98, 192.0.2.97 } drop
	}
}
";

fn parser(format: ListFormat) -> ListParser {
    let term = Term {
        start: MonotonicNs::from_second(1_000),
        ttl_s: 600,
        slides: true,
        hard_limit_s: 0,
    };
    ListParser {
        reader: ListReader::new(term),
        format,
        local_now: "2026-11-29 20:05:00".parse().unwrap(),
    }
}

/// The prefix, seconds left, and the ttl: 0 for a fixed end.
type Shown = (String, u64, u32);

fn shown(entry: ListEntry) -> Shown {
    let start = MonotonicNs::from_second(1_000);
    let left = entry.entry.expires.elapsed_since(start).as_secs();
    (entry.net.to_string(), left, entry.entry.ttl_s)
}

fn parse_line(format: ListFormat, line: &str) -> Option<Shown> {
    let read = parser(format).read_line(line.as_bytes());
    read.unwrap_or_else(|error| panic!("{line}: {error}"))
        .map(shown)
}

fn error(format: ListFormat, line: &[u8]) -> String {
    let read = parser(format).read_line(line);
    read.unwrap_err().to_string()
}

fn nft(text: &str) -> (Vec<Shown>, Vec<(usize, String)>) {
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    let parser = parser(ListFormat::Nft);
    parser.read_nft(text.as_bytes(), &mut |line, read| match read {
        Ok(entry) => entries.push(shown(entry)),
        Err(error) => errors.push((line, error.to_string())),
    });
    (entries, errors)
}

fn listed(net: &str, left: u64, ttl: u32) -> Shown {
    (net.into(), left, ttl)
}

#[test]
fn each_format_is_recognized_by_its_first_line() {
    for (text, format) in [
        ("192.0.2.1\n", ListFormat::Lines),
        (
            "; Spamhaus DROP List\n192.0.2.0/24 ; SBL1\n",
            ListFormat::Lines,
        ),
        ("# x\n\n 192.0.2.1 600 fixed\n", ListFormat::Lines),
        ("src=192.0.2.1 ttl: 64 last_seen: 5", ListFormat::Lines),
        ("", ListFormat::Lines),
        ("create x hash:ip\n", ListFormat::Ipset),
        ("add x 192.0.2.1 timeout 5\n", ListFormat::Ipset),
        ("add element 192.0.2.1\n", ListFormat::Ipset),
        ("flush x\nadd x 192.0.2.1\n", ListFormat::Ipset),
        ("add ruleset 192.0.2.1\n", ListFormat::Ipset),
        ("-N x hash:ip\n", ListFormat::Ipset),
        ("add element inet f a { 192.0.2.1 }\n", ListFormat::Nft),
        ("#!/usr/sbin/nft -f\nflush ruleset\n", ListFormat::Nft),
        (NFT, ListFormat::Nft),
        ("{\"nftables\": [{\"metainfo\": {}}]}", ListFormat::NftJson),
        (" {\n  \"nftables\":\n []}", ListFormat::NftJson),
        ("{\"cidr\":\"192.0.2.0/24\"}\n", ListFormat::SpamhausJson),
        (
            "192.0.2.1 \t2026-11-29 20:00:00 + 600 = 2026-11-29 20:10:00\n",
            ListFormat::Fail2ban,
        ),
    ] {
        assert_eq!(ListFormat::recognize(text.as_bytes()), format, "{text}");
    }
}

#[test]
fn an_ipset_is_read_with_its_timeouts() {
    let read = |text| parse_line(ListFormat::Ipset, text);
    assert_eq!(
        read("create x hash:ip family inet timeout 600 comment\n"),
        None
    );
    assert_eq!(read(""), None);
    assert_eq!(read("COMMIT\n"), None);
    assert_eq!(
        read("add x 192.0.2.2 timeout 0\n"),
        Some(listed("192.0.2.2/32", 600, 600))
    );
    assert_eq!(
        read("add x 192.0.2.1 timeout 599"),
        Some(listed("192.0.2.1/32", 599, 0))
    );
    assert_eq!(
        read("add x 192.0.2.3 timeout 29 packets 5 bytes 300 comment \"a # nomatch\"\n"),
        Some(listed("192.0.2.3/32", 29, 0))
    );
    assert_eq!(
        read("add n 2001:db8::/32 packets 0 bytes 0"),
        Some(listed("2001:db8::/32", 600, 600))
    );
    assert_eq!(
        read("-A x 192.0.2.4 -exist"),
        Some(listed("192.0.2.4/32", 600, 600))
    );
}

#[test]
fn lines_that_are_no_blocks_of_an_ipset_are_named() {
    for (line, expected) in [
        (
            &b"add p 192.0.2.1,tcp:25"[..],
            "`192.0.2.1,tcp:25` is more than an address",
        ),
        (b"add l x", "`x` is not"),
        (
            b"add nn 192.0.2.0/24 nomatch",
            "`192.0.2.0/24` is an exception",
        ),
        (b"add x 192.0.2.1 timeout", "`` is not a timeout"),
        (b"add x 192.0.2.1 timeout -5", "`-5` is not a timeout"),
        (
            b"add x 192.0.2.1 timeout 99999999999999999999",
            "is not a timeout",
        ),
        (b"add x 192.0.2.1 tim", "`tim` is not understood"),
        (b"add x", "`add x` names no address"),
        (b"del x 192.0.2.1", "`del` is not a line of `ipset save`"),
        (b"add x \xff\x1b[2J", r"`\xff\x1b[2J` is not"),
        (b"192.0.2.1", "`192.0.2.1` is not a line of `ipset save`"),
    ] {
        let text = error(ListFormat::Ipset, line);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn the_bans_of_fail2ban_last_as_long_as_they_would() {
    let read = |text| parse_line(ListFormat::Fail2ban, text);
    assert_eq!(
        read("192.0.2.1 \t2026-11-29 20:00:00 + 600 = 2026-11-29 20:10:00\n"),
        Some(listed("192.0.2.1/32", 300, 0))
    );
    assert_eq!(
        read("2001:db8::1 \t2026-11-29 20:04:59 + 86400 = 2026-11-30 20:04:59"),
        Some(listed("2001:db8::1/128", 86_399, 0))
    );
    // A ban that is over, and one that never ends.
    assert_eq!(
        read("192.0.2.1 \t2026-11-29 19:00:00 + 600 = 2026-11-29 19:10:00"),
        None
    );
    assert_eq!(
        read("192.0.2.1 \t2026-11-29 19:00:00 + -1 = 9999-12-31 23:59:59"),
        Some(listed("192.0.2.1/32", LONGEST.as_secs(), 0))
    );
    // The machine that printed the list has a clock that is three hours ahead.
    assert_eq!(
        read("192.0.2.1 \t2026-11-29 23:00:00 + 600 = 2026-11-29 23:10:00"),
        Some(listed("192.0.2.1/32", 600, 0))
    );
    assert_eq!(read("\n"), None);
    for bad in [
        "192.0.2.1",
        "192.0.2.1 \t2026-11-29 20:00:00 + 600",
        "192.0.2.1 \t2026-11-29 20:00:00 + x = 2026-11-29 20:10:00",
        "192.0.2.1 \t2026-13-29 20:00:00 + 600 = 2026-11-29 20:10:00",
    ] {
        let text = error(ListFormat::Fail2ban, bad.as_bytes());
        assert!(text.contains("is not a line of `fail2ban-client"), "{text}");
    }
    let named = "mail.example \t2026-11-29 20:00:00 + 600 = 2026-11-29 20:10:00";
    assert!(error(ListFormat::Fail2ban, named.as_bytes()).contains("`mail.example`"));
}

#[test]
fn sets_of_nft_are_read_with_their_times_and_intervals() {
    let (entries, errors) = nft(NFT);
    assert_eq!(errors, []);
    assert_eq!(
        entries,
        [
            listed("10.0.0.5/32", 600, 600),
            listed("192.0.2.1/32", 3_599, 0),
            listed("192.0.2.8/29", 600, 600),
            listed("192.0.2.16/30", 600, 600),
            listed("192.0.2.20/32", 600, 600),
            listed("198.51.100.0/24", 93_783, 0),
            listed("192.0.2.1/32", 599, 0),
            listed("192.0.2.2/32", 29, 0),
            listed("192.0.2.3/32", 1, 0),
        ]
    );
    let statement =
        "add element inet f a { 192.0.2.1 timeout 1h, # ours\n 2001:db8::1-2001:db8::2 }";
    let (entries, errors) = nft(statement);
    assert_eq!(errors, []);
    assert_eq!(
        entries,
        [
            listed("192.0.2.1/32", 3_600, 0),
            listed("2001:db8::1/128", 600, 600),
            listed("2001:db8::2/128", 600, 600),
        ]
    );
}

/// The caller parses JSON; TOML has the same structure.
#[test]
fn each_element_of_a_json_set_is_an_entry_or_an_error() {
    let document = "[[nftables]]\n[[nftables]]\nmap = { name = 'a', elem = [
        '192.0.2.1',
        { prefix = { addr = '198.51.100.0', len = 24 } },
        { range = ['192.0.2.8', '192.0.2.9'] },
        { elem = { val = '192.0.2.2', timeout = 60, expires = 30 } },
        { elem = { val = '192.0.2.3', timeout = 60 } },
        { elem = { val = '192.0.2.4', timeout = 0 } },
        { elem = { val = { elem = { val = '192.0.2.5' } } } },
        'x',
    ] }";
    let document: NftDocument = toml::from_str(document).unwrap();
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    document.read(
        &parser(ListFormat::NftJson).reader,
        &mut |read| match read {
            Ok(entry) => entries.push(shown(entry)),
            Err(error) => errors.push(error.to_string()),
        },
    );
    assert_eq!(
        entries,
        [
            listed("192.0.2.1/32", 600, 600),
            listed("198.51.100.0/24", 600, 600),
            listed("192.0.2.8/31", 600, 600),
            listed("192.0.2.2/32", 30, 0),
            listed("192.0.2.3/32", 60, 0),
            listed("192.0.2.4/32", 600, 600),
        ]
    );
    let [nested, word] = errors.as_slice() else {
        panic!("{errors:?}");
    };
    assert!(
        nested.starts_with("set `a` has more than addresses"),
        "{nested}"
    );
    assert!(word.starts_with("`x`"), "{word}");
}

#[test]
fn damaged_and_hostile_sets_of_nft_are_named_by_their_lines() {
    let elements = |text: &str| nft(&format!("set a {{\n elements = {{ {text} }}\n}}"));
    for (text, expected) in [
        ("192.0.2.1 . 25", "`192.0.2.1 .` is more than an address"),
        ("192.0.2.1 : drop", "`192.0.2.1 :` is more than an address"),
        ("25", "`25` is not"),
        (
            "192.0.2.9-192.0.2.1",
            "`192.0.2.9-192.0.2.1` is not an interval",
        ),
        ("192.0.2.9-2001:db8::1", "is not an interval"),
        ("192.0.2.1 timeout 5y", "`5y` is not a time of nft"),
        ("192.0.2.1 timeout", "`` is not a time of nft"),
        (
            "192.0.2.1 timeout 99999999999999999999w",
            "is not a time of nft",
        ),
        (
            "192.0.2.1 expires 9999999999999999w9999999999999999w",
            "is not a time of nft",
        ),
        ("192.0.2.1 timeout 0s soon", "`soon` is not understood"),
        ("\x1b", r"`\x1b` is not"),
    ] {
        let (entries, errors) = elements(text);
        assert_eq!(
            (entries.len(), errors.len(), errors[0].0),
            (0, 1, 2),
            "{text}"
        );
        assert!(errors[0].1.contains(expected), "{}", errors[0].1);
    }
    let (entries, errors) = nft("elements = { 192.0.2.1,\n192.0.2.2 comment \"x");
    assert_eq!((entries.len(), errors.len()), (2, 1));
    assert!(errors[0].1.contains("may be cut"), "{errors:?}");
    assert_eq!(nft("{{{}}}\"\" elements = "), (vec![], vec![]));
    // Every address there is, in as few prefixes as can be.
    let (entries, errors) =
        elements("0.0.0.0-255.255.255.255, ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_eq!((entries.len(), errors), (2, vec![]));
}
