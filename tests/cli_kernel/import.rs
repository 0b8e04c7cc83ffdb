//! `import` and `export`.

use super::*;

/// Removes the second word of a line, which is the remaining time in seconds.
fn without_time(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    words.remove(1);
    words.join(" ")
}

fn seconds(line: &str) -> i64 {
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

fn import(site: &Site, text: &str) -> Output {
    site.output(&["import"], text.as_bytes()).unwrap()
}

#[test]
fn what_is_exported_can_be_imported() {
    let site = attached("");
    let given = "\
# by hand and from the log
100.64.0.9 500 ttl=600
100.64.0.10 3000 ttl=600 limit=3200 log   # a neighbour
100.64.0.11 86400 fixed

100.64.0.0/16 7200 fixed
2001:db8:64::9 600 ttl=900
";
    let output = import(&site, given);
    assert_eq!(stderr(&output), "");
    assert_eq!(output.stdout, b"imported 5 entries\n");
    let first = site.spamdrop(&["export"]).unwrap();
    let lines: Vec<&str> = first.lines().collect();
    let terms: Vec<String> = lines.iter().map(|line| without_time(line)).collect();
    assert!(
        terms[2].starts_with("100.64.0.10 ttl=600 limit="),
        "{first}"
    );
    assert!(terms[2].ends_with(" log"), "{first}");
    assert_eq!(
        [&terms[0], &terms[1], &terms[3], &terms[4]],
        [
            "100.64.0.0/16 fixed",
            "100.64.0.9 ttl=600",
            "100.64.0.11 fixed",
            "2001:db8:64::/64 ttl=900"
        ]
    );
    for (line, expected) in lines.iter().zip([7200, 500, 3000, 86_400, 600]) {
        assert!(
            (expected - 20..=expected).contains(&seconds(line)),
            "{line}"
        );
    }
    assert!(site.dropped("100.64.0.9", WAIT).unwrap());
    assert!(site.dropped("2001:db8:64::77", WAIT).unwrap());

    let saved = site.spamdrop(&["export"]).unwrap();
    fs::write(site.path("list"), &saved).unwrap();
    site.spamdrop(&["flush"]).unwrap();
    assert_eq!(site.spamdrop(&["export"]).unwrap(), "");
    let list = site.path("list").display().to_string();
    assert_eq!(
        site.spamdrop(&["import", &list]).unwrap(),
        "imported 5 entries\n"
    );
    let restored = site.spamdrop(&["export"]).unwrap();
    for (restored, saved) in restored.lines().zip(saved.lines()) {
        assert!(
            (0..20).contains(&(seconds(saved) - seconds(restored))),
            "{saved}, {restored}"
        );
    }
    let list = json(&site, &["list", "--json"]);
    assert_eq!(list[2]["origin"], "log");
    assert_eq!(list[2]["state"], "sealed");
    assert!(list[2]["hard_limit_in_s"].as_f64().unwrap() > 3_100.0);
    assert_eq!(
        (&list[3]["fixed"], &list[3]["ttl_s"]),
        (&true.into(), &0.into())
    );
    assert!(site.dropped("100.64.7.7", WAIT).unwrap());
}

#[test]
fn a_list_of_xt_recent_can_be_imported() {
    let site = attached("");
    fs::write(
        site.path("listed"),
        "\
src=100.64.0.9 ttl: 60 last_seen: 4295300000 oldest_pkt: 1 4295300000
src=100.64.0.10 ttl: 0 last_seen: 4295012345 oldest_pkt: 3 4295012000, 4295012100, 4295012345
src=2001:0db8:0064:0000:0000:0000:0000:0009 ttl: 57 last_seen: 4295300000 oldest_pkt: 1 4295300000
",
    )
    .unwrap();
    let list = site.path("listed").display().to_string();
    assert_eq!(
        site.spamdrop(&["import", &list, "--for", "2h", "--fixed"])
            .unwrap(),
        "imported 3 entries\n"
    );
    let shown = json(&site, &["list", "--json"]);
    for (entry, addr) in
        shown
            .as_array()
            .unwrap()
            .iter()
            .zip(["100.64.0.9", "100.64.0.10", "2001:db8:64::/64"])
    {
        assert_eq!(
            (&entry["addr"], &entry["fixed"]),
            (&addr.into(), &true.into())
        );
        assert!(entry["expires_in_s"].as_f64().unwrap() > 7_100.0, "{entry}");
    }
    let recent = site.spamdrop(&["export", "--format", "recent"]).unwrap();
    assert!(
        recent.starts_with("src=100.64.0.9 ttl: 0 last_seen: "),
        "{recent}"
    );
    site.spamdrop(&["flush"]).unwrap();
    assert_eq!(import(&site, &recent).stdout, b"imported 3 entries\n");
}

#[test]
fn a_bad_line_leaves_everything_as_it_was() {
    let site = attached("");
    site.spamdrop(&["add", "100.64.0.9"]).unwrap();
    let mut text = lines(10_000);
    text.push_str("mx.example\n100.64.0.10\n100.64.0.11 soon\n");
    fs::write(site.path("list"), &text).unwrap();
    let list = site.path("list").display().to_string();
    assert_eq!(
        fails(&site, &["import", &list], 1),
        format!(
            "spamdrop: nothing was imported, because 2 lines are not understood:\n  \
             {list}:10001: `mx.example` is a name, not an address; give its addresses, which `getent ahosts mx.example` shows\n  \
             {list}:10003: `soon` is not a time; give whole seconds, or a duration such as 10m, up to 3650d\n"
        )
    );
    assert_eq!(site.listed().unwrap(), ["100.64.0.9"]);
    let output = import(&site, &"x\n".repeat(9));
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("9 lines are not understood"), "{said}");
    assert!(said.contains("\n  standard input:5: `x` is"), "{said}");
    assert!(!said.contains("standard input:6: "), "{said}");
    let said = fails(&site, &["import", "/nonexistent/list"], 1);
    assert!(said.contains("cannot read /nonexistent/list: "), "{said}");
}

#[test]
fn more_than_fits_is_not_imported() {
    let site = attached("capacity4 = 8192");
    site.spamdrop(&["add", "100.64.0.9"]).unwrap();
    // An address that the list has twice counts once.
    let output = import(&site, &lines(8192).repeat(2));
    assert_eq!(
        output.stdout,
        b"imported 8192 entries\n",
        "{}",
        stderr(&output)
    );
    site.spamdrop(&["flush"]).unwrap();
    let output = import(&site, &lines(8193));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "spamdrop: nothing was imported: 8193 IPv4 addresses (`capacity4`) exceed the capacity of 8192\n"
    );
    assert_eq!(site.listed().unwrap(), Vec::<String>::new());
}

#[test]
fn what_must_not_be_blocked_is_left_out() {
    let site = attached("");
    site.spamdrop(&["allow", "add", "100.64.7.0/24"]).unwrap();
    let output = import(
        &site,
        "100.64.0.9\n198.51.100.25\n127.0.0.1 60 fixed\n100.64.7.7\n100.64.7.128/25\n\
         src=224.0.0.1 ttl: 0 last_seen: 1 oldest_pkt: 1 1\n2001:db8:25::25\n100.64.0.10\n",
    );
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8(output.stdout.clone()).unwrap(),
        "imported 2 entries\nleft out 6 that must not be blocked\n"
    );
    assert_eq!(
        stderr(&output),
        "\
spamdrop: warning: left out 198.51.100.25: an address of this machine
spamdrop: warning: left out 127.0.0.1: loopback
spamdrop: warning: left out 100.64.7.7: on the allowlist (100.64.7.0/24)
spamdrop: warning: left out 100.64.7.128/25: on the allowlist (100.64.7.0/24)
spamdrop: warning: left out 224.0.0.1: multicast
"
    );
    assert_eq!(site.listed().unwrap(), ["100.64.0.9", "100.64.0.10"]);
}

#[test]
fn the_last_line_about_an_entry_counts() {
    let site = attached("");
    site.spamdrop(&["add", "100.64.0.9", "2001:db8:64::9", "--reason", "old"])
        .unwrap();
    let output = import(
        &site,
        "100.64.0.9 60\n2001:db8:64::2 90\n100.64.0.9 120\n2001:db8:64::1 240 fixed\n",
    );
    assert_eq!(output.stdout, b"imported 2 entries\n");
    let export = site.spamdrop(&["export"]).unwrap();
    let terms: Vec<String> = export.lines().map(without_time).collect();
    assert_eq!(terms, ["100.64.0.9 ttl=120", "2001:db8:64::/64 fixed"]);
    // The import replaced the entries together with their reasons.
    assert_eq!(traces(&site), (0, 0));
}

#[test]
fn a_long_list_comes_whole() {
    const MANY: u32 = 200_000;
    let site = attached("");
    let text = lines(MANY);
    let output = import(&site, &text);
    assert_eq!(stderr(&output), "");
    assert_eq!(output.stdout, b"imported 200000 entries\n");
    let export = site.spamdrop(&["export"]).unwrap();
    let addrs = export.lines().map(|line| line.split(' ').next().unwrap());
    assert!(addrs.eq(text.lines()));
}

#[test]
fn peers_with_connections_are_released_by_the_daemon() {
    let site = site("grace = \"0s\"");
    let _daemon = site.run().unwrap();
    let mut client = site.connect("100.64.0.9").unwrap();
    client.read_reply().unwrap();
    let mut neighbour = site.connect("2001:db8:64::8").unwrap();
    neighbour.read_reply().unwrap();
    let output = import(&site, "100.64.0.9\n100.64.0.10\n2001:db8:64::9\n");
    assert_eq!(stderr(&output), "");
    assert_eq!(output.stdout, b"imported 3 entries\n");
    let state = |index: usize| json(&site, &["list", "--json"])[index]["state"].clone();
    assert_eq!(state(1), "sealed");
    wait::until(
        "the connection to be ended",
        Duration::from_secs(10),
        || Ok((state(0) == "sealed").then_some(())),
    )
    .unwrap();
    assert!(client.command("NOOP").is_err());
    // The session of a neighbour in the /64 is not ended.
    assert_eq!(state(2), "open");
    neighbour.quit().unwrap();
}

#[test]
fn without_a_daemon_open_entries_are_said() {
    let site = attached("");
    let mut client = site.connect("100.64.0.9").unwrap();
    client.read_reply().unwrap();
    let output = import(&site, "100.64.0.9\n100.64.0.10\n");
    assert!(
        stderr(&output).contains("1 block drops only new connections"),
        "{}",
        stderr(&output)
    );
    let origins = &json(&site, &["show", "100.64.0.9", "--json"])["origins"];
    assert_eq!(origins[0]["release_pending"], true);
    client.quit().unwrap();
}

#[test]
fn a_refusal_in_the_middle_says_how_much_is_imported() {
    let site = attached("");
    let map = "/sys/fs/bpf/spamdrop/v4/blocked6";
    site.server
        .exec(["bpftool", "map", "freeze", "pinned", map])
        .unwrap();
    let output = import(&site, &(lines(70_000) + "2001:db8:64::9\n"));
    assert_eq!(output.status.code(), Some(4));
    let said = stderr(&output);
    assert!(
        said.starts_with(
            "spamdrop: only 65536 of 70001 entries are certainly imported; import the list again: "
        ),
        "{said}"
    );
}
