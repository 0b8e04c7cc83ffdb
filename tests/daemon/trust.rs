//! Whom the daemon believes: zones by their tests, and known senders only once
//! it has read them.

use std::fs;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use super::*;

/// Time limit for an immediate test of the zones. Otherwise, the next is up to 20 s later.
const AT_ONCE: Duration = Duration::from_secs(8);
/// Time limit for `status`, whatever locks others hold.
const STATUS: Duration = Duration::from_secs(2);
/// The beginning of the health line without any warning.
const PROTECTING: &str = "protecting eth0, port 25: ";
const TEST_LISTED: &str = "2.0.0.127.b.example";

fn rejection_by(source: &str, zone: &str) -> String {
    rejection(source).replace("zone.example", zone)
}

/// A name server with the zone `b.example`, whose answer about all addresses can be
/// changed. While it is `Absent`, the test address is listed nevertheless.
fn changing_zone(site: &Site) -> (DnsStub, String, Arc<Mutex<Reply>>) {
    let answers = Arc::new(Mutex::new(Reply::Absent(300)));
    let given = Arc::clone(&answers);
    let reply = move |name: &str, _| match &*given.lock().unwrap() {
        Reply::Absent(_) if name == TEST_LISTED => Reply::a([127, 0, 0, 2]),
        reply => reply.clone(),
    };
    let (stub, zones) = blocklist(site, reply);
    (stub, zones, answers)
}

fn until_health(site: &Site, text: &str) {
    until(text, AT_ONCE, || {
        let output = site.output(&["status"], b"")?;
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        let first = status.lines().next().unwrap_or_default();
        let is_whole = output.status.code() == Some(0);
        let is_expected = is_whole == (text == PROTECTING);
        Ok((is_expected && first.contains(text)).then_some(()))
    })
    .unwrap();
}

#[test]
fn rejections_by_a_broken_zone_block_nobody() {
    let site = site(|_| {});
    let (_stub, zones, answers) = changing_zone(&site);
    *answers.lock().unwrap() = Reply::a([127, 0, 0, 2]);
    // The gate is off, so nobody is looked up.
    site.configure(&format!("admit = \"off\"\n{zones}"))
        .unwrap();
    let mut daemon = site.run().unwrap();
    until_health(&site, "b.example lists 127.0.0.1");
    let is_event = |line: &str| line.contains("[spamdrop::notice::zone-broken] b.example lists");
    daemon.wait_for(is_event, SOON).unwrap();
    site.log(&rejection_by("100.64.9.1", "b.example")).unwrap();
    until_status(&site, "/daemon/state/events/broken_zone", 1);
    assert_eq!(entry(&site, "100.64.9.1"), None);
    // The rejection is by another zone, which spamdrop does not know, so it blocks.
    site.log(&rejection("100.64.9.2")).unwrap();
    until_status(&site, "/daemon/state/events/blocked", 1);
    *answers.lock().unwrap() = Reply::Absent(300);
    daemon.signal(Signal::SIGHUP).unwrap();
    until_health(&site, PROTECTING);
    site.log(&rejection_by("100.64.9.3", "b.example")).unwrap();
    until_status(&site, "/daemon/state/events/blocked", 2);
}

#[test]
fn a_surge_of_blocks_tests_the_zones_at_once() {
    let site = site(|_| {});
    let (stub, zones, answers) = changing_zone(&site);
    site.configure(&zones).unwrap();
    let _daemon = site.run().unwrap();
    until("the first test", AT_ONCE, || {
        Ok((stub.questions() >= 2).then_some(()))
    })
    .unwrap();
    *answers.lock().unwrap() = Reply::a([127, 0, 0, 2]);
    for number in 0..25 {
        let source = format!("100.64.9.{number}");
        site.log(&rejection_by(&source, "b.example")).unwrap();
    }
    until_health(&site, "b.example lists 127.0.0.1");
    site.log(&rejection_by("100.64.9.100", "b.example"))
        .unwrap();
    until_status(&site, "/daemon/state/events/broken_zone", 1);
    assert_eq!(entry(&site, "100.64.9.100"), None);
}

#[test]
fn a_resolver_that_is_down_stops_no_block() {
    let site = site(|_| {});
    let (_stub, zones, answers) = changing_zone(&site);
    *answers.lock().unwrap() = Reply::Silence;
    site.configure(&zones).unwrap();
    let _daemon = site.run().unwrap();
    until("the warning", Duration::from_secs(20), || {
        let text = site.status(&["--json"])?;
        Ok(text
            .contains("b.example could not be queried")
            .then_some(()))
    })
    .unwrap();
    site.log(&rejection_by("100.64.9.1", "b.example")).unwrap();
    until_status(&site, "/daemon/state/events/blocked", 1);
    until_health(&site, PROTECTING);
}

#[test]
fn resume_ends_a_pause() {
    let site = site(|_| {});
    site.configure("max_new_per_minute = 20").unwrap();
    let resume = |code| {
        let output = site.output(&["resume"], b"").unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).unwrap()
    };
    assert!(resume(3).contains("no daemon runs"));
    let daemon = site.run().unwrap();
    until_health(&site, PROTECTING);
    assert!(resume(1).contains("blocking does not pause"));
    for number in 0..21 {
        site.log(&rejection(&format!("100.80.0.{number}"))).unwrap();
    }
    until_health(&site, "blocking pauses: ");
    let text = resume(0);
    assert!(
        text.starts_with("the ceiling paused blocking: 21 offences"),
        "{text}"
    );
    daemon
        .wait_for(|line| line.contains("blocking again"), SOON)
        .unwrap();
    until_health(&site, PROTECTING);
    site.log(&rejection("100.80.0.200")).unwrap();
    wait_for_state(&site, "100.80.0.200", "sealed", GRACE + SOON);
}

/// Why a database cannot be used.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Damaged,
    Locked,
    Unreadable,
}

#[test]
fn without_the_known_senders_the_gate_observes_and_status_says_so() {
    for trouble in [Trouble::Damaged, Trouble::Locked, Trouble::Unreadable] {
        let site = gate::gated("on");
        site.spamdrop(&["known", "add", "100.64.1.1"]).unwrap();
        let path = site.path("state/spamdrop.db");
        let aside = site.path("state/aside");
        fs::copy(&path, &aside).unwrap();
        let mut lock = None;
        match trouble {
            Trouble::Damaged => fs::write(&path, b"no database".repeat(500)).unwrap(),
            Trouble::Locked => {
                let db = Connection::open(&path).unwrap();
                db.execute_batch("BEGIN EXCLUSIVE").unwrap();
                lock = Some(db);
            }
            Trouble::Unreadable => {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
            }
        }
        let _daemon = site.run().unwrap();
        let reason = "the filter does not know the known senders, so the gate only observes";
        until_health(&site, reason);
        let start = Instant::now();
        site.output(&["status"], b"").unwrap();
        let took = start.elapsed();
        assert!(took < STATUS, "{trouble:?}: status took {took:?}");
        until_status(&site, "/daemon/state/gate/mode", "observe");
        // More connections than the gate lets strangers take.
        let greeted = |n| {
            let mut client = site.connect(&format!("100.64.2.{n}")).unwrap();
            assert_eq!(client.read_reply().unwrap().code, 220);
            client
        };
        let _clients: Vec<Client> = (0..gate::SLOTS - 1).map(greeted).collect();
        delivers(&site, "100.64.3.1");
        match trouble {
            Trouble::Damaged => fs::rename(&aside, &path).unwrap(),
            Trouble::Locked => drop(lock),
            Trouble::Unreadable => {
                fs::remove_dir(&path).unwrap();
                fs::rename(&aside, &path).unwrap();
            }
        }
        until(&format!("{trouble:?} to end"), AT_ONCE, || {
            let text = site.status(&["--json"])?;
            let json: Value = serde_json::from_str(&text)?;
            let gate = &json["daemon"]["state"]["gate"];
            Ok((gate["mode"] == "on" && gate["known"] == 1).then_some(()))
        })
        .unwrap();
        until_health(&site, PROTECTING);
    }
}
