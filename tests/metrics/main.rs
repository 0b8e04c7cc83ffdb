//! The metrics of a real daemon and filter, judged by Prometheus's own
//! promtool, from Debian's package.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use spamdrop_lab::dns::{DnsStub, Reply, Rtype};
use spamdrop_lab::wait::until;
use spamdrop_lab::{Client, Signal, Site, debian_tree_of, unit};

const SPAMDROP: &str = env!("CARGO_BIN_EXE_spamdrop");
const SOON: Duration = Duration::from_secs(5);
/// Shorter than the time after which a SYN is repeated.
const SILENCE: Duration = Duration::from_millis(300);
const UNIT: &str = include_str!("../../spamdrop/dist/spamdrop-metrics.service");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn site(config: &str) -> Site {
    let site = Site::new(Path::new(SPAMDROP), |_| {}).unwrap();
    site.configure(config).unwrap();
    site
}

fn metrics(site: &Site) -> String {
    site.spamdrop(&["stats", "--prometheus"]).unwrap()
}

/// The value of a metric with these labels, if it is shown.
fn value(text: &str, metric: &str) -> Option<u64> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    value.map(|value| value.parse().unwrap())
}

fn until_value(site: &Site, metric: &str, wanted: u64) -> String {
    until(&format!("{metric} to be {wanted}"), SOON, || {
        let text = metrics(site);
        Ok((value(&text, metric) == Some(wanted)).then_some(text))
    })
    .unwrap()
}

/// Every counter with its labels.
fn counters(text: &str) -> BTreeMap<&str, u64> {
    let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    let counters = lines.filter(|(name, _)| {
        let name = name.split('{').next().unwrap_or_default();
        !name.starts_with('#') && name.ends_with("_total")
    });
    counters
        .map(|(name, value)| (name, value.parse().unwrap()))
        .collect()
}

fn promtool(args: &[&OsStr], input: &[u8]) -> Output {
    let program = debian_tree_of("prometheus")
        .unwrap()
        .join("usr/bin/promtool");
    let mut command = Command::new(program);
    command.args(args);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(text).unwrap()
}

/// promtool parses the metrics and names what departs from their conventions.
fn accepted_by_promtool(text: &str) {
    let args = ["check", "metrics"].map(OsStr::new);
    let output = promtool(&args, text.as_bytes());
    let said = said(&output);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

/// A site with a gate, whose strangers are looked up in the zone `b.example`.
fn gated() -> (Site, DnsStub) {
    let site = site("");
    let answers = |name: &str, kind| match (name, kind) {
        ("2.0.0.127.b.example", Rtype::A) => Reply::a([127, 0, 0, 2]),
        _ => Reply::Absent(300),
    };
    let stub = DnsStub::start(&site.server, "127.0.0.53:0".parse().unwrap(), answers).unwrap();
    let resolv_conf = site.path("resolv.conf");
    fs::write(&resolv_conf, format!("nameserver {}\n", stub.addr())).unwrap();
    let config = format!(
        "admit = \"on\"\nslots = 5\nzones = [\"b.example\"]\nresolv_conf = {resolv_conf:?}\n\
         fifo = \"/run/spamdrop/recent\""
    );
    site.configure(&config).unwrap();
    (site, stub)
}

fn crowd(site: &Site) -> Vec<Client> {
    let connect = |n| {
        let mut client = site.connect(&format!("100.64.2.{n}")).unwrap();
        assert_eq!(client.read_reply().unwrap().code, 220);
        client
    };
    (0..3).map(connect).collect()
}

#[test]
fn promtool_accepts_what_a_busy_daemon_shows() {
    let (site, _stub) = gated();
    let _daemon = site.run().unwrap();
    let _clients = crowd(&site);
    until_value(&site, "spamdrop_gate_open_connections", 3);
    until_value(&site, "spamdrop_zone_tested{zone=\"b.example\"}", 1);
    until_value(&site, "spamdrop_gate_on", 1);
    let unlisted = "spamdrop_lookups_total{zone=\"b.example\",result=\"unlisted\"}";
    let mut stranger = 0;
    let text = until("a stranger to be looked up", SOON * 4, || {
        stranger += 1;
        site.dropped(&format!("100.64.3.{stranger}"), SILENCE)?;
        let text = metrics(&site);
        Ok((value(&text, unlisted) > Some(0)).then_some(text))
    })
    .unwrap();
    assert_eq!(value(&text, "spamdrop_up"), Some(1), "{text}");
    assert_eq!(value(&text, "spamdrop_gate_slots"), Some(5), "{text}");
    let attached = "spamdrop_attached{interface=\"eth0\",mode=\"native\"}";
    assert_eq!(value(&text, attached), Some(1), "{text}");
    accepted_by_promtool(&text);
}

#[test]
fn counters_of_the_filter_outlive_the_daemon_and_never_fall() {
    let site = site("");
    let mut daemon = site.run().unwrap();
    site.spamdrop(&["add", "100.64.0.66"]).unwrap();
    assert!(site.dropped("100.64.0.66", SILENCE).unwrap());
    let dropped = "spamdrop_packets_total{reason=\"sealed_dropped\"}";
    let log = site.path("mail.log");
    let reading = format!("spamdrop_tail_reading{{source=\"{}\"}}", log.display());
    let running = until_value(&site, &reading, 1);
    assert!(value(&running, dropped) > Some(0), "{running}");
    let sealed = "spamdrop_entries{family=\"ipv4\",state=\"sealed\"}";
    assert_eq!(value(&running, sealed), Some(1), "{running}");
    assert!(running.contains("spamdrop_tail_lag_bytes{"), "{running}");

    daemon.signal(Signal::SIGTERM).unwrap();
    daemon.exit_status(SOON).unwrap();
    assert!(site.dropped("100.64.0.66", SILENCE).unwrap());
    let alone = metrics(&site);
    assert!(value(&alone, dropped) > value(&running, dropped));
    assert_eq!(value(&alone, "spamdrop_up"), Some(0), "{alone}");
    assert_eq!(value(&alone, "spamdrop_health"), Some(1), "{alone}");
    assert!(!alone.contains("spamdrop_tail_"), "{alone}");
    accepted_by_promtool(&alone);

    let _daemon = site.run().unwrap();
    let again = until_value(&site, &reading, 1);
    let counted = counters(&alone);
    assert!(counted.len() > 20, "{counted:?}");
    for (earlier, later) in [(&running, &alone), (&alone, &again)] {
        let later = counters(later);
        for name in counted.keys() {
            assert!(counters(earlier)[name] <= later[name], "{name}");
        }
    }
}

#[test]
fn without_a_filter_the_metrics_say_so() {
    let site = site("");
    let text = metrics(&site);
    assert_eq!(value(&text, "spamdrop_health"), Some(2), "{text}");
    assert_eq!(value(&text, "spamdrop_up"), Some(0), "{text}");
    accepted_by_promtool(&text);
}

#[test]
fn the_alerts_are_valid_and_fire_when_they_should() {
    let rules = root().join("spamdrop/dist/prometheus/rules.yml");
    let tests = root().join("tests/metrics/rules_test.yml");
    for (kind, verb, file) in [("check", "rules", rules), ("test", "rules", tests)] {
        let args = [kind.as_ref(), verb.as_ref(), file.as_os_str()];
        let output = promtool(&args, b"");
        let said = said(&output);
        assert!(
            output.status.success() && said.contains("SUCCESS"),
            "{said}"
        );
    }
}

/// The daemon does not run as root, like the daemon of an installed package.
#[test]
fn the_unit_keeps_the_rights_that_reading_takes() {
    let site = site("user = \"nobody\"");
    let _daemon = site.run().unwrap();
    let log = site.path("mail.log");
    let reading = format!("spamdrop_tail_reading{{source=\"{}\"}}", log.display());
    until_value(&site, &reading, 1);
    let kept = UNIT
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let kept = kept
        .unwrap()
        .to_lowercase()
        .replace("cap_", "+")
        .replace(' ', ",");
    let mut command = site.server.command(Path::new("/usr/bin/setpriv"));
    command.arg(format!("--bounding-set=-all,{kept}"));
    command.arg("--no-new-privs").arg(SPAMDROP);
    command.arg("--config").arg(site.path("spamdrop.toml"));
    command.args(["stats", "--prometheus"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = site.server.spawn(&mut command).unwrap();
    let output = output.wait_with_output().unwrap();
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for (metric, expected) in [("spamdrop_health", 0), ("spamdrop_up", 1), (&reading, 1)] {
        assert_eq!(value(&text, metric), Some(expected), "{metric}:\n{text}");
    }
    assert!(!text.contains("spamdrop: "), "{text}");
}

/// Runs the shell command of spamdrop-metrics.service, in which `script` replaces
/// spamdrop. Returns whether it succeeded.
fn collect(directory: &Path, script: &str) -> bool {
    let line = unit::script(UNIT, "").unwrap();
    let program = directory.join("spamdrop");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    let line = line.replace("spamdrop stats", "sh ./spamdrop stats");
    let mut shell = Command::new("sh");
    shell.args(["-ec", &line]).current_dir(directory);
    shell.status().unwrap().success()
}

#[test]
fn the_unit_replaces_the_file_only_by_a_whole_one() {
    let directory = tempfile::tempdir().unwrap();
    let shown = directory.path().join("spamdrop.prom");
    assert!(collect(directory.path(), "echo \"$@\""));
    assert_eq!(fs::read_to_string(&shown).unwrap(), "stats --prometheus\n");
    assert!(!collect(directory.path(), "echo half; exit 1"));
    assert_eq!(fs::read_to_string(&shown).unwrap(), "stats --prometheus\n");
}
