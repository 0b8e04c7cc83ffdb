//! The gate in other situations: without its daemon, without a wave, and in a
//! flood.

use std::path::Path;
use std::thread::{scope, sleep};
use std::time::Duration;

use serde_json::Value;
use spamdrop_lab::wait::until;
use spamdrop_lab::wave::{Class, Flood, Mode, Outcome, Scale};
use spamdrop_lab::{Site, Wave};

use super::{SEED, SPAMDROP, checks, is_full, scale};

/// After this time, the filter ignores a gate that is no longer updated.
const STALE: Duration = Duration::from_secs(3);
/// During this time, nothing more may be refused.
const WATCHED: Duration = Duration::from_secs(3);

fn wave(scale: Scale) -> Wave {
    Wave::new(Path::new(SPAMDROP), Mode::Admit, scale, SEED).unwrap()
}

/// Reads the number of packets that were counted under this reason.
fn count(site: &Site, reason: &str) -> u64 {
    let counters = site.spamdrop(&["stats", "--json"]).unwrap();
    let counters: Value = serde_json::from_str(&counters).unwrap();
    counters[reason].as_u64().unwrap()
}

#[test]
fn without_the_controller_everybody_passes() {
    let scale = short();
    let mut wave = wave(scale.clone());
    let mut daemon = wave.daemon.take().unwrap();
    let site = &wave.site;
    let counts = || ["gate_refused", "not_blocked"].map(|reason| count(site, reason));
    scope(|scope| {
        scope.spawn(|| wave.run().unwrap());
        until("the gate to refuse", scale.length, || {
            Ok((counts()[0] > 0).then_some(()))
        })
        .unwrap();
        daemon.kill().unwrap();
        sleep(STALE);
        let [refused, passed] = counts();
        sleep(WATCHED);
        let [refused_later, passed_later] = counts();
        assert_eq!(refused_later, refused);
        assert!(passed_later > passed, "the wave was over");
    });
}

/// A wave as dense as the others, but shorter.
fn short() -> Scale {
    let whole = scale();
    Scale {
        length: whole.length / 2,
        drain: whole.drain / 10,
        bots: whole.bots / 2,
        ..whole
    }
}

/// Only mail, without bots and without listed mail servers.
fn quiet() -> Scale {
    let whole = scale();
    Scale {
        length: whole.length / 2,
        bots: 0,
        listed_servers: 0,
        ..whole
    }
}

#[test]
fn nobody_is_refused_without_a_wave() {
    let wave = wave(quiet());
    let outcome = wave.run().unwrap();
    assert_eq!(count(&wave.site, "gate_refused"), 0);
    let gate = gate(&wave.site);
    assert_eq!(gate["mode"], "on");
    assert!(gate["admitted"].as_u64() > Some(0), "{gate}");
    nobody_waits(&outcome);
    assert_eq!(outcome.lost.some, 0);
}

/// Reads the part of `status` on the gate.
fn gate(site: &Site) -> Value {
    let status = site.status(&["--json"]).unwrap();
    let status: Value = serde_json::from_str(&status).unwrap();
    status["daemon"]["state"]["gate"].clone()
}

fn nobody_waits(outcome: &Outcome) {
    let waited: u32 = outcome.retransmissions.values().sum();
    assert_eq!(waited, 0, "{:?}", outcome.retransmissions);
}

/// Unknown senders may have to repeat their SYNs, but all of them are served.
#[test]
fn a_flood_of_forged_senders_keeps_no_mail_out() {
    let (scale, per_second) = (quiet(), if is_full() { 2_000 } else { 500 });
    let wave = wave(scale.clone());
    let flood = Flood::start(&wave.site, per_second).unwrap();
    let outcome = wave.run().unwrap();
    let sent = flood.stop().unwrap();
    let length = scale.length.as_secs();
    assert!(sent >= u64::from(per_second) * length * 9 / 10, "{sent}");
    checks::known_do_not_wait(&scale, &outcome);
    for class in [Class::Near, Class::New] {
        let longest = outcome.banner[&class].max;
        assert!(longest.is_finite(), "{class:?}: {longest}");
    }
    assert_eq!(outcome.lost.some, 0);
    // Strangers repeated their SYNs; the forger did not.
    let unconfirmed = gate(&wave.site)["unconfirmed"].as_u64().unwrap();
    assert!(unconfirmed * 2 > sent, "{unconfirmed} of {sent}");
}
