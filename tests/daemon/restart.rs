//! The daemon stops, is killed, or is started twice.

use super::*;

/// Whenever the daemon is killed, the blocked sources stay dropped, and the
/// next daemon completes the pending releases.
#[test]
fn after_kill_9_the_filter_drops_and_the_next_controller_goes_on() {
    let site = site(|options| options.read_timeout = Duration::ZERO);
    site.configure("grace = \"1s\"").unwrap();
    let mut listed = Vec::new();
    for round in 0..20u64 {
        let started = Instant::now();
        let mut daemon = site.run().unwrap();
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "ready after {:?}",
            started.elapsed()
        );
        let source = format!("100.64.0.{}", 64 + round);
        let mut client = refused(&site, &source);
        wait_for_state(&site, &source, "open", SOON);
        listed.push(source.clone());
        // The delays range from before the release to after it.
        std::thread::sleep(Duration::from_millis(round * 65));
        daemon.kill().unwrap();
        for source in &listed {
            assert!(
                site.dropped(source, Duration::from_millis(50)).unwrap(),
                "round {round}: {source}"
            );
        }
        if round % 2 == 0 {
            let _next = site.run().unwrap();
            // The connection was ended before the kill, or is ended by the next
            // daemon.
            let end = client.expect_close(SOON + Duration::from_secs(1));
            let end = end.map_err(|error| error.kind());
            assert!(
                matches!(end, Ok(()) | Err(ErrorKind::ConnectionReset)),
                "round {round}: {end:?}"
            );
            wait_for_state(&site, &source, "sealed", SOON);
        }
        drop(client);
    }
}

/// The log line is not read again: the pending release is stored in the maps.
#[test]
fn a_restart_takes_up_what_was_to_be_released() {
    let site = site(|options| options.read_timeout = Duration::ZERO);
    let mut first = site.run().unwrap();
    let mut client = refused(&site, ZOMBIE);
    let offence = Instant::now();
    let read = std::fs::metadata(site.path("mail.log")).unwrap().len();
    let positions = site.path("state/positions.json");
    until("the log position to be kept", SOON, || {
        let text = std::fs::read_to_string(&positions).unwrap_or_default();
        Ok(text.contains(&read.to_string()).then_some(()))
    })
    .unwrap();
    first.kill().unwrap();
    assert!(offence.elapsed() < GRACE);
    let second = site.run().unwrap();
    client.expect_reset(GRACE + Duration::from_secs(1)).unwrap();
    assert!(offence.elapsed() >= GRACE - Duration::from_millis(100));
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    assert!(
        !second.output().contains("blocked 100.64"),
        "{}",
        second.output()
    );
}

/// Lines that were written while no daemon ran count as well, unless they are
/// older than a block lasts.
#[test]
fn a_restart_reads_on_where_the_last_stopped() {
    let site = site(|_| {});
    site.log(&rejection("100.64.0.70")).unwrap();
    let mut first = site.run().unwrap();
    site.log(&rejection("100.64.0.71")).unwrap();
    wait_for_state(&site, "100.64.0.71", "sealed", SOON);
    assert!(stopped_cleanly(&mut first).success());
    site.log(&rejection("100.64.0.72")).unwrap();
    let long_ago = jiff::Timestamp::now() - Duration::from_secs(601);
    site.log(&rejection_at(long_ago, "100.64.0.73")).unwrap();
    // RFC 5424's nil stamp: the line may be as old as the log.
    let unstamped = |source| {
        let line = rejection(source);
        let (_header, message) = line.split_once(": ").unwrap();
        format!("<19>1 - mx courieresmtpd - - - {message}")
    };
    site.log(&unstamped("100.64.0.74")).unwrap();
    let _second = site.run().unwrap();
    wait_for_state(&site, "100.64.0.72", "sealed", SOON);
    site.log(&unstamped("100.64.0.75")).unwrap();
    wait_for_state(&site, "100.64.0.75", "sealed", SOON);
    // 100.64.0.70 is from before the first start, 100.64.0.73 is too old, and 100.64.0.74
    // has no time.
    assert!(entry(&site, "100.64.0.70").is_none());
    assert!(entry(&site, "100.64.0.73").is_none());
    assert!(entry(&site, "100.64.0.74").is_none());
    until_status(&site, "/daemon/state/events/stale", 2);
}

#[test]
fn without_a_controller_nothing_hangs() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    let mut client = refused(&site, ZOMBIE);
    wait_for_state(&site, ZOMBIE, "open", SOON);
    daemon.kill().unwrap();
    // The open session continues to its end.
    assert_eq!(client.command("NOOP").unwrap().code, 250);
    assert_eq!(client.quit().unwrap().code, 221);
    client.expect_close(SOON).unwrap();
    drop(client);
    wait_for_sessions(&site, 0, SOON);
    assert_eq!(entry(&site, ZOMBIE).unwrap()["state"], "open");
    assert!(is_dropped(&site, ZOMBIE));
    delivers(&site, CLEAN);
}

#[test]
fn one_daemon_at_a_time_and_detach_waits_for_it() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    let second = site.output(&["run"], b"").unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(
        !second.status.success() && said.contains(&format!("pid {}", daemon.pid())),
        "{said}"
    );
    let detach = site.output(&["detach"], b"").unwrap();
    assert!(!detach.status.success());
    delivers(&site, CLEAN);
    site.spamdrop(&["detach", "--force"]).unwrap();
    let ended = daemon.exit_status(SOON).unwrap();
    assert_eq!(ended.code(), Some(3), "{}", daemon.output());
}

/// The daemon whose filter a forced `detach` removes must not attach it again.
#[test]
fn a_forced_detach_is_not_undone() {
    let site = site(|_| {});
    let mut daemon = site.run_with(&["--log-packets", "debug"]).unwrap();
    site.spamdrop(&["detach", "--force"]).unwrap();
    assert_eq!(
        daemon.exit_status(SOON).unwrap().code(),
        Some(3),
        "{}",
        daemon.output()
    );
    let pins = site
        .server
        .run(|| Path::new("/sys/fs/bpf/spamdrop").exists());
    assert!(!pins && !site.path("state").exists(), "{}", daemon.output());
}
