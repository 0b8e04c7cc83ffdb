//! Pins of every older version are upgraded under traffic, and no SYN of a
//! blocked source gets through meanwhile.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod old_filter;
mod v1;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aya::maps::{HashMap, Map, MapData};
use socket2::{Domain, Protocol, Socket, Type};
use spamdrop::kernel::attach::{Attached, Mode, Plan, attach, detach, linked};
use spamdrop::kernel::blocklist::migrate::{OldVersion, VERSIONS};
use spamdrop::kernel::blocklist::pins::{self, Capacity, Pinned, pinned};
use spamdrop::kernel::blocklist::{Blocklist, GateMaps};
use spamdrop::kernel::network;
use spamdrop::lock::WriteLock;
use spamdrop_common::abi::{ABI_VERSION, MapKind, MapSpec};
use spamdrop_common::counter::Reason;
use spamdrop_common::entry::{ORIGIN_HAND, ORIGIN_LOG, SEALED};
use spamdrop_common::gate::KnownSender;
use spamdrop_common::names;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::target::Target;
use spamdrop_lab::frame::{FrameSpec, tcp_frame};
use spamdrop_lab::host::Host;
use spamdrop_lab::wait::until;
use spamdrop_lab::wire::{End, wire};

const CAPACITY: Capacity = Capacity {
    v4: 262_144,
    v6: 4_096,
    known: 1_024,
};
const PLAN: Plan = Plan {
    capacity: CAPACITY,
    mode: Mode::Auto,
    log_level: 0,
};
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 25);
const BLOCKED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const CLEAN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// So short that a slide that is lost lets its source through at once.
const TTL: u32 = 1;
const BLOCKED6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 8, 0, 0, 0, 0x66);
const CIDR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 0);
const CIDR6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0);
const ALLOWED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
const KNOWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
/// Entries whose copy takes a while.
const FILLERS: u32 = 200_000;
/// IPPROTO_RAW: what is sent begins with its IP header.
const RAW: i32 = 255;
const ETHERNET: usize = 14;

fn filler(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + number)
}

fn pin_dir() -> &'static Path {
    Path::new("/sys/fs/bpf/spamdrop")
}

/// What [`v1::fill`] and its like have put into the maps.
struct Expected {
    now: MonotonicNs,
    per_counter: u64,
}

/// The old map of blocked IPv4 addresses.
trait OldBlocked: Send {
    fn map(&self) -> &MapData;
    /// When the entry of [`BLOCKED`] expires.
    fn expires(&self) -> u64;
}

/// What the test needs to know of a version.
struct Fixture {
    fill: fn(&Path) -> (Box<dyn OldBlocked>, Expected),
    offsets: old_filter::Offsets,
}

fn fixture(version: u32) -> Fixture {
    match version {
        1 => Fixture {
            fill: v1::fill,
            offsets: v1::OFFSETS,
        },
        _ => panic!("layout v{version} has no fixture"),
    }
}

/// A server with the filter of an older version on both of its interfaces.
struct Site {
    server: Host,
    client: Host,
    run_dir: tempfile::TempDir,
    old: Box<dyn OldBlocked>,
    expected: Expected,
}

impl Site {
    fn new(version: &'static OldVersion) -> Self {
        let (server, client) = (Host::new("server").unwrap(), Host::new("client").unwrap());
        let end = |host, interface, addresses| End {
            host,
            interface,
            addresses,
        };
        let ours = end(&server, "eth0", &["198.51.100.25/24"]);
        let theirs = end(&client, "eth1", &["198.51.100.1/24", "198.51.100.2/24"]);
        wire(&ours, &theirs, 1500).unwrap();
        let other = end(&server, "eth2", &[] as &[&str]);
        wire(&other, &end(&client, "eth3", &[]), 1500).unwrap();
        let (old, expected) = server.run(|| install_old(version));
        Self {
            server,
            client,
            run_dir: tempfile::tempdir().unwrap(),
            old,
            expected,
        }
    }

    fn attach(&self, names: &[&str]) -> anyhow::Result<Vec<Attached>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let run_dir = self.run_dir.path().to_owned();
        self.server.run(move || {
            let lock = WriteLock::acquire(&run_dir)?;
            Ok(attach(&lock, pin_dir(), &names, PLAN)?.1)
        })
    }

    fn detach(&self) {
        let run_dir = self.run_dir.path().to_owned();
        self.server
            .run(move || detach(&WriteLock::acquire(&run_dir).unwrap(), pin_dir()).unwrap());
    }

    fn pinned(&self) -> Pinned {
        self.server.run(|| pinned(pin_dir()).unwrap())
    }

    /// TCP segments that came to the server's stack.
    fn segments(&self) -> u64 {
        let snmp = self
            .server
            .run(|| std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
        let mut lines = snmp.lines().filter(|line| line.starts_with("Tcp:"));
        let (names, numbers) = (lines.next().unwrap(), lines.next().unwrap());
        let mut columns = names.split(' ').zip(numbers.split(' '));
        let (_, number) = columns.find(|(name, _)| *name == "InSegs").unwrap();
        number.parse().unwrap()
    }

    /// Pins below the pin directory.
    fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = self.server.run(|| {
            let entries = std::fs::read_dir(pin_dir()).unwrap();
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        });
        files.sort();
        files
    }
}

/// Makes the maps of an older version, and its program on `eth0` and `eth2`.
fn install_old(version: &'static OldVersion) -> (Box<dyn OldBlocked>, Expected) {
    std::fs::create_dir(pin_dir()).unwrap();
    let dir = version.dir(pin_dir());
    std::fs::create_dir_all(&dir).unwrap();
    for spec in version.maps {
        create(spec, &dir);
    }
    let fixture = fixture(version.version);
    let (old, expected) = (fixture.fill)(&dir);
    for name in ["eth0", "eth2"] {
        let interface = network::find(name).unwrap().unwrap();
        let pin = pin_dir().join(format!("link_{name}"));
        old_filter::attach(old.map(), fixture.offsets, interface.index, &pin).unwrap();
    }
    (old, expected)
}

fn create(spec: &MapSpec, dir: &Path) {
    use aya_obj::generated::bpf_map_type as kind;
    let kind = match spec.kind {
        MapKind::Array => kind::BPF_MAP_TYPE_ARRAY,
        MapKind::Hash => kind::BPF_MAP_TYPE_HASH,
        MapKind::LpmTrie => kind::BPF_MAP_TYPE_LPM_TRIE,
        MapKind::LruHash => kind::BPF_MAP_TYPE_LRU_HASH,
        MapKind::PerCpuArray => kind::BPF_MAP_TYPE_PERCPU_ARRAY,
        MapKind::RingBuf => kind::BPF_MAP_TYPE_RINGBUF,
        MapKind::SockMap => kind::BPF_MAP_TYPE_SOCKMAP,
    };
    let map = aya_obj::Map::new_from_params(
        kind as u32,
        spec.key_size,
        spec.value_size,
        spec.room.elements(CAPACITY),
        spec.flags,
    );
    MapData::create(map, spec.name, None)
        .unwrap()
        .pin(dir.join(spec.name))
        .unwrap();
}

/// Sends SYNs of a source to port 25 until it is dropped.
struct Traffic {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    fn start(client: &Host, source: Ipv4Addr) -> Self {
        let socket = client
            .run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW))))
            .unwrap();
        let syn = FrameSpec::syn(IpAddr::V4(source), IpAddr::V4(SERVER));
        let packet = tcp_frame(&syn).split_off(ETHERNET);
        let to = std::net::SocketAddr::from((SERVER, 0)).into();
        let (stop, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // The queue may be full.
                if socket.send_to(&packet, &to).is_ok() {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_micros(50));
            }
        });
        let traffic = Self {
            stop,
            sent,
            thread: Some(thread),
        };
        traffic.send(100);
        traffic
    }

    /// Waits until so many more were sent.
    fn send(&self, more: u64) {
        let end = self.sent.load(Ordering::Relaxed) + more;
        let all_sent = || Ok((self.sent.load(Ordering::Relaxed) >= end).then_some(()));
        until("SYNs to be sent", Duration::from_secs(20), all_sent).unwrap();
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn no_blocked_syn_gets_through_an_upgrade_and_everything_is_there_after_it() {
    for version in VERSIONS {
        let site = Site::new(version);
        let clean = Traffic::start(&site.client, CLEAN);
        let seen = || Ok((site.segments() > 0).then_some(()));
        until("a clean SYN to be seen", Duration::from_secs(5), seen).unwrap();
        drop(clean);
        let blocked = Traffic::start(&site.client, BLOCKED);
        let before = site.segments();
        let attached = site.attach(&["eth0"]).unwrap();
        assert!(attached[0].replaced);
        blocked.send(2_000);
        let sent = blocked.sent.load(Ordering::Relaxed);
        let old_expiry = site.old.expires();
        assert_eq!(site.segments(), before, "of {sent} SYNs some got through");
        assert_eq!(site.pinned(), Pinned::Current);
        let maps = format!("v{ABI_VERSION}");
        assert_eq!(site.files(), ["link_eth0", "link_eth2", &maps]);
        // Nobody's maps are left behind on the other interface.
        let links = site.server.run(|| linked(pin_dir()).unwrap());
        assert_eq!(links[0].program_id, links[1].program_id);
        drop(blocked);
        check_entries(&site, old_expiry);
        check_the_rest(&site);
    }
}

fn check_entries(site: &Site, old_expiry: u64) {
    let list = site.server.run(|| Blocklist::open(pin_dir()).unwrap());
    let mut fillers = 0;
    list.for_each(|found| {
        let entry = found.entry;
        if found.target == Target::from(IpAddr::V4(BLOCKED)) {
            assert!(entry.expires.ns() >= old_expiry, "a slide was lost");
            assert_eq!((entry.flags, entry.ttl_s), (ORIGIN_LOG | SEALED, TTL));
        } else if found.target == Target::from(IpAddr::V6(BLOCKED6)) {
            assert_eq!(entry.expires, site.expected.now.plus_seconds(600));
            assert_eq!(entry.flags, SEALED);
        } else if let Target::V4(key) = found.target {
            let number = u32::from_be_bytes(key) - filler(0).to_bits();
            let uncounted = if number == 0 { 5 } else { 0 };
            assert_eq!(entry.hits, number + uncounted);
            assert_eq!((entry.flags, entry.refreshes), (ORIGIN_HAND, 3));
            fillers += 1;
        }
    })
    .unwrap();
    assert_eq!(fillers, FILLERS);
    let origin = list.origin(IpAddr::V4(BLOCKED)).unwrap().unwrap();
    assert_eq!(origin.text(), b"511");
    assert_eq!(origin.last_offence, site.expected.now);
    assert_eq!((origin.offences, origin.release_pending), (2, 1));
    assert_eq!(origin.first_blocked.get(), 1_795_000_000);
}

fn check_the_rest(site: &Site) {
    let list = site.server.run(|| Blocklist::open(pin_dir()).unwrap());
    let mut prefixes = list.blocked_prefixes(site.expected.now).unwrap();
    prefixes.sort();
    let shown: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["203.0.113.0/24", "2001:db8:bad::/48"]);
    let covering = list.covering(IpAddr::V4(CIDR), site.expected.now).unwrap();
    assert_eq!(covering[0].entry.hits, 11);
    let mut allowed = list.allowed().unwrap();
    allowed.sort();
    let shown: Vec<String> = allowed.iter().map(|(net, _)| net.to_string()).collect();
    assert_eq!(shown, ["192.0.2.77/32", "2001:db8:bad::/64"]);
    assert!(allowed.iter().all(|(_, automatic)| *automatic));
    let settings = list.settings().unwrap();
    assert_eq!(settings.ports, [25, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((settings.cidrs4, settings.cidrs6), (1, 1));
    assert_eq!(settings.addresses6, 0);
    let counters = list.counters().unwrap();
    for &reason in Reason::ALL {
        let counted = counters.get(reason);
        // Those of the new program come on top.
        assert!(counted >= site.expected.per_counter, "{reason:?} {counted}");
    }
    assert!(counters.sealed_dropped > site.expected.per_counter);
    let gate = site.server.run(|| GateMaps::open(pin_dir()).unwrap());
    let stats = gate.stats().unwrap();
    assert_eq!((stats.admitted, stats.known_or_allowed), (40, 10));
    assert_eq!((stats.starvation_admits, stats.unconfirmed), (2, 9));
    assert_eq!(stats.refused, [1, 2, 3]);
    assert_eq!(stats.next_starvation_admit[2], site.expected.now);
    let known = Target::from(IpAddr::V4(KNOWN));
    let verdict = gate.verdict(known).unwrap().unwrap();
    assert_eq!(verdict.until, site.expected.now.plus_seconds(600));
    for name in [names::KNOWN, names::KNOWN_NETS] {
        let pin = pins::maps_dir(pin_dir()).join(name);
        let data = site.server.run(|| MapData::from_pin(pin).unwrap());
        let map: HashMap<_, [u8; 8], KnownSender> = Map::HashMap(data).try_into().unwrap();
        assert_eq!(map.iter().count(), 1, "{name}");
    }
}

#[test]
fn commands_name_the_upgrade_and_detach_leaves_nothing() {
    for version in VERSIONS {
        let site = Site::new(version);
        let error = site
            .server
            .run(|| Blocklist::open(pin_dir()).err().unwrap());
        let text = error.to_string();
        let wanted = "`spamdrop run` or `spamdrop attach IFACE` upgrades them";
        assert!(text.contains(wanted), "{text}");
        assert_eq!(site.pinned(), Pinned::Older(version.version));
        site.detach();
        assert!(site.server.run(|| !pin_dir().exists()));
        let seen = || Ok((site.segments() > 0).then_some(()));
        let _blocked = Traffic::start(&site.client, BLOCKED);
        until("the filter to be gone", Duration::from_secs(5), seen).unwrap();
    }
}

#[test]
fn an_upgrade_that_fails_or_is_cut_short_leaves_the_old_filter_in_force() {
    let site = Site::new(&VERSIONS[0]);
    let blocked = Traffic::start(&site.client, BLOCKED);
    let before = site.segments();
    let files = site.files();
    site.attach(&["eth0", "lo9"]).unwrap_err();
    site.attach(&["eth0", "eth4"]).unwrap_err();
    assert_eq!(site.files(), files);
    // As after a crash: new maps, some of them filled, beside the old ones.
    site.server.run(|| {
        for dir in ["new", "v2"] {
            let dir = pin_dir().join(dir);
            std::fs::create_dir(&dir).unwrap();
            for spec in spamdrop_common::abi::MAPS {
                create(&spec, &dir);
            }
        }
    });
    assert_eq!(site.pinned(), Pinned::Older(1));
    site.attach(&["eth0"]).unwrap();
    blocked.send(500);
    assert_eq!(site.segments(), before);
    assert_eq!(site.pinned(), Pinned::Current);
    check_entries(&site, site.old.expires());
}

#[test]
fn maps_that_are_not_what_their_version_says_are_left_alone() {
    let site = Site::new(&VERSIONS[0]);
    site.server.run(|| {
        let path = pin_dir().join("blocked4");
        std::fs::remove_file(&path).unwrap();
        let mut odd = VERSIONS[0].maps[0];
        odd.value_size = 40;
        create(&odd, pin_dir());
    });
    let files = site.files();
    let error = site.attach(&["eth0"]).unwrap_err().to_string();
    let wanted = "/sys/fs/bpf/spamdrop/blocked4 has a value of 40 instead of 24 bytes";
    assert!(error.contains(wanted), "{error}");
    assert_eq!(site.files(), files);
}

#[test]
fn pins_of_a_newer_version_are_left_alone_until_detach() {
    let newer = ABI_VERSION + 1;
    let host = Host::new("newer").unwrap();
    let run_dir = tempfile::tempdir().unwrap();
    let path: PathBuf = run_dir.path().to_owned();
    host.run(move || {
        let lock = WriteLock::acquire(&path).unwrap();
        let dir = pin_dir().join(format!("v{newer}"));
        std::fs::create_dir_all(&dir).unwrap();
        for spec in spamdrop_common::abi::MAPS {
            create(&spec, &dir);
        }
        assert_eq!(pinned(pin_dir()).unwrap(), Pinned::Newer(newer));
        let attached = attach(&lock, pin_dir(), &["lo".into()], PLAN).map(|_| ());
        let opened = Blocklist::open(pin_dir()).map(|_| ());
        for error in [attached.unwrap_err(), opened.unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains("of a newer spamdrop (layout v3"), "{text}");
            assert!(text.contains("`spamdrop detach`"), "{text}");
        }
        assert!(dir.join("blocked4").exists());
        assert!(pins::exist(pin_dir()).unwrap());
        detach(&lock, pin_dir()).unwrap();
        assert!(!pin_dir().exists());
    });
}
