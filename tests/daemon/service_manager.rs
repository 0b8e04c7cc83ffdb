//! The daemon tells systemd about itself.

use std::os::unix::net::UnixDatagram;

use super::*;

/// Receives until a message has this line.
fn receive(socket: &UnixDatagram, wanted: &str) -> String {
    let mut buffer = [0; 4_096];
    loop {
        let length = socket.recv(&mut buffer).unwrap();
        let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if message.lines().any(|line| line == wanted) {
            return message;
        }
    }
}

#[test]
fn systemd_is_told_of_start_reload_and_end() {
    let site = site(|_| {});
    let path = site.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(GRACE + SOON)).unwrap();
    let config = site.path("spamdrop.toml");
    let args = ["--config".as_ref(), config.as_os_str(), "run".as_ref()];
    let env = [
        ("RUST_LOG", "spamdrop=debug".as_ref()),
        ("NOTIFY_SOCKET", path.as_os_str()),
    ];
    let mut daemon =
        Daemon::start(&site.server, env!("CARGO_BIN_EXE_spamdrop"), args, env).unwrap();
    let ready = receive(&socket, "READY=1");
    assert!(
        ready.contains("STATUS=filter on eth0 (native), watching "),
        "{ready}"
    );
    // By then, the filter is attached.
    assert!(site.status(&[]).unwrap().contains("attached, native"));
    for _ in 0..2 {
        receive(&socket, "WATCHDOG=1");
    }
    daemon.signal(Signal::SIGHUP).unwrap();
    receive(&socket, "RELOADING=1");
    let ready = receive(&socket, "READY=1");
    assert!(ready.contains("STATUS=configuration read again"), "{ready}");
    std::fs::write(&config, "interfaces = 7\nlogs = []\n").unwrap();
    daemon.signal(Signal::SIGHUP).unwrap();
    receive(&socket, "RELOADING=1");
    let ready = receive(&socket, "READY=1");
    assert!(
        ready.contains("STATUS=the configuration is unchanged: "),
        "{ready}"
    );
    daemon.signal(Signal::SIGTERM).unwrap();
    receive(&socket, "STOPPING=1");
    assert!(daemon.exit_status(SOON).unwrap().success());
}
