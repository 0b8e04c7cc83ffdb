//! Programs and links on real interfaces: modes, refusals, adoption,
//! replacement under traffic, removal.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use spamdrop::clock;
use spamdrop::kernel::attach::{Attached, Mode, Plan, attach, detach, linked};
use spamdrop::kernel::blocklist::Blocklist;
use spamdrop::kernel::blocklist::pins::Capacity;
use spamdrop::lock::WriteLock;
use spamdrop_common::counter::Counters;
use spamdrop_common::settings::Settings;
use spamdrop_core::term::Term;
use spamdrop_lab::client;
use spamdrop_lab::host::Host;
use spamdrop_lab::wire::{End, wire};

const PLAN: Plan = Plan {
    capacity: Capacity {
        v4: 8_192,
        v6: 4_096,
        known: 1_024,
    },
    mode: Mode::Auto,
    log_level: 0,
};
const WAIT: Duration = Duration::from_millis(300);

struct Pair {
    server: Host,
    client: Host,
    run_dir: tempfile::TempDir,
}

fn pin_dir() -> &'static Path {
    Path::new("/sys/fs/bpf/spamdrop")
}

impl Pair {
    fn new(mtu: u16) -> Self {
        let (server, client) = (Host::new("server").unwrap(), Host::new("client").unwrap());
        let end = |host, interface, addresses| End {
            host,
            interface,
            addresses,
        };
        let ours = end(&server, "eth0", &["198.51.100.25/24", "2001:db8::25/64"]);
        let theirs = end(
            &client,
            "eth1",
            &["198.51.100.1/24", "198.51.100.2/24", "2001:db8::1/64"],
        );
        wire(&ours, &theirs, mtu).unwrap();
        Self {
            server,
            client,
            run_dir: tempfile::tempdir().unwrap(),
        }
    }

    fn attach(&self, names: &[&str], mode: Mode) -> anyhow::Result<Vec<Attached>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let run_dir = self.run_dir.path().to_owned();
        self.server.run(move || {
            let turn = WriteLock::acquire(&run_dir)?;
            let (_, attached) = attach(&turn, pin_dir(), &names, Plan { mode, ..PLAN })?;
            Ok(attached)
        })
    }

    fn refused(&self, names: &[&str], mode: Mode) -> String {
        self.attach(names, mode).unwrap_err().to_string()
    }

    fn detach(&self) {
        let run_dir = self.run_dir.path().to_owned();
        self.server
            .run(move || detach(&WriteLock::acquire(&run_dir).unwrap(), pin_dir()).unwrap());
    }

    fn pins(&self) -> Vec<String> {
        self.server.run(|| {
            let entries = std::fs::read_dir("/sys/fs/bpf").unwrap();
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                // The kernel's own.
                .filter(|name| name != "maps.debug" && name != "progs.debug")
                .collect()
        })
    }

    fn list(&self) -> Blocklist {
        self.server.run(|| Blocklist::open(pin_dir()).unwrap())
    }

    /// Lists the client's first address and watches port 25.
    fn block(&self) {
        let turn = WriteLock::acquire(self.run_dir.path()).unwrap();
        let mut list = self.list();
        let settings = Settings {
            ports: [25, 0, 0, 0, 0, 0, 0, 0],
            ..Settings::default()
        };
        list.configure(&turn, settings).unwrap();
        let term = Term {
            start: clock::monotonic_ns(),
            ttl_s: 600,
            slides: true,
            hard_limit_s: 0,
        };
        list.add(&turn, &[("198.51.100.1".parse().unwrap(), true)], term)
            .unwrap();
    }

    fn dropped(&self, source: &str) -> bool {
        let dest: SocketAddr = "198.51.100.25:25".parse().unwrap();
        client::syn_dropped(
            &self.client,
            Some(source.parse::<IpAddr>().unwrap()),
            dest,
            WAIT,
        )
        .unwrap()
    }
}

#[test]
fn native_where_it_can_be_and_nothing_is_left_after_detach() {
    let pair = Pair::new(1500);
    let attached = pair.attach(&["eth0"], Mode::Auto).unwrap();
    assert!(attached[0].interface.xdp.unwrap().native && !attached[0].replaced);
    pair.block();
    assert!(pair.dropped("198.51.100.1"));
    assert!(!pair.dropped("198.51.100.2"));
    pair.detach();
    assert!(!pair.dropped("198.51.100.1"));
    assert_eq!(pair.pins(), Vec::<String>::new());
    let xdp = pair
        .server
        .exec(["ip", "-d", "link", "show", "eth0"])
        .unwrap();
    assert!(!xdp.contains("prog/xdp"), "{xdp}");
}

#[test]
fn jumbo_frames_stay_native() {
    let pair = Pair::new(9000);
    let attached = pair.attach(&["eth0"], Mode::Native).unwrap();
    assert!(attached[0].interface.xdp.unwrap().native);
}

#[test]
fn auto_falls_back_to_generic_and_native_says_why_not() {
    let pair = Pair::new(1500);
    // A bridge has no native XDP; a dot is not allowed in a pin's name.
    pair.server
        .exec(["ip", "link", "add", "br.100", "type", "bridge"])
        .unwrap();
    let refusal = pair.refused(&["br.100"], Mode::Native);
    assert!(
        refusal.contains("Underlying driver does not support XDP in native mode"),
        "{refusal}"
    );
    assert_eq!(pair.pins(), Vec::<String>::new());
    let attached = pair.attach(&["br.100"], Mode::Auto).unwrap();
    assert!(!attached[0].interface.xdp.unwrap().native);
    let linked = pair.server.run(|| linked(pin_dir()).unwrap());
    assert_eq!(linked[0].name, "br.100");
    assert_eq!(linked[0].interface.as_ref().unwrap().name, "br.100");
}

/// The peer has more queues to send than the interface has to receive, as in
/// many containers.
#[test]
fn queues_that_do_not_fit_are_generic() {
    let pair = Pair::new(1500);
    pair.server
        .exec(
            "ip link add eth1 numrxqueues 1 numtxqueues 1 type veth peer name eth2 \
             numrxqueues 2 numtxqueues 2"
                .split_whitespace(),
        )
        .unwrap();
    let refusal = pair.refused(&["eth1"], Mode::Native);
    for part in ["eth1 refuses native XDP", "os error 28", "rx queues"] {
        assert!(refusal.contains(part), "{refusal}");
    }
    let left = |name: &'static str| {
        let found = move || spamdrop::kernel::network::find(name).unwrap().unwrap().xdp;
        pair.server.run(found)
    };
    assert_eq!(left("eth1"), None);
    let attached = pair.attach(&["eth1"], Mode::Auto).unwrap();
    assert!(!attached[0].interface.xdp.unwrap().native);
}

#[test]
fn refusals_change_nothing() {
    let pair = Pair::new(1500);
    let refusal = pair.refused(&["eth7"], Mode::Auto);
    assert!(refusal.contains("no interface `eth7`"), "{refusal}");
    assert_eq!(pair.pins(), Vec::<String>::new());

    // A foreign program, attached by another pin directory's link.
    let foreign = || {
        std::fs::create_dir("/sys/fs/bpf/foreign").unwrap();
        let turn = WriteLock::acquire(Path::new("/run/foreign")).unwrap();
        let (_, attached) = attach(
            &turn,
            Path::new("/sys/fs/bpf/foreign"),
            &["eth0".into()],
            PLAN,
        )
        .unwrap();
        attached[0].interface.xdp.unwrap()
    };
    let foreign = pair.server.run(foreign);
    for mode in [Mode::Auto, Mode::Native, Mode::Generic] {
        let refusal = pair.refused(&["lo", "eth0"], mode);
        if mode != Mode::Native {
            let id = format!("(id {})", foreign.program_id);
            assert!(
                refusal.contains("eth0 already has an XDP program") && refusal.contains(&id),
                "{refusal}"
            );
        }
        assert_eq!(pair.pins(), ["foreign"]);
    }
    let now = pair
        .server
        .run(|| spamdrop::kernel::network::find("eth0").unwrap().unwrap());
    assert_eq!(now.xdp, Some(foreign));
    let lo = pair
        .server
        .run(|| spamdrop::kernel::network::find("lo").unwrap().unwrap());
    assert_eq!(lo.xdp, None);
}

#[test]
fn no_bpf_file_system() {
    let pair = Pair::new(1500);
    let run_dir = pair.run_dir.path().to_owned();
    let error = pair.server.run(move || {
        let turn = WriteLock::acquire(&run_dir).unwrap();
        attach(
            &turn,
            Path::new("/run/spamdrop-pins"),
            &["eth0".into()],
            PLAN,
        )
        .map(drop)
        .unwrap_err()
    });
    assert!(
        error
            .to_string()
            .contains("/run is not a BPF file system; mount one"),
        "{error}"
    );
}

/// The link stays the same, its program changes, and the maps go on.
#[test]
fn what_is_pinned_is_adopted() {
    let pair = Pair::new(1500);
    let first = pair.attach(&["eth0"], Mode::Auto).unwrap();
    pair.block();
    let second = pair.attach(&["eth0"], Mode::Auto).unwrap();
    assert!(second[0].replaced);
    let ids = [&first, &second].map(|attached| attached[0].interface.xdp.unwrap().program_id);
    assert_ne!(ids[0], ids[1]);
    assert!(pair.dropped("198.51.100.1"));
    // The interface is made anew: its old link is dead, and makes way.
    pair.server.exec(["ip", "link", "delete", "eth0"]).unwrap();
    let linked = pair.server.run(|| linked(pin_dir()).unwrap());
    assert_eq!(linked[0].interface, None);
    pair.server
        .exec([
            "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9",
        ])
        .unwrap();
    let third = pair.attach(&["eth0"], Mode::Auto).unwrap();
    assert!(!third[0].replaced);
}

fn passed(counters: &Counters) -> u64 {
    counters.not_blocked
}

/// 100 replacements while a listed and a clean source knock: no listed SYN
/// reaches the stack, no other is dropped.
#[test]
fn replacements_under_traffic_leak_nothing() {
    let pair = Pair::new(1500);
    pair.attach(&["eth0"], Mode::Auto).unwrap();
    pair.block();
    let knocking = Arc::new(AtomicBool::new(true));
    let knock = |source: &str| {
        let (source, knocking) = (source.to_owned(), Arc::clone(&knocking));
        // Raw SYNs by the kernel itself: each connect sends one and is given up.
        let dest: SocketAddr = "198.51.100.25:25".parse().unwrap();
        let mut sockets = 0u64;
        pair.client.run(move || {
            std::thread::spawn(move || {
                while knocking.load(Ordering::Relaxed) {
                    let socket =
                        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
                            .unwrap();
                    socket.set_nonblocking(true).unwrap();
                    socket
                        .bind(&SocketAddr::new(source.parse().unwrap(), 0).into())
                        .unwrap();
                    let _ = socket.connect(&dest.into());
                    sockets += 1;
                }
                sockets
            })
        })
    };
    let (listed, clean) = (knock("198.51.100.1"), knock("198.51.100.2"));
    let before = pair.list().counters().unwrap();
    for _ in 0..100 {
        assert!(pair.attach(&["eth0"], Mode::Auto).unwrap()[0].replaced);
    }
    knocking.store(false, Ordering::Relaxed);
    let (listed, clean) = (listed.join().unwrap(), clean.join().unwrap());
    let after = pair.list().counters().unwrap();
    let stack = syns_received(&pair);
    let dropped = after.sealed_dropped - before.sealed_dropped;
    assert!(
        dropped > 1_000 && listed > 1_000 && clean > 1_000,
        "{dropped} {listed} {clean}"
    );
    // Every SYN that the stack saw was counted as one of a clean source.
    assert_eq!(stack, passed(&after), "SYNs in the stack, and let through");
    // No clean SYN is lost on a veth, so all of them are among these.
    assert!(stack >= clean, "{stack} of {clean} clean SYNs arrived");
}

/// SYNs that reached the server's TCP: nobody listens, so each was answered
/// by a reset.
fn syns_received(pair: &Pair) -> u64 {
    let mut command = pair.server.command("cat");
    command
        .arg("/proc/thread-self/net/snmp")
        .stdout(Stdio::piped());
    let output = pair
        .server
        .spawn(&mut command)
        .unwrap()
        .wait_with_output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let position = names.split(' ').position(|name| name == "OutRsts").unwrap();
    values.split(' ').nth(position).unwrap().parse().unwrap()
}
