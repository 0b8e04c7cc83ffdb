//! `add`, `remove`, `allow`, and their results in `list` and `show`.

use super::*;

#[test]
fn what_is_added_is_dropped_until_it_is_removed() {
    let site = attached("");
    let said = site
        .spamdrop(&["add", "100.64.0.9", "2001:db8:64::9", "100.64.0.10"])
        .unwrap();
    assert_eq!(
        said,
        "2001:db8:64::9 acts on 2001:db8:64::/64\nadded 3 entries, each until 10m after its last packet\n"
    );
    assert_eq!(
        site.spamdrop(&["add", "100.64.0.77/26", "--for", "1h"])
            .unwrap(),
        "100.64.0.77/26 acts on 100.64.0.64/26\nadded 1 entry for 1h\n"
    );
    for source in ["100.64.0.9", "2001:db8:64::77", "100.64.0.77"] {
        assert!(site.dropped(source, WAIT).unwrap(), "{source}");
    }
    assert!(!site.dropped("100.64.0.8", WAIT).unwrap());
    assert_eq!(
        site.listed().unwrap(),
        [
            "100.64.0.9",
            "100.64.0.10",
            "100.64.0.64/26",
            "2001:db8:64::/64"
        ]
    );

    let output = site
        .output(&["remove", "100.64.0.9", "100.64.0.11", "100.64.0.77"], b"")
        .unwrap();
    assert_eq!(output.stdout, b"removed 1 entry\n");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        stderr(&output),
        "\
spamdrop: 100.64.0.11 is not blocked
spamdrop: 100.64.0.77 is not blocked
spamdrop: warning: 100.64.0.77 is still blocked by 100.64.0.64/26; remove that too
"
    );
    assert!(!site.dropped("100.64.0.9", WAIT).unwrap());
    assert_eq!(
        site.spamdrop(&["remove", "2001:db8:64::1234", "100.64.0.64/26"])
            .unwrap(),
        "2001:db8:64::1234 acts on 2001:db8:64::/64\nremoved 2 entries\n"
    );
    for source in ["2001:db8:64::77", "100.64.0.77"] {
        assert!(!site.dropped(source, WAIT).unwrap(), "{source}");
    }
    assert_eq!(traces(&site), (0, 0));
}

#[test]
fn list_and_show_tell_what_was_added() {
    let site = attached("ttl = \"7m\"");
    site.spamdrop(&["add", "100.64.0.9", "--reason", "tired \u{1b}[2J"])
        .unwrap();
    site.spamdrop(&[
        "add",
        "100.64.0.10",
        "100.64.0.0/16",
        "--for",
        "1d",
        "--fixed",
    ])
    .unwrap();
    let list = json(&site, &["list", "--json"]);
    let entry = |index: usize| {
        let mut entry = list[index].clone();
        let expires = entry["expires_in_s"].take().as_f64().unwrap();
        (entry, expires)
    };
    let (host, expires) = entry(1);
    let expected = r#"{"addr":"100.64.0.9","state":"sealed","expires_in_s":null,"hard_limit_in_s":null,"ttl_s":420,"hits":0,"refreshes":0,"origin":"hand","owners":["hand"],"fixed":false}"#;
    assert_eq!(host, serde_json::from_str::<Value>(expected).unwrap());
    assert!(expires > 390.0 && expires <= 420.0, "{expires}");
    for index in [0, 2] {
        let (fixed, expires) = entry(index);
        assert_eq!(
            (&fixed["fixed"], &fixed["ttl_s"]),
            (&true.into(), &0.into())
        );
        assert!(expires > 86_370.0 && expires <= 86_401.0, "{expires}");
    }
    let text = site.spamdrop(&["list"]).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("ADDRESS        STATE          EXPIRES"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("100.64.0.0/16  sealed, fixed  "),
        "{text}"
    );

    site.dropped("100.64.0.9", WAIT).unwrap();
    let detail = json(&site, &["show", "100.64.0.9", "--json"]);
    assert_eq!(detail["entries"][0]["addr"], "100.64.0.9");
    assert!(detail["entries"][0]["hits"].as_u64().unwrap() > 0);
    assert_eq!(detail["entries"][1]["addr"], "100.64.0.0/16");
    assert_eq!(detail["origins"][0]["text"], r"tired \x1b[2J");
    assert!(
        site.spamdrop(&["show", "100.64.0.9"])
            .unwrap()
            .contains(r"tired \x1b[2J")
    );
    assert!(
        site.spamdrop(&["show", "100.64.0.0/16"])
            .unwrap()
            .contains("at a fixed time")
    );
    assert_eq!(
        fails(&site, &["show", "100.65.0.1"], 1),
        "spamdrop: 100.65.0.1 is not blocked\n"
    );
}

#[test]
fn a_network_shows_the_reasons_of_its_addresses() {
    let site = attached("");
    site.spamdrop(&[
        "add",
        "2001:db8:64::9",
        "2001:db8:64::8",
        "--reason",
        "both",
    ])
    .unwrap();
    let detail = json(&site, &["show", "2001:db8:64::7", "--json"]);
    assert_eq!(detail["entries"].as_array().unwrap().len(), 1);
    let addrs: Vec<&Value> = detail["origins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|origin| &origin["addr"])
        .collect();
    assert_eq!(addrs, ["2001:db8:64::8", "2001:db8:64::9"]);
    // A new block of the /64 replaces the old one with its reasons.
    site.spamdrop(&["add", "2001:db8:64::9"]).unwrap();
    let detail = json(&site, &["show", "2001:db8:64::7", "--json"]);
    assert_eq!(detail["origins"].as_array().unwrap().len(), 1);
    assert_eq!(detail["origins"][0]["addr"], "2001:db8:64::9");
    assert_eq!(detail["origins"][0]["text"], "");
    site.spamdrop(&["add", "2001:db8:64::9", "--reason", "again"])
        .unwrap();
    assert_eq!(traces(&site), (1, 0));
    site.spamdrop(&["remove", "2001:db8:64::/64"]).unwrap();
    assert_eq!(traces(&site), (0, 0));
}

#[test]
fn a_new_block_comes_without_the_old_reason() {
    let site = attached("");
    site.spamdrop(&["add", "100.64.0.9", "100.64.0.10", "--reason", "old"])
        .unwrap();
    site.spamdrop(&["add", "100.64.0.9"]).unwrap();
    assert_eq!(traces(&site), (1, 0));
}

#[test]
fn nothing_is_added_if_anything_must_not_be_blocked() {
    let site = attached("");
    site.spamdrop(&["allow", "add", "100.64.7.0/24"]).unwrap();
    let said = fails(
        &site,
        &[
            "add",
            "100.64.0.9",
            "198.51.100.25",
            "198.51.100.1",
            "127.0.0.1",
            "169.254.1.1",
            "224.0.0.1",
            "100.64.7.7",
            "0.0.0.0/0",
            "100.64.7.128/25",
            "2001:db8:25::/64",
            "2001:db8:25::77",
        ],
        1,
    );
    let mut refused: Vec<&str> = said.lines().skip(1).collect();
    refused.sort_unstable();
    assert_eq!(
        refused,
        [
            "  0.0.0.0/0: wider than /8",
            "  100.64.7.128/25: on the allowlist (100.64.7.0/24)",
            "  100.64.7.7: on the allowlist (100.64.7.0/24)",
            "  127.0.0.1: loopback",
            "  169.254.1.1: link-local",
            "  198.51.100.1: a gateway of this machine",
            "  198.51.100.25: an address of this machine",
            "  2001:db8:25::/64: a gateway of this machine",
            "  224.0.0.1: multicast",
        ]
    );
    assert_eq!(site.listed().unwrap(), Vec::<String>::new());
}

#[test]
fn more_than_fits_is_refused() {
    let site = attached("capacity4 = 8192");
    let output = site.output(&["add", "-"], lines(8193).as_bytes()).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "spamdrop: nothing was added: 8193 IPv4 addresses (`capacity4`) exceed the capacity of 8192\n"
    );
    assert_eq!(site.listed().unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_allowed_passes_and_cannot_be_blocked() {
    let site = attached("");
    site.spamdrop(&[
        "add",
        "100.64.0.9",
        "100.64.0.10",
        "100.65.0.0/24",
        "2001:db8:64::9",
    ])
    .unwrap();
    assert_eq!(
        site.spamdrop(&["allow", "add", "100.64.0.0/28", "2001:db8:64::1"])
            .unwrap(),
        "allowed 2 prefixes\n\
         2001:db8:64::/64 is no longer blocked as a whole: 2001:db8:64::9 stays blocked\n\
         unblocked 2 entries in the given prefixes\n"
    );
    assert_eq!(
        site.listed().unwrap(),
        ["100.65.0.0/24", "2001:db8:64::9/128"]
    );
    site.spamdrop(&["allow", "add", "100.65.0.9"]).unwrap();
    assert!(site.dropped("100.65.0.8", WAIT).unwrap());
    assert!(!site.dropped("100.65.0.9", WAIT).unwrap());
    let shown = site.spamdrop(&["show", "100.65.0.9"]).unwrap();
    let expected = "100.65.0.0/24 is blocked\n  state          sealed: every packet is dropped, but none of 100.65.0.9\n";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(
        shown.ends_with("100.65.0.9 is allowed by 100.65.0.9: its packets pass\n"),
        "{shown}"
    );
    assert_eq!(
        fails(&site, &["show", "100.64.0.9"], 1),
        "spamdrop: 100.64.0.9 is not blocked; it is allowed by 100.64.0.0/28\n"
    );
    fails(&site, &["add", "100.64.0.9"], 1);
    // The prefix around it can be blocked, and the address still passes.
    site.spamdrop(&["add", "100.64.0.0/24"]).unwrap();
    assert!(site.dropped("100.64.0.77", WAIT).unwrap());
    assert!(!site.dropped("100.64.0.9", WAIT).unwrap());
    site.spamdrop(&["remove", "100.64.0.0/24"]).unwrap();

    let list = site.spamdrop(&["allow", "list", "--json"]).unwrap();
    for line in [
        r#"{"addr":"100.64.0.0/28","by":"file"}"#,
        r#"{"addr":"198.51.100.25","by":"own"}"#,
        r#"{"addr":"198.51.100.1","by":"gateway"}"#,
        r#"{"addr":"127.0.0.0/8","by":"loopback"}"#,
    ] {
        assert!(list.contains(line), "{list}");
    }
    site.spamdrop(&["allow", "remove", "100.64.0.0/28", "100.65.0.9"])
        .unwrap();
    assert!(site.dropped("100.65.0.9", WAIT).unwrap());
    site.spamdrop(&["add", "100.64.0.9"]).unwrap();
    assert!(site.dropped("100.64.0.9", WAIT).unwrap());
}

#[test]
fn a_peer_with_a_connection_may_end_it() {
    let site = attached("");
    let mut client = site.connect("100.64.0.9").unwrap();
    client.read_reply().unwrap();
    let output = site
        .output(&["add", "100.64.0.9", "100.64.0.10"], b"")
        .unwrap();
    assert!(
        stderr(&output).contains("1 block drops only new connections"),
        "{}",
        stderr(&output)
    );
    let list = json(&site, &["list", "--json"]);
    assert_eq!(
        (&list[0]["addr"], &list[0]["state"]),
        (&"100.64.0.9".into(), &"open".into())
    );
    assert_eq!(list[1]["state"], "sealed");
    let origins = &json(&site, &["show", "100.64.0.9", "--json"])["origins"];
    assert_eq!(origins[0]["release_pending"], true);
    assert!(site.dropped("100.64.0.9", WAIT).unwrap());
    client.quit().unwrap();
}

#[test]
fn a_block_at_once_is_sealed_whoever_is_connected() {
    let site = attached("seal = \"at-once\"");
    let mut client = site.connect("100.64.0.9").unwrap();
    client.read_reply().unwrap();
    site.spamdrop(&["add", "100.64.0.9"]).unwrap();
    assert_eq!(json(&site, &["list", "--json"])[0]["state"], "sealed");
}

#[test]
fn what_a_removed_prefix_leaves_is_named() {
    let site = attached("");
    let all = ["add", "192.0.2.0/24", "192.0.2.66", "198.51.100.7"];
    site.spamdrop(&all).unwrap();
    let output = site.output(&["remove", "192.0.2.0/24"], b"").unwrap();
    let expected = "1 entry is still blocked inside 192.0.2.0/24; `spamdrop list 192.0.2.0/24` \
                    shows them";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    // So is a prefix that still allows what was removed.
    site.spamdrop(&["allow", "add", "203.0.113.0/24", "203.0.113.7"])
        .unwrap();
    let output = site
        .output(&["allow", "remove", "203.0.113.7"], b"")
        .unwrap();
    let expected = "203.0.113.7 is still allowed by 203.0.113.0/24; remove that too";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
}

#[test]
fn an_entry_that_has_expired_is_not_removed_by_hand() {
    let site = attached("");
    site.spamdrop(&["add", "--for", "1s", "--fixed", "192.0.2.66"])
        .unwrap();
    wait::until("the end of the block", Duration::from_secs(5), || {
        Ok(site.listed()?.is_empty().then_some(()))
    })
    .unwrap();
    let said = site.spamdrop(&["remove", "192.0.2.66"]).unwrap();
    assert_eq!(said, "removed 0 entries\n");
    let said = site.spamdrop(&["allow", "add", "192.0.2.66"]).unwrap();
    assert!(said.contains("unblocked 0 entries"), "{said}");
}
