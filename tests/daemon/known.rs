//! The evidence on senders that the daemon keeps.

use std::fs;

use super::*;

/// Time limit for evidence to be written; the daemon takes up to five seconds.
const WRITTEN: Duration = Duration::from_secs(10);

fn accepted(stamp: jiff::Timestamp, source: &str) -> String {
    format!("{stamp} mx courierd: newmsg,id=1: dns; friend.example (friend.example [{source}])")
}

/// Formats a delivery as Courier logs it, with the current time.
fn delivered(host: &str, from: &str) -> String {
    let stamp = jiff::Timestamp::now();
    format!(
        "{stamp} mx courieresmtp: id=1,from=<{from}>,addr=<b@there.example>,size=9,\
         success: delivered: there.example [{host}]"
    )
}

fn known(site: &Site) -> Vec<Value> {
    let text = site
        .spamdrop(&["known", "list", "--all", "--json"])
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

fn until_known(site: &Site, number: usize) -> Vec<Value> {
    until("what was learned to be written", WRITTEN, || {
        let all = known(site);
        Ok((all.len() == number).then_some(all))
    })
    .unwrap()
}

pub(super) fn logs_mail_of_two_days(site: &Site, source: &str) {
    let now = jiff::Timestamp::now();
    for hours in [49, 48, 23] {
        let stamp = now - jiff::SignedDuration::from_hours(hours);
        site.log(&accepted(stamp, source)).unwrap();
    }
}

#[test]
fn what_run_learns_is_what_learn_learns() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    delivers(&site, CLEAN);
    refused(&site, ZOMBIE).quit().unwrap();
    for source in ["100.64.1.1", "100.64.1.2", "2001:db8:64:9::1"] {
        logs_mail_of_two_days(&site, source);
    }
    site.log(&delivered("100.64.1.3", "a@here.example"))
        .unwrap();
    site.log(&delivered("100.64.1.4", "")).unwrap();
    // A rejection of an hour ago is too old for a block, but not for evidence.
    let stamp = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
    site.log(&rejection_at(stamp, "100.64.1.2")).unwrap();
    until_status(&site, "/daemon/state/events/stale", 7);
    assert!(stopped_cleanly(&mut daemon).success());
    let by_run = known(&site);
    let states: Vec<_> = by_run
        .iter()
        .map(|sender| (&sender["addr"], &sender["state"]))
        .collect();
    let expected = [
        (CLEAN, "unproven"),
        ("100.64.1.1", "known"),
        ("100.64.1.2", "demoted"),
        ("2001:db8:64:9::/64", "known"),
    ];
    assert_eq!(serde_json::json!(states), serde_json::json!(expected));
    fs::remove_file(site.path("state/spamdrop.db")).unwrap();
    let log = site.path("mail.log");
    site.spamdrop(&["learn", log.to_str().unwrap()]).unwrap();
    assert_eq!(known(&site), by_run);
}

#[test]
fn kill_9_and_a_restart_keep_what_was_learned() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    let sources: Vec<String> = (1..=5).map(|n| format!("100.64.1.{n}")).collect();
    for source in &sources {
        logs_mail_of_two_days(&site, source);
    }
    let learned = until_known(&site, 5);
    // The daemon does not overwrite the changes of commands.
    site.spamdrop(&["known", "add", "100.64.1.9"]).unwrap();
    site.spamdrop(&["known", "remove", "100.64.1.1"]).unwrap();
    daemon.kill().unwrap();
    let mut after = known(&site);
    assert_eq!(after.pop().unwrap()["state"], "by-hand");
    assert_eq!(after.remove(0)["state"], "demoted");
    assert_eq!(after, learned[1..]);
    site.spamdrop(&["known", "remove", "100.64.1.9"]).unwrap();
    // 100.64.1.7 becomes the fifth known sender. 100.64.1.6 has one accepted mail.
    logs_mail_of_two_days(&site, "100.64.1.7");
    let mut daemon = site.run().unwrap();
    let before = until_known(&site, 7);
    let mut daemon_again = restarted(&site, &mut daemon);
    site.log(&accepted(jiff::Timestamp::now(), "100.64.1.6"))
        .unwrap();
    // All known senders are listed, so the blocklist is considered wrong. 100.64.1.6 is
    // not known, so it does not count.
    for n in [6, 2, 3, 4, 5] {
        site.log(&rejection(&format!("100.64.1.{n}"))).unwrap();
    }
    until_status(&site, "/daemon/state/events/blocked", 5);
    site.log(&rejection("100.64.1.7")).unwrap();
    until_status(&site, "/daemon/state/events/ceiling", 1);
    // A wrong blocklist demotes none of them, not even the senders that were
    // blocked before the error was noticed.
    assert!(stopped_cleanly(&mut daemon_again).success());
    let mut after = known(&site);
    assert_eq!(after.remove(5)["state"], "unproven");
    assert_eq!(after, before);
}

fn restarted(site: &Site, daemon: &mut Daemon) -> Daemon {
    assert!(stopped_cleanly(daemon).success());
    site.run().unwrap()
}

#[test]
fn a_damaged_file_stops_no_watch() {
    let site = site(|_| {});
    fs::create_dir_all(site.path("state")).unwrap();
    let path = site.path("state/spamdrop.db");
    let bytes = b"no database".repeat(500);
    fs::write(&path, &bytes).unwrap();
    let daemon = site.run().unwrap();
    let told = |line: &str| line.contains("cannot read the known senders: cannot use ");
    daemon.wait_for(told, SOON).unwrap();
    let first_lines = site.status(&[]).unwrap();
    assert!(first_lines.starts_with("DEGRADED: "), "{first_lines}");
    assert!(
        first_lines.contains("the ceiling does not count them"),
        "{first_lines}"
    );
    delivers(&site, CLEAN);
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    let told = |line: &str| line.contains("cannot save new evidence about senders: cannot use ");
    daemon.wait_for(told, WRITTEN).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    fs::rename(&path, site.path("state/aside")).unwrap();
    assert_eq!(until_known(&site, 1)[0]["addr"], CLEAN);
    until("the warning to go", WRITTEN, || {
        let text = site.status(&["--json"])?;
        let json: Value = serde_json::from_str(&text)?;
        Ok((json["daemon"]["state"]["warnings"] == serde_json::json!([])).then_some(()))
    })
    .unwrap();
}

/// `detach` keeps the state, because learning takes weeks.
#[test]
fn detach_leaves_what_is_known() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    delivers(&site, CLEAN);
    assert!(stopped_cleanly(&mut daemon).success());
    site.spamdrop(&["detach"]).unwrap();
    let left: Vec<_> = fs::read_dir(site.path("state")).unwrap().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(known(&site)[0]["addr"], CLEAN);
}
