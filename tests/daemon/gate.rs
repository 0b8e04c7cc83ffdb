//! Strangers wait while the server's slots run out.

use std::fs;

use spamdrop::clock;
use spamdrop::kernel::blocklist::GateMaps;
use spamdrop_common::gate::Gate;

use super::*;

pub(super) const SLOTS: u32 = 5;
/// From this number of connections on, strangers with a TTL of 64 wait.
pub(super) const LIMIT: usize = 3;
const FRIEND: &str = "100.64.1.1";
const FRIEND6: &str = "2001:db8:64:9::1";

pub(super) fn gated(mode: &str) -> Site {
    let site = site(|_| {});
    site.configure(&format!("admit = {mode:?}\nslots = {SLOTS}"))
        .unwrap();
    site
}

/// Opens connections from this number of strangers, which are all served.
pub(super) fn crowd(site: &Site, number: usize) -> Vec<Client> {
    let connect = |n| {
        let mut client = site.connect(&format!("100.64.2.{n}")).unwrap();
        assert_eq!(client.read_reply().unwrap().code, 220);
        client
    };
    let clients = (0..number).map(connect).collect();
    until_open(site, number);
    clients
}

fn gate(site: &Site, member: &str) -> Value {
    let text = site.status(&["--json"]).unwrap();
    let status: Value = serde_json::from_str(&text).unwrap();
    status["daemon"]["state"]["gate"][member].clone()
}

fn until_open(site: &Site, number: usize) {
    until_status(site, "/daemon/state/gate/open", number as u64);
}

/// Waits until the filter drops a stranger's SYN. Before that, it may let a few
/// pass, so that no class starves.
pub(super) fn until_strangers_wait(site: &Site) {
    // The gate only observes until the filter has the known senders.
    until_status(site, "/daemon/state/gate/mode", "on");
    let mut passed = Vec::new();
    until("a stranger to wait", Duration::from_secs(20), || {
        let stranger = format!("100.64.3.{}", passed.len());
        if is_dropped(site, &stranger) {
            return Ok(Some(()));
        }
        passed.push(stranger);
        Ok(None)
    })
    .unwrap();
    assert!(passed.len() <= 3, "{passed:?}");
}

#[test]
fn strangers_wait_while_slots_are_taken_and_known_senders_do_not() {
    let site = gated("on");
    site.spamdrop(&["known", "add", FRIEND]).unwrap();
    let _daemon = site.run().unwrap();
    until_status(&site, "/daemon/state/gate/known", 1);
    let clients = crowd(&site, LIMIT);
    until_strangers_wait(&site);
    delivers(&site, FRIEND);
    // This sender is added while the daemon runs.
    site.spamdrop(&["known", "add", FRIEND6]).unwrap();
    until_status(&site, "/daemon/state/gate/known", 2);
    delivers(&site, FRIEND6);
    until_status(&site, "/daemon/state/gate/known_or_allowed", 2);
    let refused = gate(&site, "refused");
    assert!(refused[1].as_u64().unwrap() > 0, "{refused}");
    site.spamdrop(&["known", "remove", FRIEND]).unwrap();
    until_status(&site, "/daemon/state/gate/known", 1);
    until_strangers_wait(&site);
    assert!(is_dropped(&site, FRIEND));
    delivers(&site, FRIEND6);
    drop(clients);
    until_open(&site, 0);
    delivers(&site, "100.64.3.200");
}

#[test]
fn a_refused_stranger_enters_by_its_kernels_repetition() {
    let site = gated("on");
    let _daemon = site.run().unwrap();
    let mut clients = crowd(&site, LIMIT);
    until_strangers_wait(&site);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut client = site.connect("100.64.3.201").unwrap();
            client.read_reply().unwrap().code
        });
        let before = gate(&site, "refused")[1].as_u64().unwrap();
        until("its first SYN to be refused", SOON, || {
            let now = gate(&site, "refused")[1].as_u64();
            Ok((now > Some(before)).then_some(()))
        })
        .unwrap();
        clients.clear();
        assert_eq!(waiting.join().unwrap(), 220);
    });
}

#[test]
fn observing_refuses_nobody_and_says_what_it_would() {
    let site = gated("observe");
    let _daemon = site.run().unwrap();
    let _clients = crowd(&site, LIMIT);
    for n in 0..4 {
        delivers(&site, &format!("100.64.3.{n}"));
    }
    // Some of the four are not counted as refused: the gate would have admitted them, so
    // that their class does not starve.
    until("the refusals to be counted", SOON, || {
        let refused = gate(&site, "refused")[1].as_u64();
        Ok((refused >= Some(1)).then_some(()))
    })
    .unwrap();
    let text = site.status(&[]).unwrap();
    let told = format!("gate: observe, {LIMIT} of {SLOTS} slots in use, 0 known senders");
    assert!(text.contains(&told), "{text}");
    assert!(text.contains("would have refused"), "{text}");
}

#[test]
fn the_gate_opens_when_the_daemon_stops_or_dies() {
    let site = gated("on");
    let mut daemon = site.run().unwrap();
    let _clients = crowd(&site, LIMIT);
    until_strangers_wait(&site);
    daemon.kill().unwrap();
    let dead = Instant::now();
    let mut client = site.connect("100.64.3.202").unwrap();
    assert_eq!(client.read_reply().unwrap().code, 220);
    // The client's kernel repeats the SYN about every second.
    assert!(
        dead.elapsed() < Duration::from_secs(4),
        "{:?}",
        dead.elapsed()
    );

    let mut daemon = site.run().unwrap();
    until_open(&site, LIMIT + 1);
    until_strangers_wait(&site);
    assert!(stopped_cleanly(&mut daemon).success());
    assert!(!is_dropped(&site, "100.64.3.203"));
}

/// To count the connections, the kernel walks over all that it has.
#[test]
fn the_connections_of_a_quiet_server_are_counted_seldom_and_a_burst_at_once() {
    let site = site(|_| {});
    site.configure("admit = \"on\"\nslots = 40").unwrap();
    let _daemon = site.run().unwrap();
    let pins = Path::new("/sys/fs/bpf/spamdrop");
    let maps = site.server.run(|| GateMaps::open(pins)).unwrap();
    let next = |last: Gate| {
        until("the next gate", SOON, || {
            let gate = maps.gate()?;
            Ok((gate.written != last.written).then_some(gate))
        })
    };
    // The filter counts no SYN before the first gate.
    next(Gate::default()).unwrap();
    // One SYN is no burst on 40 slots. If a later gate does not include it, the daemon has
    // renewed that gate without a count.
    until("a gate without a count", Duration::from_secs(60), || {
        let before = maps.gate()?;
        let _client = site.connect("100.64.2.1")?;
        let first = next(maps.gate()?)?;
        let second = next(first)?;
        let pause = second.written.elapsed_since(first.written);
        assert!(pause < Duration::from_secs(1), "{pause:?}");
        Ok((second.admitted == before.admitted).then_some(()))
    })
    .unwrap();
    let start = clock::monotonic_ns();
    let clients: Vec<_> = (0..5)
        .map(|n| site.connect(&format!("100.64.2.{n}")).unwrap())
        .collect();
    let counted = until("the burst to be counted", SOON, || {
        let gate = maps.gate()?;
        Ok((gate.open as usize >= clients.len()).then_some(gate))
    });
    let pause = counted.unwrap().written.elapsed_since(start);
    assert!(pause < Duration::from_secs(1), "{pause:?}");
}

#[test]
fn a_reload_changes_the_gate() {
    let site = gated("on");
    let mut daemon = site.run().unwrap();
    let _clients = crowd(&site, LIMIT);
    until_strangers_wait(&site);
    site.configure("admit = \"off\"").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    until("the gate to be off", SOON, || {
        let off = gate(&site, "mode").is_null();
        Ok(off.then_some(()))
    })
    .unwrap();
    assert!(!is_dropped(&site, "100.64.3.204"));
    // Without `slots`, the daemon uses Courier's own limit.
    fs::create_dir_all(site.path("courier")).unwrap();
    fs::write(site.path("courier/esmtpd"), "MAXDAEMONS=77\n").unwrap();
    site.configure("admit = \"observe\"").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    until_status(&site, "/daemon/state/gate/slots", 77);
}

#[test]
fn known_senders_pass_a_gate_that_was_just_switched_on() {
    let site = gated("off");
    site.spamdrop(&["known", "add", FRIEND]).unwrap();
    let mut daemon = site.run().unwrap();
    let _clients = [1, 2, 3].map(|n| {
        let mut client = site.connect(&format!("100.64.2.{n}")).unwrap();
        assert_eq!(client.read_reply().unwrap().code, 220);
        client
    });
    site.configure(&format!("admit = \"on\"\nslots = {SLOTS}"))
        .unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    until("the filter to know the sender", SOON, || {
        assert!(!is_dropped(&site, FRIEND));
        Ok((gate(&site, "known") == 1).then_some(()))
    })
    .unwrap();
    // The gate refuses strangers from its next update on. The first stranger
    // may still pass, because none of its class has passed for ten seconds.
    let start = Instant::now();
    until_strangers_wait(&site);
    assert!(start.elapsed() < 2 * SOON, "{:?}", start.elapsed());
}
