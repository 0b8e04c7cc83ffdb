//! Pauses by hand: `spamdrop pause` and `spamdrop resume`.

use super::*;

fn pause(site: &Site, args: &[&str]) -> String {
    site.spamdrop(&[&["pause"], args].concat()).unwrap()
}

fn output(site: &Site, args: &[&str]) -> (i32, String) {
    let output = site.output(args, b"").unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), text)
}

/// A site where the zombie is blocked and sealed.
fn sealed(config: &str) -> (Site, Daemon) {
    let site = site(|options| options.read_timeout = Duration::ZERO);
    site.configure(config).unwrap();
    let daemon = site.run().unwrap();
    let client = refused(&site, ZOMBIE);
    drop(client);
    wait_for_state(&site, ZOMBIE, "sealed", GRACE + SOON);
    assert!(is_dropped(&site, ZOMBIE));
    (site, daemon)
}

fn hits(site: &Site) -> u64 {
    entry(site, ZOMBIE).unwrap()["hits"].as_u64().unwrap()
}

#[test]
fn status_is_degraded_while_layers_are_paused_and_resume_says_what_it_ends() {
    let (site, daemon) = sealed("");
    let said = pause(&site, &["10m"]);
    assert_eq!(
        said,
        "paused drop, release, gate and responder for 10m; `spamdrop resume` ends it earlier\n"
    );
    let logged = "paused by hand: drop, release, gate and responder for ";
    daemon.wait_for(|line| line.contains(logged), SOON).unwrap();
    let (code, text) = output(&site, &["status"]);
    let line = text.lines().next().unwrap();
    let start = "DEGRADED: paused by hand: drop, release, gate and responder for ";
    let left = line.strip_prefix(start).unwrap_or_default();
    let is_left = ["9m 5", "10m;"].iter().any(|it| left.starts_with(it));
    assert!(is_left, "{line}");
    let end = "; `spamdrop resume` ends it (protecting eth0, port 25: 1 blocked)";
    assert!(line.ends_with(end), "{line}");
    assert_eq!(code, 1);
    // One layer has another end.
    pause(&site, &["1h", "--layer", "gate", "--layer", "gate"]);
    let logged = "paused by hand: gate for ";
    daemon.wait_for(|line| line.contains(logged), SOON).unwrap();
    let json: Value = serde_json::from_str(&site.status(&["--json"]).unwrap()).unwrap();
    let paused = json["paused"].as_array().unwrap();
    assert_eq!(paused.len(), 4, "{paused:?}");
    assert!(
        paused[2]["remaining_s"].as_f64() > Some(3_500.0),
        "{paused:?}"
    );

    let (code, text) = output(&site, &["resume"]);
    assert_eq!(code, 0, "{text}");
    let start = "resumed what was still paused: drop, release and responder for ";
    let is_whole = text.starts_with(start) && text.contains(", gate for ");
    assert!(is_whole, "{text}");
    daemon
        .wait_for(|line| line.contains("not paused any more: "), SOON)
        .unwrap();
    assert_eq!(output(&site, &["status"]).0, 0);
    assert!(is_dropped(&site, ZOMBIE));
    let (code, text) = output(&site, &["resume"]);
    assert_eq!(code, 1);
    assert!(text.contains("blocking does not pause"), "{text}");
    assert_eq!(daemon.output().matches("paused by hand: ").count(), 2);
}

#[test]
fn a_time_that_is_no_pause_is_refused_by_its_value() {
    let site = site(|_| {});
    let (code, text) = output(&site, &["pause", "10m"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("no filter is attached"), "{text}");
    for time in ["0", "999ms", "25h", "soon"] {
        let (code, text) = output(&site, &["pause", time]);
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(&format!("'{time}'")), "{text}");
    }
    assert!(output(&site, &["pause", "25h"]).1.contains("from 1s to 1d"));
    let (code, text) = output(&site, &["pause", "1m", "--layer", "roof"]);
    assert!(code == 2 && text.contains("roof"), "{text}");
}

/// Without a daemon, only the filter can end the pause.
#[test]
fn a_pause_works_and_ends_without_the_daemon() {
    let (site, mut daemon) = sealed("");
    daemon.signal(Signal::SIGKILL).unwrap();
    daemon.exit_status(SOON).unwrap();
    pause(&site, &["3s", "--layer", "drop"]);
    let before = hits(&site);
    drop(site.connect(ZOMBIE).unwrap());
    assert!(hits(&site) > before);
    until("the pause to end", Duration::from_secs(10), || {
        Ok(is_dropped(&site, ZOMBIE).then_some(()))
    })
    .unwrap();
    let (code, text) = output(&site, &["resume"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("no daemon runs"), "{text}");
}

#[test]
fn who_connected_during_a_pause_is_released_after_its_grace_and_sealed() {
    let (site, daemon) = sealed("grace = \"2s\"");
    pause(&site, &["10m", "--layer", "drop"]);
    let mut client = site.connect(ZOMBIE).unwrap();
    assert_eq!(client.read_reply().unwrap().code, 220);
    wait_for_state(&site, ZOMBIE, "open", SOON);
    // The pause goes on, and so does the session.
    assert_eq!(client.command("NOOP").unwrap().code, 250);
    let (code, text) = output(&site, &["resume"]);
    assert_eq!(code, 0, "{text}");
    let ended = Instant::now();
    assert!(is_dropped(&site, ZOMBIE), "a new connection");
    client.expect_reset(Duration::from_secs(5)).unwrap();
    let lasted = ended.elapsed();
    assert!(lasted >= Duration::from_millis(1_900), "{lasted:?}");
    wait_for_sessions(&site, 0, SOON);
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    assert!(
        daemon
            .output()
            .contains("ended a connection that 100.64.0.66 still held")
    );
}

#[test]
fn a_daemon_that_was_killed_in_a_pause_releases_who_had_connected() {
    let (site, mut daemon) = sealed("grace = \"1s\"");
    pause(&site, &["10m", "--layer", "drop"]);
    daemon.signal(Signal::SIGKILL).unwrap();
    daemon.exit_status(SOON).unwrap();
    let mut client = site.connect(ZOMBIE).unwrap();
    assert_eq!(client.read_reply().unwrap().code, 220);
    assert_eq!(output(&site, &["resume"]).0, 0);
    assert_eq!(entry(&site, ZOMBIE).unwrap()["state"], "sealed");
    let _daemon = site.run().unwrap();
    client.expect_reset(Duration::from_secs(5)).unwrap();
    wait_for_sessions(&site, 0, SOON);
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
}

#[test]
fn while_releases_are_paused_a_rude_sender_keeps_its_connection() {
    let site = site(|options| options.read_timeout = Duration::ZERO);
    site.configure("grace = \"1s\"").unwrap();
    let _daemon = site.run().unwrap();
    pause(&site, &["10m", "--layer", "release"]);
    let mut client = refused(&site, ZOMBIE);
    wait_for_state(&site, ZOMBIE, "open", SOON);
    assert!(is_dropped(&site, ZOMBIE), "a new connection");
    // The connection is kept for three times the grace.
    let kept = client.expect_close(Duration::from_secs(3)).unwrap_err();
    assert_eq!(kept.kind(), ErrorKind::TimedOut);
    assert_eq!(output(&site, &["resume"]).0, 0);
    let ended = Instant::now();
    client.expect_reset(Duration::from_secs(5)).unwrap();
    let lasted = ended.elapsed();
    assert!(lasted >= Duration::from_millis(900), "{lasted:?}");
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
}

#[test]
fn while_the_gate_is_paused_no_stranger_waits() {
    let site = gate::gated("on");
    let _daemon = site.run().unwrap();
    let _clients = gate::crowd(&site, gate::LIMIT);
    gate::until_strangers_wait(&site);
    pause(&site, &["10m", "--layer", "gate"]);
    assert!(!is_dropped(&site, "100.64.5.1"));
    until_status(&site, "/daemon/state/gate/mode", "observe");
    assert_eq!(output(&site, &["resume"]).0, 0);
    gate::until_strangers_wait(&site);
}
