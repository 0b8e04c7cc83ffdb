//! Locks that others hold, a silent server, a detached filter and an unreadable
//! file: the daemon waits for none of them.

use rusqlite::Connection;
use spamdrop::lock::{WriteLock, set_verb};

use super::*;

/// Time limit for evidence to be written.
const WRITTEN: Duration = Duration::from_secs(10);
/// Time limit for the end after SIGTERM, whatever locks others hold.
const END: Duration = Duration::from_secs(1);

fn ends_in_time(daemon: &mut Daemon) {
    let start = Instant::now();
    daemon.signal(Signal::SIGTERM).unwrap();
    assert!(daemon.exit_status(SOON).unwrap().success());
    assert!(start.elapsed() < END, "{:?}", start.elapsed());
}

fn warnings(site: &Site) -> String {
    let text = site.status(&["--json"]).unwrap();
    let status: Value = serde_json::from_str(&text).unwrap();
    status["daemon"]["state"]["warnings"].to_string()
}

fn until_warned(site: &Site, part: &str) {
    until(part, SOON, || {
        Ok(warnings(site).contains(part).then_some(()))
    })
    .unwrap();
}

/// Takes the write lock, like a `spamdrop import` that an administrator has
/// stopped with Ctrl-Z.
pub(super) fn hold_write_lock(site: &Site) -> WriteLock {
    set_verb("import".into());
    let acquire = || WriteLock::acquire(Path::new("/run/spamdrop"));
    site.server.run(acquire).unwrap()
}

#[test]
fn blocks_wait_for_the_write_lock_and_its_holder_is_named() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    let lock = hold_write_lock(&site);
    site.log(&rejection(ZOMBIE)).unwrap();
    let holder = format!("`spamdrop import` (pid {})", std::process::id());
    until_warned(&site, &holder);
    assert!(entry(&site, ZOMBIE).is_none());
    // The daemon continues to read the log in the meantime.
    site.log(&rejection(CLEAN)).unwrap();
    until_status(&site, "/daemon/state/events/blocked", 2);
    drop(lock);
    for addr in [ZOMBIE, CLEAN] {
        until("the entry", SOON, || Ok(entry(&site, addr))).unwrap();
    }
    until("the warning to end", SOON, || {
        Ok((warnings(&site) == "[]").then_some(()))
    })
    .unwrap();
    let lock = hold_write_lock(&site);
    site.log(&rejection(ZOMBIE6)).unwrap();
    until_warned(&site, &holder);
    ends_in_time(&mut daemon);
    drop(lock);
    // The queue is lost, but the next daemon reads the line again.
    let _daemon = site.run().unwrap();
    until("the entry", SOON, || Ok(entry(&site, ZOMBIE6))).unwrap();
}

#[test]
fn a_locked_database_delays_neither_the_start_nor_the_end() {
    let site = site(|_| {});
    site.spamdrop(&["known", "add", CLEAN]).unwrap();
    let database = Connection::open(site.path("state/spamdrop.db")).unwrap();
    database.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let start = Instant::now();
    let mut daemon = site.run().unwrap();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    delivers(&site, "100.64.0.2");
    let told = |line: &str| line.contains("cannot save new evidence about senders");
    daemon.wait_for(told, WRITTEN).unwrap();
    ends_in_time(&mut daemon);
}

#[test]
fn a_server_that_says_nothing_delays_no_block_during_a_reload() {
    let site = Site::with_listener(Path::new(env!("CARGO_BIN_EXE_spamdrop"))).unwrap();
    let mut daemon = site.run().unwrap();
    site.configure("answer = \"on\"\nadmit = \"observe\"")
        .unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    let start = Instant::now();
    site.log(&rejection(ZOMBIE)).unwrap();
    until("the entry", SOON, || Ok(entry(&site, ZOMBIE))).unwrap();
    assert!(start.elapsed() < END, "{:?}", start.elapsed());
    assert!(!daemon.output().contains("configuration read again"));
    ends_in_time(&mut daemon);
}

#[test]
fn after_a_new_attachment_its_packets_are_logged() {
    let site = site(|_| {});
    let daemon = site
        .run_logging("info", &["--log-packets", "debug"])
        .unwrap();
    let pin = "/sys/fs/bpf/spamdrop/link_eth0";
    site.server
        .exec(["bpftool", "link", "detach", "pinned", pin])
        .unwrap();
    daemon
        .wait_for(|line| line.contains("attached to eth0"), SOON)
        .unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    assert!(is_dropped(&site, ZOMBIE));
    daemon
        .wait_for(|line| line.contains("dropped 100.64.0.66, port 25"), SOON)
        .unwrap();
}

#[test]
fn an_unreadable_resolv_conf_stands_in_status() {
    let site = site(|_| {});
    site.configure("resolv_conf = \"/\"").unwrap();
    let _daemon = site.run().unwrap();
    until_warned(&site, "refused senders are not looked up: cannot read /");
}
