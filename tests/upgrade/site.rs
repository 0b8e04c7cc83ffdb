//! A server with the filter of an older version, and traffic to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aya::maps::MapData;
use socket2::{Domain, Protocol, Socket, Type};
use spamdrop::kernel::attach::{AttachMode, Attached, Plan, attach, detach};
use spamdrop::kernel::blocklist::migrate::OldVersion;
use spamdrop::kernel::blocklist::pins::{Capacity, Pinned, pinned};
use spamdrop::kernel::network;
use spamdrop::lock::WriteLock;
use spamdrop_common::abi::{MapKind, MapSpec};
use spamdrop_common::time::MonotonicNs;
use spamdrop_lab::frame::{FrameSpec, tcp_frame};
use spamdrop_lab::host::Host;
use spamdrop_lab::wait::until;
use spamdrop_lab::wire::{End, wire};

use super::{old_filter, v1, v2};

pub const CAPACITY: Capacity = Capacity {
    v4: 262_144,
    v6: 4_096,
    known: 1_024,
};
pub const PLAN: Plan = Plan {
    capacity: CAPACITY,
    mode: AttachMode::Auto,
    log_level: 0,
};
pub const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 25);
pub const BLOCKED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub const CLEAN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// TTL in seconds of [`BLOCKED`], which sends all the time.
pub const TTL: u32 = 3;
pub const BLOCKED6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 8, 0, 0, 0, 0x66);
pub const CIDR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 0);
pub const CIDR6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0);
pub const ALLOWED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
pub const KNOWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
/// Number of further entries, so that copying them takes a while.
pub const FILLERS: u32 = 200_000;
/// IPPROTO_RAW: a sent packet begins with its IP header.
pub const RAW: i32 = 255;
pub const ETHERNET: usize = 14;

pub fn filler(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + number)
}

pub fn pin_dir() -> &'static Path {
    Path::new("/sys/fs/bpf/spamdrop")
}

/// The values that the fixture has written to the maps.
pub struct Expected {
    pub now: MonotonicNs,
    pub per_counter: u64,
}

/// The old map of blocked IPv4 addresses.
pub trait OldBlocked: Send {
    fn map(&self) -> &MapData;
    /// The time in nanoseconds at which the entry of [`BLOCKED`] expires.
    fn expires(&self) -> u64;
}

/// The parts of the test that depend on the version.
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
        2 | 3 => Fixture {
            fill: v2::fill,
            offsets: v2::OFFSETS,
        },
        _ => panic!("layout v{version} has no fixture"),
    }
}

/// A server with the filter of an older version on both of its interfaces.
pub struct Site {
    pub server: Host,
    pub client: Host,
    pub run_dir: tempfile::TempDir,
    pub old: Box<dyn OldBlocked>,
    pub expected: Expected,
}

impl Site {
    pub fn new(version: &'static OldVersion) -> Self {
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
        let (old, expected) = server.run(move || install_old(version));
        Self {
            server,
            client,
            run_dir: tempfile::tempdir().unwrap(),
            old,
            expected,
        }
    }

    pub fn attach(&self, names: &[&str]) -> anyhow::Result<Vec<Attached>> {
        self.attach_as(names, PLAN)
    }

    /// Attaches to eth0 with this many IPv4 entries.
    pub fn attach_with_capacity(&self, v4: u32) -> anyhow::Result<Vec<Attached>> {
        let mut plan = PLAN;
        plan.capacity.v4 = v4;
        self.attach_as(&["eth0"], plan)
    }

    fn attach_as(&self, names: &[&str], plan: Plan) -> anyhow::Result<Vec<Attached>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let run_dir = self.run_dir.path().to_owned();
        self.server.run(move || {
            let lock = WriteLock::acquire(&run_dir)?;
            let mut attachment = attach(&lock, pin_dir(), &names, plan)?;
            match attachment.refused.pop() {
                Some(refused) => Err(refused.error),
                None => Ok(attachment.attached),
            }
        })
    }

    pub fn detach(&self) {
        let run_dir = self.run_dir.path().to_owned();
        self.server
            .run(move || detach(&WriteLock::acquire(&run_dir).unwrap(), pin_dir()).unwrap());
    }

    pub fn pinned(&self) -> Pinned {
        self.server.run(|| pinned(pin_dir()).unwrap())
    }

    /// Reads the number of TCP segments that reached the server's stack.
    pub fn segments(&self) -> u64 {
        let snmp = self
            .server
            .run(|| std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
        let mut lines = snmp.lines().filter(|line| line.starts_with("Tcp:"));
        let (names, numbers) = (lines.next().unwrap(), lines.next().unwrap());
        let mut columns = names.split(' ').zip(numbers.split(' '));
        let (_, number) = columns.find(|(name, _)| *name == "InSegs").unwrap();
        number.parse().unwrap()
    }

    /// Lists the files in the pin directory.
    pub fn files(&self) -> Vec<String> {
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

/// Creates the maps of an older version, and attaches its program to `eth0` and
/// `eth2`.
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

/// Opens a pinned map of an older version.
pub fn open(dir: &Path, name: &str) -> MapData {
    MapData::from_pin(dir.join(name)).unwrap()
}

pub fn create(spec: &MapSpec, dir: &Path) {
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

/// Sends SYNs of a source to port 25 until the value is dropped.
pub struct Traffic {
    pub stop: Arc<AtomicBool>,
    pub sent: Arc<AtomicU64>,
    pub thread: Option<JoinHandle<()>>,
}

impl Traffic {
    pub fn start(client: &Host, source: Ipv4Addr) -> Self {
        let socket = client
            .run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW))))
            .unwrap();
        let syn = FrameSpec::syn(IpAddr::V4(source), IpAddr::V4(SERVER));
        let packet = tcp_frame(&syn).split_off(ETHERNET);
        let to = SocketAddr::from((SERVER, 0)).into();
        let (stop, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // The send fails if the interface's queue is full.
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

    /// Waits until `more` further SYNs have been sent.
    pub fn send(&self, more: u64) {
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
