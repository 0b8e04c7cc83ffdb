//! Interfaces that are absent, appear, vanish, are renamed, moved and taken out
//! of the configuration while the daemon runs.

use super::*;

/// Writes the interfaces to the configuration.
pub(super) fn configure(site: &Site, interfaces: &str) {
    let path = site.path("spamdrop.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let rest = text.split_once('\n').unwrap().1;
    std::fs::write(&path, format!("interfaces = [{interfaces}]\n{rest}")).unwrap();
}

fn reload(site: &Site, daemon: &mut Daemon, interfaces: &str) {
    configure(site, interfaces);
    daemon.signal(Signal::SIGHUP).unwrap();
    daemon
        .wait_for(|line| line.contains("configuration read again"), SOON)
        .unwrap();
}

pub(super) fn ip(site: &Site, args: &str) {
    let args = ["ip"].into_iter().chain(args.split_whitespace());
    site.server.exec(args).unwrap();
}

/// A veth with this name; its peer has a name that is not configured.
fn add(site: &Site, name: &str) {
    ip(
        site,
        &format!("link add {name} type veth peer name {name}p"),
    );
}

fn has_xdp(site: &Site, name: &str) -> bool {
    let shown = site.server.exec(["ip", "link", "show", "dev", name]);
    shown.is_ok_and(|shown| shown.contains("prog/xdp"))
}

/// Waits until an interface has the filter, and returns how long that took.
fn until_filtered(site: &Site, name: &str) -> Duration {
    let start = Instant::now();
    until(&format!("{name} to have the filter"), SOON, || {
        Ok(has_xdp(site, name).then_some(()))
    })
    .unwrap();
    start.elapsed()
}

/// The states in `status`, such as `eth0 native`.
pub(super) fn states(site: &Site) -> Vec<String> {
    let output = site.output(&["status", "--json"], b"").unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let interfaces = status["interfaces"].as_array().unwrap().iter();
    interfaces
        .map(|one| format!("{} {}", one["name"], one["state"]).replace('"', ""))
        .collect()
}

/// The problems in `status`, once there are this many.
fn until_warnings(site: &Site, count: usize) -> Vec<String> {
    until(&format!("{count} warnings"), SOON, || {
        let output = site.output(&["status", "--json"], b"")?;
        let status: Value = serde_json::from_slice(&output.stdout)?;
        let texts = status["daemon"]["state"]["warnings"].as_array();
        let texts = texts.map_or_else(Vec::new, |texts| {
            texts.iter().map(ToString::to_string).collect()
        });
        Ok((texts.len() == count).then_some(texts))
    })
    .unwrap()
}

#[test]
fn one_that_is_absent_keeps_the_filter_off_no_other() {
    let site = site(|_| {});
    configure(&site, "\"eth7\", \"eth0\", \"eth8\"");
    let _daemon = site.run().unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    assert!(is_dropped(&site, ZOMBIE));
    let warnings = until_warnings(&site, 2);
    assert!(warnings[0].contains("no interface `eth7`"), "{warnings:?}");
    assert_eq!(states(&site), ["eth0 native", "eth7 absent", "eth8 absent"]);
    add(&site, "eth8");
    // The daemon must notice a new interface at once, not by a check each second.
    let times: Vec<_> = (0..5)
        .map(|_| {
            let time = until_filtered(&site, "eth8");
            ip(&site, "link delete eth8");
            add(&site, "eth8");
            time
        })
        .collect();
    // A check each second would find most of them later.
    let fast = times.iter().filter(|time| time.as_millis() < 800).count();
    assert!(fast >= 3, "{times:?}");
    until_filtered(&site, "eth8");
    until_warnings(&site, 1);
    // Both vanish, and one returns.
    ip(&site, "link delete eth8");
    ip(&site, "link delete eth0");
    until_warnings(&site, 3);
    add(&site, "eth0");
    until_filtered(&site, "eth0");
    until_warnings(&site, 2);
}

#[test]
fn without_any_interface_it_waits() {
    let site = site(|_| {});
    configure(&site, "\"eth7\"");
    let mut daemon = site.run().unwrap();
    assert!(daemon.output().contains("ready: not protecting"));
    let output = site.output(&["status"], b"").unwrap();
    assert_eq!(output.status.code(), Some(3));
    site.log(&rejection(ZOMBIE)).unwrap();
    until("the entry", SOON, || Ok(entry(&site, ZOMBIE))).unwrap();
    add(&site, "eth7");
    until_filtered(&site, "eth7");
    until_warnings(&site, 0);
    assert!(stopped_cleanly(&mut daemon).success());
}

#[test]
fn an_absent_interface_does_not_spoil_a_reload() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    site.configure("ports = [26]").unwrap();
    reload(&site, &mut daemon, "\"eth0\", \"eth7\"");
    until_status(&site, "/ports/0", 26);
    assert!(!is_dropped(&site, ZOMBIE));
    until_warnings(&site, 1);
    assert_eq!(states(&site), ["eth0 native", "eth7 absent"]);
    // eth7 leaves the configuration, so its warning ends.
    reload(&site, &mut daemon, "\"eth0\"");
    until_warnings(&site, 0);
}

#[test]
fn the_filter_follows_the_name() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    ip(&site, "link set eth0 down");
    ip(&site, "link set eth0 name lan0");
    let told = |line: &str| line.contains("filter for eth0: the interface is named lan0 now");
    daemon.wait_for(told, SOON).unwrap();
    assert!(!has_xdp(&site, "lan0"));
    assert_eq!(until_warnings(&site, 1).len(), 1);
    add(&site, "eth0");
    until_filtered(&site, "eth0");
    // The old card gets its name back.
    ip(&site, "link delete eth0");
    ip(&site, "link set lan0 name eth0");
    until_filtered(&site, "eth0");
    until_warnings(&site, 0);
    // The card moves to another namespace, where no filter is configured.
    ip(
        &site,
        &format!("link set eth0 netns {} name eth5", site.world.tid()),
    );
    let told = |line: &str| line.contains("the interface is in another network namespace now");
    daemon.wait_for(told, SOON).unwrap();
    let there = site.world.exec(["ip", "link", "show", "eth5"]).unwrap();
    assert!(!there.contains("prog/xdp"), "{there}");
    assert_eq!(states(&site), ["eth0 absent"]);
}

#[test]
fn an_interface_that_leaves_the_configuration_is_detached() {
    let site = site(|_| {});
    add(&site, "eth1");
    configure(&site, "\"eth0\", \"eth1\"");
    let mut daemon = site.run().unwrap();
    assert_eq!(states(&site), ["eth0 native", "eth1 native"]);
    let told = |line: &str| line.contains("filter for eth1: eth1 is not in the configuration");
    reload(&site, &mut daemon, "\"eth0\"");
    daemon.wait_for(told, SOON).unwrap();
    assert_eq!(states(&site), ["eth0 native"]);
    assert!(!has_xdp(&site, "eth1"));
    reload(&site, &mut daemon, "\"eth0\", \"eth1\"");
    until_filtered(&site, "eth1");
    // `detach` refuses an interface that the daemon's configuration names.
    let output = site.output(&["detach", "eth1"], b"").unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stopped_cleanly(&mut daemon).success());
    // A daemon that starts also detaches the filter from eth1.
    configure(&site, "\"eth0\"");
    let daemon = site.run().unwrap();
    daemon.wait_for(told, SOON).unwrap();
    assert!(!has_xdp(&site, "eth1") && has_xdp(&site, "eth0"));
}

#[test]
fn another_name_of_an_interface_takes_its_filter_over() {
    let site = site(|_| {});
    add(&site, "eth1");
    ip(&site, "link property add dev eth1 altname card1");
    configure(&site, "\"eth0\", \"card1\"");
    let mut daemon = site.run().unwrap();
    assert!(has_xdp(&site, "eth1"));
    reload(&site, &mut daemon, "\"eth0\", \"eth1\"");
    let told = |line: &str| line.contains("filter for card1: eth1 is the same interface");
    daemon.wait_for(told, SOON).unwrap();
    assert!(has_xdp(&site, "eth1"));
}

#[test]
fn interfaces_with_the_same_packets_are_refused() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    ip(&site, "link add br0 type bridge");
    ip(&site, "link set eth0 master br0");
    configure(&site, "\"br0\", \"eth0\"");
    let checked = site.output(&["config", "check", "--offline"], b"").unwrap();
    let said = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.status.code(), Some(78), "{said}");
    let reason = "eth0 and br0 carry the same packets";
    assert!(said.contains(reason), "{said}");
    daemon.signal(Signal::SIGHUP).unwrap();
    let told = |line: &str| line.contains("configuration is unchanged") && line.contains(reason);
    daemon.wait_for(told, SOON).unwrap();
    // `attach` refuses br0, because eth0 has the filter.
    let output = site.output(&["attach", "br0"], b"").unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stopped_cleanly(&mut daemon).success());
    // `run` must end by itself. It is started with a time limit, because a `run` that
    // does not end would be waited for without one.
    let config = site.path("spamdrop.toml");
    let args = ["--config", config.to_str().unwrap(), "run"];
    let program = env!("CARGO_BIN_EXE_spamdrop");
    let mut refused = Daemon::start(&site.server, program, args, [("RUST_LOG", "info")]).unwrap();
    let code = refused.exit_status(SOON).unwrap().code();
    assert_eq!(code, Some(78), "{}", refused.output());
    // The daemon warns when eth0 becomes a part of br0 later.
    ip(&site, "link set eth0 nomaster");
    let _daemon = site.run().unwrap();
    assert_eq!(states(&site), ["br0 generic", "eth0 native"]);
    ip(&site, "link set eth0 master br0");
    for warning in until_warnings(&site, 2) {
        assert!(warning.contains(reason), "{warning}");
    }
    ip(&site, "link set eth0 nomaster");
    until_warnings(&site, 0);
}
