#![expect(clippy::unwrap_used, reason = "a test may panic")]
use super::*;

fn interface(name: &str, state: FilterPlace, program_id: Option<u32>) -> InterfaceStatus {
    InterfaceStatus {
        name: name.into(),
        state,
        program_id,
        renamed: None,
        remedy: None,
    }
}

pub(crate) fn status() -> Status {
    let fill = |live, capacity| Fill {
        live,
        open: 1,
        capacity,
    };
    Status {
        report: HealthReport::default(),
        attached: true,
        interfaces: vec![
            interface("eth0", FilterPlace::Native, Some(42)),
            interface("eth1", FilterPlace::Generic, Some(42)),
            interface("eth2", FilterPlace::Missing, None),
            interface("eth3", FilterPlace::Foreign, Some(7)),
            interface("eth4", FilterPlace::Absent, None),
        ],
        maps: Some(Maps {
            v4: fill(800, 1000),
            v6: fill(799, 1000),
            v6_addresses: fill(3, 250),
            prefixes: 2,
            without_effect: 0,
        }),
        paused: Vec::new(),
        ports: vec![25, 587],
        allowlist: AllowlistSizes {
            path: "/etc/spamdrop/allow".into(),
            file: 4,
            automatic: 7,
            unreadable: None,
        },
        wave: None,
        daemon: None,
    }
}

fn shown(status: &Status, now: u64) -> String {
    let mut out = Vec::new();
    let mut status = status.clone();
    status.report = status.judge(UnixSeconds::new(now));
    write_text(&mut out, &status, &TimeZone::UTC, UnixSeconds::new(now)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn text_says_where_the_filter_is_and_where_not() {
    assert_eq!(
        shown(&status(), 0),
        "\
DEGRADED: eth2: not attached; \
eth3: not attached: another XDP program is there (program 7); \
eth4: not attached: there is no such interface; \
the daemon is not running, so nothing new is blocked; start `spamdrop run` \
(protecting eth0, eth1, ports 25, 587: 1604 blocked)
eth0             attached, native (program 42)
eth1             attached, generic: slower than native (program 42)
eth2             not attached
eth3             not attached: another XDP program is there (program 7)
eth4             not attached: there is no such interface
IPv4             800 of 1000 entries, 80 %; warning: nearly full, raise `capacity4`
IPv6             799 of 1000 entries, 79 %
IPv6 addresses   3 of 250 entries, 1 %
prefixes         2
ports            25, 587
allowlist        4 in /etc/spamdrop/allow, 7 automatic
daemon           not running; start it with `spamdrop run`
"
    );
}

#[test]
fn text_shows_the_daemon() {
    let mut status = status();
    status.interfaces.clear();
    status.maps = None;
    status.daemon = Some(DaemonStatus {
        pid: 99,
        state: None,
        unreadable: None,
    });
    let silent = shown(&status, 0);
    assert!(silent.ends_with("daemon           running (pid 99); it has no state yet\n"));
    let state = daemon::tests::state();
    let now = state.written_unix_s + 6;
    status.daemon = Some(DaemonStatus {
        pid: 99,
        state: Some(state),
        unreadable: None,
    });
    let told = shown(&status, now);
    assert!(
            told.starts_with(
                "\
NOT PROTECTING: no filter is attached; start one with `spamdrop attach IFACE` or `spamdrop run`; the daemon has not been responding for 6s: it hangs, or cannot write its state to `run_dir`
allowlist        4 in /etc/spamdrop/allow, 7 automatic
daemon           running (pid 99) since 2026-11-23 11:00:01 +00:00
  warning: the daemon has not been responding for 6s
  /var/log/mail.log: "
            ),
            "{told}"
        );
}

#[test]
fn text_names_the_wave() {
    let mut status = status();
    status.wave = Some(Wave {
        start_unix_s: 1_795_392_000,
        length_s: 63.0,
        ..Wave::default()
    });
    let text = shown(&status, 0);
    let line = "\nwave             last one at 2026-11-23 00:00:00 +00:00, for 1m 3s: ";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_monitoring_system_gets_one_line_and_a_code() {
    let checked = |status: Result<&Status, &Error>| {
        let mut out = Vec::new();
        let code = check(&mut out, status).unwrap();
        (code, String::from_utf8(out).unwrap())
    };
    let mut status = status();
    status.report = status.judge(UnixSeconds::new(0));
    let (code, line) = checked(Ok(&status));
    assert_eq!(code, 1);
    assert!(line.starts_with("SPAMDROP WARNING: DEGRADED: eth2: not attached; "));
    let figures =
        " | blocked4=800;;;0;1000 blocked6=799;;;0;1000 blocked6_addr=3;;;0;250 prefixes=2;;;0\n";
    assert!(line.ends_with(figures), "{line}");
    status.report.health = Health::Protected;
    let (code, line) = checked(Ok(&status));
    assert_eq!(code, 0);
    assert!(line.starts_with("SPAMDROP OK: protecting eth0, eth1, ports 25, 587: 1604 blocked |"));
    status.report.health = Health::Unprotected;
    assert_eq!(checked(Ok(&status)).0, 2);
    let error = Error::msg("two\nlines | a bar").context("outer");
    let unknown = checked(Err(&error));
    assert_eq!(
        unknown,
        (3, "SPAMDROP UNKNOWN: outer: two lines   a bar\n".into())
    );
}

#[test]
fn json() {
    let mut status = status();
    status.interfaces.truncate(1);
    status.daemon = Some(DaemonStatus {
        pid: 99,
        state: None,
        unreadable: None,
    });
    status.report = status.judge(UnixSeconds::new(0));
    status.paused = vec![PausedLayer {
        layer: spamdrop_core::pause::Layer::Gate,
        remaining: Duration::from_millis(59_500),
    }];
    let mut out = Vec::new();
    json::object(&mut out, &status).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"health":"degraded","reasons":["the daemon's state is unknown: it has no state yet"],"attached":true,"interfaces":[{"name":"eth0","state":"native","program_id":42}],"maps":{"v4":{"live":800,"open":1,"capacity":1000},"v6":{"live":799,"open":1,"capacity":1000},"v6_addresses":{"live":3,"open":1,"capacity":250},"prefixes":2},"paused":[{"layer":"gate","remaining_s":59.5}],"ports":[25,587],"allowlist":{"path":"/etc/spamdrop/allow","file":4,"automatic":7},"wave":null,"daemon":{"pid":99,"state":null}}
"#
    );
}

#[test]
fn entries_that_the_allowlist_covers_are_not_counted_as_blocked() {
    let maps = Maps {
        without_effect: 3,
        ..status().maps.unwrap()
    };
    assert_eq!(maps.blocked(), 800 + 799 + 3 + 2 - 3);
    let json = serde_json::to_string(&maps).unwrap();
    assert!(
        json.ends_with(r#""prefixes":2,"without_effect":3}"#),
        "{json}"
    );
}
