//! Actions of an administrator while the daemon runs, and their effects.

use rusqlite::Connection;

use super::*;

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
        serde_json::from_str(&until_status(&site, "/daemon/state/events/protected", 6)).unwrap();
    assert_eq!(status["daemon"]["state"]["events"]["blocked"], 1);
}

#[test]
fn the_allowlist_wins_within_a_second() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    site.spamdrop(&["allow", "add", ZOMBIE]).unwrap();
    let changed = |line: &str| line.contains("allowlist or own addresses changed");
    daemon.wait_for(changed, SOON).unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    daemon
        .wait_for(
            |line| line.contains("not blocked") && line.contains("allowlist"),
            SOON,
        )
        .unwrap();
    assert!(entry(&site, ZOMBIE).is_none());
    site.spamdrop(&["allow", "remove", ZOMBIE]).unwrap();
    daemon.wait_for(changed, SOON).unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
}

#[test]
fn an_offender_on_an_imported_list_stays_blocked_when_the_list_lets_go() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    let import = ["import", "--owner", "drop", "--for", "2h", "--fixed"];
    let output = site.output(&import, ZOMBIE.as_bytes()).unwrap();
    assert!(output.status.success(), "{output:?}");
    site.log(&rejection(ZOMBIE)).unwrap();
    let path = site.path("state/spamdrop.db");
    until("the ends of both owners", SOON, || {
        let database = Connection::open(&path)?;
        let number = database.query_row("SELECT count(*) FROM holds", [], |row| row.get(0));
        Ok((number.unwrap_or(0) == 2).then_some(()))
    })
    .unwrap();
    let both = entry(&site, ZOMBIE).unwrap();
    assert_eq!(both["owners"], serde_json::json!(["log", "import:drop"]));
    assert!(both["expires_in_s"].as_f64().unwrap() > 7_000.0, "{both}");
    let said = site.spamdrop(&["flush", "--owner", "drop"]).unwrap();
    assert_eq!(
        said,
        "removed 0 entries\n1 entry stays blocked by other owners\n"
    );
    let log = entry(&site, ZOMBIE).unwrap();
    assert_eq!(log["owners"], serde_json::json!(["log"]));
    assert_eq!(
        (&log["ttl_s"], &log["origin"]),
        (&600.into(), &"log".into())
    );
    let left = log["expires_in_s"].as_f64().unwrap();
    assert!(left > 500.0 && left <= 600.0, "{left}");
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

fn moves_to_port_26(site: &Site, daemon: &mut Daemon) {
    site.configure("ports = [26]").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    daemon
        .wait_for(|line| line.contains("read again"), SOON)
        .unwrap();
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
    moves_to_port_26(&site, &mut daemon);
    assert!(!is_dropped(&site, ZOMBIE));
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
        "a plain file cannot tell",
    ] {
        assert_eq!(output.matches(unwise).count(), 1, "{unwise}: {output}");
    }
    // The mail server may start later, as at a boot.
    assert!(!output.contains("nothing listens on port 26"), "{output}");
    // The daemon runs even if Courier's file cannot be read.
    std::fs::remove_file(courier.join("esmtpd")).unwrap();
    std::fs::create_dir(courier.join("esmtpd")).unwrap();
    let daemon = site.run().unwrap();
    assert!(
        daemon.output().contains("cannot read"),
        "{}",
        daemon.output()
    );
}

/// The packets are logged whatever RUST_LOG sets for other records.
#[test]
fn packets_are_logged_when_asked_for() {
    let site = site(|_| {});
    let flags = ["--log-packets", "debug"];
    let mut daemon = site.run_logging("info", &flags).unwrap();
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

/// An administrator reads the pinned maps with bpftool, which needs the names
/// of their fields.
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
        "owners",
    ];
    let maps: [(&str, &[&str]); 9] = [
        ("blocked4", &entry),
        ("blocked6", &entry),
        (
            "cidr4",
            &["prefix_len", "data", "expires_s", "hits", "owners"],
        ),
        (
            "cidr6",
            &["prefix_len", "data", "expires_s", "hits", "owners"],
        ),
        ("allow4", &["prefix_len", "data", "automatic"]),
        ("allow6", &["prefix_len", "data", "automatic"]),
        ("settings", &["ports", "refresh", "cidrs4", "cidrs6"]),
        (
            "counters",
            &["not_blocked", "open_dropped", "sealed_dropped"],
        ),
        (
            "origins",
            &["first_blocked", "last_offence", "offences", "text"],
        ),
    ];
    for (map, fields) in maps {
        let path = format!("/sys/fs/bpf/spamdrop/v4/{map}");
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
    let path = "/sys/fs/bpf/spamdrop/v4/blocked4";
    let dump = site
        .server
        .exec(["bpftool", "map", "dump", "pinned", path])
        .unwrap();
    let json: Value = serde_json::from_str(&dump).unwrap();
    assert_eq!(json[0]["key"], serde_json::json!([100, 64, 0, 66]));
    assert_eq!(json[0]["value"]["ttl_s"], 600);
    assert!(json[0]["value"]["expires"]["ns"].is_u64(), "{dump}");
}

/// Measures the time from the write of a log line to the entry, while nothing
/// else is written. A storm has a test of its own.
#[test]
fn latency_from_line_to_entry() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    let list = site.server.run(|| {
        spamdrop::kernel::blocklist::Blocklist::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap()
    });
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
                // Yields the CPU to the daemon.
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
