//! Programs and links on real interfaces: modes, refusals, adoption,
//! replacement under traffic, removal.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod link_type;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use spamdrop::clock;
use spamdrop::kernel::attach::{AttachMode, Attached, LinkPlace, Plan, attach, detach, linked};
use spamdrop::kernel::blocklist::Blocklist;
use spamdrop::kernel::blocklist::pins::Capacity;
use spamdrop::kernel::network::{self, Framing, Xdp};
use spamdrop::lock::WriteLock;
use spamdrop_common::counter::Counters;
use spamdrop_common::entry::SEALED;
use spamdrop_common::settings::Settings;
use spamdrop_core::owners::{OwnerBit, OwnerMask};
use spamdrop_core::term::Term;
use spamdrop_lab::client;
use spamdrop_lab::host::Host;
use spamdrop_lab::interfaces::ensure_true;
use spamdrop_lab::wire::{End, wire};

const PLAN: Plan = Plan {
    capacity: Capacity {
        v4: 8_192,
        v6: 4_096,
        known: 1_024,
    },
    mode: AttachMode::Auto,
    log_level: 0,
};
const WAIT: Duration = Duration::from_millis(300);

struct Pair {
    server: Host,
    client: Host,
    run_dir: tempfile::TempDir,
}

/// How the filter is attached, in the words of docs/interfaces.md.
fn hook(attached: &Attached) -> &'static str {
    match attached.interface.xdp.unwrap().native {
        true => "native",
        false => "generic",
    }
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

    fn attach(&self, names: &[&str], mode: AttachMode) -> anyhow::Result<Vec<Attached>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let run_dir = self.run_dir.path().to_owned();
        self.server.run(move || {
            let turn = WriteLock::acquire(&run_dir)?;
            let mut attachment = attach(&turn, pin_dir(), &names, Plan { mode, ..PLAN })?;
            match attachment.refused.pop() {
                Some(refused) => Err(refused.error),
                None => Ok(attachment.attached),
            }
        })
    }

    /// The name of each pinned link, and the place of its interface.
    fn links(&self) -> Vec<(String, LinkPlace)> {
        let linked = self.server.run(|| linked(pin_dir()).unwrap());
        let links = linked.into_iter();
        links.map(|link| (link.name, link.place)).collect()
    }

    fn xdp(&self, name: &'static str) -> Option<Xdp> {
        let found = move || network::find(name).unwrap().unwrap().xdp;
        self.server.run(found)
    }

    fn ip(&self, args: &str) {
        let args = ["ip"].into_iter().chain(args.split_whitespace());
        self.server.exec(args).unwrap();
    }

    fn refused(&self, names: &[&str], mode: AttachMode) -> String {
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
                // The kernel itself makes these two files.
                .filter(|name| name != "maps.debug" && name != "progs.debug")
                .collect()
        })
    }

    fn list(&self) -> Blocklist {
        self.server.run(|| Blocklist::open(pin_dir()).unwrap())
    }

    /// Blocks the client's first address and watches port 25.
    fn block(&self) {
        self.watch_port_25();
        self.add("198.51.100.1");
    }

    fn watch_port_25(&self) {
        let turn = WriteLock::acquire(self.run_dir.path()).unwrap();
        let settings = Settings {
            ports: [25, 0, 0, 0, 0, 0, 0, 0],
            ..Settings::default()
        };
        self.list().configure(&turn, settings).unwrap();
    }

    fn add(&self, addr: &str) {
        let turn = WriteLock::acquire(self.run_dir.path()).unwrap();
        let term = Term {
            start: clock::monotonic_ns(),
            ttl_s: 600,
            slides: true,
            hard_limit_s: 0,
        };
        let entry = OwnerMask::from(OwnerBit::HAND).of_entry(term.entry(SEALED));
        let target = addr.parse().unwrap();
        self.list().put_all(&turn, [(target, entry)]).unwrap();
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
    let attached = pair.attach(&["eth0"], AttachMode::Auto).unwrap();
    assert!(!attached[0].replaced);
    pair.block();
    assert!(pair.dropped("198.51.100.1"));
    assert!(!pair.dropped("198.51.100.2"));
    ensure_true("veth", hook(&attached[0]), "dropped").unwrap();
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
    let attached = pair.attach(&["eth0"], AttachMode::Native).unwrap();
    assert!(attached[0].interface.xdp.unwrap().native);
}

#[test]
fn auto_falls_back_to_generic_and_native_says_why_not() {
    let pair = Pair::new(1500);
    // A bridge has no native XDP. A pin's name must not contain the dot of this name.
    pair.server
        .exec(["ip", "link", "add", "br.100", "type", "bridge"])
        .unwrap();
    let refusal = pair.refused(&["br.100"], AttachMode::Native);
    assert!(
        refusal.contains("Underlying driver does not support XDP in native mode"),
        "{refusal}"
    );
    assert_eq!(pair.links(), []);
    let attached = pair.attach(&["br.100"], AttachMode::Auto).unwrap();
    ensure_true("bridge", hook(&attached[0]), "dropped").unwrap();
    let linked = pair.server.run(|| linked(pin_dir()).unwrap());
    assert_eq!(linked[0].name, "br.100");
    assert_eq!(linked[0].interface().unwrap().name, "br.100");
}

/// The peer has more queues to send than the interface has to receive, as in
/// many containers.
#[test]
fn queues_that_do_not_fit_are_generic() {
    let pair = Pair::new(1500);
    pair.ip(
        "link add eth1 numrxqueues 1 numtxqueues 1 type veth peer name eth2 \
         numrxqueues 2 numtxqueues 2",
    );
    let refusal = pair.refused(&["eth1"], AttachMode::Native);
    for part in ["eth1 refuses native XDP", "os error 28", "rx queues"] {
        assert!(refusal.contains(part), "{refusal}");
    }
    assert_eq!(pair.xdp("eth1"), None);
    let attached = pair.attach(&["eth1"], AttachMode::Auto).unwrap();
    let row = "veth whose peer has more queues";
    ensure_true(row, hook(&attached[0]), "dropped").unwrap();
}

/// Attaches a filter through a link in another pin directory, so that it is foreign to
/// [`pin_dir`].
fn foreign(pair: &Pair) -> Xdp {
    pair.server.run(|| {
        let dir = Path::new("/sys/fs/bpf/foreign");
        std::fs::create_dir(dir).unwrap();
        let turn = WriteLock::acquire(Path::new("/run/foreign")).unwrap();
        let attachment = attach(&turn, dir, &["eth0".into()], PLAN).unwrap();
        attachment.attached[0].interface.xdp.unwrap()
    })
}

/// One interface is missing, one has a foreign program.
#[test]
fn refusals_keep_no_other_interface_unprotected() {
    let pair = Pair::new(1500);
    let foreign = foreign(&pair);
    for mode in [AttachMode::Auto, AttachMode::Native, AttachMode::Generic] {
        let run_dir = pair.run_dir.path().to_owned();
        let attachment = pair.server.run(move || {
            let turn = WriteLock::acquire(&run_dir).unwrap();
            let names = ["eth7", "eth0", "eth1"].map(String::from);
            let created = std::process::Command::new("ip")
                .args([
                    "link", "add", "eth1", "type", "veth", "peer", "name", "eth2",
                ])
                .status();
            assert!(created.unwrap().success());
            attach(&turn, pin_dir(), &names, Plan { mode, ..PLAN }).unwrap()
        });
        let refused = attachment.refused.iter();
        let refused: Vec<_> = refused.map(|refused| refused.error.to_string()).collect();
        assert!(refused[0].contains("no interface `eth7`"), "{refused:?}");
        // The foreign program has the filter's name, too.
        let part = format!(
            "eth0 has a spamdrop filter (program id {})",
            foreign.program_id
        );
        assert!(refused[1].contains(&part), "{refused:?}");
        assert_eq!(refused.len(), 2);
        assert_eq!(attachment.attached.len(), 1);
        assert!(pair.xdp("eth1").is_some());
        assert_eq!(pair.xdp("eth0"), Some(foreign));
        pair.detach();
        pair.ip("link delete eth1");
    }
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

/// The link and the maps stay the same, and the link's program is replaced.
#[test]
fn what_is_pinned_is_adopted() {
    let pair = Pair::new(1500);
    let first = pair.attach(&["eth0"], AttachMode::Auto).unwrap();
    pair.block();
    let second = pair.attach(&["eth0"], AttachMode::Auto).unwrap();
    assert!(second[0].replaced);
    let ids = [&first, &second].map(|attached| attached[0].interface.xdp.unwrap().program_id);
    assert_ne!(ids[0], ids[1]);
    assert!(pair.dropped("198.51.100.1"));
    // The interface is deleted and made again. The old link has no interface any more,
    // so a new link replaces it.
    pair.server.exec(["ip", "link", "delete", "eth0"]).unwrap();
    assert_eq!(pair.links(), [("eth0".into(), LinkPlace::Gone)]);
    pair.server
        .exec([
            "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9",
        ])
        .unwrap();
    let third = pair.attach(&["eth0"], AttachMode::Auto).unwrap();
    assert!(!third[0].replaced);
}

/// The kernel refuses a program on a port of a bridge that has a program.
#[test]
fn a_program_on_the_bridge_keeps_one_off_its_port() {
    let pair = Pair::new(1500);
    pair.ip("link add br0 type bridge");
    pair.ip("link set eth0 master br0");
    pair.attach(&["br0"], AttachMode::Auto).unwrap();
    let refusal = pair.refused(&["eth0"], AttachMode::Auto);
    let reason = "eth0 cannot take an XDP program: an interface above or below it";
    assert!(refusal.starts_with(reason), "{refusal}");
}

/// The card is renamed, and another one gets its name.
#[test]
fn the_filter_is_on_the_card_of_the_configured_name() {
    let pair = Pair::new(1500);
    pair.attach(&["eth0"], AttachMode::Auto).unwrap();
    // The kernel may refuse to rename an interface that is up.
    for args in [
        "link set eth0 down",
        "link set eth0 name lan0",
        "link add eth0 type veth peer name eth9",
    ] {
        pair.ip(args);
    }
    let [(_, LinkPlace::Renamed(interface))] = &pair.links()[..] else {
        panic!("{:?}", pair.links())
    };
    assert_eq!(interface.name, "lan0");
    assert!(!pair.attach(&["eth0"], AttachMode::Auto).unwrap()[0].replaced);
    assert!(pair.xdp("lan0").is_none() && pair.xdp("eth0").is_some());
    // Conversely, the configuration follows: it has the new name of the renamed card.
    for args in ["link set eth0 name lan1", "link delete lan0"] {
        pair.ip(args);
    }
    assert!(!pair.attach(&["lan1"], AttachMode::Auto).unwrap()[0].replaced);
    let links = pair.links();
    assert!(
        matches!(&links[..], [(name, LinkPlace::Here(_))] if name == "lan1"),
        "{links:?}"
    );
}

#[test]
fn alternative_names_are_names() {
    let pair = Pair::new(1500);
    pair.ip("link property add dev eth0 altname mx-card.in.the.first.slot");
    let name = "mx-card.in.the.first.slot";
    let attached = pair.attach(&[name], AttachMode::Auto).unwrap();
    assert_eq!(attached[0].interface.name, "eth0");
    assert!(pair.attach(&[name], AttachMode::Auto).unwrap()[0].replaced);
    pair.block();
    assert!(pair.dropped("198.51.100.1"));
    let links = pair.links();
    assert!(
        matches!(&links[..], [(found, LinkPlace::Here(_))] if found == name),
        "{links:?}"
    );
}

/// A link whose interface went to another namespace is not taken for that of a
/// new interface with the same name and index.
#[test]
fn an_interface_that_moved_away_is_released() {
    let pair = Pair::new(1500);
    let attached = pair.attach(&["eth0"], AttachMode::Auto).unwrap();
    let index = attached[0].interface.index;
    pair.ip(&format!("link set eth0 netns {}", pair.client.tid()));
    pair.ip(&format!(
        "link add eth0 index {index} type veth peer name eth9"
    ));
    assert_eq!(pair.links(), [("eth0".into(), LinkPlace::Elsewhere)]);
    assert!(!pair.attach(&["eth0"], AttachMode::Auto).unwrap()[0].replaced);
    assert!(pair.xdp("eth0").is_some());
    let there = || network::find("eth0").unwrap().unwrap().xdp;
    assert_eq!(pair.client.run(there), None);
}

fn passed(counters: &Counters) -> u64 {
    counters.not_blocked
}

/// The program is replaced 100 times while a blocked and a clean source send SYNs. No
/// SYN of the blocked source reaches the stack, and none of the clean one is dropped.
#[test]
fn replacements_under_traffic_leak_nothing() {
    let pair = Pair::new(1500);
    pair.attach(&["eth0"], AttachMode::Auto).unwrap();
    pair.block();
    let knocking = Arc::new(AtomicBool::new(true));
    let knock = |source: &str| {
        let (source, knocking) = (source.to_owned(), Arc::clone(&knocking));
        // Each nonblocking connect makes the kernel send one SYN, and is then given up.
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
        assert!(pair.attach(&["eth0"], AttachMode::Auto).unwrap()[0].replaced);
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
    // No SYN is lost on a veth, so the stack saw all SYNs of the clean source.
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
