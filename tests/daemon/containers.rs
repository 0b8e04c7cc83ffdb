//! A mail server in a container, behind DNAT.

use super::*;

fn site() -> (Site, Host) {
    let program = Path::new(env!("CARGO_BIN_EXE_spamdrop"));
    let (site, router) = Site::in_container(program).unwrap();
    site.blacklist("100.64.0.64/26").unwrap();
    site.configure("slots = 4").unwrap();
    (site, router)
}

/// The health line of a spamdrop on `host`.
fn health(host: &Host, config: &Path) -> String {
    let mut command = host.command(env!("CARGO_BIN_EXE_spamdrop"));
    command.arg("--config").arg(config).arg("status");
    command.stdout(Stdio::piped());
    let output = host
        .spawn(&mut command)
        .unwrap()
        .wait_with_output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn in_the_servers_namespace_everything_works() {
    let (site, _router) = site();
    let _daemon = site.run().unwrap();
    let _clients = [1, 2].map(|n| {
        let mut client = site.connect(&format!("100.64.1.{n}")).unwrap();
        assert_eq!(client.read_reply().unwrap().code, 220);
        client
    });
    let _zombie = refused(&site, ZOMBIE);
    until_status(&site, "/daemon/state/gate/open", 3);
    wait_for_state(&site, ZOMBIE, "sealed", GRACE + SOON);
    until_status(&site, "/daemon/state/gate/open", 2);
    wait_for_sessions(&site, 2, SOON);
    assert!(is_dropped(&site, ZOMBIE));
}

#[test]
fn outside_of_it_the_health_names_the_connections_that_are_not_seen() {
    let (site, router) = site();
    let config = site.path("spamdrop.toml");
    let args = ["--config", config.to_str().unwrap(), "run"];
    let env = [("RUST_LOG", "info")];
    let start = jiff::Timestamp::now();
    let daemon = Daemon::start(&router, env!("CARGO_BIN_EXE_spamdrop"), args, env).unwrap();
    daemon
        .wait_for(|line| line.contains("ready: "), Duration::from_secs(10))
        .unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    // At a boot, the mail server may start a little later.
    let line = health(&router, &config);
    assert!(line.starts_with("protecting "), "{line}");
    let reason = "nothing listens on port 25 in this network namespace, so the gate";
    let keeps = "nothing listens on the watched ports";
    let ports = "ports: nothing listens on port 25 in this network namespace; is the mail server";
    for text in [reason, keeps, ports] {
        let is_logged = |line: &str| line.contains("warning: ") && line.contains(text);
        let line = daemon.wait_for(is_logged, Duration::from_secs(75)).unwrap();
        // The stamp is in whole seconds.
        let (stamp, _) = line.split_once(' ').unwrap();
        let stamp: jiff::Timestamp = stamp.parse().unwrap();
        assert!(stamp.duration_since(start).as_secs() >= 59, "{line}");
    }
    until(reason, SOON, || {
        let line = health(&router, &config);
        Ok((line.starts_with("DEGRADED: ") && line.contains(reason)).then_some(()))
    })
    .unwrap();
    assert!(is_dropped(&site, ZOMBIE));
    let server = router.run(|| TcpListener::bind((SERVER4, 25)));
    let _server = server.unwrap();
    until("the health to recover", SOON, || {
        let line = health(&router, &config);
        Ok(line.starts_with("protecting ").then_some(()))
    })
    .unwrap();
}
