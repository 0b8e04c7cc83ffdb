//! The rights that the daemon keeps.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use spamdrop_lab::site::ORDINARY;

use super::*;

/// CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF.
const KEPT: u64 = 1 << 12 | 1 << 38 | 1 << 39;
/// CAP_DAC_READ_SEARCH, CAP_KILL, CAP_SYS_PTRACE.
const TO_TERMINATE: u64 = 1 << 2 | 1 << 5 | 1 << 19;

/// A site whose daemon runs as an ordinary user.
fn ordinary(more: &str) -> Site {
    let site = site(|_| {});
    as_ordinary(&site, more);
    site
}

fn as_ordinary(site: &Site, more: &str) {
    site.configure(&format!("user = {ORDINARY:?}\n{more}"))
        .unwrap();
}

fn uid() -> u32 {
    uzers::get_user_by_name(ORDINARY).unwrap().uid()
}

/// The fields of `/proc/PID/task/TID/status` of every thread.
fn threads(daemon: &Daemon) -> Vec<BTreeMap<String, String>> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    tasks
        .map(|task| {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let fields = status.lines().filter_map(|line| line.split_once(':'));
            fields
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect()
        })
        .collect()
}

fn assert_reduced(daemon: &Daemon, uid: u32, capabilities: u64) {
    let threads = threads(daemon);
    assert!(threads.len() > 1, "{threads:?}");
    for thread in threads {
        let number = |name: &str| u64::from_str_radix(&thread[name], 16).unwrap();
        for name in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(number(name), capabilities, "{name}: {thread:#?}");
        }
        for name in ["CapInh", "CapAmb"] {
            assert_eq!(number(name), 0, "{name}: {thread:#?}");
        }
        let ids = format!("{uid}\t{uid}\t{uid}\t{uid}");
        assert_eq!((&thread["Uid"], &thread["Umask"][..]), (&ids, "0077"));
        assert_eq!(thread["NoNewPrivs"], "1");
        // Mode 2 is by filters. The daemon has two, and the tests may run under others.
        let filters: u32 = thread["Seccomp_filters"].parse().unwrap();
        assert!(thread["Seccomp"] == "2" && filters >= 2, "{thread:#?}");
    }
}

/// Waits until the health line gives the reason.
fn wait_for_reason(site: &Site, reason: &str) {
    until(&format!("the reason {reason}"), SOON, || {
        let status = site.status(&[])?;
        let line = status.lines().next().unwrap_or_default();
        Ok((line.starts_with("DEGRADED") && line.contains(reason)).then_some(()))
    })
    .unwrap();
}

#[test]
fn root_becomes_the_account_and_keeps_three_capabilities() {
    let site = ordinary("");
    let mut daemon = site.run().unwrap();
    assert_reduced(&daemon, uid(), KEPT);
    // Nobody but root reads the memory of a process that is not dumpable.
    let environment = fs::metadata(format!("/proc/{}/environ", daemon.pid())).unwrap();
    assert_eq!(environment.uid(), 0);
    for path in ["state", "spamdrop.toml"] {
        let owner = fs::metadata(site.path(path)).unwrap().uid();
        assert_eq!(owner, if path == "state" { uid() } else { 0 }, "{path}");
    }
    let mut client = refused(&site, ZOMBIE);
    wait_for_state(&site, ZOMBIE, "open", SOON);
    client.quit().unwrap();
    client.expect_close(SOON).unwrap();
    drop(client);
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    assert!(is_dropped(&site, ZOMBIE));
    assert!(
        site.spamdrop(&["status"])
            .unwrap()
            .starts_with("protecting")
    );
    assert!(stopped_cleanly(&mut daemon).success());
}

#[test]
fn terminate_keeps_what_it_needs() {
    let site = ordinary("release = \"terminate\"");
    let daemon = site.run().unwrap();
    assert_reduced(&daemon, uid(), KEPT | TO_TERMINATE);
    assert!(!daemon.output().contains("ends no process"));
    // A daemon that began without these rights goes on without them.
    drop(daemon);
    as_ordinary(&site, "");
    let mut daemon = site.run().unwrap();
    as_ordinary(&site, "release = \"terminate\"");
    daemon.signal(Signal::SIGHUP).unwrap();
    let told = "only a restart of the daemon applies: release";
    daemon.wait_for(|line| line.contains(told), SOON).unwrap();
    let status = site.status(&[]).unwrap();
    assert!(status.starts_with("protecting "), "{status}");
    assert!(status.contains(told), "{status}");
}

#[test]
fn without_the_account_root_stays_root_and_warns_once() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    let dac_read_search = 1 << 2;
    assert_reduced(&daemon, 0, KEPT | dac_read_search);
    let output = daemon.output();
    let warned = output.matches("there is no account `spamdrop`").count();
    assert_eq!(warned, 1, "{output}");
    let check = site.spamdrop(&["config", "check", "--offline"]).unwrap();
    assert!(
        check.contains("warning: user: there is no account"),
        "{check}"
    );
    site.configure("user = \"nosuchuser\"").unwrap();
    let output = site.output(&["run"], b"").unwrap();
    assert_eq!(output.status.code(), Some(78));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("there is no account `nosuchuser`"),
        "{error}"
    );
}

/// The daemon is started as by a unit with `User=` and `AmbientCapabilities=`.
#[test]
fn an_ordinary_user_with_the_capabilities_stays_itself() {
    let site = site(|_| {});
    as_ordinary(&site, &format!("run_dir = {:?}", site.path("run")));
    // systemd mounts /sys/fs/bpf with this mode.
    site.server.run(|| {
        let bpf = Path::new("/sys/fs/bpf");
        fs::set_permissions(bpf, fs::Permissions::from_mode(0o700)).unwrap();
    });
    site.spamdrop(&["settings", "--write"]).unwrap();
    let group = uzers::get_user_by_name(ORDINARY)
        .unwrap()
        .primary_group_id();
    let capabilities = "+bpf,+net_admin,+perfmon,+kill";
    let config = site.path("spamdrop.toml").display().to_string();
    let sets = [
        format!("--inh-caps={capabilities}"),
        format!("--ambient-caps={capabilities}"),
    ];
    let args = [
        format!("--reuid={ORDINARY}"),
        format!("--regid={group}"),
        "--clear-groups".into(),
        sets[0].clone(),
        sets[1].clone(),
        env!("CARGO_BIN_EXE_spamdrop").into(),
        "--config".into(),
        config,
        "run".into(),
    ];
    let daemon = Daemon::start(&site.server, "setpriv", args, [("RUST_LOG", "debug")]).unwrap();
    daemon
        .wait_for(|line| line.contains("ready: "), SOON * 5)
        .unwrap();
    for thread in threads(&daemon) {
        let number = |name: &str| u64::from_str_radix(&thread[name], 16).unwrap();
        assert_eq!(
            [number("CapEff"), number("CapPrm"), number("CapAmb")],
            [KEPT, KEPT, 0]
        );
        assert_eq!(thread["Uid"].split('\t').next(), Some(&*uid().to_string()));
    }
    let mut client = refused(&site, ZOMBIE);
    client.quit().unwrap();
    client.expect_close(SOON).unwrap();
    drop(client);
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
}

#[test]
fn a_rotated_log_that_the_account_cannot_read_is_named() {
    let site = ordinary("");
    let mut daemon = site.run().unwrap();
    site.log(&rejection("100.64.9.1")).unwrap();
    wait_for_state(&site, "100.64.9.1", "sealed", GRACE + SOON);
    daemon.signal(Signal::SIGTERM).unwrap();
    assert!(daemon.exit_status(SOON).unwrap().success());
    let (log, rotated) = (site.path("mail.log"), site.path("mail.log.1"));
    fs::rename(&log, &rotated).unwrap();
    fs::set_permissions(&rotated, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&log, "Nov 29 08:50:54 mx1 cron[1]: another line\n").unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o644)).unwrap();
    let daemon = site.run().unwrap();
    let text = format!("cannot read {}: Permission denied", rotated.display());
    daemon.wait_for(|line| line.contains(&text), SOON).unwrap();
}

#[test]
fn a_log_that_the_account_cannot_read_is_named_with_the_next_step() {
    let site = ordinary("");
    let log = site.path("mail.log");
    fs::set_permissions(&log, fs::Permissions::from_mode(0o640)).unwrap();
    let daemon = site.run().unwrap();
    let step = format!("`usermod -aG root {ORDINARY}`");
    daemon.wait_for(|line| line.contains(&step), SOON).unwrap();
    wait_for_reason(&site, &step);
    let check = site.spamdrop(&["config", "check", "--offline"]).unwrap();
    assert!(check.contains(&step), "{check}");
    fs::set_permissions(&log, fs::Permissions::from_mode(0o644)).unwrap();
    // A log that becomes readable is read from its end.
    daemon
        .wait_for(|line| line.contains("mail.log: reading"), SOON)
        .unwrap();
    let mut client = refused(&site, ZOMBIE);
    client.quit().unwrap();
    client.expect_close(SOON).unwrap();
    drop(client);
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
}
