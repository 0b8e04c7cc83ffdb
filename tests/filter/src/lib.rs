//! The packet filter without an interface, run by `BPF_PROG_TEST_RUN`, for
//! several integration tests. It needs root, and panics if a step fails.

#![expect(clippy::unwrap_used, reason = "only tests use it, which may panic")]

use std::path::PathBuf;
use std::time::Duration;

use aya::TestRun as _;
use aya::programs::{TestRunAttrs, TestRunOptions, Xdp};
use ipnet::IpNet;
use spamdrop::clock;
use spamdrop::kernel::attach::{self, AttachMode, Plan};
use spamdrop::kernel::blocklist::pins::{self, Capacity};
use spamdrop::kernel::blocklist::{Blocklist, SweptEntries};
use spamdrop::lock::WriteLock;
use spamdrop_common::counter::{Counters, Reason};
use spamdrop_common::entry::{Entry, SEALED};
use spamdrop_common::settings::{Refresh, Settings};
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::owners::{OwnerBit, OwnerMask};
use spamdrop_core::target::Target;
use spamdrop_core::term::Term;
use spamdrop_lab::host::Host;

/// `XDP_DROP`.
pub const DROP: u32 = 1;
/// `XDP_PASS`.
pub const PASS: u32 = 2;
/// The capacities of the filter's maps.
pub const CAPACITY: Capacity = Capacity {
    v4: 16_384,
    v6: 4_096,
    known: 1_024,
};

/// A loaded filter with maps of its own, watching port 25.
pub struct Filter {
    /// The filter's maps.
    pub list: Blocklist,
    loaded: attach::Filter,
    /// The lock that a change to the maps needs.
    pub turn: WriteLock,
    dir: tempfile::TempDir,
    host: Host,
}

/// The directory of the pinned maps, on the filter's host.
#[must_use]
pub fn pin_dir() -> PathBuf {
    PathBuf::from("/sys/fs/bpf/spamdrop")
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}

impl Filter {
    /// Loads the filter on a host of its own.
    #[must_use]
    pub fn new() -> Self {
        let host = Host::new("filter").unwrap();
        let plan = Plan {
            capacity: CAPACITY,
            mode: AttachMode::Auto,
            log_level: 0,
        };
        let (loaded, list) = host.run(move || {
            pins::make_dirs(&pin_dir()).unwrap();
            let loaded = attach::load(&pin_dir(), plan).unwrap();
            (loaded, Blocklist::open(&pin_dir()).unwrap())
        });
        let dir = tempfile::tempdir().unwrap();
        let turn = WriteLock::acquire(dir.path()).unwrap();
        let mut filter = Self {
            list,
            loaded,
            turn,
            dir,
            host,
        };
        filter.configure(&[25], Refresh::Packet);
        filter
    }

    /// Sets the watched ports, and which packets refresh an entry.
    pub fn configure(&mut self, ports: &[u16], refresh: Refresh) {
        let mut settings = Settings {
            refresh: refresh as u32,
            ..Settings::default()
        };
        settings.ports[..ports.len()].copy_from_slice(ports);
        self.list.configure(&self.turn, settings).unwrap();
    }

    /// Applies blocks and the gate only to packets to these destinations.
    pub fn apply_only_to(&mut self, destinations: &[&str]) {
        let nets: Vec<IpNet> = destinations
            .iter()
            .map(|net| net.parse().unwrap())
            .collect();
        self.list.apply_exactly_to(&self.turn, &nets).unwrap();
        let settings = self.list.settings().unwrap();
        if settings.destinations == 0 {
            let settings = Settings {
                destinations: 1,
                ..settings
            };
            self.list.configure(&self.turn, settings).unwrap();
        }
    }

    /// Blocks an address or a prefix by hand for `ttl_s` seconds, as if the
    /// block had begun `age_s` seconds ago. The machine must have been up for
    /// `age_s`, so tests keep it below a minute.
    pub fn add(&mut self, target: &str, ttl_s: u32, age_s: u64, sealed: bool) {
        let term = Term {
            start: ago(age_s),
            ttl_s,
            slides: true,
            hard_limit_s: 0,
        };
        self.add_for(target, term, sealed);
    }

    /// Blocks an address or a prefix for any term.
    pub fn add_for(&mut self, target: &str, term: Term, sealed: bool) {
        self.add_all([target.parse().unwrap()], term, sealed);
    }

    /// Blocks addresses or prefixes by hand.
    pub fn add_all(&mut self, targets: impl IntoIterator<Item = Target>, term: Term, sealed: bool) {
        let entry = term.entry(if sealed { SEALED } else { 0 });
        let entry = OwnerMask::from(OwnerBit::HAND).of_entry(entry);
        let entries = targets.into_iter().map(|target| (target, entry));
        self.list.put_all(&self.turn, entries).unwrap();
    }

    /// The entry of an address or prefix, live or not. With the length 128, `target` is a
    /// single IPv6 address, not its /64.
    #[must_use]
    pub fn entry(&self, target: &str) -> Entry {
        let target: Target = target.parse().unwrap();
        let mut entry = None;
        self.list
            .for_each(|found| {
                if found.target == target {
                    entry = Some(found.entry);
                }
            })
            .unwrap();
        entry.unwrap()
    }

    /// Removes expired entries, and returns their number.
    pub fn sweep(&mut self) -> usize {
        let turn = || WriteLock::acquire(self.dir.path().join("flush").as_path());
        let (now, nobody) = (clock::monotonic_ns(), OwnerMask::default());
        let mut swept = SweptEntries::default();
        self.list.sweep(now, nobody, turn, &mut swept).unwrap();
        swept.count
    }

    /// Removes every entry.
    pub fn flush(&mut self, now: MonotonicNs) {
        let turn = || WriteLock::acquire(self.dir.path().join("flush").as_path());
        self.list.flush(now, turn).unwrap();
    }

    /// Runs a job on the host on which the maps are pinned.
    pub fn on_host<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.host.run(job)
    }

    /// Runs the filter on a frame. Returns the action, and the reason under
    /// which the frame was counted.
    pub fn run(&mut self, frame: &[u8]) -> (u32, Reason) {
        let before = self.list.counters().unwrap();
        let action = self.action(frame, 1);
        (action, counted(&before, &self.list.counters().unwrap()))
    }

    /// As [`Filter::run`], for a packet that begins with its IP header.
    pub fn run_ip(&mut self, packet: &[u8]) -> (u32, Reason) {
        let before = self.list.counters().unwrap();
        let action = self.ip_action(packet);
        (action, counted(&before, &self.list.counters().unwrap()))
    }

    /// The action for a packet that begins with its IP header.
    pub fn ip_action(&mut self, packet: &[u8]) -> u32 {
        test_run(self.loaded.ip_program().unwrap(), packet, 1)
    }

    /// Runs the filter on a frame `repeat` times. Returns the last action.
    pub fn action(&mut self, frame: &[u8], repeat: u32) -> u32 {
        test_run(self.loaded.program().unwrap(), frame, repeat)
    }
}

fn test_run(program: &Xdp, frame: &[u8], repeat: u32) -> u32 {
    let options = TestRunOptions {
        data_in: Some(frame),
        repeat,
        attrs: TestRunAttrs::new(),
        ..TestRunOptions::new()
    };
    program.test_run(options).unwrap().return_value
}

/// The time `age_s` before now.
#[must_use]
pub fn ago(age_s: u64) -> MonotonicNs {
    let (now, age) = (clock::monotonic_ns(), Duration::from_secs(age_s));
    let long_enough = now > MonotonicNs::default().plus(age);
    assert!(
        long_enough,
        "the machine has been up for less than {age_s} s"
    );
    now.minus(age)
}

/// The reason whose counter has increased. Exactly one counter must have, by one.
fn counted(before: &Counters, after: &Counters) -> Reason {
    let changed: Vec<Reason> = Reason::ALL
        .iter()
        .copied()
        .filter(|reason| after.get(*reason) != before.get(*reason))
        .collect();
    let [reason] = changed[..] else {
        panic!("one reason expected, counted {changed:?}");
    };
    assert_eq!(after.get(reason), before.get(reason) + 1);
    reason
}
