//! The first line of `status` and its exit code: what degrades them, what
//! clears that, and what does not touch them.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use spamdrop::lock::{WriteLock, set_verb};
use spamdrop_lab::forger::Forger;
use spamdrop_lab::tun::{self, Kind};

use super::*;

/// Time limit until a cause, or its end, is visible.
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

/// Waits for the cause in the health line and in the log.
fn until_degraded_and_logged(site: &Site, daemon: &Daemon, reason: &str) {
    until_degraded(site, reason);
    let is_logged = |line: &str| line.contains("warning: ") && line.contains(reason);
    daemon.wait_for(is_logged, SEEN).unwrap();
}

#[test]
fn a_silent_log_degrades_until_its_next_line() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    site.log("first").unwrap();
    until_status(&site, "/daemon/state/files/0/lines", 1);
    assert!(stopped_cleanly(&mut daemon).success());
    // Change the file as if a day had passed.
    let positions = site.path("state/positions.json");
    let mut saved: Value = serde_json::from_slice(&fs::read(&positions).unwrap()).unwrap();
    let log = site.path("mail.log").display().to_string();
    saved["silences"][&log]["watched_s"] = (86_400 + 60).into();
    fs::write(&positions, saved.to_string()).unwrap();
    let daemon = site.run().unwrap();
    until_degraded_and_logged(&site, &daemon, "mail.log: no line for more than 1d;");
    site.log("at last").unwrap();
    until_protected(&site);
}

#[test]
fn a_log_that_is_not_understood_degrades_until_a_line_is() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    for _ in 0..20 {
        let line = rejection(ZOMBIE).replace("courieresmtpd", "esmtpd");
        site.log(&line).unwrap();
    }
    until_degraded_and_logged(&site, &daemon, "in a form that is not understood");
    let shown = site.status(&[]).unwrap();
    assert!(shown.contains("  near miss, "), "{shown}");
    site.log(&rejection(ZOMBIE)).unwrap();
    until_protected(&site);
}

#[test]
fn slots_that_contradict_the_mail_server_or_are_unknown_degrade() {
    let site = site(|_| {});
    fs::create_dir(site.path("courier")).unwrap();
    fs::write(site.path("courier/esmtpd"), "MAXDAEMONS=40\n").unwrap();
    site.configure("slots = 60").unwrap();
    let mut daemon = site.run().unwrap();
    until_degraded_and_logged(
        &site,
        &daemon,
        "`slots` is 60, but the mail server's number",
    );
    site.configure("").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    until_protected(&site);
    fs::remove_file(site.path("courier/esmtpd")).unwrap();
    site.configure("slots = 0").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    until_degraded_and_logged(&site, &daemon, "slots is unknown: there is no file");
    site.configure("slots = 0\nadmit = \"off\"").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    until_protected(&site);
}

#[test]
fn terminate_without_the_rights_for_it_degrades() {
    let dir = tempfile::tempdir().unwrap();
    let weak = dir.path().join("spamdrop");
    let program = env!("CARGO_BIN_EXE_spamdrop");
    let script = format!("#!/bin/sh\nexec setpriv --bounding-set=-kill {program} \"$@\"\n");
    fs::write(&weak, script).unwrap();
    fs::set_permissions(&weak, Permissions::from_mode(0o755)).unwrap();
    let site = Site::new(&weak, |_| {}).unwrap();
    site.configure("release = \"terminate\"").unwrap();
    let mut daemon = site.run().unwrap();
    until_degraded_and_logged(&site, &daemon, "the daemon lacks CAP_KILL;");
    site.configure("release = \"destroy\"").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    until_protected(&site);
}

#[test]
fn silent_name_servers_and_a_broken_zone_degrade() {
    let site = site(|_| {});
    let (answers, listed) = (Arc::new(Mutex::new(Reply::Silence)), "2.0.0.127.b.example");
    let given = Arc::clone(&answers);
    let reply = move |name: &str, _| match &*given.lock().unwrap() {
        Reply::Absent(_) if name == listed => Reply::a([127, 0, 0, 2]),
        reply => reply.clone(),
    };
    let (_stub, zones) = blocklist(&site, reply);
    site.configure(&zones).unwrap();
    let mut daemon = site.run().unwrap();
    let is_logged = |line: &str| line.contains("no name server has answered for a minute");
    daemon.wait_for(is_logged, Duration::from_secs(75)).unwrap();
    until_degraded(&site, "no name server has answered for a minute");
    // A reload tests all zones again.
    *answers.lock().unwrap() = Reply::a([127, 0, 0, 2]);
    daemon.signal(Signal::SIGHUP).unwrap();
    until_degraded_and_logged(&site, &daemon, "b.example lists 127.0.0.1");
    *answers.lock().unwrap() = Reply::Absent(300);
    daemon.signal(Signal::SIGHUP).unwrap();
    until_protected(&site);
}

/// Clients choose their mail, their host names and their packets.
#[test]
fn nothing_that_a_client_sends_degrades_the_health() {
    let site = site(|_| {});
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (_stub, zones) = nonsense_names(&site, random.fork());
    site.configure(&format!("admit = \"on\"\nslots = 4\n{zones}"))
        .unwrap();
    let _daemon = site.run().unwrap();
    until_protected(&site);
    clients_commands_degrade_nothing(&site);
    let forger = Forger::new(&site).unwrap();
    for number in 0..2_000_u32 {
        let [.., high, low] = number.to_be_bytes();
        let source = format!("100.80.{high}.{low}");
        let noise: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
        let noise = String::from_utf8_lossy(&noise).replace('\n', " ");
        let line = match random.u8(..4) {
            0 => rejection(&source),
            1 => format!("{}{noise}", rejection(&source)),
            2 => rejection(&source).replace("511", &noise),
            _ => noise.clone(),
        };
        site.log(&line).unwrap();
        let forged = Forger::address(random.u32(..));
        forger.syn(forged, random.u16(..), random.u8(1..)).unwrap();
        if number % 200 == 0 {
            let mut client = site.connect(&format!("100.81.{high}.{low}")).unwrap();
            let _ = client.command(&noise.replace('\r', " "));
        }
    }
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SEEN);
    let (code, line) = health(&site);
    assert_eq!(code, Some(0), "{line}");
}

/// The lines look like rejections, and no other line has been understood. They degrade
/// nothing only because of the reason why they are near misses: a client chose a part.
fn clients_commands_degrade_nothing(site: &Site) {
    let log = |number: u8| {
        let line = rejection(&format!("100.82.0.{number}"));
        let (start, _) = line.split_once(",from=").unwrap();
        let end = "msg=\"502 ESMTP command error\",cmd: 511 x";
        site.log(&format!("{start},{end}")).unwrap();
    };
    (0..30).for_each(log);
    until("the near misses to be judged", SEEN, || {
        // The daemon saves its positions in the log after it has judged the lines.
        let log = fs::metadata(site.path("mail.log"))?.len();
        let saved = fs::read_to_string(site.path("state/positions.json")).unwrap_or_default();
        Ok(saved.contains(&format!("\"offset\": {log},")).then_some(()))
    })
    .unwrap();
    log(30);
    let status = until_status(site, "/daemon/state/files/0/lines", 31);
    assert!(
        status.contains("a command that the client chose"),
        "{status}"
    );
    assert_eq!(health(site).0, Some(0), "{status}");
}

/// A blocklist that works, and random host names.
fn nonsense_names(site: &Site, random: fastrand::Rng) -> (DnsStub, String) {
    let random = Mutex::new(random);
    let answers = move |name: &str, _| match name {
        "2.0.0.127.b.example" => Reply::a([127, 0, 0, 2]),
        name if name.ends_with(".b.example") => Reply::Absent(300),
        _ => {
            let mut random = random.lock().unwrap();
            let letters = (0..random.usize(1..60)).map(|_| random.alphanumeric());
            Reply::ptr(&letters.collect::<String>())
        }
    };
    blocklist(site, answers)
}

#[test]
fn an_interface_that_carries_no_ip_degrades_until_it_does() {
    let site = site(|_| {});
    let mut taps = ["tap0", "tap1"].map(|name| {
        let tap = tun::open(&site.server, name, Kind::Tap).unwrap();
        interfaces::ip(&site, &format!("link set {name} up"));
        tap
    });
    interfaces::configure(&site, "\"eth0\", \"tap0\", \"tap1\"");
    let daemon = site.run().unwrap();
    let is_whole = || Ok((health(&site).0 == Some(0)).then_some(()));
    until("the protection to be whole", SEEN, is_whole).unwrap();
    // Sends `number` frames with this EtherType to each of the two interfaces.
    let mut send = |kinds: [[u8; 2]; 2], number: u32| {
        for (tap, kind) in taps.iter_mut().zip(kinds) {
            let mut frame = [0xff; 60];
            frame[12..14].copy_from_slice(&kind);
            for _ in 0..number {
                tap.write_all(&frame).unwrap();
            }
        }
    };
    let reason = "tap0, tap1: nearly all packets are neither IPv4 nor IPv6";
    until(reason, SEEN, || {
        // PPPoE.
        send([[0x88, 0x64]; 2], 100_000);
        Ok(health(&site).1.contains(reason).then_some(()))
    })
    .unwrap();
    until_degraded_and_logged(&site, &daemon, reason);
    until("IP to be seen", SEEN, || {
        // ARP (0x0806) shows that there is IPv4, too.
        send([[0x08, 0x00], [0x08, 0x06]], 10_000);
        is_whole()
    })
    .unwrap();
}

/// The clients of this test have private addresses, of RFC 6598.
#[test]
fn the_address_of_a_proxy_is_never_blocked_and_is_named() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    let rejected = |port: u16| {
        let line = rejection(ZOMBIE).replace("port=4,", &format!("port={port},"));
        site.log(&line).unwrap();
    };
    (1..20).for_each(rejected);
    wait_for_state(&site, ZOMBIE, "sealed", SEEN);
    assert!(is_dropped(&site, ZOMBIE));
    // The same connection again does not count.
    rejected(19);
    rejected(20);
    let text = format!("most connections of the last hour came from {ZOMBIE}, a private address");
    daemon.wait_for(|line| line.contains(&text), SEEN).unwrap();
    until("the proxy to pass", SEEN, || {
        Ok((!is_dropped(&site, ZOMBIE)).then_some(()))
    })
    .unwrap();
    until("status to name the proxy", SEEN, || {
        Ok(site.status(&[])?.contains(&text).then_some(()))
    })
    .unwrap();
    assert!(site.spamdrop(&["allow", "list"]).unwrap().contains(ZOMBIE));
    // A reload does not forget the proxy.
    daemon.signal(Signal::SIGHUP).unwrap();
    let is_read = |line: &str| line.contains("configuration read again");
    daemon.wait_for(is_read, SEEN).unwrap();
    site.log(&rejection(ZOMBIE)).unwrap();
    until_status(&site, "/daemon/state/events/protected", 1);
    assert!(!is_dropped(&site, ZOMBIE));
    until_protected(&site);
}

#[test]
fn more_rejections_than_the_limit_pause_blocking_and_are_named() {
    let site = site(|_| {});
    site.configure("max_new_per_minute = 20").unwrap();
    let daemon = site.run().unwrap();
    for number in 0..21 {
        site.log(&rejection(&format!("100.80.0.{number}"))).unwrap();
    }
    until_degraded(&site, "blocking pauses: ");
    daemon
        .wait_for(
            |line| line.contains("[spamdrop::notice::ceiling] no new blocks: "),
            SEEN,
        )
        .unwrap();
}
