//! `why`, `history` and `forget` beside a daemon: what they say is what happened.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::gate::{LIMIT, crowd, gated, until_strangers_wait};
use super::*;

const FRIEND: &str = "100.64.1.1";
const STRANGER: &str = "100.64.3.250";
/// Time limit for events to be written.
const WRITTEN: Duration = Duration::from_secs(10);

fn json<S>(site: &Site<S>, args: &[&str]) -> Vec<Value> {
    let text = site.spamdrop(args).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    json.as_array().unwrap().clone()
}

fn why(site: &Site, addr: &str) -> Value {
    json(site, &["why", "--json", addr]).remove(0)
}

/// The kinds, counts and texts of the events about an address.
fn history(site: &Site, addr: &str) -> Vec<(String, u64, String)> {
    let rows = json(site, &["history", "--json", addr]).into_iter();
    let text = |row: &Value, member: &str| row[member].as_str().unwrap().to_owned();
    rows.map(|row| {
        let count = row["count"].as_u64().unwrap();
        (text(&row, "event"), count, text(&row, "text"))
    })
    .collect()
}

/// Waits until an address has these events, and returns them.
fn until_events(site: &Site, addr: &str, wanted: &[&str]) -> Vec<(String, u64, String)> {
    until(&format!("the events {wanted:?}"), WRITTEN, || {
        let rows = history(site, addr);
        let kinds = rows.iter().map(|(kind, ..)| kind.as_str());
        Ok(kinds.eq(wanted.iter().copied()).then_some(rows))
    })
    .unwrap_or_else(|error| panic!("{error:#}: {:?}", history(site, addr)))
}

/// The sentence about the last block of an address.
fn end_of_block(site: &Site, addr: &str) -> String {
    let text = site.spamdrop(&["why", "--no-lookup", addr]).unwrap();
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| line.starts_with("Its last block"));
    line.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn the_past_tells_how_a_block_ended() {
    let site = site(|_| {});
    site.configure("ttl = 5").unwrap();
    let (expired, removed, held) = ("100.64.2.1", "100.64.2.2", "100.64.2.3");
    let mut daemon = site.run().unwrap();
    let block = |addr| {
        site.log(&rejection(addr)).unwrap();
        until_events(&site, addr, &["blocked"]);
    };
    let flushed = "100.64.2.5";
    block(flushed);
    site.spamdrop(&["flush"]).unwrap();
    let told = end_of_block(&site, flushed);
    assert!(told.starts_with("Its last block was ended by "), "{told}");
    assert!(told.ends_with(": `flush`."), "{told}");
    block(held);
    site.spamdrop(&["add", held, "--for", "1h"]).unwrap();
    block(removed);
    site.spamdrop(&["remove", removed]).unwrap();
    block(expired);
    // The daemon sweeps every half a minute.
    until("the end of a block", Duration::from_secs(60), || {
        Ok((history(&site, expired).len() == 2).then_some(()))
    })
    .unwrap();
    until_events(&site, expired, &["blocked", "ended"]);
    until_events(&site, removed, &["blocked", "command"]);
    until_events(&site, held, &["blocked", "command"]);
    let rows = json(&site, &["history", "--json", expired]);
    let [blocked, ended] = [&rows[0]["last_unix_s"], &rows[1]["last_unix_s"]];
    let lasted = ended.as_u64().unwrap() - blocked.as_u64().unwrap();
    assert!((4..=6).contains(&lasted), "{rows:?}");
    let told = end_of_block(&site, expired);
    assert!(
        told.starts_with("Its last block ended by itself at "),
        "{told}"
    );
    let told = end_of_block(&site, removed);
    assert!(told.starts_with("Its last block was ended by "), "{told}");
    assert!(told.ends_with(&format!(": `remove {removed}`.")), "{told}");
    // Without the daemon nobody sees the end.
    let unseen = "100.64.2.4";
    block(unseen);
    assert!(stopped_cleanly(&mut daemon).success());
    until("the end that nobody saw", Duration::from_secs(10), || {
        let text = site.spamdrop(&["why", "--no-lookup", unseen])?;
        Ok(text
            .contains("Its last block by the log ended at ")
            .then_some(()))
    })
    .unwrap();
}

/// Checks that a real connection meets the fate that `why` predicts.
fn meets(site: &Site, addr: &str, fate: &str, reason: &str) {
    let told = why(site, addr);
    let next = &told["next"];
    assert_eq!(
        (&next["fate"], &next["reason"]),
        (&fate.into(), &reason.into()),
        "{told}"
    );
    let is_dropped = matches!(fate, "dropped" | "refused");
    assert_eq!(
        site.dropped(addr, Duration::from_millis(300)).unwrap(),
        is_dropped,
        "{told}"
    );
}

#[test]
fn each_sender_is_told_its_fate_and_its_past() {
    let site = gated("on");
    site.spamdrop(&["known", "add", FRIEND]).unwrap();
    site.spamdrop(&["allow", "add", "100.64.5.0/24"]).unwrap();
    let mut daemon = site.run().unwrap();
    until_status(&site, "/daemon/state/gate/known", 1);
    // Blocked by the log, twice.
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    // Lines of one second are one offence.
    until("a second to pass", WRITTEN, || {
        let text = site.spamdrop(&["show", "--json", ZOMBIE])?;
        let shown: Value = serde_json::from_str(&text)?;
        let ago = shown["origins"][0]["last_offence_ago_s"].as_f64();
        Ok((ago > Some(1.1)).then_some(()))
    })
    .unwrap();
    site.log(&rejection(ZOMBIE)).unwrap();
    let rows = until("a second offence", WRITTEN, || {
        let rows = history(&site, ZOMBIE);
        Ok(rows.iter().any(|(_, count, _)| *count == 2).then_some(rows))
    })
    .unwrap();
    assert!(
        rows[0].2.contains(": 511 Blacklisted by zone.example"),
        "{rows:?}"
    );
    assert_eq!(rows.len(), 1, "{rows:?}");
    // Blocked by hand: an address, a /64, a prefix.
    site.spamdrop(&["add", "100.64.6.1", MATE6]).unwrap();
    site.spamdrop(&["add", "100.64.7.0/24", "--for", "1h"])
        .unwrap();
    for (addr, fate, reason) in [
        (ZOMBIE, "dropped", "sealed_dropped"),
        ("100.64.6.1", "dropped", "sealed_dropped"),
        (MATE6, "dropped", "sealed_dropped"),
        ("100.64.7.9", "dropped", "cidr_dropped"),
        ("100.64.5.9", "accepted", "not_blocked"),
        (FRIEND, "accepted", "not_blocked"),
        (STRANGER, "accepted", "not_blocked"),
    ] {
        meets(&site, addr, fate, reason);
    }
    // Slots run short.
    let clients = crowd(&site, LIMIT);
    until_strangers_wait(&site);
    meets(&site, FRIEND, "accepted", "gate_known_or_allowed");
    meets(&site, "100.64.5.9", "accepted", "gate_known_or_allowed");
    // The gate may admit the stranger that has waited longest, so `why` is asked about
    // another one.
    let told = why(&site, STRANGER);
    assert_eq!(told["gate"]["waits_from"], LIMIT as u64, "{told}");
    assert_eq!(told["gate"]["slots"], 5, "{told}");
    let told = why(&site, FRIEND);
    assert_eq!(told["known"]["state"], "by-hand", "{told}");
    assert_eq!(told["gate"]["passes"], true, "{told}");
    let text = site.spamdrop(&["why", "--no-lookup", ZOMBIE]).unwrap();
    for sentence in [
        "100.64.0.66: its next connection is dropped: it is blocked.\n",
        "\n  100.64.0.66 is blocked because of the log; the block is sealed, so every packet is dropped, ",
        ", for 2 offences, the last ",
        "\n  Nothing allows it.\n",
        "\n  It is not a known sender: there is no evidence for it.\n",
        "\n  `spamdrop remove 100.64.0.66` unblocks it.\n",
        "\nHistory:\nFIRST ",
    ] {
        assert!(text.contains(sentence), "{sentence}: {text}");
    }
    // The history has the stranger that was refused in `until_strangers_wait`.
    let refused = until("a refusal in the history", WRITTEN, || {
        let rows = json(&site, &["history", "--json"]);
        let refused = rows.into_iter().find(|row| row["event"] == "refused");
        Ok(refused)
    })
    .unwrap();
    assert!(refused["wave_unix_s"].as_u64() > Some(0), "{refused}");
    drop(clients);
    // Without the daemon the filter and the past stay.
    assert!(stopped_cleanly(&mut daemon).success());
    meets(&site, ZOMBIE, "dropped", "sealed_dropped");
    assert_eq!(why(&site, ZOMBIE)["history"].as_array().unwrap().len(), 1);
    // Without the filter, its entries are unknown.
    site.spamdrop(&["detach"]).unwrap();
    let told = why(&site, ZOMBIE);
    assert_eq!(
        (&told["filter"], &told["block"]),
        (&"absent".into(), &Value::Null)
    );
    assert_eq!(told["next"]["fate"], "accepted");
    assert_eq!(told["history"].as_array().unwrap().len(), 1, "{told}");
}

#[test]
fn commands_are_recorded_with_who_gave_them() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    site.spamdrop(&["add", CLEAN, "--reason", "asked to"])
        .unwrap();
    let file = fs::metadata(site.path("state/spamdrop.db")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    site.spamdrop(&["remove", CLEAN]).unwrap();
    site.spamdrop(&["known", "add", CLEAN]).unwrap();
    site.spamdrop(&["known", "remove", CLEAN]).unwrap();
    site.spamdrop(&["allow", "add", CLEAN]).unwrap();
    site.spamdrop(&["allow", "remove", CLEAN]).unwrap();
    // Nothing is left to remove, and these commands are not recorded.
    site.spamdrop(&["remove", CLEAN]).unwrap();
    site.spamdrop(&["known", "remove", CLEAN]).unwrap();
    site.spamdrop(&["allow", "remove", CLEAN]).unwrap();
    let rows = history(&site, CLEAN).into_iter();
    let told: Vec<String> = rows.map(|(_, _, text)| text).collect();
    assert_eq!(
        told,
        [
            format!("add {CLEAN} --reason asked to"),
            format!("remove {CLEAN}"),
            format!("known add {CLEAN}"),
            format!("known remove {CLEAN}"),
            format!("allow add {CLEAN}"),
            format!("allow remove {CLEAN}"),
        ]
    );
    site.spamdrop(&["pause", "10m"]).unwrap();
    site.spamdrop(&["resume"]).unwrap();
    site.spamdrop(&["flush"]).unwrap();
    let old = site.path("old.log");
    fs::write(&old, rejection(CLEAN) + "\n").unwrap();
    site.spamdrop(&["learn", old.to_str().unwrap()]).unwrap();
    let rows = json(&site, &["history", "--json", "--since", "1h"]);
    assert_eq!(rows.len(), 10, "{rows:?}");
    assert!(rows.iter().all(|row| row["by"] == "root"), "{rows:?}");
    assert_eq!(
        json(&site, &["history", "--json", "--until", "1h"]),
        [] as [Value; 0]
    );
    // A command about two addresses has a row for each, which names only that address. So
    // `forget` leaves no trace of an address in the row of another.
    site.spamdrop(&["add", ZOMBIE, "100.64.0.67"]).unwrap();
    site.spamdrop(&["forget", ZOMBIE]).unwrap();
    let text = site.spamdrop(&["history"]).unwrap();
    assert!(
        !text.contains(ZOMBIE) && text.contains("add 100.64.0.67"),
        "{text}"
    );
}

#[test]
fn a_forgotten_ipv6_address_leaves_its_64() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    site.spamdrop(&[
        "known",
        "add",
        "2001:db8:9::1",
        "2001:db8:9::2",
        "2001:db8:9::/64",
    ])
    .unwrap();
    assert!(stopped_cleanly(&mut daemon).success());
    let output = site.output(&["forget", "2001:db8:9::1"], b"").unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "forgot 1 record of a sender, 1 event of the history\n"
    );
    let said = String::from_utf8(output.stderr).unwrap();
    let rest = "the data of 2001:db8:9::/64 stay; `spamdrop forget 2001:db8:9::/64` removes them";
    assert!(said.contains(rest), "{said}");
    assert_eq!(
        site.spamdrop(&["forget", "2001:db8:9::/64"]).unwrap(),
        "forgot 2 records of senders, 2 events of the history\n"
    );
}

#[test]
fn ended_connections_and_the_commands_of_the_fifo_are_recorded() {
    let site = site(|options| options.read_timeout = Duration::ZERO);
    let fifo = site.path("recent");
    site.configure(&format!("grace = \"1s\"\nfifo = {fifo:?}"))
        .unwrap();
    let _daemon = site.run().unwrap();
    let mut client = refused(&site, ZOMBIE);
    client.expect_reset(SOON + GRACE).unwrap();
    let rows = until_events(&site, ZOMBIE, &["blocked", "released"]);
    assert_eq!(rows[1].1, 1, "{rows:?}");
    fs::write(&fifo, "+100.64.0.67\n").unwrap();
    until_events(&site, "100.64.0.67", &["blocked"]);
    fs::write(&fifo, "-100.64.0.67\n").unwrap();
    let rows = until_events(&site, "100.64.0.67", &["blocked", "command"]);
    let texts = rows.iter().map(|(_, _, text)| text.as_str());
    assert!(texts.eq(["fifo", "remove 100.64.0.67"]), "{rows:?}");
    let rows = json(&site, &["history", "--json", "100.64.0.67"]);
    assert_eq!(rows[1]["by"], "fifo");
}

#[test]
fn a_database_that_is_held_costs_a_command_its_row_only() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    site.spamdrop(&["known", "add", CLEAN]).unwrap();
    let holder = rusqlite::Connection::open(site.path("state/spamdrop.db")).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let output = site.output(&["add", ZOMBIE], b"").unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    let warning = "spamdrop: warning: done, but this command is not recorded in the history: ";
    assert!(said.starts_with(warning), "{said}");
    assert!(is_dropped(&site, ZOMBIE));
    holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(history(&site, ZOMBIE), []);
}

#[test]
fn a_damaged_database_loses_the_history_and_blocks_nonetheless() {
    let site = site(|_| {});
    fs::create_dir_all(site.path("state")).unwrap();
    let path = site.path("state/spamdrop.db");
    fs::write(&path, b"no database".repeat(500)).unwrap();
    let daemon = site.run().unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    let told = |line: &str| line.contains("the history is not written: cannot use ");
    daemon.wait_for(told, SOON).unwrap();
    refused(&site, "100.64.0.67").quit().unwrap();
    wait_for_state(&site, "100.64.0.67", "sealed", SOON);
    fs::rename(&path, site.path("state/aside")).unwrap();
    refused(&site, "100.64.0.68").quit().unwrap();
    until_events(&site, "100.64.0.68", &["blocked"]);
    let told = |line: &str| line.contains("history: recovered");
    daemon.wait_for(told, SOON).unwrap();
    let output = daemon.output();
    assert_eq!(
        output.matches("the history is not written: ").count(),
        1,
        "{output}"
    );
}

#[test]
fn no_history_is_kept_where_it_is_switched_off() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    until_events(&site, ZOMBIE, &["blocked"]);
    site.configure("history = 0").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    until_events(&site, ZOMBIE, &[]);
    refused(&site, "100.64.0.67").quit().unwrap();
    wait_for_state(&site, "100.64.0.67", "sealed", SOON);
    site.spamdrop(&["add", CLEAN]).unwrap();
    assert!(stopped_cleanly(&mut daemon).success());
    assert_eq!(json(&site, &["history", "--json"]), [] as [Value; 0]);
}

#[test]
fn a_forgotten_sender_is_gone_from_everywhere() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    delivers(&site, ZOMBIE.replace("66", "1").as_str());
    refused(&site, ZOMBIE).quit().unwrap();
    refused(&site, "100.64.0.67").quit().unwrap();
    until_events(&site, ZOMBIE, &["blocked"]);
    site.spamdrop(&["known", "add", ZOMBIE]).unwrap();
    // The daemon saves the blocks when it ends.
    assert!(stopped_cleanly(&mut daemon).success());
    let said = site.spamdrop(&["forget", ZOMBIE]).unwrap();
    assert_eq!(
        said,
        "forgot 1 block, 1 saved block, 1 record of a sender, 2 events of the history, \
         1 contact of a network\n"
    );
    assert_eq!(site.listed().unwrap(), ["100.64.0.67"]);
    assert_eq!(json(&site, &["known", "list", "--all", "--json"]).len(), 1);
    let text = site.spamdrop(&["history"]).unwrap();
    assert!(
        !text.contains(ZOMBIE) && text.contains("100.64.0.67"),
        "{text}"
    );
    let output = site.output(&["forget", ZOMBIE], b"").unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "spamdrop: nothing is stored about the given addresses; `spamdrop why ADDR` shows what else covers them, such as a blocked prefix\n"
    );
    let output = site.output(&["forget", "100.64.0.0/16"], b"").unwrap();
    assert_eq!(output.status.code(), Some(2));
}
