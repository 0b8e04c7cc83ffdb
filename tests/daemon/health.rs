//! The first line of `status` and its exit code: what degrades them, what
//! clears that, and what does not touch them.

use std::fs;

use rusqlite::Connection;
use spamdrop::lock::{WriteLock, set_verb};

use super::*;

/// Within this time a cause, or its end, is visible.
const SEEN: Duration = Duration::from_secs(8);

/// The exit code of `status`, and its first line.
fn health(site: &Site) -> (Option<i32>, String) {
    let output = site.output(&["status"], b"").unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let first = text.lines().next().unwrap_or_default().to_owned();
    (output.status.code(), first)
}

fn until_protected(site: &Site) {
    until("the protection to be whole", SEEN, || {
        let (code, line) = health(site);
        let is_whole = code == Some(0) && line.starts_with("protecting eth0, port 25: ");
        Ok(is_whole.then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", health(site)));
}

fn until_degraded(site: &Site, reason: &str) {
    until(reason, SEEN, || {
        let (code, line) = health(site);
        let is_named = line.starts_with("DEGRADED: ") && line.contains(reason);
        Ok((code == Some(1) && is_named).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", health(site)));
}

#[test]
fn each_cause_degrades_the_health_and_its_end_clears_it() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    until_protected(&site);

    let log = site.path("mail.log");
    fs::rename(&log, site.path("aside")).unwrap();
    until_degraded(&site, "mail.log: missing: it does not exist");
    fs::rename(site.path("aside"), &log).unwrap();
    until_protected(&site);

    fs::write(site.path("allow"), "friend.example\n").unwrap();
    daemon.signal(Signal::SIGUSR1).unwrap();
    until_degraded(&site, "`friend.example` is not an address or prefix");
    fs::remove_file(site.path("allow")).unwrap();
    daemon.signal(Signal::SIGUSR1).unwrap();
    until_protected(&site);

    set_verb("import".into());
    let acquire = || WriteLock::acquire(Path::new("/run/spamdrop"));
    let lock = site.server.run(acquire).unwrap();
    site.log(&rejection(ZOMBIE)).unwrap();
    until_degraded(&site, "`spamdrop import`");
    drop(lock);
    until_protected(&site);

    daemon.signal(Signal::SIGSTOP).unwrap();
    until_degraded(&site, "the daemon has not been responding for");
    daemon.signal(Signal::SIGCONT).unwrap();
    until_protected(&site);

    daemon.kill().unwrap();
    until_degraded(&site, "the daemon is not running");
    let database = Connection::open(site.path("state/spamdrop.db")).unwrap();
    database.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let _daemon = site.run().unwrap();
    until_degraded(&site, "the filter does not know the known senders");
    drop(database);
    until_protected(&site);
}

/// Mail, names and packets come from outside.
#[test]
fn nothing_that_a_client_sends_degrades_the_health() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    until_protected(&site);
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for number in 0..2_000_u32 {
        let [.., high, low] = number.to_be_bytes();
        let source = format!("100.80.{high}.{low}");
        let noise: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
        let noise = String::from_utf8_lossy(&noise).replace('\n', " ");
        let line = match random.u8(..4) {
            0 => rejection(&source),
            1 => format!("{}{noise}", rejection(&source)),
            2 => rejection(&source).replace("511", &noise),
            _ => noise,
        };
        site.log(&line).unwrap();
    }
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SEEN);
    let (code, line) = health(&site);
    assert_eq!(code, Some(0), "{line}");
}
