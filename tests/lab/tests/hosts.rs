//! Hosts, wires and the programs on them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use spamdrop_lab::client::{socket, syn_dropped};
use spamdrop_lab::wait::until;
use spamdrop_lab::{Daemon, End, Host, Signal, many_sources, private_tmpfs, wire};

const SECOND: Duration = Duration::from_secs(1);
const NO_ENV: [(&str, &str); 0] = [];

/// Connects two hosts: `mx` at 192.0.2.1 and 2001:db8::1, `bots` at 192.0.2.2
/// and 2001:db8::2.
fn pair() -> (Host, Host) {
    let (mx, bots) = (Host::new("mx").unwrap(), Host::new("bots").unwrap());
    let mx_end = End {
        host: &mx,
        interface: "eth-mx",
        addresses: &["192.0.2.1/24", "2001:db8::1/64"],
    };
    let bots_end = End {
        host: &bots,
        interface: "eth-bots",
        addresses: &["192.0.2.2/24", "2001:db8::2/64"],
    };
    wire(&mx_end, &bots_end, 9000).unwrap();
    (mx, bots)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn listen(host: &Host) -> TcpListener {
    host.run(|| TcpListener::bind("[::]:25")).unwrap()
}

#[test]
fn a_private_tmpfs_is_shared_with_hosts_and_with_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mail.log");
    let inside = {
        let (directory, path) = (directory.path().to_owned(), path.clone());
        move || {
            private_tmpfs(&directory).unwrap();
            let host = Host::new("mx").unwrap();
            fs::write(&path, "from outside the host").unwrap();
            let cat = host.exec([OsStr::new("cat"), path.as_os_str()]).unwrap();
            assert_eq!(cat, "from outside the host");
            let from_host = path.with_file_name("from-host");
            let written = from_host.clone();
            host.run(move || fs::write(written, "").unwrap());
            assert!(from_host.exists());
        }
    };
    std::thread::spawn(inside).join().unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn hosts_reach_each_other_from_any_source() {
    let (mx, bots) = pair();
    many_sources(&bots, &mx, "100.64.0.0/10", ip("192.0.2.2")).unwrap();
    many_sources(&bots, &mx, "2001:db8:64::/48", ip("2001:db8::2")).unwrap();
    let listener = listen(&mx);
    // The first connection of each address family also tests neighbour
    // discovery.
    for (source, dest, seen) in [
        (Some("100.127.255.254"), "192.0.2.1:25", "100.127.255.254"),
        (
            Some("2001:db8:64:ffff::9"),
            "[2001:db8::1]:25",
            "2001:db8:64:ffff::9",
        ),
        (None, "192.0.2.1:25", "192.0.2.2"),
        (None, "[2001:db8::1]:25", "2001:db8::2"),
    ] {
        let dest: SocketAddr = dest.parse().unwrap();
        let socket = socket(&bots, source.map(ip), dest).unwrap();
        socket.connect_timeout(&dest.into(), SECOND).unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip().to_canonical(), ip(seen));
    }
}

#[test]
fn wires_have_the_mtu_and_sysfs_shows_the_hosts_own_interfaces() {
    let (mx, bots) = pair();
    for (host, interface) in [(&mx, "eth-mx"), (&bots, "eth-bots")] {
        let mtu = format!("/sys/class/net/{interface}/mtu");
        let mtu = host.run(move || fs::read_to_string(mtu).unwrap());
        assert_eq!(mtu, "9000\n");
        let mut interfaces: Vec<_> = host.run(|| {
            fs::read_dir("/sys/class/net")
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect()
        });
        interfaces.sort();
        assert_eq!(interfaces, [interface, "lo"]);
    }
}

#[test]
fn each_host_has_a_bpffs_of_its_own() {
    let (mx, bots) = pair();
    let directory = "/sys/fs/bpf/spamdrop";
    mx.run(move || fs::create_dir(directory).unwrap());
    assert!(mx.run(move || fs::exists(directory).unwrap()));
    assert!(!bots.run(move || fs::exists(directory).unwrap()));
    assert!(!fs::exists(directory).unwrap());
}

#[test]
fn a_missing_answer_is_told_from_a_refusal() {
    let (mx, bots) = pair();
    let dest = SocketAddr::new(ip("192.0.2.1"), 25);
    let wait = Duration::from_millis(300);
    let dropped = || syn_dropped(&bots, None, dest, wait);
    assert!(!dropped().unwrap(), "nobody listens: RST");
    let _listener = listen(&mx);
    assert!(!dropped().unwrap(), "somebody listens: SYN-ACK");
    // The listener's SYN-ACK has no route back.
    mx.exec(["ip", "route", "add", "blackhole", "192.0.2.2"])
        .unwrap();
    assert!(dropped().unwrap());
    let nowhere = SocketAddr::new(ip("203.0.113.1"), 25);
    let error = syn_dropped(&bots, None, nowhere, wait).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
}

#[test]
fn panics_and_failures_reach_the_caller() {
    let host = Host::new("mx").unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        host.run(|| panic!("the closure's own words"));
    }))
    .unwrap_err();
    assert_eq!(
        panic.downcast_ref::<&str>(),
        Some(&"the closure's own words")
    );
    assert_eq!(host.run(|| 42), 42, "the host survives it");

    assert_eq!(host.exec(["echo", "yes"]).unwrap(), "yes\n");
    let error = host.exec(["ip", "link", "show", "eth7"]).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("\"eth7\" does not exist"), "{error}");
    assert!(host.exec(["lab-no-such-program"]).is_err());
}

#[test]
fn a_daemons_lines_and_end_are_events() {
    let host = Host::new("mx").unwrap();
    let script = "echo out $WORD; echo err >&2; echo err >&2; exec sleep 60";
    let mut daemon = Daemon::start(&host, "sh", ["-c", script], [("WORD", "w")]).unwrap();
    let line = |word: &'static str| move |line: &str| line.starts_with(word);
    let wait = 5 * SECOND;
    assert_eq!(daemon.wait_for(line("err"), wait).unwrap(), "err");
    assert_eq!(daemon.wait_for(line("out"), wait).unwrap(), "out w");
    assert_eq!(daemon.wait_for(line("err"), wait).unwrap(), "err");
    let short = Duration::from_millis(100);
    let error = daemon.wait_for(line("err"), short).unwrap_err().to_string();
    assert!(error.contains("the timeout"), "{error}");
    assert!(error.contains("out w\nerr\nerr"), "{error}");
    assert!(daemon.exit_status(short).is_err());

    daemon.signal(Signal::SIGTERM).unwrap();
    let status = daemon.exit_status(wait).unwrap();
    assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
    let error = daemon.signal(Signal::SIGTERM).unwrap_err().to_string();
    assert!(error.contains("the process ended"), "{error}");
    let error = daemon.wait_for(line("err"), wait).unwrap_err().to_string();
    assert!(error.contains("its end"), "{error}");

    let mut missing = Daemon::start(&host, "lab-no-such-program", [""; 0], NO_ENV).unwrap();
    assert_eq!(missing.exit_status(wait).unwrap().code(), Some(127));
}

#[test]
fn the_end_of_a_host_kills_its_children() {
    let host = Host::new("mx").unwrap();
    let mut daemon = Daemon::start(&host, "sleep", ["60"], NO_ENV).unwrap();
    // setpriv sets the parent-death signal before it executes `sleep`, so the
    // name `sleep` shows that the signal is set.
    let comm = format!("/proc/{}/comm", daemon.pid());
    let sleeps = || Ok((fs::read_to_string(&comm)? == "sleep\n").then_some(()));
    until("setpriv to start sleep", SECOND, sleeps).unwrap();
    drop(host);
    let status = daemon.exit_status(5 * SECOND).unwrap();
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
}
