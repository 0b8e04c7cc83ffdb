//! What replaces the file of xt_recent for scripts: a FIFO that takes the file's
//! commands, and `list --format recent`, which prints the file's format.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod bulk;
mod fail2ban;
mod owners;

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use spamdrop_lab::wait::until;
use spamdrop_lab::{Daemon, Signal, Site};

const ZOMBIE: &str = "100.64.0.66";
const ZOMBIE6: &str = "2001:db8:64:1::66";
/// A SYN without an answer for this long was dropped. The time includes a
/// retransmission.
const SILENCE: Duration = Duration::from_millis(1500);
const SOON: Duration = Duration::from_secs(2);

fn site() -> Site {
    let site = Site::new(Path::new(env!("CARGO_BIN_EXE_spamdrop")), |_| {}).unwrap();
    site.configure(&format!("fifo = {:?}", fifo(&site)))
        .unwrap();
    site
}

fn fifo(site: &Site) -> PathBuf {
    site.path("recent")
}

/// Runs a shell script, with the FIFO's path in `$FIFO`.
fn shell(site: &Site, script: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("FIFO", fifo(site));
    command.output().unwrap()
}

fn run_script(site: &Site, script: &str) {
    let output = shell(site, script);
    assert!(output.status.success(), "{script}: {output:?}");
}

fn json(site: &Site, args: &[&str]) -> Value {
    let output = site.output(args, b"").unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn wait_for_list(site: &Site, expected: &[&str]) {
    let mut last = Vec::new();
    until("the list", SOON, || {
        last = site.listed().unwrap();
        Ok((last == expected).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}: {last:?}"));
}

fn wait_for(site: &Site, addr: &str, field: &str, value: impl Into<Value>) -> Value {
    let value = value.into();
    until(&format!("{field} of {addr} to be {value}"), SOON, || {
        let entry = json(site, &["show", addr, "--json"])["entries"][0].clone();
        Ok((entry[field] == value).then_some(entry))
    })
    .unwrap()
}

/// Waits until `field` of the FIFO has reached `least`, and returns what
/// `status` shows of the FIFO.
fn counted(site: &Site, field: &str, least: u64) -> Value {
    until(&format!("{least} {field}"), SOON, || {
        let fifo = serde_json::from_str::<Value>(&site.status(&["--json"]).unwrap()).unwrap()
            ["daemon"]["state"]["fifo"]
            .clone();
        let enough = fifo[field].as_u64() >= Some(least);
        Ok(enough.then_some(fifo))
    })
    .unwrap()
}

fn stop(daemon: &mut Daemon) {
    daemon.signal(Signal::SIGTERM).unwrap();
    let status = daemon.exit_status(SOON).unwrap();
    assert!(status.success(), "{}", daemon.output());
}

#[test]
fn a_script_of_2009_needs_only_another_path() {
    let site = site();
    let _daemon = site.run().unwrap();
    run_script(
        &site,
        &format!("echo +{ZOMBIE} > $FIFO; printf %s +{ZOMBIE6} > $FIFO"),
    );
    for addr in [ZOMBIE, ZOMBIE6] {
        let entry = wait_for(&site, addr, "state", "sealed");
        assert_eq!(entry["origin"], "hand");
        assert_eq!(
            (&entry["ttl_s"], &entry["fixed"]),
            (&600.into(), &false.into())
        );
        assert_eq!(entry["hard_limit_in_s"], Value::Null);
        let why = json(&site, &["show", addr, "--json"])["origins"][0]["text"].clone();
        assert_eq!(why, "fifo");
        assert!(site.dropped(addr, SILENCE).unwrap(), "{addr}");
    }
    run_script(
        &site,
        &format!("ln -s $FIFO $FIFO.link; echo -{ZOMBIE} > $FIFO.link"),
    );
    wait_for_list(&site, &["2001:db8:64:1::/64"]);
    assert!(!site.dropped(ZOMBIE, SILENCE).unwrap());
    // As in scripts for ipt_recent, whose file also took an address without a
    // sign.
    run_script(&site, &format!("echo {ZOMBIE} > $FIFO"));
    wait_for_list(&site, &[ZOMBIE, "2001:db8:64:1::/64"]);
    run_script(&site, "echo / > $FIFO");
    wait_for_list(&site, &[]);
    let fifo = counted(&site, "flushed", 1);
    assert_eq!((&fifo["added"], &fifo["removed"]), (&3.into(), &1.into()));
}

#[test]
fn an_address_that_is_there_is_renewed_and_keeps_its_hits() {
    let site = site();
    let _daemon = site.run().unwrap();
    run_script(&site, &format!("echo +{ZOMBIE} > $FIFO"));
    wait_for(&site, ZOMBIE, "state", "sealed");
    assert!(site.dropped(ZOMBIE, SILENCE).unwrap());
    let before = wait_for(&site, ZOMBIE, "state", "sealed");
    assert!(before["hits"].as_u64() > Some(0), "{before}");
    // Two other blocks: one ends sooner than a renewal by the FIFO, and one later.
    site.spamdrop(&["add", "100.64.0.70", "--for", "9s", "--fixed"])
        .unwrap();
    site.spamdrop(&["add", "100.64.0.71", "--for", "1h"])
        .unwrap();
    run_script(
        &site,
        &format!("echo +{ZOMBIE} > $FIFO; echo +100.64.0.70 > $FIFO; echo +100.64.0.71 > $FIFO"),
    );
    counted(&site, "added", 4);
    let after = json(&site, &["show", ZOMBIE, "--json"])["entries"][0].clone();
    assert_eq!(after["hits"], before["hits"]);
    let sooner = json(&site, &["show", "100.64.0.70", "--json"])["entries"][0].clone();
    assert!(sooner["expires_in_s"].as_f64() > Some(590.0), "{sooner}");
    assert_eq!(sooner["fixed"], false);
    let later = json(&site, &["show", "100.64.0.71", "--json"])["entries"][0].clone();
    assert!(later["expires_in_s"].as_f64() > Some(3590.0), "{later}");
}

#[test]
fn what_must_not_be_blocked_and_what_is_no_command_is_refused_and_counted() {
    let site = site();
    let daemon = site.run().unwrap();
    site.spamdrop(&["allow", "add", "100.64.7.0/24"]).unwrap();
    run_script(&site, "echo +198.51.100.25 > $FIFO");
    daemon
        .wait_for(
            |line| line.contains("fifo: 198.51.100.25 not blocked: "),
            SOON,
        )
        .unwrap();
    run_script(
        &site,
        "printf '+100.64.7.7\\n+100.64.0.0/24\\nblock 1\\n' > $FIFO",
    );
    daemon
        .wait_for(
            |line| line.contains("`block 1` is not a command; write +ADDRESS"),
            SOON,
        )
        .unwrap();
    let fifo = counted(&site, "malformed", 2);
    assert_eq!((&fifo["protected"], &fifo["added"]), (&2.into(), &0.into()));
    assert_eq!(site.listed().unwrap(), [""; 0]);
}

/// A script must fail after a stop. It must neither hang nor create a plain
/// file, which would prevent the next start.
#[test]
fn while_nobody_watches_a_script_fails_at_once_and_after_a_crash_it_waits() {
    let site = site();
    let mut first = site.run().unwrap();
    stop(&mut first);
    let refused = shell(&site, "echo +100.64.0.70 > $FIFO");
    assert!(!refused.status.success(), "{refused:?}");

    let mut second = site.run().unwrap();
    second.kill().unwrap();
    let mut waiting = Command::new("sh")
        .args(["-c", "echo +100.64.0.71 > $FIFO"])
        .env("FIFO", fifo(&site))
        .spawn()
        .unwrap();
    let _third = site.run().unwrap();
    assert!(waiting.wait().unwrap().success());
    wait_for_list(&site, &["100.64.0.71"]);
}

#[test]
fn only_what_is_ours_is_opened_and_removed() {
    let site = site();
    fs::write(fifo(&site), "precious").unwrap();
    let output = site.output(&["run"], b"").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("recent is not a FIFO of the daemon's account; remove it"),
        "{said}"
    );
    site.spamdrop(&["detach"]).unwrap();
    assert_eq!(fs::read(fifo(&site)).unwrap(), b"precious");

    fs::remove_file(fifo(&site)).unwrap();
    let mut daemon = site.run().unwrap();
    stop(&mut daemon);
    site.spamdrop(&["detach"]).unwrap();
    assert!(fs::symlink_metadata(fifo(&site)).is_err());
}

#[test]
fn one_that_was_removed_or_renamed_in_the_configuration_is_made_again() {
    let site = site();
    let mut daemon = site.run().unwrap();
    fs::remove_file(fifo(&site)).unwrap();
    let is_fifo = |path: &Path| fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    let wait_for_fifo = |path: &Path| {
        until("the FIFO", SOON, || Ok(is_fifo(path).then_some(()))).unwrap();
    };
    wait_for_fifo(&fifo(&site));
    run_script(&site, "echo +100.64.0.70 > $FIFO");
    wait_for_list(&site, &["100.64.0.70"]);

    let other = site.path("other");
    site.configure(&format!("fifo = {other:?}")).unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    wait_for_fifo(&other);
    until("the old one to close", SOON, || {
        Ok((!is_fifo(&fifo(&site))).then_some(()))
    })
    .unwrap();
    fs::write(&other, "-100.64.0.70").unwrap();
    wait_for_list(&site, &[]);
}

/// Reads the kernel's tick counter, which `/proc/timer_list` shows to root.
fn jiffies() -> u64 {
    let timers = fs::read_to_string("/proc/timer_list").unwrap();
    let count = timers
        .lines()
        .find_map(|line| line.strip_prefix("jiffies: "));
    count.unwrap().parse().unwrap()
}

#[test]
fn the_list_of_xt_recent() {
    let site = site();
    site.spamdrop(&["attach", "eth0"]).unwrap();
    let before = jiffies();
    site.spamdrop(&["add", ZOMBIE6, ZOMBIE, "100.64.9.0/24"])
        .unwrap();
    let output = site.output(&["list", "--format", "recent"], b"").unwrap();
    let after = jiffies();
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "spamdrop: warning: 1 prefix is left out: xt_recent has no prefixes\n"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let sources = [ZOMBIE, "2001:0db8:0064:0001:0000:0000:0000:0000"];
    assert_eq!(text.lines().count(), 2, "{text}");
    for (line, source) in text.lines().zip(sources) {
        let words: Vec<&str> = line.split(' ').collect();
        let seen = words[4];
        let expected = [
            "src=",
            source,
            " ttl: 0 last_seen: ",
            seen,
            " oldest_pkt: 1 ",
            seen,
        ];
        assert_eq!(line, expected.concat());
        // Early after the boot, the clock already runs before ticks are
        // counted.
        let seen: u64 = seen.parse().unwrap();
        assert!(
            (before..=after + 1000).contains(&seen),
            "{before} {seen} {after}"
        );
    }
    let refused = site
        .output(&["list", "--format", "recent", "--json"], b"")
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let forms = [&["list", "--json"][..], &["list", "--format", "json"]];
    let [short, long] = forms.map(|form| json(&site, form).as_array().unwrap().len());
    assert_eq!((short, long), (3, 3));
}
