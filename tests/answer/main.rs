//! `answer = "on"`: which senders reach the responder and which the mail
//! server, with real TCP connections that the kernel steers.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a measurement is shown")]

mod load;
mod refusal;
mod steering;

use std::fs;
use std::net::IpAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use spamdrop::clock;
use spamdrop::kernel::blocklist::GateMaps;
use spamdrop_common::gate::{Gate, RESPONDER_IPV4, RESPONDER_IPV6, Standing, Verdict, host_bits};
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::target::Target;
use spamdrop_lab::wait::until;
use spamdrop_lab::{Client, Daemon, Signal, Site};

const ZOMBIE: &str = "100.64.0.66";
const ZOMBIE6: &str = "2001:db8:64:1::66";
/// In the same /64 as [`ZOMBIE6`].
const MATE6: &str = "2001:db8:64:1::77";
const CLEAN: &str = "100.64.0.1";
const SOON: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_secs(60);
/// Both address families.
const BOTH: u32 = RESPONDER_IPV4 | RESPONDER_IPV6;
/// The texts of the two greetings.
const RESPONDER: &str = "responder.example ESMTP";
const SERVER: &str = "mx1 ESMTP";

fn pin_dir() -> &'static Path {
    Path::new("/sys/fs/bpf/spamdrop")
}

/// A site with a daemon whose responder is on, and a writer of verdicts in place of
/// DNS look-ups.
struct Lab {
    site: Site,
    daemon: Daemon,
    syslog: UnixDatagram,
    gate_writer: GateWriter,
}

impl Lab {
    fn new() -> Self {
        Self::start(|_| {}, |gate| gate.responders == BOTH)
    }

    /// Calls `prepare` before the daemon starts, then waits until the daemon has
    /// set the gate as `expected`.
    fn start(prepare: impl FnOnce(&Site), expected: impl Fn(&Gate) -> bool) -> Self {
        let site = Site::new(Path::new(env!("CARGO_BIN_EXE_spamdrop")), |_| {}).unwrap();
        fs::create_dir(site.path("courier")).unwrap();
        fs::write(site.path("courier/me"), "responder.example\n").unwrap();
        configure(&site, "on");
        prepare(&site);
        let syslog = UnixDatagram::bind(site.path("syslog")).unwrap();
        syslog.set_read_timeout(Some(SOON)).unwrap();
        let daemon = site.run().unwrap();
        let gate_maps = site.server.run(|| GateMaps::open(pin_dir()).unwrap());
        until("the daemon to set the gate", SOON, || {
            Ok(expected(&gate_maps.gate()?).then_some(()))
        })
        .unwrap();
        Self {
            site,
            daemon,
            syslog,
            gate_writer: GateWriter::new(gate_maps),
        }
    }

    fn judge(&self, source: &str, standing: Standing) {
        let until = clock::monotonic_ns().plus(MINUTE);
        self.gate_writer.judge(source, standing, until);
    }

    /// Connects from `source`, and returns the greeting.
    fn greets(&self, source: &str) -> String {
        greeted(&self.site, source).1
    }

    /// Waits until `wanted` greets a sender. The responder of a daemon that has just
    /// started answers nobody before the filter has the known senders.
    fn until_greeted_by(&self, wanted: &str, source: &str) {
        until(&format!("{wanted} to greet {source}"), SOON, || {
            Ok((self.greets(source) == wanted).then_some(()))
        })
        .unwrap();
    }

    /// Receives the next line of syslog. Returns its priority and its message,
    /// without the stamp.
    fn logged(&self) -> (String, String) {
        let mut line = [0; 1024];
        let length = self.syslog.recv(&mut line).unwrap();
        let line = String::from_utf8_lossy(&line[..length]).into_owned();
        let (priority, rest) = line.split_once('>').unwrap();
        let message = rest.split_at("Nov 23 08:50:54 ".len()).1;
        (priority.to_owned(), message.to_owned())
    }

    /// Waits until a figure of the responder in `status --json` has this value.
    fn until_answers(&self, pointer: &str, wanted: u64) {
        until(pointer, SOON, || {
            let text = self.site.status(&["--json"])?;
            let json: Value = serde_json::from_str(&text)?;
            let found = &json["daemon"]["state"]["responder"][pointer];
            Ok((*found == wanted).then_some(()))
        })
        .unwrap();
    }
}

fn configure(site: &Site, answer: &str) {
    let syslog = site.path("syslog");
    let more = format!("answer = {answer:?}\nsyslog = {syslog:?}");
    site.configure(&more).unwrap();
}

fn greeted(site: &Site, source: &str) -> (Client, String) {
    let mut client = site.connect(source).unwrap();
    let greeting = client.read_reply().unwrap();
    assert_eq!(greeting.code, 220);
    (client, greeting.text)
}

/// Writes the gate every 200 ms beside the daemon, and sets verdicts.
struct GateWriter {
    gate_maps: Arc<Mutex<GateMaps>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl GateWriter {
    fn new(gate_maps: GateMaps) -> Self {
        let mut gate_writer = Self {
            gate_maps: Arc::new(Mutex::new(gate_maps)),
            stop: None,
            thread: None,
        };
        gate_writer.go_on();
        gate_writer
    }

    /// Starts the thread that writes the gate. The gate has been written once
    /// when this returns.
    fn go_on(&mut self) {
        let (stop, stopped) = channel();
        let gate_maps = Arc::clone(&self.gate_maps);
        write(&mut gate_maps.lock().unwrap(), clock::monotonic_ns(), BOTH);
        self.stop = Some(stop);
        self.thread = Some(std::thread::spawn(move || {
            let period = Duration::from_millis(200);
            while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                write(&mut gate_maps.lock().unwrap(), clock::monotonic_ns(), BOTH);
            }
        }));
    }

    fn pause(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    fn gate_maps(&self) -> MutexGuard<'_, GateMaps> {
        self.gate_maps.lock().unwrap()
    }

    fn judge(&self, source: &str, standing: Standing, until: MonotonicNs) {
        let host = match source.parse().unwrap() {
            IpAddr::V4(_) => 0,
            IpAddr::V6(addr) => host_bits(true, addr.octets()),
        };
        let verdict = Verdict {
            host,
            until,
            standing: standing as u32,
            zone: 0,
        };
        let source: Target = source.parse().unwrap();
        self.gate_maps().set_verdict(source, verdict).unwrap();
    }
}

impl Drop for GateWriter {
    fn drop(&mut self) {
        self.pause();
    }
}

fn write(gate_maps: &mut GateMaps, written: MonotonicNs, responders: u32) {
    let gate = Gate {
        written,
        responders,
        ..Gate::default()
    };
    gate_maps.set(gate).unwrap();
}

/// Asks bpftool for the pinned link. Returns the ids of its program and of the link.
fn link(site: &Site) -> Option<(String, String)> {
    let path: PathBuf = pin_dir().join("answer_link");
    let path = path.to_str().unwrap().to_owned();
    let argv = ["bpftool", "--json", "link", "show", "pinned", &path].map(str::to_owned);
    let json: Value = serde_json::from_str(&site.server.exec(argv).ok()?).unwrap();
    Some((json["prog_id"].to_string(), json["id"].to_string()))
}
