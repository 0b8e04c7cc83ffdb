//! The end of a blocked peer's sessions, and the duration of its block.

use super::*;

#[test]
fn a_polite_sender_gets_its_511_and_its_221_and_is_dropped_from_then_on() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    for source in [ZOMBIE, ZOMBIE6] {
        let mut client = refused(&site, source);
        wait_for_state(&site, source, "open", SOON);
        // This is the first SYN after the block; the session still continues.
        assert!(is_dropped(&site, source), "{source}");
        assert_eq!(client.quit().unwrap().code, 221);
        client.expect_close(SOON).unwrap();
        drop(client);
        wait_for_state(&site, source, "sealed", SOON);
        assert!(is_dropped(&site, source), "{source}");
    }
    delivers(&site, CLEAN);
    assert!(stopped_cleanly(&mut daemon).success());
    // The filter remains when the daemon has ended.
    assert!(is_dropped(&site, ZOMBIE));
    delivers(&site, CLEAN);
}

#[test]
fn a_rude_sender_loses_its_connection_after_the_grace_and_nobody_else_does() {
    let site = site(|options| options.read_timeout = Duration::ZERO);
    let _daemon = site.run().unwrap();
    for source in [ZOMBIE, ZOMBIE6] {
        let mut others = [CLEAN, MATE6].map(|other| site.connect(other).unwrap());
        let mut client = refused(&site, source);
        let offence = Instant::now();
        client.expect_reset(GRACE + Duration::from_secs(1)).unwrap();
        assert!(
            offence.elapsed() >= GRACE - Duration::from_millis(100),
            "{:?}",
            offence.elapsed()
        );
        wait_for_sessions(&site, 2, SOON);
        for other in &mut others {
            assert_eq!(other.read_reply().unwrap().code, 220);
            assert_eq!(other.quit().unwrap().code, 221);
        }
        drop(others);
        wait_for_state(&site, source, "sealed", SOON);
        wait_for_sessions(&site, 0, SOON);
    }
}

#[test]
fn a_64_is_sealed_only_when_none_of_its_hosts_holds_a_connection() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    let mut mate = site.connect(MATE6).unwrap();
    assert_eq!(mate.read_reply().unwrap().code, 220);
    let client = refused(&site, ZOMBIE6);
    drop(client);
    wait_for_sessions(&site, 1, SOON);
    assert_eq!(mate.command("EHLO mate.example").unwrap().code, 250);
    until("the zombie to be released", SOON, || {
        let shown = site.output(&["show", ZOMBIE6, "--json"], b"")?;
        let json: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
        Ok((json["origins"][0]["release_pending"] == false).then_some(()))
    })
    .unwrap();
    assert_eq!(entry(&site, ZOMBIE6).unwrap()["state"], "open");
    assert_eq!(mate.quit().unwrap().code, 221);
    drop(mate);
    wait_for_state(&site, ZOMBIE6, "sealed", SOON);
}

#[test]
fn terminate_ends_a_process_asleep_in_the_tarpit_but_never_the_listener() {
    let site = site(|options| options.tarpit = Duration::from_secs(300));
    site.configure("release = \"terminate\"\ngrace = \"1s\"")
        .unwrap();
    let _daemon = site.run().unwrap();
    let mut client = site.connect(ZOMBIE).unwrap();
    assert_eq!(client.read_reply().unwrap().code, 220);
    client.command("EHLO zombie.example").unwrap();
    client.mail("a@zombie.example").unwrap();
    client.send("RCPT TO:<b@here.example>").unwrap();
    let listener = site.smtpd.pid();
    // The log gets a first 511, as if the pending RCPT were a second one.
    site.log(&rejection(ZOMBIE)).unwrap();
    wait_for_sessions(&site, 0, SOON + Duration::from_secs(1));
    assert_eq!(site.smtpd.pid(), listener);
    delivers(&site, CLEAN);
}

/// The server's main process may hold a session's socket as well, between
/// accept and fork. Here that process is this test, which a SIGTERM would end.
#[test]
fn a_process_that_listens_is_never_terminated() {
    let site = site(|_| {});
    site.configure("ports = [2525]\nrelease = \"terminate\"\ngrace = \"0s\"")
        .unwrap();
    let daemon = site.run().unwrap();
    let listener = site.server.run(|| TcpListener::bind("[::]:2525").unwrap());
    let dest = SocketAddr::new(SERVER4.into(), 2525);
    let source = ZOMBIE.parse().unwrap();
    let mut client = Client::connect(&site.world, Some(source), dest, SOON).unwrap();
    let (_session, _) = listener.accept().unwrap();
    site.log(&rejection(ZOMBIE)).unwrap();
    client.expect_reset(SOON).unwrap();
    let output = daemon.output();
    assert!(!output.contains("SIGTERM"), "{output}");
}

#[test]
fn destroy_alone_leaves_a_sleeper_alone() {
    let site = site(|options| options.tarpit = Duration::from_secs(300));
    site.configure("grace = \"0s\"").unwrap();
    let daemon = site.run().unwrap();
    let mut client = site.connect(ZOMBIE).unwrap();
    assert_eq!(client.read_reply().unwrap().code, 220);
    client.command("EHLO zombie.example").unwrap();
    client.mail("a@zombie.example").unwrap();
    client.send("RCPT TO:<b@here.example>").unwrap();
    site.log(&rejection(ZOMBIE)).unwrap();
    daemon
        .wait_for(|line| line.contains("ended a connection"), SOON)
        .unwrap();
    assert_eq!(site.smtpd.sessions().unwrap(), 1);
}

#[test]
fn release_off_waits_for_the_peer() {
    let site = site(|_| {});
    site.configure("release = \"off\"\ngrace = \"0s\"").unwrap();
    let _daemon = site.run().unwrap();
    let mut client = refused(&site, ZOMBIE);
    wait_for_state(&site, ZOMBIE, "open", SOON);
    assert_eq!(client.command("NOOP").unwrap().code, 250);
    assert_eq!(client.quit().unwrap().code, 221);
    drop(client);
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
}

#[test]
fn compat_recent_drops_every_packet_at_once() {
    let site = site(|_| {});
    site.configure("compat = \"recent\"").unwrap();
    let _daemon = site.run().unwrap();
    let mut client = refused(&site, ZOMBIE);
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    assert!(entry(&site, ZOMBIE).unwrap()["hard_limit_in_s"].is_null());
    client.send("QUIT").unwrap();
    client.expect_close(SILENCE).unwrap_err();
    assert_eq!(site.smtpd.sessions().unwrap(), 1);
}

#[test]
fn knocking_extends_a_short_block_and_silence_ends_it() {
    let site = site(|_| {});
    site.configure("ttl = \"3s\"").unwrap();
    let _daemon = site.run().unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    let blocked = Instant::now();
    while blocked.elapsed() < Duration::from_secs(7) {
        assert!(is_dropped(&site, ZOMBIE));
    }
    until("silence to end the block", Duration::from_secs(5), || {
        Ok(entry(&site, ZOMBIE).is_none().then_some(()))
    })
    .unwrap();
    // The filter's clock may be a tick behind, so a SYN at once might still be dropped.
    std::thread::sleep(Duration::from_millis(20));
    refused(&site, ZOMBIE);
}

#[test]
fn who_is_taken_off_the_list_in_time_keeps_the_connection() {
    let site = site(|options| options.read_timeout = Duration::ZERO);
    site.configure("grace = \"2s\"").unwrap();
    let _daemon = site.run().unwrap();
    let mut client = refused(&site, ZOMBIE);
    wait_for_state(&site, ZOMBIE, "open", SOON);
    site.spamdrop(&["remove", ZOMBIE]).unwrap();
    let end = client.expect_close(GRACE).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::TimedOut);
    assert_eq!(client.command("NOOP").unwrap().code, 250);
}

/// No server is visible on the watched port, as if it were in another namespace, so the
/// daemon cannot tell when the connections have ended.
#[test]
fn entries_stay_open_where_no_server_is_to_be_seen() {
    let site = site(|_| {});
    site.configure("ports = [26]").unwrap();
    let _daemon = site.run().unwrap();
    site.log(&rejection(ZOMBIE)).unwrap();
    let text = until_status(&site, "/daemon/state/pending_releases", 1);
    let state: Value = serde_json::from_str(&text).unwrap();
    let written = "/daemon/state/written_unix_s";
    let after_grace = state.pointer(written).unwrap().as_u64().unwrap() + GRACE.as_secs() + 1;
    until("the grace to pass", GRACE + 2 * SOON, || {
        let state: Value = serde_json::from_str(&site.status(&["--json"])?)?;
        let now = state.pointer(written).and_then(Value::as_u64);
        Ok((now >= Some(after_grace)).then_some(()))
    })
    .unwrap();
    assert_eq!(entry(&site, ZOMBIE).unwrap()["state"], "open");
}
