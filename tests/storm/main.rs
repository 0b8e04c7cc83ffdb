//! `spamdrop run` while a log of Courier, Postfix or Exim grows by 100,000 lines a
//! second. For 3 to 5 s, or for 60 s with `SPAMDROP_FULL=1`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a measurement is shown")]

mod server;

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use procfs::process::Process;
use serde_json::Value;
use spamdrop::clock;
use spamdrop::kernel::blocklist::Blocklist;
use spamdrop_lab::wait::until;
use spamdrop_lab::{Daemon, Site};

use server::{COURIER, EXIM, POSTFIX, Server};

const LINES_PER_SECOND: u64 = 100_000;
/// Number of lines that are written at once, every 10 ms.
const BURST: u64 = LINES_PER_SECOND / 100;
/// Number of sources towards the end of the storm. Each rejection names a random one.
const SOURCES: u32 = 5_000;
/// Number of sources from the beginning; the others are added one by one.
const AT_THE_BEGINNING: u32 = 4_000;
/// Number of probes of each kind, fewer if they take long. The probes and the
/// sources together stay below the ceiling.
const PROBES: u32 = 200;

/// The time in which the daemon must catch up with the log of the storm.
const MAX_LAG: Duration = Duration::from_secs(2);
/// Maximum delay, at the 99th percentile, of a block by another log or by hand.
const MAX_DELAY: Duration = Duration::from_millis(250);

#[test]
fn a_storm_of_courier_delays_nobody() {
    delays_nobody(&COURIER, 5);
}

#[test]
fn a_storm_of_postfix_delays_nobody() {
    delays_nobody(&POSTFIX, 3);
}

#[test]
fn a_storm_of_exim_delays_nobody() {
    delays_nobody(&EXIM, 3);
}

/// Checks the delays in a storm of this many seconds, or of 60 with `SPAMDROP_FULL=1`.
fn delays_nobody(server: &Server, seconds: u64) {
    let full = env::var_os("SPAMDROP_FULL").is_some_and(|value| value == "1");
    let length = Duration::from_secs(if full { 60 } else { seconds });
    let site = Site::new(Path::new(env!("CARGO_BIN_EXE_spamdrop")), |_| {}).unwrap();
    let servers = format!("servers = [{:?}]", server.name);
    site.configure(&servers).unwrap();
    let (stormed, quiet) = (site.path("storm.log"), site.path("mail.log"));
    File::create(&stormed).unwrap();
    let logs = [&stormed, &quiet].map(|path| path.to_str().unwrap().to_owned());
    let flags = ["--log", &logs[0], "--log", &logs[1]];
    let daemon = site.run_logging("info", &flags).unwrap();
    forget_peak(&daemon);

    let probe = Probe::new(&site, server, length);
    let (taken, [same, other, by_hand]) = thread::scope(|scope| {
        let probes = [
            scope.spawn(|| probe.log(&stormed, 0)),
            scope.spawn(|| probe.log(&quiet, 1)),
            scope.spawn(|| probe.by_hand(2)),
        ];
        let taken = storm(&stormed, server, length);
        (taken, probes.map(|thread| thread.join().unwrap()))
    });
    eprintln!("the storm took {taken:?}");

    let lines = LINES_PER_SECOND * length.as_secs() + same.len() as u64;
    until("every line to be read", MAX_LAG, || {
        Ok((state(&site)["files"][0]["lines"] == lines).then_some(()))
    })
    .unwrap();
    let state = state(&site);
    assert_eq!(state["ceiling"], Value::Null);
    assert_eq!(state["warnings"], Value::Array(Vec::new()));
    assert_eq!(state["events"]["failed"], Value::Null);
    let peak = peak_kib(&daemon);
    eprintln!("{lines} lines, at most {peak} KiB");
    let (_, lag) = p99_and_max("the stormed log", same);
    let (other, _) = p99_and_max("another log", other);
    let (by_hand, _) = p99_and_max("by hand", by_hand);
    assert!(lag <= MAX_LAG, "{lag:?}");
    // With fewer probes, the 99th percentile is a single probe, which another
    // program on the machine may delay.
    if full {
        assert!(other <= MAX_DELAY && by_hand <= MAX_DELAY);
    }
    assert!(peak <= server.max_anonymous_kib, "{peak} KiB");
}

fn state(site: &Site) -> Value {
    let status = site.status(&["--json"]).unwrap();
    let mut status: Value = serde_json::from_str(&status).unwrap();
    status["daemon"]["state"].take()
}

/// Resets the peak of the resident set, because a debug build needs more memory
/// while it loads the filter.
fn forget_peak(daemon: &Daemon) {
    fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5").unwrap();
}

/// The peak of the anonymous memory. The pages of the program and of mapped files,
/// most of what an unoptimised program has resident, do not depend on the log.
fn peak_kib(daemon: &Daemon) -> u64 {
    let process = Process::new(daemon.pid().try_into().unwrap()).unwrap();
    let status = process.status().unwrap();
    status.vmhwm.unwrap() - status.rssfile.unwrap() - status.rssshmem.unwrap()
}

fn p99_and_max(kind: &str, mut delays: Vec<Duration>) -> (Duration, Duration) {
    delays.sort_unstable();
    let count = delays.len();
    let [p50, p99] = [50, 99].map(|percent| delays[count * percent / 100]);
    let max = delays[count - 1];
    eprintln!("{kind}: {count} blocks, p50 {p50:?}, p99 {p99:?}, max {max:?}");
    (p99, max)
}

/// Appends lines at the rate of the storm; returns the time that this took.
fn storm(log: &Path, server: &Server, length: Duration) -> Duration {
    let mut file = OpenOptions::new().append(true).open(log).unwrap();
    let bursts = u32::try_from(LINES_PER_SECOND * length.as_secs() / BURST).unwrap();
    let common = Common::new(server);
    let mut text = String::new();
    let start = Instant::now();
    for burst in 0..bursts {
        let sources = AT_THE_BEGINNING + (SOURCES - AT_THE_BEGINNING) * burst / bursts;
        common.burst(sources, burst.into(), &mut text);
        file.write_all(text.as_bytes()).unwrap();
        let due = start + length / bursts * (burst + 1);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    start.elapsed()
}

/// The lines of the storm. Of each ten, one is a rejection, and the others are
/// those of a usual day.
struct Common<'a> {
    server: &'a Server,
    stamp: jiff::Timestamp,
    nine: String,
}

impl<'a> Common<'a> {
    fn new(server: &'a Server) -> Self {
        let stamp = jiff::Timestamp::now();
        let mut nine = String::new();
        for line in server.nine {
            writeln!(nine, "{stamp} mx {line}").unwrap();
        }
        Self {
            server,
            stamp,
            nine,
        }
    }

    fn burst(&self, sources: u32, seed: u64, text: &mut String) {
        let mut random = fastrand::Rng::with_seed(seed);
        text.clear();
        for _ in 0..BURST / 10 {
            text.push_str(&self.nine);
            let source =
                Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 80, 0, 0)) + random.u32(..sources));
            let rejection = (self.server.rejection)(source);
            writeln!(text, "{} mx {rejection}", self.stamp).unwrap();
        }
    }
}

/// Blocks new addresses one after another, and measures the time of each block.
struct Probe<'a> {
    site: &'a Site,
    server: &'a Server,
    list: Blocklist,
    end: Instant,
    pause: Duration,
}

impl<'a> Probe<'a> {
    fn new(site: &'a Site, server: &'a Server, length: Duration) -> Self {
        let open = || Blocklist::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap();
        Self {
            site,
            server,
            list: site.server.run(open),
            end: Instant::now() + length,
            pause: length / PROBES,
        }
    }

    fn log(&self, log: &Path, net: u8) -> Vec<Duration> {
        let mut file = OpenOptions::new().append(true).open(log).unwrap();
        self.delays(net, |source| {
            let (stamp, rejection) = (jiff::Timestamp::now(), (self.server.rejection)(source));
            let line = format!("{stamp} mx {rejection}\n");
            file.write_all(line.as_bytes()).unwrap();
        })
    }

    fn by_hand(&self, net: u8) -> Vec<Duration> {
        self.delays(net, |source| {
            self.site.spamdrop(&["add", &source.to_string()]).unwrap();
        })
    }

    fn delays(&self, net: u8, mut block: impl FnMut(Ipv4Addr)) -> Vec<Duration> {
        let mut delays = Vec::new();
        for host in 1..=u16::MAX {
            if Instant::now() >= self.end {
                break;
            }
            let [high, low] = host.to_be_bytes();
            let source = Ipv4Addr::new(100, 96 + net, high, low);
            let start = Instant::now();
            block(source);
            until(&format!("{source} to be blocked"), 2 * MAX_LAG, || {
                let target = IpAddr::V4(source).into();
                let blocked = self.list.is_blocked(target, clock::monotonic_ns())?;
                Ok(blocked.then_some(()))
            })
            .unwrap();
            delays.push(start.elapsed());
            thread::sleep(self.pause);
        }
        delays
    }
}
