//! `list` and `show` of some of the entries.

use super::*;

/// The addresses of a table, and its last line.
fn table(site: &Site, args: &[&str]) -> (String, String) {
    let text = site.spamdrop(&[&["list"], args].concat()).unwrap();
    let mut rows: Vec<&str> = text.lines().skip(1).collect();
    let count = rows.pop().unwrap().to_owned();
    let addrs = rows.iter().map(|row| row.split(' ').next().unwrap());
    (addrs.collect::<Vec<_>>().join(" "), count)
}

/// One address is an object, several are an array, and a mistake shows nothing.
#[test]
fn show_of_several_addresses_shows_each() {
    let site = filled();
    let one = json(&site, &["show", "100.64.0.9", "--json"]);
    assert_eq!(one["addr"], "100.64.0.9");
    let args = ["show", "100.64.0.9", "2001:db8:64::9", "--json"];
    let several = json(&site, &args);
    let addrs: Vec<&Value> = several.as_array().unwrap().iter().collect();
    let addrs: Vec<&Value> = addrs.into_iter().map(|it| &it["addr"]).collect();
    assert_eq!(addrs, ["100.64.0.9", "2001:db8:64::9"]);
    let text = site
        .spamdrop(&["show", "2001:db8:64::9", "100.64.0.9"])
        .unwrap();
    let (first, second) = text.split_once("100.64.0.9 is blocked\n").unwrap();
    assert!(first.starts_with("2001:db8:64::/64 is blocked\n"), "{text}");
    assert!(second.contains("100.64.0.0/24 is blocked"), "{text}");

    let output = site.output(&["show", "100.65.0.1", "100.64.0.9", "127.0.0.1"], b"");
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(shown.starts_with("100.64.0.9 is blocked\n"), "{shown}");
    assert_eq!(
        stderr(&output),
        "spamdrop: 100.65.0.1 is not blocked\nspamdrop: 127.0.0.1 is not blocked; it is allowed by 127.0.0.0/8\n"
    );
    let output = site.output(&["show", "100.64.0.9", "100.64.0"], b"");
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}

#[test]
fn show_says_the_end_of_each_owner() {
    let site = filled();
    let drop = ["add", "--owner", "drop", "--for", "2h", "--fixed"];
    site.spamdrop(&[&drop[..], &["100.64.0.9"]].concat())
        .unwrap();
    let text = site.spamdrop(&["show", "100.64.0.9"]).unwrap();
    for part in [
        "  by             hand, import:drop\n",
        "    hand         in 19m 5",
        "m after the peer's last packet\n    import:drop  in 1h 59m, at a fixed time\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let ends = json(&site, &["show", "100.64.0.9", "--json"])["ends"].take();
    let ends = ends.as_array().unwrap();
    assert_eq!(ends.len(), 2);
    assert_eq!(
        (&ends[0]["owner"], &ends[0]["ttl_s"]),
        (&"hand".into(), &1_200.into())
    );
    assert_eq!(
        (&ends[1]["owner"], &ends[1]["ttl_s"]),
        (&"import:drop".into(), &0.into())
    );

    // Without the database, the names and ends are left out; the block is shown.
    fs::rename(site.path("state/spamdrop.db"), site.path("gone")).unwrap();
    let text = site.spamdrop(&["show", "100.64.0.9"]).unwrap();
    assert!(text.contains("hand, unnamed:"), "{text}");
    assert!(!text.contains("    hand "), "{text}");
}

fn filled() -> Site {
    let site = attached("");
    for args in [
        &["100.64.0.9", "--for", "20m"][..],
        &["100.64.0.10", "--for", "10m"],
        &["100.64.0.0/24", "--for", "1h"],
        &["2001:db8:64::9", "--for", "30m", "--fixed"],
    ] {
        site.spamdrop(&[&["add"], args].concat()).unwrap();
    }
    site
}

#[test]
fn list_shows_what_is_asked_for_and_how_many_there_are() {
    let site = filled();
    let listed = |args: &[&str], addrs: &str, count: &str| {
        assert_eq!(table(&site, args), (addrs.into(), count.into()), "{args:?}");
    };
    let all = "100.64.0.0/24 100.64.0.9 100.64.0.10 2001:db8:64::/64";
    listed(&[], all, "4 entries");
    listed(
        &["100.64.0.9"],
        "100.64.0.0/24 100.64.0.9",
        "2 of 4 entries",
    );
    listed(&["100.64.0.77"], "100.64.0.0/24", "1 of 4 entries");
    listed(&["2001:db8::/32"], "2001:db8:64::/64", "1 of 4 entries");
    let fixed = "100.64.0.0/24 2001:db8:64::/64";
    listed(&["--state", "sealed,fixed"], fixed, "2 of 4 entries");
    listed(&["--state", "open"], "", "0 of 4 entries");
    listed(
        &["100.64.0.0/16", "--sort", "expires", "-n", "2"],
        "100.64.0.10 100.64.0.9",
        "2 of 3 selected, of 4 entries",
    );
    assert!(site.dropped("100.64.0.10", WAIT).unwrap());
    listed(
        &["--sort", "hits", "-n", "1"],
        "100.64.0.10",
        "1 of 4 entries",
    );
    let by_time = site.spamdrop(&["list", "--sort", "since"]).unwrap();
    assert!(by_time.contains("SINCE"), "{by_time}");
    let first = json(&site, &["list", "--sort", "since", "-n1", "--json"]);
    assert_eq!(first.as_array().unwrap().len(), 1);
    assert!(first[0]["since_unix_s"].as_u64().unwrap() > 1_700_000_000);

    let output = site.output(&["list", "100.65.0.1", "100.64.0.9"], b"");
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(shown.ends_with("2 of 4 entries\n"), "{shown}");
    assert_eq!(stderr(&output), "spamdrop: 100.65.0.1 is not blocked\n");
    let said = fails(
        &site,
        &["list", "--json", "--state", "open", "100.64.0.9"],
        1,
    );
    assert_eq!(
        said,
        "spamdrop: no entry of 100.64.0.9 has this state or owner\n"
    );
    for (args, part) in [
        (
            &["list", "--state", "seled"][..],
            "[possible values: open, sealed, fixed, allowed]",
        ),
        (
            &["list", "--sort", "age"],
            "[possible values: hits, expires, since]",
        ),
        (&["list", "-n", "0"], "0 is not in 1.."),
        (
            &["list", "mx.example"],
            "`mx.example` is a name, not an address",
        ),
    ] {
        let said = fails(&site, args, 2);
        assert!(said.contains(part), "{said}");
    }
}
