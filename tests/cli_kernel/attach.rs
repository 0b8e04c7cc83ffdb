//! `attach`, `detach`, `status` and `stats`.

use super::*;

#[test]
fn status_and_stats_tell_the_truth() {
    let site = attached("capacity4 = 8192\nports = [25, 587]");
    site.spamdrop(&["add", "100.64.0.9", "100.65.0.0/24", "2001:db8:64::9"])
        .unwrap();
    let status: Value = serde_json::from_str(&site.status(&["--json"]).unwrap()).unwrap();
    assert_eq!(status["health"], "degraded");
    assert_eq!(status["attached"], true);
    assert_eq!(status["interfaces"][0]["name"], "eth0");
    assert_eq!(status["interfaces"][0]["state"], "native");
    assert_eq!(status["maps"]["v4"]["live"], 1);
    assert_eq!(status["maps"]["v4"]["capacity"], 8192);
    assert_eq!(status["maps"]["v6"]["live"], 1);
    assert_eq!(status["maps"]["prefixes"], 1);
    assert_eq!(status["ports"], serde_json::json!([25, 587]));
    assert!(status["allowlist"]["automatic"].as_u64().unwrap() > 5);
    assert_eq!(status["daemon"], Value::Null);

    let before = json(&site, &["stats", "--json"]);
    assert!(site.dropped("100.64.0.9", WAIT).unwrap());
    assert!(site.dropped("100.65.0.9", WAIT).unwrap());
    let after = json(&site, &["stats", "--json"]);
    for reason in ["sealed_dropped", "cidr_dropped"] {
        assert!(after[reason].as_u64() > before[reason].as_u64(), "{reason}");
    }
    assert!(
        site.spamdrop(&["stats"])
            .unwrap()
            .starts_with("PACKETS  REASON")
    );
}

#[test]
fn attach_replaces_its_own_and_names_what_is_not_there() {
    let site = site("");
    let said = site
        .spamdrop(&["attach", "eth0", "--mode", "generic"])
        .unwrap();
    assert!(
        said.starts_with("eth0: filter attached, generic: slower"),
        "{said}"
    );
    let said = site.spamdrop(&["attach", "eth0"]).unwrap();
    assert!(said.starts_with("eth0: filter replaced, generic"), "{said}");
    let said = fails(&site, &["attach", "nope0"], 1);
    assert!(said.contains("no interface `nope0`"), "{said}");
    let status = site.status(&[]).unwrap();
    assert!(
        status.starts_with("DEGRADED: the daemon is not running")
            && status.contains("\neth0             attached, generic: slower"),
        "{status}"
    );
}

#[test]
fn a_missing_capability_is_named_in_one_line() {
    let site = site("");
    let config = site.path("spamdrop.toml");
    let mut command = site.server.command("setpriv");
    // CAP_SYS_ADMIN includes CAP_PERFMON, so both are removed.
    command
        .arg("--bounding-set=-perfmon,-sys_admin")
        .arg(env!("CARGO_BIN_EXE_spamdrop"))
        .arg("--config")
        .arg(config)
        .args(["attach", "eth0"])
        .stderr(Stdio::piped());
    let output = site.server.spawn(&mut command).unwrap().wait_with_output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert_eq!(
        stderr(&output),
        "spamdrop: the filter cannot be loaded without CAP_PERFMON; \
         run as root, or with CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON\n"
    );
}

#[test]
fn detach_leaves_nothing() {
    let site = attached("");
    site.spamdrop(&["add", "100.64.0.9"]).unwrap();
    fs::create_dir(site.path("state")).unwrap();
    fs::write(site.path("state").join("positions.json"), "").unwrap();
    let daemon = site.server.run(|| {
        fs::write(Path::new(RUN_DIR).join("server.json"), "{}").unwrap();
        DaemonMark::begin(Path::new(RUN_DIR)).unwrap()
    });
    let said = fails(&site, &["detach"], 1);
    assert!(
        said.contains(&format!("(pid {})", std::process::id())),
        "{said}"
    );
    assert_eq!(site.listed().unwrap(), ["100.64.0.9"]);
    drop(daemon);

    let state = site.path("state");
    assert_eq!(
        site.spamdrop(&["detach"]).unwrap(),
        format!(
            "eth0: filter removed\nremoved /sys/fs/bpf/spamdrop\nremoved {}\nremoved {RUN_DIR}\n\
             kept {}: the configuration\n",
            state.display(),
            site.path("spamdrop.toml").display()
        )
    );
    assert!(!state.exists());
    let left = site.server.run(|| {
        let pins = Path::new("/sys/fs/bpf/spamdrop").exists();
        (pins, Path::new(RUN_DIR).exists())
    });
    assert_eq!(left, (false, false));
    let links = site.server.exec(["ip", "link", "show", "eth0"]).unwrap();
    assert!(!links.contains("xdp"), "{links}");
    fails(&site, &["status"], 3);
    fails(&site, &["detach"], 3);
    assert!(!site.server.run(|| Path::new(RUN_DIR).exists()));
}

#[test]
fn detach_goes_beneath_a_daemon_if_forced() {
    let site = attached("");
    let _watcher = site
        .server
        .run(|| DaemonMark::begin(Path::new(RUN_DIR)).unwrap());
    site.spamdrop(&["detach", "--force"]).unwrap();
    fails(&site, &["status"], 3);
}

#[test]
fn what_can_be_attached_is_and_the_rest_is_named() {
    let site = site("");
    let output = site
        .output(&["attach", "eth7", "eth0", "eth8"], b"")
        .unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.starts_with(b"eth0: filter attached, native"));
    assert!(said.contains("`eth7`") && said.contains("`eth8`"), "{said}");
    let said = fails(&site, &["detach", "eth7"], 3);
    assert!(said.contains("no filter was attached to eth7"), "{said}");
    let said = site.spamdrop(&["detach", "eth0"]).unwrap();
    assert_eq!(said, "eth0: filter removed\n");
    let shown = site.server.exec(["ip", "link", "show", "eth0"]).unwrap();
    assert!(!shown.contains("xdp"), "{shown}");
    // The maps stay.
    assert_eq!(site.listed().unwrap(), [""; 0]);
    site.spamdrop(&["detach"]).unwrap();
    fails(&site, &["attach", "eth7"], 1);
    assert!(
        !site
            .server
            .run(|| Path::new("/sys/fs/bpf/spamdrop").exists())
    );
}

/// A second BPF file system is mounted over the first.
#[test]
fn a_filter_whose_pins_are_hidden_is_told_from_a_foreign_program() {
    let site = attached("");
    site.server
        .exec(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"])
        .unwrap();
    let said = fails(&site, &["attach", "eth0"], 1);
    let (_, advice) = said.split_once("pins are hidden or gone").unwrap();
    let command = advice.split('`').nth(1).unwrap();
    assert!(command.starts_with("bpftool link detach id "), "{said}");
    let output = site.output(&["status"], b"").unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains(command), "{shown}");
    let said = fails(&site, &["detach", "eth0"], 3);
    assert!(said.contains(command), "{said}");
    site.server.exec(command.split(' ')).unwrap();
    let said = site.spamdrop(&["attach", "eth0"]).unwrap();
    assert!(said.starts_with("eth0: filter attached, native"), "{said}");
}

/// Containers that share /sys/fs/bpf: the other one's eth0 has the same index.
#[test]
fn the_link_of_another_namespace_is_not_taken_for_ours() {
    let site = attached("");
    site.spamdrop(&["add", "192.0.2.8"]).unwrap();
    let eth0 = || spamdrop::kernel::network::find("eth0").unwrap().unwrap();
    let index = site.server.run(eth0).index;
    let script = format!(
        "ip link add eth0 index {index} type veth peer name eth9 || exit 99; \
         for verb in 'attach eth0' run detach 'detach eth0' 'add 192.0.2.9' 'remove 192.0.2.8' \
         flush 'import list' 'allow add 192.0.2.9' 'known add 192.0.2.9' 'pause 10m' resume; do \
         timeout 9 {} --config {} $verb; echo \"code $?\"; done; ip link show eth0",
        env!("CARGO_BIN_EXE_spamdrop"),
        site.path("spamdrop.toml").display()
    );
    let mut command = site.server.command("unshare");
    command
        .args(["-n", "sh", "-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = site.server.spawn(&mut command).unwrap();
    let output = output.wait_with_output().unwrap();
    let (said, shown) = (stderr(&output), String::from_utf8(output.stdout).unwrap());
    assert_eq!(shown.matches("code 1\n").count(), 12, "{shown}{said}");
    let reason = "belongs to a spamdrop in another network namespace";
    assert_eq!(said.matches(reason).count(), 12, "{said}");
    assert!(!shown.contains("xdp"), "{shown}");
    // The filter of the site's own namespace is untouched.
    assert!(site.status(&[]).unwrap().contains("attached, native"));
    let listed = site.spamdrop(&["list"]).unwrap();
    assert!(
        listed.contains("192.0.2.8 ") && !listed.contains("192.0.2.9 "),
        "{listed}"
    );
    assert!(!site.path("allow").exists());
}

/// A container that is replaced takes its interface with it.
#[test]
fn the_pins_of_a_namespace_that_is_gone_are_taken_over() {
    let site = attached("");
    site.spamdrop(&["add", "192.0.2.9"]).unwrap();
    site.server.exec(["ip", "link", "delete", "eth0"]).unwrap();
    let script = format!(
        "ip link add eth0 type veth peer name eth9 && spamdrop() {{ {} --config {} $*; }}; \
         spamdrop attach eth0 && spamdrop list && spamdrop remove 192.0.2.9",
        env!("CARGO_BIN_EXE_spamdrop"),
        site.path("spamdrop.toml").display()
    );
    let said = site
        .server
        .exec(["unshare", "-n", "sh", "-c", &script])
        .unwrap();
    for part in ["eth0: filter attached, native", "192.0.2.9 ", "removed 1 "] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_time_namespace_with_an_offset_is_refused() {
    let site = attached("");
    let config = site.path("spamdrop.toml");
    for (offset, code) in [("86400", 1), ("0", 0)] {
        for verb in [
            &["attach", "eth0"][..],
            &["add", "100.64.0.9"],
            &["pause", "1m"],
        ] {
            let mut command = site.server.command("unshare");
            command
                .args(["--time", "--fork", "--monotonic", offset])
                .arg(env!("CARGO_BIN_EXE_spamdrop"))
                .arg("--config")
                .arg(&config)
                .args(verb)
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            let output = site.server.spawn(&mut command).unwrap();
            let output = output.wait_with_output().unwrap();
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(code), "{verb:?}: {said}");
            assert_eq!(said.contains("time namespace"), code == 1, "{said}");
        }
    }
}

#[test]
fn a_user_namespace_is_named() {
    let site = site("");
    let mut command = site.server.command("unshare");
    command
        .args(["--user", "--map-root-user"])
        .arg(env!("CARGO_BIN_EXE_spamdrop"))
        .arg("--config")
        .arg(site.path("spamdrop.toml"))
        .args(["attach", "eth0"])
        .stderr(Stdio::piped());
    let output = site.server.spawn(&mut command).unwrap().wait_with_output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("a user namespace"),
        "{}",
        stderr(&output)
    );
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
}

/// The daemon is killed; its last state says that all was well.
#[test]
fn the_health_line_begins_status_and_gives_its_exit_code() {
    let site = site("");
    fails(&site, &["status"], 3);
    let mut daemon = site.run().unwrap();
    let first = |code: i32| {
        let output = site.output(&["status"], b"").unwrap();
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(
            (output.status.code(), stderr(&output)),
            (Some(code), String::new()),
            "{text}"
        );
        text.lines().next().unwrap().to_owned()
    };
    let well = || Ok((first_line(&site) == "protecting eth0, port 25: 0 blocked").then_some(()));
    wait::until("the health line", Duration::from_secs(3), well).unwrap();
    first(0);
    daemon.signal(Signal::SIGSTOP).unwrap();
    let hangs = || {
        Ok(first_line(&site)
            .contains("has not been responding")
            .then_some(()))
    };
    wait::until("the daemon to be missed", Duration::from_secs(9), hangs).unwrap();
    assert!(first(1).starts_with("DEGRADED: the daemon has not been responding"));
    daemon.signal(Signal::SIGKILL).unwrap();
    daemon.exit_status(Duration::from_secs(2)).unwrap();
    let line = "DEGRADED: the daemon is not running, so nothing new is blocked; \
                start `spamdrop run` (protecting eth0, port 25: 0 blocked)";
    assert_eq!(first(1), line);
    site.spamdrop(&["detach"]).unwrap();
    assert!(first(3).starts_with("NOT PROTECTING: "));
}

fn first_line(site: &Site) -> String {
    let output = site.output(&["status"], b"").unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().next().unwrap_or_default().to_owned()
}
