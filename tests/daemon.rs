//! `spamdrop run` on a real interface, with a server that answers and logs as
//! Courier does, and real TCP clients.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a measurement is shown")]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde_json::Value;
use spamdrop_lab::site::SERVER4;
use spamdrop_lab::smtpd::Options;
use spamdrop_lab::wait::until;
use spamdrop_lab::{Client, Daemon, Signal, Site};

const ZOMBIE: &str = "100.64.0.66";
const ZOMBIE6: &str = "2001:db8:64:1::66";
const MATE6: &str = "2001:db8:64:1::77";
const CLEAN: &str = "100.64.0.1";
/// No answer to a SYN for this long is a drop: a retransmission fits.
const SILENCE: Duration = Duration::from_millis(1500);
const SOON: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(3);

fn site(change: impl FnOnce(&mut Options)) -> Site {
    let site = Site::new(Path::new(env!("CARGO_BIN_EXE_spamdrop")), change).unwrap();
    site.blacklist("100.64.0.64/26").unwrap();
    site.blacklist(ZOMBIE6).unwrap();
    site
}

/// What `show --json` says of an address, if it is listed.
fn entry(site: &Site, addr: &str) -> Option<Value> {
    let output = site.output(&["show", addr, "--json"], b"").unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).ok()?;
    json["entries"].get(0).cloned()
}

fn wait_for_state(site: &Site, addr: &str, state: &str, within: Duration) {
    until(&format!("{addr} to be {state}"), within, || {
        let found = entry(site, addr).is_some_and(|entry| entry["state"] == state);
        Ok(found.then_some(()))
    })
    .unwrap();
}

fn wait_for_sessions(site: &Site, number: usize, within: Duration) {
    until(&format!("{number} sessions"), within, || {
        Ok((site.smtpd.sessions()? == number).then_some(()))
    })
    .unwrap();
}

/// A session up to its 511, which must arrive whole.
fn refused(site: &Site, source: &str) -> Client {
    let mut client = site.connect(source).unwrap();
    let reply = client.reject_session().unwrap();
    assert_eq!(
        (reply.code, reply.text.as_str()),
        (511, "Blacklisted by zone.example")
    );
    client
}

/// A session in which a message is accepted.
fn delivers(site: &Site, source: &str) {
    let mut client = site.connect(source).unwrap();
    assert_eq!(client.read_reply().unwrap().code, 220);
    assert_eq!(client.command("EHLO friend.example").unwrap().code, 250);
    assert_eq!(client.mail("a@friend.example").unwrap().code, 250);
    assert_eq!(client.rcpt("b@here.example").unwrap().code, 250);
    assert_eq!(client.data("hello").unwrap().code, 250);
    assert_eq!(client.quit().unwrap().code, 221);
}

fn is_dropped(site: &Site, source: &str) -> bool {
    site.dropped(source, SILENCE).unwrap()
}

/// A rejection as Courier logs it, with a stamp of now.
fn rejection(source: &str) -> String {
    rejection_at(jiff::Timestamp::now(), source)
}

fn rejection_at(stamp: jiff::Timestamp, source: &str) -> String {
    let mapped = if source.contains(':') { "" } else { "::ffff:" };
    format!(
        "{stamp} mx courieresmtpd: error,relay={mapped}{source},port=4,\
         from=<a@b.example>,to=<c@here.example>: 511 Blacklisted by zone.example"
    )
}

fn stopped_cleanly(daemon: &mut Daemon) -> ExitStatus {
    daemon.signal(Signal::SIGTERM).unwrap();
    daemon.exit_status(SOON).unwrap()
}

#[test]
fn a_polite_sender_gets_its_511_and_its_221_and_is_dropped_from_then_on() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    for source in [ZOMBIE, ZOMBIE6] {
        let mut client = refused(&site, source);
        wait_for_state(&site, source, "open", SOON);
        // The first SYN after the block, while the session still goes on.
        assert!(is_dropped(&site, source), "{source}");
        assert_eq!(client.quit().unwrap().code, 221);
        client.expect_close(SOON).unwrap();
        drop(client);
        wait_for_state(&site, source, "sealed", SOON);
        assert!(is_dropped(&site, source), "{source}");
    }
    delivers(&site, CLEAN);
    assert!(stopped_cleanly(&mut daemon).success());
    // The filter stays.
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
    // A second recipient, after a first 511 that stands in the log.
    site.log(&rejection(ZOMBIE)).unwrap();
    wait_for_sessions(&site, 0, SOON + Duration::from_secs(1));
    assert_eq!(site.smtpd.pid(), listener);
    delivers(&site, CLEAN);
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
    // The filter's clock may be a tick behind.
    std::thread::sleep(Duration::from_millis(20));
    refused(&site, ZOMBIE);
}

/// Wherever the controller dies, what is listed stays dropped, and the next
/// one ends what the last left open.
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
        // From before the release to after it.
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
            // Ended before the kill, or by the next controller.
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

/// The log line is not read again: what was to be released stands in the maps.
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

#[test]
fn without_a_controller_nothing_hangs() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    let mut client = refused(&site, ZOMBIE);
    wait_for_state(&site, ZOMBIE, "open", SOON);
    daemon.kill().unwrap();
    // The session that was open goes on to its end, at the peer's pace.
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
fn what_must_not_be_blocked_is_not() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    let spared = [
        "198.51.100.1",
        "198.51.100.25",
        "127.0.0.1",
        "2001:db8:25::25",
        "fe80::1",
        "224.0.0.1",
    ];
    for addr in spared {
        site.log(&rejection(addr)).unwrap();
    }
    site.log(&rejection(ZOMBIE)).unwrap();
    daemon
        .wait_for(|line| line.contains(&format!("blocked {ZOMBIE}:")), SOON)
        .unwrap();
    for addr in spared {
        assert!(entry(&site, addr).is_none(), "{addr}");
    }
    let status: Value =
        serde_json::from_str(&until_status(&site, "/watcher/state/events/protected", 6)).unwrap();
    assert_eq!(status["watcher"]["state"]["events"]["blocked"], 1);
}

/// `status --json` once the number at `pointer` is `wanted`.
fn until_status(site: &Site, pointer: &str, wanted: u64) -> String {
    until(pointer, Duration::from_secs(3), || {
        let text = site.spamdrop(&["status", "--json"])?;
        let json: Value = serde_json::from_str(&text)?;
        Ok((json.pointer(pointer) == Some(&wanted.into())).then_some(text))
    })
    .unwrap()
}

#[test]
fn the_allowlist_wins_within_a_second() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    site.spamdrop(&["allow", "add", ZOMBIE]).unwrap();
    let read = |line: &str| line.contains("allowlist read again");
    daemon.wait_for(read, SOON).unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    daemon
        .wait_for(
            |line| line.contains("not blocked") && line.contains("allowlist"),
            SOON,
        )
        .unwrap();
    assert!(entry(&site, ZOMBIE).is_none());
    site.spamdrop(&["allow", "remove", ZOMBIE]).unwrap();
    daemon.wait_for(read, SOON).unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
}

#[test]
fn a_hand_made_entry_ends_the_connections_of_its_peer() {
    let site = site(|options| options.read_timeout = Duration::ZERO);
    site.configure("grace = \"1s\"").unwrap();
    let _daemon = site.run().unwrap();
    let mut client = site.connect(CLEAN).unwrap();
    assert_eq!(client.read_reply().unwrap().code, 220);
    site.spamdrop(&["add", CLEAN, "--for", "5m", "--reason", "a test"])
        .unwrap();
    assert_eq!(entry(&site, CLEAN).unwrap()["state"], "open");
    client.expect_reset(SOON).unwrap();
    wait_for_state(&site, CLEAN, "sealed", SOON);
    assert!(is_dropped(&site, CLEAN));
}

#[test]
fn hangup_reads_the_configuration_again_and_keeps_the_old_one_if_it_is_wrong() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    site.configure("ports = [26]\nno_such_key = 1").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    daemon
        .wait_for(|line| line.contains("the configuration is unchanged"), SOON)
        .unwrap();
    assert!(is_dropped(&site, ZOMBIE));
    site.configure("ports = [26]").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    daemon
        .wait_for(|line| line.contains("read again"), SOON)
        .unwrap();
    assert!(!is_dropped(&site, ZOMBIE));
}

#[test]
fn an_interface_that_is_made_anew_gets_the_filter_back() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    site.server.exec(["ip", "link", "delete", "eth0"]).unwrap();
    daemon
        .wait_for(|line| line.contains("no interface `eth0`"), SOON)
        .unwrap();
    site.server
        .exec([
            "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9",
        ])
        .unwrap();
    daemon
        .wait_for(|line| line.contains("attached to eth0 again"), SOON)
        .unwrap();
}

#[test]
fn one_watcher_at_a_time_and_detach_waits_for_it() {
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

#[test]
fn packets_are_logged_when_asked_for() {
    let site = site(|_| {});
    let mut daemon = site.run_with(&["--log-packets", "debug"]).unwrap();
    for (source, shown) in [(ZOMBIE, ZOMBIE), (ZOMBIE6, ZOMBIE6)] {
        refused(&site, source).quit().unwrap();
        wait_for_state(&site, source, "sealed", SOON);
        assert!(is_dropped(&site, source));
        let wanted = format!("dropped {shown}, port 25, syn 1");
        daemon
            .wait_for(|line| line.contains(&wanted), SOON)
            .unwrap();
    }
    assert!(stopped_cleanly(&mut daemon).success());
}

/// From the line being written to the entry that drops the next SYN, while
/// nothing else is written. A storm has a test of its own.
#[test]
fn latency_from_line_to_entry() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    let list = site
        .server
        .run(|| spamdrop::blocklist::Blocklist::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap());
    let mut taken: Vec<Duration> = (0..200u8)
        .map(|host| {
            let source = format!("100.65.1.{host}");
            let target = source.parse().unwrap();
            let line = rejection(&source);
            std::thread::sleep(Duration::from_millis(10));
            let written = Instant::now();
            site.log(&line).unwrap();
            while !list
                .is_blocked(target, spamdrop::clock::monotonic_ns())
                .unwrap()
            {
                assert!(written.elapsed() < SOON, "{source} is not blocked");
                // Leaves the processor to the watcher.
                std::thread::sleep(Duration::from_micros(50));
            }
            written.elapsed()
        })
        .collect();
    taken.sort_unstable();
    let [p50, p99, max] = [100, 198, 199].map(|rank: usize| taken[rank]);
    assert!(site.dropped("100.65.1.199", SILENCE).unwrap());
    eprintln!("line to entry: p50 {p50:?}, p99 {p99:?}, max {max:?}");
    assert!(p99 < Duration::from_millis(250), "p99 {p99:?}");
}

/// An administrator reads the pinned maps with bpftool: fields have names.
#[test]
fn bpftool_shows_typed_fields() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    refused(&site, ZOMBIE6).quit().unwrap();
    for source in [ZOMBIE, ZOMBIE6] {
        wait_for_state(&site, source, "sealed", SOON);
        assert!(is_dropped(&site, source));
    }
    site.spamdrop(&["add", "203.0.113.0/24", "2001:db8:bad::/48"])
        .unwrap();
    let entry = [
        "expires",
        "hard_until_s",
        "ttl_s",
        "hits",
        "refreshes",
        "flags",
    ];
    let maps: [(&str, &[&str]); 9] = [
        ("blocked4", &entry),
        ("blocked6", &entry),
        ("cidr4", &["prefix_len", "data", "expires_s", "hits"]),
        ("cidr6", &["prefix_len", "data", "expires_s", "hits"]),
        ("allow4", &["prefix_len", "data", "automatic"]),
        ("allow6", &["prefix_len", "data", "automatic"]),
        ("settings", &["ports", "refresh", "cidrs4", "cidrs6"]),
        (
            "counters",
            &["not_listed", "open_dropped", "sealed_dropped"],
        ),
        ("origins", &["first_unix_s", "offence", "offences", "text"]),
    ];
    for (map, fields) in maps {
        let path = format!("/sys/fs/bpf/spamdrop/{map}");
        let dump = site
            .server
            .exec(["bpftool", "map", "dump", "pinned", &path])
            .unwrap();
        for field in fields {
            assert!(
                dump.contains(&format!("\"{field}\": ")),
                "{map}: no {field} in {dump}"
            );
        }
    }
    let path = "/sys/fs/bpf/spamdrop/blocked4";
    let dump = site
        .server
        .exec(["bpftool", "map", "dump", "pinned", path])
        .unwrap();
    let json: Value = serde_json::from_str(&dump).unwrap();
    assert_eq!(json[0]["key"], serde_json::json!([100, 64, 0, 66]));
    assert_eq!(json[0]["value"]["ttl_s"], 600);
}

/// The server's main process may hold a session's socket too, between accept
/// and fork. Here it is this test: a SIGTERM would end it.
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
fn standard_input_is_a_log_that_ends() {
    let site = site(|_| {});
    let output = site
        .output(
            &["run", "--log", "-"],
            format!("{}\n", rejection(ZOMBIE)).as_bytes(),
        )
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(entry(&site, ZOMBIE).unwrap()["state"], "sealed");
    assert!(is_dropped(&site, ZOMBIE));
}

/// Lines that were written while nobody watched count as well, unless they
/// are older than a block lasts.
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
    // RFC 5424's nil stamp: it may be as old as the log.
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
    // What stood there before the first start is the past.
    assert!(entry(&site, "100.64.0.70").is_none());
    assert!(entry(&site, "100.64.0.73").is_none());
    assert!(entry(&site, "100.64.0.74").is_none());
    until_status(&site, "/watcher/state/events/stale", 2);
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

/// A server in another namespace: its connections are not to be seen, so
/// nobody can tell when they have ended.
#[test]
fn entries_stay_open_where_no_server_is_to_be_seen() {
    let site = site(|_| {});
    site.configure("ports = [26]").unwrap();
    let daemon = site.run().unwrap();
    site.log(&rejection(ZOMBIE)).unwrap();
    daemon
        .wait_for(|line| line.contains("blocked peers keep"), SOON)
        .unwrap();
    assert_eq!(entry(&site, ZOMBIE).unwrap()["state"], "open");
}

#[test]
fn what_is_unwise_is_said_once_at_the_start() {
    let site = site(|_| {});
    let courier = site.path("courier");
    std::fs::create_dir(&courier).unwrap();
    let esmtpd = "TARPIT=1\nBLACKLISTS=-block=zen.example\nESMTP_LOG_DIALOG=1\nTCPDOPTS=-haproxy\n";
    std::fs::write(courier.join("esmtpd"), esmtpd).unwrap();
    site.configure("ports = [26]").unwrap();
    let mut daemon = site.run().unwrap();
    assert!(stopped_cleanly(&mut daemon).success());
    let output = daemon.output();
    for unwise in [
        "TARPIT: is not 0",
        "-block=zen.example never rejects",
        "ESMTP_LOG_DIALOG: is 1",
        "has -haproxy",
        "nothing listens on port 26",
        "a plain file cannot tell",
    ] {
        assert_eq!(output.matches(unwise).count(), 1, "{unwise}: {output}");
    }
    // Where a file is broken, the watch goes on.
    std::fs::remove_file(courier.join("esmtpd")).unwrap();
    std::fs::create_dir(courier.join("esmtpd")).unwrap();
    let daemon = site.run().unwrap();
    assert!(
        daemon.output().contains("cannot read"),
        "{}",
        daemon.output()
    );
}

/// The watcher beneath a forced `detach` must not bring the filter back.
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
