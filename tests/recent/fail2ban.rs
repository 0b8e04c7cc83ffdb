//! A real fail2ban with the action file that is among the examples.

use spamdrop_lab::fail2ban::{self, CONFIG};

use super::*;

const ACTION: &str = include_str!("../../spamdrop/dist/examples/fail2ban-action.conf");
/// fail2ban looks once a second.
const TEN_SECONDS: Duration = Duration::from_secs(10);
const OTHER: &str = "100.64.0.67";
/// In the /64 of `ZOMBIE6`.
const NEIGHBOUR6: &str = "2001:db8:64:1::67";

fn jail(site: &Site) -> String {
    let command = format!(
        "{} --config {}",
        env!("CARGO_BIN_EXE_spamdrop"),
        site.path("spamdrop.toml").display()
    );
    format!(
        "[smtp]
enabled = true
filter = courier-smtp
logpath = {}
backend = polling
maxretry = 1
bantime = 3600
bantime.increment = true
ignoreself = false
usedns = no
action = spamdrop[name=%(__name__)s, command='{command}']
",
        site.path("mail.log").display()
    )
}

/// Each entry as its address, its owners, and the minutes that are left.
fn entries(site: &Site) -> Vec<String> {
    let list = json(site, &["list", "--json"]);
    let entry = |entry: &Value| {
        let owners = entry["owners"].as_array().unwrap().iter();
        let owners: Vec<&str> = owners.map(|owner| owner.as_str().unwrap()).collect();
        let minutes = (entry["expires_in_s"].as_f64().unwrap() / 60.0).round();
        format!(
            "{} {} {minutes}",
            entry["addr"].as_str().unwrap(),
            owners.join("+")
        )
    };
    list.as_array().into_iter().flatten().map(entry).collect()
}

fn wait_for_entries(site: &Site, expected: &[&str], daemon: &Daemon) {
    let mut last = Vec::new();
    until("the entries", TEN_SECONDS, || {
        last = entries(site);
        Ok((last == expected).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}: {last:?}\n{}", daemon.output()));
}

#[test]
fn a_jail_bans_prolongs_and_unbans_and_leaves_other_owners_alone() {
    let site = site();
    let _daemon = site.run().unwrap();
    let action = ("action.d/spamdrop.conf", ACTION.to_owned());
    let database = "/run/fail2ban/fail2ban.sqlite3";
    let jails = fail2ban::start(&site.server, "smtp", &jail(&site), database, &[action]).unwrap();
    let client = |words: &str| {
        let begin = ["fail2ban-client", "-c", CONFIG, "set", "smtp"];
        site.server
            .exec(begin.into_iter().chain(words.split(' ')))
            .unwrap()
    };
    client(&format!("banip {ZOMBIE} {OTHER}"));
    let both = [
        &format!("{ZOMBIE} f2b:smtp 60")[..],
        &format!("{OTHER} f2b:smtp 60"),
    ];
    wait_for_entries(&site, &both, &jails);
    assert!(site.dropped(ZOMBIE, SILENCE).unwrap());
    let why = json(&site, &["show", ZOMBIE, "--json"])["origins"][0]["text"].clone();
    assert_eq!(why, "fail2ban: smtp");

    // The administrator becomes another owner of one of the blocks.
    site.spamdrop(&["add", ZOMBIE, "--for", "20m", "--fixed"])
        .unwrap();
    client(&format!("unbanip {ZOMBIE} {OTHER}"));
    let hand = format!("{ZOMBIE} hand 20");
    wait_for_entries(&site, &[&hand], &jails);
    assert!(site.dropped(ZOMBIE, SILENCE).unwrap());
    assert!(!site.dropped(OTHER, SILENCE).unwrap());

    // fail2ban makes a ban longer if the address was banned before.
    client("bantime 4");
    client(&format!("banip {OTHER}"));
    let unbanned = |line: &str| line.contains("Unban") && line.contains(OTHER);
    for _ in 0..2 {
        jails.wait_for(unbanned, TEN_SECONDS).unwrap();
    }
    wait_for_entries(&site, &[&hand], &jails);
    client(&format!("banip {OTHER}"));
    until("the longer ban", TEN_SECONDS, || {
        let entry = json(&site, &["show", OTHER, "--json"])["entries"][0].clone();
        let left = entry["expires_in_s"].as_f64().unwrap_or_default();
        Ok((left > 4.5 && entry["owners"][0] == "f2b:smtp").then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", jails.output()));
    // Two addresses of one /64 are banned each for itself.
    client("bantime 3600");
    client(&format!("banip {ZOMBIE6} {NEIGHBOUR6}"));
    until("the bans of a /64", TEN_SECONDS, || {
        let both = [ZOMBIE6, NEIGHBOUR6].map(|addr| site.dropped(addr, SILENCE));
        Ok((both.into_iter().all(|dropped| dropped.is_ok_and(|it| it))).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", jails.output()));
    client(&format!("unbanip {ZOMBIE6}"));
    let gone = format!("{ZOMBIE6}/128 f2b:smtp 60");
    until("the end of one ban", TEN_SECONDS, || {
        Ok((!entries(&site).contains(&gone)).then_some(()))
    })
    .unwrap();
    assert!(entries(&site).contains(&format!("{NEIGHBOUR6}/128 f2b:smtp 60")));
    assert!(site.dropped(NEIGHBOUR6, SILENCE).unwrap());
    assert!(!site.dropped(ZOMBIE6, SILENCE).unwrap());
    client(&format!("unbanip {NEIGHBOUR6}"));
    // A ban for ever becomes a block for ten years, and ends when the jail is stopped.
    client("bantime -1");
    client("banip 100.64.0.68");
    client("bantime 400000000");
    client("banip 100.64.0.69");
    for addr in ["100.64.0.68", "100.64.0.69"] {
        let forever = format!("{addr} f2b:smtp 5256000");
        until("a ban for ever", TEN_SECONDS, || {
            Ok(entries(&site).contains(&forever).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", jails.output()));
    }
    let stop = ["fail2ban-client", "-c", CONFIG, "stop", "smtp"];
    site.server.exec(stop).unwrap();
    wait_for_entries(&site, &[&hand], &jails);
    let output = jails.output();
    assert!(!output.contains("ERROR"), "{output}");
}
