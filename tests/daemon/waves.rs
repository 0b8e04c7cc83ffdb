//! The recording of waves.

use std::fs;

use super::gate::{LIMIT, SLOTS, crowd, gated, until_strangers_wait};
use super::*;

const FRIEND: &str = "100.64.1.1";
/// Time limit for a wave to be written; the daemon takes up to five seconds if
/// the disk is fast enough.
const WRITTEN: Duration = Duration::from_secs(10);

fn waves(site: &Site) -> Vec<Value> {
    let text = site.spamdrop(&["report", "--json"]).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    json["waves"].as_array().unwrap().clone()
}

/// Waits until the only wave is as wanted, and returns it.
fn until_wave(site: &Site, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until(what, WRITTEN, || match &waves(site)[..] {
        [] => Ok(None),
        [wave] => Ok(wanted(wave).then(|| wave.clone())),
        more => panic!("{more:?}"),
    })
    .unwrap_or_else(|error| panic!("{error:#}: {:?}", waves(site)))
}

fn number(wave: &Value, member: &str) -> u64 {
    wave[member].as_u64().unwrap()
}

#[test]
fn a_wave_is_reported_with_who_waited_and_who_did_not() {
    let site = gated("on");
    site.spamdrop(&["known", "add", FRIEND]).unwrap();
    let mut daemon = site.run().unwrap();
    until_status(&site, "/daemon/state/gate/known", 1);
    assert_eq!(waves(&site), [] as [Value; 0]);
    let mut clients = crowd(&site, LIMIT);
    until_strangers_wait(&site);
    delivers(&site, FRIEND);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| delivers(&site, "100.64.3.201"));
        until_wave(&site, "strangers to be refused", |wave| {
            number(wave, "delayed") >= 2 && number(wave, "accepted") == 1
        });
        clients.clear();
        waiting.join().unwrap();
    });
    refused(&site, ZOMBIE).quit().unwrap();
    let wave = until_wave(&site, "all sessions to be counted", |wave| {
        number(wave, "accepted") == 2 && number(wave, "listed") == 1
    });
    let peak = number(&wave, "peak_open");
    // The crowd, and at most the few strangers that have waited longest.
    assert!((LIMIT as u64..=LIMIT as u64 + 3).contains(&peak), "{wave}");
    let refused: Vec<u64> = serde_json::from_value(wave["refused"].clone()).unwrap();
    assert!(refused[1] >= 2 && refused[0] + refused[2] == 0, "{wave}");
    assert_eq!(number(&wave, "known_or_allowed"), 1, "{wave}");
    assert_eq!(number(&wave, "known_delayed"), 0, "{wave}");
    assert_eq!(number(&wave, "delayed_accepted"), 1, "{wave}");
    assert_eq!(number(&wave, "blocked"), 1, "{wave}");
    assert_eq!(number(&wave, "slots"), 5, "{wave}");
    assert!(wave["longest_wait_s"].as_f64() > Some(0.0), "{wave}");
    let waits = wave["waits"].as_array().unwrap();
    assert_eq!(waits.len(), 1, "{wave}");
    assert_eq!(waits[0]["wait_s"], wave["longest_wait_s"], "{wave}");
    assert_eq!(
        (&wave["ongoing"], &wave["observed"]),
        (&true.into(), &false.into())
    );
    assert!(stopped_cleanly(&mut daemon).success());
    let after = &waves(&site)[0];
    assert_eq!(after["ongoing"], false);
    let svg = site.spamdrop(&["report", "--svg", "-"]).unwrap();
    assert!(svg.contains("class=\"refused\"") && svg.contains("class=\"open\" d="));
}

#[test]
fn observing_says_what_would_have_become_of_whom() {
    let site = gated("observe");
    let daemon = site.run().unwrap();
    let _clients = crowd(&site, LIMIT);
    for n in 0..4 {
        delivers(&site, &format!("100.64.3.{n}"));
    }
    refused(&site, ZOMBIE).quit().unwrap();
    let wave = until_wave(&site, "all sessions to be counted", |wave| {
        number(wave, "delayed_accepted") == 4 && number(wave, "delayed_listed") == 1
    });
    assert_eq!(wave["observed"], true);
    assert_eq!(number(&wave, "delayed"), 5, "{wave}");
    // Each would have had to repeat its SYN.
    let refused: Vec<u64> = serde_json::from_value(wave["refused"].clone()).unwrap();
    assert_eq!(
        (refused, number(&wave, "starvation_admits")),
        (vec![0, 5, 0], 0),
        "{wave}"
    );
    let begins = |line: &str| line.contains("strangers would have to wait (");
    daemon.wait_for(begins, SOON).unwrap();
    let text = site.spamdrop(&["report"]).unwrap();
    let told = "would have refused 5 SYNs of 5 sources: \
                1 turned out to be listed; 4 had mail accepted and would have waited\n\
                no known sender had to wait\n";
    // Lines are wrapped at 80 columns.
    let text = text.replace("\n  ", " ");
    assert!(text.ends_with(told), "{text}");
}

#[test]
fn the_log_and_status_tell_of_a_wave() {
    let site = gated("on");
    let mut daemon = site.run().unwrap();
    let clients = crowd(&site, LIMIT);
    until_strangers_wait(&site);
    let begins = |line: &str| line.contains("[spamdrop::notice::wave-begins] a wave: ");
    let told = daemon.wait_for(begins, SOON);
    let told = told.unwrap();
    assert!(
        told.contains("for 5 slots, strangers have to wait; "),
        "{told}"
    );
    until_wave(&site, "the wave to be written", |_| true);
    let status = site.status(&[]).unwrap();
    assert!(status.contains("\nwave             since "), "{status}");
    drop(clients);
    site.configure("admit = \"off\"").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    let over = |line: &str| line.contains("[spamdrop::notice::wave-ends] the wave is over after ");
    let told = daemon.wait_for(over, SOON).unwrap();
    assert!(told.contains("connections for 5 slots, "), "{told}");
    let written = |wave: &Value| wave["ongoing"] == false;
    until_wave(&site, "the wave to be written", written);
    let status = site.status(&[]).unwrap();
    assert!(
        status.contains("\nwave             last one at "),
        "{status}"
    );
    assert_eq!(daemon.output().matches("a wave: ").count(), 1);
}

#[test]
fn top_shows_the_wave() {
    let site = gated("on");
    let mut daemon = site.run().unwrap();
    let _clients = crowd(&site, LIMIT);
    until_strangers_wait(&site);
    refused(&site, ZOMBIE).quit().unwrap();
    until_wave(&site, "the wave to be written", |_| true);
    let is_blocked = |top: &Value| top["events"][0]["event"] == "blocked";
    let top = until("the block to be an event", WRITTEN * 2, || {
        let top: Value = serde_json::from_str(&site.spamdrop(&["top", "--json"])?)?;
        Ok(is_blocked(&top).then_some(top))
    });
    let top = top.unwrap();
    assert_eq!(top["status"]["wave"]["ongoing"], true, "{top}");
    let gate = &top["status"]["daemon"]["state"]["gate"];
    assert_eq!(top["gate"]["open"], gate["open"], "{top}");
    assert_eq!(top["gate"]["slots"], SLOTS, "{top}");
    assert_eq!(top["gate"]["mode"], "on", "{top}");
    assert_eq!(top["gate"]["waits"], true, "{top}");
    let refused = gate["refused"].as_array().unwrap().iter();
    let refused: u64 = refused.map(|class| class.as_u64().unwrap()).sum();
    assert!(refused > 0, "{top}");
    assert_eq!(top["figures"]["refused"], refused, "{top}");
    let source = &top["sources"][0];
    assert_eq!(source["addr"], ZOMBIE, "{top}");
    assert_eq!(source["zone"], "zone.example", "{top}");
    assert!(source["reason"].as_str().unwrap().contains("511 "), "{top}");
    // The record outlives the daemon.
    assert!(stopped_cleanly(&mut daemon).success());
    let text = site.spamdrop(&["top", "--once"]).unwrap();
    for line in [
        "DEGRADED: the daemon is not running",
        "\nslots    - of 5\n",
        "\nwave     last one at ",
        "  blocked  100.64.0.66 ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn kill_9_loses_no_more_than_five_seconds() {
    let site = gated("observe");
    let mut daemon = site.run().unwrap();
    let _clients = crowd(&site, LIMIT);
    for n in 0..3 {
        delivers(&site, &format!("100.64.3.{n}"));
    }
    until_wave(&site, "the wave to be written", |wave| {
        number(wave, "delayed") == 3 && wave["ongoing"] == true
    });
    daemon.kill().unwrap();
    let wave = &waves(&site)[0];
    assert_eq!(
        (number(wave, "delayed"), &wave["ongoing"]),
        (3, &false.into())
    );
    let _daemon = site.run().unwrap();
    until("another wave", WRITTEN, || {
        let waves = waves(&site);
        let going: Vec<_> = waves.iter().map(|wave| wave["ongoing"] == true).collect();
        Ok((going == [false, true]).then_some(()))
    })
    .unwrap();
}

#[test]
fn a_damaged_history_stops_no_watch() {
    let site = gated("observe");
    fs::create_dir_all(site.path("state")).unwrap();
    let path = site.path("state/spamdrop.db");
    let bytes = b"no database".repeat(500);
    fs::write(&path, &bytes).unwrap();
    let daemon = site.run().unwrap();
    let told = |line: &str| line.contains("cannot save the wave history: cannot use ");
    daemon.wait_for(told, SOON).unwrap();
    let _clients = crowd(&site, LIMIT);
    for n in 0..3 {
        delivers(&site, &format!("100.64.3.{n}"));
    }
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    fs::rename(&path, site.path("state/aside")).unwrap();
    until_wave(&site, "the wave to be written", |wave| {
        number(wave, "delayed") >= 3
    });
}

#[test]
fn nothing_is_recorded_while_the_gate_is_off() {
    let site = gated("off");
    let mut daemon = site.run().unwrap();
    let _clients: Vec<Client> = (0..LIMIT)
        .map(|n| site.connect(&format!("100.64.2.{n}")).unwrap())
        .collect();
    wait_for_sessions(&site, LIMIT, SOON);
    delivers(&site, CLEAN);
    assert!(stopped_cleanly(&mut daemon).success());
    assert!(waves(&site).is_empty());
    let text = site.spamdrop(&["report"]).unwrap();
    assert!(text.starts_with("nothing is recorded: "), "{text}");
}
