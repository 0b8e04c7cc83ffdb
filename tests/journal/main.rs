//! `spamdrop run --journal` with a real journald, and programs that log to it
//! from Courier's units and from elsewhere.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod events;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use spamdrop::clock;
use spamdrop::kernel::blocklist::GateMaps;
use spamdrop_common::gate::{Gate, RESPONDER_IPV4, Standing, Verdict};
use spamdrop_lab::journald::{Logger, Sender};
use spamdrop_lab::wait::until;
use spamdrop_lab::{Daemon, Journald, Signal, Site};

const SOON: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(1500);
/// A user without rights.
const NOBODY: u32 = 65534;

/// Courier, as Debian runs it.
const COURIER: Sender<'_> = Sender {
    unit: Some("courier-mta.service"),
    uid: 0,
    severity: "err",
    program: "courieresmtpd",
};

/// The fields are dropped in this order: the logging program, the units, the
/// host.
struct Bench {
    courier: Option<Logger>,
    journald: Journald,
    site: Site,
}

impl Bench {
    fn new() -> Self {
        let site = Site::new(Path::new(env!("CARGO_BIN_EXE_spamdrop")), |_| {}).unwrap();
        let journald = Journald::start(&site.server).unwrap();
        let mut bench = Self {
            courier: None,
            journald,
            site,
        };
        bench.courier = Some(bench.logger(COURIER));
        bench
    }

    fn run(&self) -> Daemon {
        self.site.run_with(&["--journal"]).unwrap()
    }

    fn logger(&self, sender: Sender<'_>) -> Logger {
        self.journald.logger(&self.site.server, sender).unwrap()
    }

    /// Logs the rejection of an address from Courier's unit.
    fn refuse(&mut self, source: &str) {
        let courier = self.courier.as_mut().unwrap();
        courier.log(rejection(source).as_bytes()).unwrap();
    }

    fn wait_for_entries(&self, text: &str, number: usize) {
        self.journald
            .wait_for(&self.site.server, text, number)
            .unwrap();
    }

    fn is_listed(&self, source: &str) -> bool {
        let output = self.site.output(&["show", source, "--json"], b"").unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        json["entries"].get(0).is_some()
    }

    fn wait_until_listed(&self, source: &str) {
        until(&format!("{source} to be blocked"), SOON, || {
            Ok(self.is_listed(source).then_some(()))
        })
        .unwrap();
    }

    /// Waits until `status` shows that `lines` entries of the journal have been
    /// read, and returns what it shows of the journal.
    fn status(&self, lines: u64) -> Value {
        until(&format!("{lines} lines"), SOON, || {
            let text = self.site.status(&["--json"])?;
            let json: Value = serde_json::from_str(&text)?;
            let files = &json["daemon"]["state"]["files"];
            assert!(files.as_array().is_none_or(|files| files.len() <= 1));
            Ok((files[0]["lines"] == lines).then(|| files[0].clone()))
        })
        .unwrap()
    }
}

/// The message that `courieresmtpd` logs when it rejects a listed sender.
fn rejection(source: &str) -> String {
    format!(
        "error,relay=::ffff:{source},port=4,from=<a@b.example>,to=<c@here.example>: \
         511 Blacklisted by zone.example"
    )
}

/// Waits until the daemon has a single child, and returns it. At its start, the daemon
/// has another child, which asks for the newest entry and ends at once.
fn only_child(pid: u32) -> u32 {
    until("one child", SOON, || match children(pid)[..] {
        [child] => Ok(Some(child)),
        _ => Ok(None),
    })
    .unwrap()
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_ascii_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

fn stop(mut daemon: Daemon) -> String {
    daemon.signal(Signal::SIGTERM).unwrap();
    assert!(daemon.exit_status(SOON).unwrap().success());
    daemon.output()
}

#[test]
fn the_genuine_entry_blocks_and_its_forged_twins_do_not() {
    let mut bench = Bench::new();
    let daemon = bench.run();
    let (victim, marker) = ("100.64.0.1", "100.64.0.99");
    let forgers = [
        // A local user calls `logger -p mail.err -t courieresmtpd`.
        Sender {
            unit: None,
            uid: NOBODY,
            ..COURIER
        },
        // A process of root, but outside of Courier's units.
        Sender {
            unit: None,
            ..COURIER
        },
        Sender {
            unit: Some("cron.service"),
            ..COURIER
        },
        // A mail filter or a delivery, which runs as a user in Courier's unit.
        Sender {
            uid: NOBODY,
            ..COURIER
        },
        Sender {
            unit: Some("courier.service"),
            uid: NOBODY,
            ..COURIER
        },
        // A client's command, which Courier logs with ESMTP_LOG_DIALOG=1.
        Sender {
            severity: "info",
            ..COURIER
        },
        // A program whose name makes it resemble Courier's.
        Sender {
            program: "x courieresmtpd",
            ..COURIER
        },
        Sender {
            program: "courieresmtp",
            ..COURIER
        },
    ];
    let line = rejection(victim);
    let _forgers = forgers.map(|sender| {
        let mut forger = bench.logger(sender);
        forger.log(line.as_bytes()).unwrap();
        forger
    });
    bench.wait_for_entries(&line, forgers.len());
    bench.refuse(marker);
    bench.wait_until_listed(marker);
    assert!(!bench.is_listed(victim), "{}", daemon.output());

    bench.refuse(victim);
    bench.wait_until_listed(victim);
    assert!(bench.site.dropped(victim, SILENCE).unwrap());
    // The entries of the last two forgers have the same unit, user and priority as
    // Courier's, by which the daemon selects entries. So they are read, too.
    let status = bench.status(3);
    assert_eq!(
        (&status["path"], &status["trusted"]),
        (&"journal".into(), &true.into())
    );
    assert_eq!(
        (&status["state"], &status["unfit"]),
        (&"reading".into(), &1.into())
    );
    stop(daemon);
}

/// Accepted mail makes senders known.
#[test]
fn acceptances_come_from_a_unit_of_their_own() {
    let mut bench = Bench::new();
    let daemon = bench.run();
    let queue = Sender {
        unit: Some("courier.service"),
        severity: "info",
        program: "courierd",
        ..COURIER
    };
    let line = b"newmsg,id=1: dns; friend.example (ptr.example [::ffff:100.64.0.1])";
    let mut delivery = bench.logger(Sender {
        uid: NOBODY,
        ..queue
    });
    delivery.log(line).unwrap();
    bench.wait_for_entries("newmsg", 1);
    let mut courierd = bench.logger(queue);
    courierd.log(line).unwrap();
    bench.wait_for_entries("newmsg", 2);
    bench.refuse("100.64.0.70");
    bench.status(2);
    let text = bench.site.status(&["--json"]).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["daemon"]["state"]["events"]["accepted"], 1);
    stop(daemon);
}

#[test]
fn a_restart_goes_on_at_the_cursor() {
    let mut bench = Bench::new();
    bench.refuse("100.64.0.70");
    bench.wait_for_entries("100.64.0.70", 1);
    let first = bench.run();
    bench.refuse("100.64.0.71");
    bench.wait_until_listed("100.64.0.71");
    let output = stop(first);
    // The entry of 100.64.0.70 is older than the first start, so it is ignored.
    assert!(!output.contains("blocked 100.64.0.70"), "{output}");
    bench.refuse("100.64.0.72");
    bench.wait_for_entries("100.64.0.72", 1);
    let second = bench.run();
    bench.wait_until_listed("100.64.0.72");
    bench.refuse("100.64.0.73");
    bench.wait_until_listed("100.64.0.73");
    bench.status(2);
    let output = stop(second);
    assert!(!output.contains("no longer holds"), "{output}");
    assert!(!output.contains("blocked 100.64.0.71"), "{output}");
}

/// A first run without entries stores a cursor as well.
#[test]
fn what_is_written_after_a_run_without_entries_is_read_by_the_next() {
    let mut bench = Bench::new();
    stop(bench.run());
    bench.refuse("100.64.0.70");
    bench.wait_for_entries("100.64.0.70", 1);
    let _second = bench.run();
    bench.wait_until_listed("100.64.0.70");
}

#[test]
fn a_vacuumed_cursor_is_said_and_costs_nothing_that_is_left() {
    let mut bench = Bench::new();
    let first = bench.run();
    bench.refuse("100.64.0.70");
    bench.wait_until_listed("100.64.0.70");
    stop(first);
    let server = &bench.site.server;
    server.exec(["journalctl", "--rotate"]).unwrap();
    server.exec(["journalctl", "--vacuum-time=1us"]).unwrap();
    bench.wait_for_entries("100.64.0.70", 0);
    bench.refuse("100.64.0.71");
    bench.wait_for_entries("100.64.0.71", 1);
    let second = bench.run();
    bench.wait_until_listed("100.64.0.71");
    second
        .wait_for(|line| line.contains("no longer holds"), SOON)
        .unwrap();
}

#[test]
fn rotation_and_a_new_journald_lose_nothing() {
    let mut bench = Bench::new();
    let daemon = bench.run();
    bench.refuse("100.64.0.70");
    bench.wait_until_listed("100.64.0.70");
    bench.refuse("100.64.0.71");
    bench.site.server.exec(["journalctl", "--rotate"]).unwrap();
    bench.refuse("100.64.0.72");
    for source in ["100.64.0.71", "100.64.0.72"] {
        bench.wait_until_listed(source);
    }
    bench.journald.restart(&bench.site.server).unwrap();
    // logger, unlike syslog(3), does not reconnect.
    bench.courier = Some(bench.logger(COURIER));
    bench.refuse("100.64.0.73");
    bench.wait_until_listed("100.64.0.73");
    assert_eq!(bench.status(4)["state"], "reading");
    stop(daemon);
}

#[test]
fn journalctl_is_started_again_and_ends_with_the_daemon() {
    let mut bench = Bench::new();
    let mut daemon = bench.run();
    bench.refuse("100.64.0.70");
    bench.wait_until_listed("100.64.0.70");
    let journalctl = only_child(daemon.pid());
    let kill = ["kill".to_owned(), "-KILL".into(), journalctl.to_string()];
    bench.site.server.exec(kill).unwrap();
    daemon
        .wait_for(|line| line.contains("journalctl ended"), SOON)
        .unwrap();
    bench.refuse("100.64.0.71");
    bench.wait_until_listed("100.64.0.71");
    assert_eq!(bench.status(2)["state"], "reading");
    let journalctl = only_child(daemon.pid());
    let proc = format!("/proc/{journalctl}/exe");
    daemon.kill().unwrap();
    until("journalctl to end", SOON, || {
        Ok(fs::read_link(&proc).is_err().then_some(()))
    })
    .unwrap();
}

#[test]
fn a_journal_without_entries_degrades_until_one_comes() {
    let mut bench = Bench::new();
    let daemon = bench.run();
    let reason = "journal: no entry of the last seven days matches";
    let until_degraded = |is_degraded| {
        until("the health to change", SOON, || {
            let output = bench.site.output(&["status"], b"")?;
            let text = String::from_utf8(output.stdout)?;
            let health = text.lines().next().unwrap_or_default();
            let code = Some(i32::from(is_degraded));
            let is_named = health.contains(reason);
            Ok((output.status.code() == code && is_named == is_degraded).then_some(()))
        })
        .unwrap();
    };
    until_degraded(true);
    daemon.wait_for(|line| line.contains(reason), SOON).unwrap();
    let courier = bench.courier.as_mut().unwrap();
    courier.log(rejection("100.64.0.70").as_bytes()).unwrap();
    until_degraded(false);
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let mut bench = Bench::new();
    let _daemon = bench.run();
    let line = rejection("100.64.0.70");
    let (before, after) = line.split_once("a@b").unwrap();
    let raw = [before.as_bytes(), b"\xff\xfe\x01@b", after.as_bytes()].concat();
    bench.courier.as_mut().unwrap().log(&raw).unwrap();
    bench.wait_until_listed("100.64.0.70");
    let shown = bench.site.spamdrop(&["show", "100.64.0.70"]).unwrap();
    assert!(shown.contains(r"from=<\xff\xfe\x01@b"), "{shown}");
    assert!(
        shown.contains("+00:00 ") && shown.contains(" courieresmtpd["),
        "{shown}"
    );
}

#[test]
fn hangup_adds_the_journal_and_takes_it_away() {
    let mut bench = Bench::new();
    let mut daemon = bench.site.run().unwrap();
    let read_again = |daemon: &mut Daemon, more: &str| {
        bench.site.configure(more).unwrap();
        daemon.signal(Signal::SIGHUP).unwrap();
        daemon
            .wait_for(|line| line.contains("configuration read again"), SOON)
            .unwrap();
    };
    read_again(&mut daemon, "journal = true");
    let courier = bench.courier.as_mut().unwrap();
    courier.log(rejection("100.64.0.70").as_bytes()).unwrap();
    bench.wait_until_listed("100.64.0.70");
    only_child(daemon.pid());
    read_again(&mut daemon, "journal = false");
    assert_eq!(children(daemon.pid()), [0; 0]);
}

/// The responder's entries do not come from Courier's units, but are trusted.
#[test]
fn the_daemons_own_refusals_are_believed() {
    const ZOMBIE: &str = "100.64.0.70";
    let bench = Bench::new();
    let more = "journal = true\nanswer = \"on\"\nsyslog = \"/run/systemd/journal/dev-log\"";
    bench.site.configure(more).unwrap();
    let _daemon = bench.run();
    let pins = Path::new("/sys/fs/bpf/spamdrop");
    let open = || GateMaps::open(pins).unwrap();
    let mut gate_maps = bench.site.server.run(open);
    let now = clock::monotonic_ns();
    let listed = Verdict {
        host: 0,
        until: now.plus(Duration::from_secs(60)),
        standing: Standing::Listed as u32,
        zone: 0,
    };
    gate_maps
        .set_verdict(ZOMBIE.parse().unwrap(), listed)
        .unwrap();
    let gate = Gate {
        written: now,
        responders: RESPONDER_IPV4,
        ..Gate::default()
    };
    gate_maps.set(gate).unwrap();
    let mut client = bench.site.connect(ZOMBIE).unwrap();
    let reply = client.reject_session().unwrap();
    assert_eq!(reply.text, "Blacklisted by a DNS blocklist");
    bench.wait_until_listed(ZOMBIE);
}
