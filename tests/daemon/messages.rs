//! The daemon's log at its usual level.

use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;

use super::*;

#[test]
fn blocks_are_told_by_their_number_and_one_by_one_only_at_debug() {
    let site = site(|options| options.read_timeout = Duration::ZERO);
    site.configure("grace = \"1s\"").unwrap();
    let mut daemon = site.run_logging("info", &[]).unwrap();
    // The daemon ends the connection of this sender.
    let mut client = refused(&site, ZOMBIE);
    for last in 70..110 {
        site.log(&rejection(&format!("100.64.0.{last}"))).unwrap();
    }
    until_status(&site, "/daemon/state/events/blocked", 41);
    client.expect_reset(SOON + GRACE).unwrap();
    until_status(&site, "/daemon/state/released", 1);
    daemon.signal(Signal::SIGTERM).unwrap();
    daemon.exit_status(SOON).unwrap();
    let output = daemon.output();
    let is_summary = |line: &&str| {
        let (start, rest) = line.split_once(": in the last ").unwrap_or_default();
        start.ends_with(" spamdrop")
            && rest.contains(": blocked or renewed 41 times, 1 connection ended, ")
    };
    assert_eq!(output.lines().filter(is_summary).count(), 1, "{output}");
    for detail in ["blocked 100.64.", "ended a connection"] {
        assert!(!output.contains(detail), "{output}");
    }
}

/// A journald that was stopped reads nothing. At the level `debug`, the daemon soon fills
/// its stream to journald.
#[test]
fn the_daemon_never_waits_for_the_journal() {
    let site = site(|_| {});
    let (reader, journal) = UnixStream::pair().unwrap();
    let stat = std::fs::metadata(format!("/proc/self/fd/{}", journal.as_raw_fd())).unwrap();
    let config = site.path("spamdrop.toml");
    let mut command = site.server.command(env!("CARGO_BIN_EXE_spamdrop"));
    command.args(["--config", config.to_str().unwrap(), "run"]);
    command.env("RUST_LOG", "spamdrop=debug");
    command.env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::os::fd::OwnedFd::from(journal));
    let mut daemon = site.server.spawn(&mut command).unwrap();
    until("the daemon to run", Duration::from_secs(30), || {
        let status = site.status(&["--json"]);
        Ok(status
            .is_ok_and(|text| text.contains("\"written_unix_s\""))
            .then_some(()))
    })
    .unwrap();
    // Each line about a protected source is logged, and 64 KiB fill the stream.
    let protected = (rejection("127.0.0.1") + "\n").repeat(1_000);
    for _ in 0..20 {
        site.log(protected.trim_end()).unwrap();
    }
    site.log(&rejection(ZOMBIE)).unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", Duration::from_secs(10));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    drop(reader);
}

/// The test removes a known sender from the filter, as an error of spamdrop might.
#[test]
fn a_known_sender_that_meets_a_closed_gate_is_told_as_an_event() {
    const FRIEND: &str = "100.64.1.1";
    let site = gate::gated("on");
    site.spamdrop(&["known", "add", FRIEND]).unwrap();
    let daemon = site.run().unwrap();
    until_status(&site, "/daemon/state/gate/known", 1);
    let _clients = gate::crowd(&site, gate::LIMIT);
    gate::until_strangers_wait(&site);
    for (map, last) in [("known", 1), ("known_nets", 0)] {
        let script = format!(
            "bpftool map delete pinned /sys/fs/bpf/spamdrop/v*/{map} key 0 0 0 0 100 64 1 {last}"
        );
        site.server.exec(["sh", "-c", &script]).unwrap();
    }
    assert!(is_dropped(&site, FRIEND));
    let is_event = |line: &str| {
        line.contains("warning: [spamdrop::notice::known-sender-delayed] SYNs of known senders")
            && line.contains(&format!("the first of {FRIEND}; "))
    };
    daemon.wait_for(is_event, SOON).unwrap();
}
