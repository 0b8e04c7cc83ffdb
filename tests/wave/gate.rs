//! The gate in other situations: without its daemon, without a wave, and in a
//! flood.

use std::path::Path;
use std::thread::{scope, sleep};
use std::time::Duration;

use serde_json::Value;
use spamdrop_lab::wait::until;
use spamdrop_lab::wave::{Flood, FloodSpec, Mode, Outcome, Scale};
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
pub(super) fn count(site: &Site, reason: &str) -> u64 {
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
pub(super) fn short() -> Scale {
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

/// Half of the forged SYNs are repeated, as real ones are. The senders of the wave must
/// be served as well as without the flood.
#[test]
fn a_wave_beside_a_flood_of_forged_senders() {
    let scale = scale();
    let per_second = if is_full() { 2_000 } else { 700 };
    let wave = Wave::new(Path::new(SPAMDROP), Mode::Answer, scale.clone(), SEED).unwrap();
    let flood = FloodSpec {
        repeated: 0.5,
        ..FloodSpec::new(per_second)
    };
    let flood = Flood::start(&wave.site, flood).unwrap();
    let outcome = wave.run().unwrap();
    let sent = flood.stop().unwrap();
    eprintln!("{}", serde_json::to_string(&outcome).unwrap());
    let length = scale.length.as_secs();
    assert!(sent >= u64::from(per_second) * length * 9 / 10, "{sent}");
    checks::height_is_cut(&scale, &outcome);
    checks::known_do_not_wait(&scale, &outcome);
    checks::new_senders_enter(&scale, &outcome);
    checks::listed_are_told(&scale, &outcome);
}
