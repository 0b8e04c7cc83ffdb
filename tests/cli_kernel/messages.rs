//! Messages to administrators about their blocks, and about missing rights.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use spamdrop_lab::site::ORDINARY;

use super::*;

/// The command that runs spamdrop as an ordinary user.
fn of_ordinary_user(site: &Site, args: &[&str]) -> Command {
    let mut command = site.server.command("setpriv");
    command.args(["--reuid", ORDINARY, "--clear-groups", "--"]);
    command.args([env!("CARGO_BIN_EXE_spamdrop"), "--config"]);
    command.arg(site.path("spamdrop.toml")).args(args);
    command.stdin(Stdio::null()).env_remove("RUST_LOG");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn as_ordinary_user(site: &Site, args: &[&str]) -> Output {
    let mut command = of_ordinary_user(site, args);
    let child = site.server.spawn(&mut command).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn what_needs_root_says_so_to_an_ordinary_user() {
    let site = attached("");
    site.spamdrop(&["add", "100.64.0.9"]).unwrap();
    for args in [
        &["add", "100.64.0.10"][..],
        &["remove", "100.64.0.9"],
        &["list"],
        &["show", "100.64.0.9"],
        &["why", "100.64.0.9"],
        &["forget", "100.64.0.9"],
        &["flush"],
        &["export"],
        &["stats"],
        &["pause", "10m"],
        &["pause", "10m", "--layer", "gate"],
        &["resume"],
        &["reload"],
        &["known", "add", "100.64.0.1"],
        &["allow", "add", "100.64.0.1"],
        &["detach"],
        &["attach", "eth0"],
        &["run"],
        &["status"],
        &["status", "--json"],
        &["config", "check", "--offline"],
        &["allow", "list"],
    ] {
        let output = as_ordinary_user(&site, args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{args:?}: {said}");
        assert!(
            said.ends_with("; run the command as root\n"),
            "{args:?}: {said}"
        );
        assert_eq!(output.stdout, b"", "{args:?}");
    }
    // Nothing was paused or changed.
    let text = site.status(&["--json"]).unwrap();
    assert!(!text.contains("remaining_s"), "{text}");
    assert_eq!(site.listed().unwrap(), ["100.64.0.9"]);
}

/// A daemon whose errors go to the journal runs in a unit, whose account the
/// administrator has chosen.
#[test]
fn an_error_in_the_journal_does_not_ask_for_root() {
    let site = attached("");
    let path = site.path("journal");
    let journal = File::create(&path).unwrap();
    let stat = journal.metadata().unwrap();
    let mut command = of_ordinary_user(&site, &["run"]);
    command.env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()));
    command.stderr(journal);
    let child = site.server.spawn(&mut command).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let said = fs::read_to_string(path).unwrap();
    assert!(said.starts_with("<3>spamdrop: "), "{said}");
    assert!(said.ends_with("denied (os error 13)\n"), "{said}");
}

#[test]
fn the_first_attach_by_an_ordinary_user_names_one_reason() {
    let site = site("");
    let run_dir = site.path("run").display().to_string();
    for (more, reason) in [
        (
            "",
            "the filter cannot be loaded without CAP_BPF and CAP_NET_ADMIN and CAP_PERFMON; \
             run as root, or with CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"
                .to_owned(),
        ),
        (
            &format!("run_dir = {run_dir:?}"),
            format!(
                "cannot make the directory {run_dir}: Permission denied (os error 13); run the command as root"
            ),
        ),
    ] {
        site.configure(more).unwrap();
        let output = as_ordinary_user(&site, &["attach", "eth0"]);
        assert_eq!(output.status.code(), Some(4));
        assert_eq!(stderr(&output), format!("spamdrop: {reason}\n"));
    }
}

#[test]
fn add_says_whether_the_block_slides_and_what_is_renewed() {
    let site = attached("");
    let add = |args: &[&str]| site.spamdrop(&[&["add"], args].concat()).unwrap();
    assert_eq!(
        add(&["100.64.0.9"]),
        "added 1 entry, until 10m after its last packet\n"
    );
    assert_eq!(
        add(&["100.64.0.9", "100.64.0.10", "100.64.0.11", "100.65.0.0/24"]),
        "added 2 entries, each until 10m after its last packet\n\
         added 1 entry for 10m\n\
         renewed 1 entry, until 10m after its last packet\n"
    );
    assert_eq!(
        add(&["100.64.0.9", "100.65.0.0/24", "--duration", "1h", "--fixed"]),
        "renewed 2 entries for 1h\n"
    );
}

#[test]
fn a_block_is_shortened_by_force_only() {
    let site = attached("");
    let longer = ["100.64.0.9", "100.65.0.0/24", "2001:db8:64::9"];
    site.spamdrop(&[&["add", "--for", "1d"][..], &longer].concat())
        .unwrap();
    let ends = || {
        let list = json(&site, &["list", "--json"]);
        let end = |entry: &Value| entry["expires_in_s"].as_f64().unwrap() > 3_600.0;
        list.as_array().unwrap().iter().map(end).collect::<Vec<_>>()
    };
    // The reason and the times of a block that lasts longer stay.
    let reason = ["--reason", "again"];
    assert_eq!(
        site.spamdrop(&[&["add", longer[0]][..], &reason].concat())
            .unwrap(),
        "kept 1 entry, blocked for longer already (`--force` shortens it)\n"
    );
    assert_eq!(
        site.spamdrop(&[&["add", "100.64.0.10"][..], &longer, &reason].concat())
            .unwrap(),
        "2001:db8:64::9 acts on 2001:db8:64::/64\n\
         added 1 entry, until 10m after its last packet\n\
         kept 3 entries, blocked for longer already (`--force` shortens them)\n"
    );
    let why = |addr: &str| json(&site, &["show", addr, "--json"])["origins"].clone();
    assert_eq!(why("100.64.0.10")[0]["text"], "again");
    for addr in longer {
        assert!(!why(addr).to_string().contains("again"), "{addr}");
    }
    site.spamdrop(&["remove", "100.64.0.10"]).unwrap();
    assert_eq!(ends(), [true; 3]);
    // A time that is as long or longer needs no `--force`.
    site.spamdrop(&["add", "100.65.0.0/24", "--for", "1d"])
        .unwrap();
    assert_eq!(
        site.spamdrop(&["add", "--force", longer[0], longer[1], longer[2]])
            .unwrap(),
        "2001:db8:64::9 acts on 2001:db8:64::/64\n\
         renewed 2 entries, each until 10m after its last packet\n\
         renewed 1 entry for 10m\n"
    );
    assert_eq!(ends(), [false; 3]);
}

#[test]
fn the_reason_for_a_prefix_is_kept_beside_those_of_its_addresses() {
    let site = attached("");
    for (target, reason) in [
        ("100.64.0.0/16", "a whole net"),
        ("100.64.0.0", "its first address"),
        ("2001:db8:64::/48", "a pool"),
    ] {
        site.spamdrop(&["add", target, "--reason", reason]).unwrap();
    }
    let origins = |target: &str| {
        let detail = json(&site, &["show", target, "--json"]);
        let origins = detail["origins"].as_array().unwrap().iter();
        let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
        let mut all: Vec<_> = origins
            .map(|it| (text(it, "addr"), text(it, "text")))
            .collect();
        all.sort();
        all
    };
    let net = ("100.64.0.0/16".to_owned(), "a whole net".to_owned());
    let first = ("100.64.0.0".to_owned(), "its first address".to_owned());
    assert_eq!(origins("100.64.0.0"), [first.clone(), net.clone()]);
    assert_eq!(origins("100.64.0.0/16"), std::slice::from_ref(&net));
    let shown = site.spamdrop(&["show", "2001:db8:64::1"]).unwrap();
    let expected = "2001:db8:64::/48\n  blocked since  ";
    assert!(shown.contains(expected), "{shown}");
    assert!(shown.ends_with("  why            a pool\n"), "{shown}");
    // A new block without a reason removes the old reason, and the removal of a block
    // removes its reason.
    site.spamdrop(&["add", "2001:db8:64::/48"]).unwrap();
    assert_eq!(origins("2001:db8:64::/48"), []);
    site.spamdrop(&["remove", "100.64.0.0"]).unwrap();
    assert_eq!(origins("100.64.0.0"), [net]);
    assert_eq!(traces(&site), (1, 2));
    site.spamdrop(&["remove", "100.64.0.0/16"]).unwrap();
    assert_eq!(traces(&site), (0, 1));
}

#[test]
fn show_as_json_prints_the_object_of_an_address_that_is_not_blocked() {
    let site = attached("");
    site.spamdrop(&["allow", "add", "100.64.0.0/28"]).unwrap();
    for (addr, allowed_by) in [
        ("100.64.0.9", Value::from("100.64.0.0/28")),
        ("100.65.0.9", Value::Null),
    ] {
        let output = site.output(&["get", "-j", addr], b"").unwrap();
        assert_eq!(output.status.code(), Some(1));
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(object["addr"], addr);
        assert_eq!(object["allowed_by"], allowed_by);
        assert_eq!(object["entries"], Value::Array(vec![]));
        let said = stderr(&output);
        assert!(said.contains(&format!("{addr} is not blocked")), "{said}");
    }
}

#[test]
fn detach_says_what_stays() {
    let site = attached("");
    site.spamdrop(&["known", "add", "100.64.0.1"]).unwrap();
    site.spamdrop(&["whitelist", "add", "100.64.0.2"]).unwrap();
    let said = site.spamdrop(&["detach"]).unwrap();
    let kept: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("kept "))
        .collect();
    let path = |name: &str| site.path(name).display().to_string();
    assert_eq!(
        kept,
        [
            format!("kept {}: the configuration", path("spamdrop.toml")),
            format!("kept {}: the allowlist", path("allow")),
            format!(
                "kept {}: the known senders, the waves and the history",
                path("state/spamdrop.db")
            ),
        ]
    );
}

#[test]
fn what_the_daemon_never_remembers_cannot_be_added_as_known() {
    let site = site("");
    site.spamdrop(&["allow", "add", "100.64.7.0/24"]).unwrap();
    let said = fails(
        &site,
        &[
            "known",
            "add",
            "100.64.0.1",
            "127.0.0.1",
            "198.51.100.25",
            "100.64.7.7",
            "fe80::/64",
            "224.0.0.1",
        ],
        1,
    );
    let mut refused: Vec<&str> = said.lines().skip(1).collect();
    refused.sort_unstable();
    assert_eq!(
        refused,
        [
            "  100.64.7.7: on the allowlist (100.64.7.0/24)",
            "  127.0.0.1: loopback",
            "  198.51.100.25: an address of this machine",
            "  224.0.0.1: multicast",
            "  fe80::/64: link-local",
        ]
    );
    let list = ["known", "list", "--json"];
    assert_eq!(json(&site, &list), Value::Array(vec![]));
    // Other addresses of the server's own /64 may be those of senders.
    site.spamdrop(&["known", "add", "2001:db8:25::/64"])
        .unwrap();
}

/// Administrators try the names that they know from other programs.
#[test]
fn the_names_of_other_programs_are_understood() {
    let site = attached("");
    for (args, expected) in [
        (
            &["block", "100.64.0.9", "--duration", "1h"][..],
            "added 1 entry, until 1h after its last packet\n",
        ),
        (
            &["ban", "100.64.0.10", "--ttl", "2h"],
            "added 1 entry, until 2h after its last packet\n",
        ),
        (&["unblock", "100.64.0.9"], "removed 1 entry\n"),
        (&["unban", "100.64.0.10"], "removed 1 entry\n"),
        (&["rm", "-q", "100.64.0.10"], "removed 0 entries\n"),
        (&["del", "-q", "100.64.0.10"], "removed 0 entries\n"),
        (&["ls", "-j"], "[\n]\n"),
        (
            &["whitelist", "add", "100.64.0.1"],
            "allowed 1 prefix\nunblocked 0 entries in the given prefixes\n",
        ),
        (
            &["whitelist", "rm", "100.64.0.1"],
            "removed 1 prefix from the allowlist\n",
        ),
    ] {
        let output = site.output(args, b"").unwrap();
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(said, expected, "{args:?}: {}", stderr(&output));
    }
}
