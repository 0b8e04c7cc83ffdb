//! IPv6 /64s that hold several hosts: an offender is blocked without the others.

use super::*;

const NET: &str = "2001:db8:64:5::/64";
const OFFENDER: &str = "2001:db8:64:5::66";
const OTHER: &str = "2001:db8:64:5::67";
const FRIEND: &str = "2001:db8:64:5::25";

/// The entry of an address that is blocked alone, as `list` shows it.
fn alone(addr: &str) -> String {
    format!("{addr}/128")
}

/// The number of addresses that are blocked alone, from the filter's settings.
fn addresses(site: &Site) -> u32 {
    site.server.run(|| {
        let blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap();
        blocklist.settings().unwrap().addresses6
    })
}

#[test]
fn an_address_beside_an_allowlisted_one_is_blocked_alone() {
    let site = attached("");
    site.spamdrop(&["allow", "add", FRIEND]).unwrap();
    let said = site
        .spamdrop(&["add", OFFENDER, "--reason", "one of many"])
        .unwrap();
    assert_eq!(
        said,
        format!(
            "{OFFENDER} is blocked alone: {NET} holds {FRIEND} of the allowlist\n\
             added 1 entry, until 10m after its last packet\n"
        )
    );
    assert!(site.dropped(OFFENDER, WAIT).unwrap());
    assert!(!site.dropped(OTHER, WAIT).unwrap());
    assert!(!site.dropped(FRIEND, WAIT).unwrap());
    assert_eq!(site.listed().unwrap(), [alone(OFFENDER)]);
    let detail = json(&site, &["show", OFFENDER, "--json"]);
    assert_eq!(detail["entries"][0]["addr"], alone(OFFENDER));
    assert!(detail["entries"][0]["hits"].as_u64().unwrap() > 0);
    assert_eq!(detail["origins"][0]["addr"], OFFENDER);
    assert_eq!(detail["origins"][0]["text"], "one of many");
    assert_eq!(
        fails(&site, &["show", OTHER], 1),
        format!("spamdrop: {OTHER} is not blocked\n")
    );
    assert_eq!(
        fails(&site, &["show", NET], 1),
        format!(
            "spamdrop: {NET} is not blocked as a whole, but 1 of its addresses is \
             (see `spamdrop list`)\n"
        )
    );
    let status = site.output(&["status", "--json"], b"").unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(
        status["maps"]["v6_addresses"],
        serde_json::json!({"live": 1, "open": 0, "capacity": 16_384})
    );

    let refused = fails(&site, &["add", NET], 1);
    let expected =
        format!("  {NET}: holds {FRIEND} of the allowlist; block single addresses of it\n");
    assert!(refused.ends_with(&expected), "{refused}");

    assert_eq!(
        site.spamdrop(&["remove", OFFENDER, OTHER]).unwrap(),
        format!("{OTHER} acts on {NET}\nremoved 1 entry\n")
    );
    assert!(!site.dropped(OFFENDER, WAIT).unwrap());
    assert_eq!((addresses(&site), traces(&site)), (0, (0, 0)));
}

#[test]
fn a_64_is_unblocked_with_the_addresses_in_it() {
    let site = attached("");
    let words = [OFFENDER, OTHER].map(alone);
    let said = site
        .spamdrop(&["add", &words[0], &words[1], "--reason", "x"])
        .unwrap();
    assert_eq!(
        said,
        "added 2 entries, each until 10m after its last packet\n"
    );
    assert!(site.dropped(OFFENDER, WAIT).unwrap());
    assert!(!site.dropped(FRIEND, WAIT).unwrap());
    site.spamdrop(&["add", "2001:db8:64:6::1"]).unwrap();
    assert_eq!(addresses(&site), 2);
    assert_eq!(
        site.spamdrop(&["remove", NET]).unwrap(),
        "removed 2 entries\n"
    );
    assert_eq!(site.listed().unwrap(), ["2001:db8:64:6::/64"]);
    assert_eq!(traces(&site), (1, 0));
    site.spamdrop(&["add", &words[0]]).unwrap();
    assert_eq!(site.spamdrop(&["flush"]).unwrap(), "removed 2 entries\n");
    assert_eq!((addresses(&site), traces(&site)), (0, (0, 0)));
}

#[test]
fn a_blocked_64_becomes_its_offenders_when_an_address_of_it_is_allowed() {
    let site = attached("");
    site.spamdrop(&["add", OFFENDER, OTHER, "--for", "1h"])
        .unwrap();
    assert!(site.dropped(FRIEND, WAIT).unwrap());
    assert_eq!(
        site.spamdrop(&["allow", "add", FRIEND]).unwrap(),
        format!(
            "allowed 1 prefix\n\
             {NET} is no longer blocked as a whole: {OFFENDER}, {OTHER} stay blocked\n\
             unblocked 0 entries in the given prefixes\n"
        )
    );
    assert_eq!(site.listed().unwrap(), [OFFENDER, OTHER].map(alone));
    for (source, dropped) in [(OFFENDER, true), (OTHER, true), (FRIEND, false)] {
        assert_eq!(site.dropped(source, WAIT).unwrap(), dropped, "{source}");
    }
    assert!(!site.dropped("2001:db8:64:5::99", WAIT).unwrap());
    let left = json(&site, &["list", "--json"])[0]["expires_in_s"].as_f64();
    assert!(left.unwrap() > 3_500.0, "{left:?}");
    assert_eq!((addresses(&site), traces(&site)), (2, (2, 0)));
    // An offender that is allowed is unblocked, and no longer an offender.
    assert_eq!(
        site.spamdrop(&["allow", "add", OTHER]).unwrap(),
        "allowed 1 prefix\nunblocked 1 entry in the given prefixes\n"
    );
    assert_eq!(site.listed().unwrap(), [alone(OFFENDER)]);
}

#[test]
fn a_blocked_64_without_a_recorded_offender_is_unblocked() {
    let site = attached("");
    let import = |text: &str| {
        let output = site.output(&["import", "-"], text.as_bytes()).unwrap();
        String::from_utf8(output.stdout.clone()).unwrap() + &stderr(&output)
    };
    assert_eq!(import(OFFENDER), "imported 1 entry\n");
    assert_eq!(site.listed().unwrap(), [NET]);
    assert_eq!(
        site.spamdrop(&["allow", "add", FRIEND]).unwrap(),
        format!(
            "allowed 1 prefix\n\
             {NET} is no longer blocked, because no other offender in it is recorded\n\
             unblocked 0 entries in the given prefixes\n"
        )
    );
    assert_eq!(site.listed().unwrap(), Vec::<String>::new());
    // The offender is imported again, and blocked alone. Its /64 is left out.
    assert_eq!(
        import(&format!("{OFFENDER}\n{NET}\n{FRIEND}/128\n")),
        format!(
            "imported 1 entry\nleft out 2 that must not be blocked\n\
             spamdrop: warning: left out {NET}: holds {FRIEND} of the allowlist; \
             block single addresses of it\n\
             spamdrop: warning: left out {FRIEND}: on the allowlist ({FRIEND}/128)\n"
        )
    );
    assert_eq!(site.listed().unwrap(), [alone(OFFENDER)]);
    assert_eq!(addresses(&site), 1);
    // An address that was exported with /128 is blocked alone, although the allowlist
    // has no address of its /64 any more.
    let exported = site.spamdrop(&["export"]).unwrap();
    assert!(
        exported.starts_with(&format!("{OFFENDER}/128 ")),
        "{exported}"
    );
    site.spamdrop(&["allow", "remove", FRIEND]).unwrap();
    site.spamdrop(&["flush"]).unwrap();
    assert_eq!(import(&exported), "imported 1 entry\n");
    assert_eq!(site.listed().unwrap(), [alone(OFFENDER)]);
    assert!(site.dropped(OFFENDER, WAIT).unwrap());
    assert!(!site.dropped(OTHER, WAIT).unwrap());
}

#[test]
fn an_address_beside_a_known_sender_is_blocked_alone() {
    let site = attached("");
    site.spamdrop(&["add", OFFENDER]).unwrap();
    assert_eq!(
        site.spamdrop(&["known", "add", FRIEND]).unwrap(),
        format!(
            "{NET} is no longer blocked as a whole: {OFFENDER} stays blocked\n\
             added 1 sender\n"
        )
    );
    assert_eq!(
        site.spamdrop(&["add", OTHER]).unwrap(),
        format!(
            "{OTHER} is blocked alone: {NET} holds a known sender\nadded 1 entry, until 10m after its last packet\n"
        )
    );
    assert_eq!(site.listed().unwrap(), [OFFENDER, OTHER].map(alone));
    for (source, dropped) in [(OFFENDER, true), (OTHER, true), (FRIEND, false)] {
        assert_eq!(site.dropped(source, WAIT).unwrap(), dropped, "{source}");
    }
    assert!(fails(&site, &["add", NET], 1).contains("holds a known sender"));
    site.spamdrop(&["known", "remove", FRIEND]).unwrap();
    site.spamdrop(&["add", NET]).unwrap();
    assert!(site.dropped(FRIEND, WAIT).unwrap());
}

#[test]
fn while_the_known_senders_cannot_be_read_an_address_is_blocked_alone() {
    let site = attached("");
    fs::create_dir_all(site.path("state")).unwrap();
    fs::write(site.path("state/spamdrop.db"), b"no database".repeat(500)).unwrap();
    let output = site.output(&["add", OFFENDER, "100.64.0.9"], b"").unwrap();
    let said = stderr(&output);
    let warning = "spamdrop: warning: the known senders cannot be read, so IPv6 addresses are \
                   blocked without their /64s: cannot use ";
    assert!(said.starts_with(warning), "{said}");
    assert_eq!(site.listed().unwrap(), ["100.64.0.9", &alone(OFFENDER)]);
    // Blocks of IPv4 addresses do not depend on the known senders.
    let output = site.output(&["add", "100.64.0.10"], b"").unwrap();
    let said = stderr(&output);
    let warning = "spamdrop: warning: done, but this command is not recorded in the history: \
                   cannot use ";
    assert!(
        said.starts_with(warning) && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn more_addresses_than_fit_are_refused() {
    let site = attached("capacity6 = 8192");
    site.spamdrop(&["allow", "add", FRIEND]).unwrap();
    let lines = |number| -> String {
        let lines = (0x1000..0x1000 + number).map(|n| format!("2001:db8:64:5::{n:x}\n"));
        lines.collect()
    };
    let output = site.output(&["add", "-"], lines(2_049).as_bytes()).unwrap();
    assert_eq!(
        stderr(&output),
        "spamdrop: nothing was added: 2049 IPv6 addresses without their /64 \
         (a quarter of `capacity6`) exceed the capacity of 2048\n"
    );
    let output = site.output(&["add", "-"], lines(2_048).as_bytes()).unwrap();
    assert_eq!(
        output.stdout,
        b"added 2048 entries, each until 10m after its last packet\n"
    );
}
