//! A lab leaves no process, namespace, mount or interface behind.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, stdin};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use spamdrop_lab::client::Client;
use spamdrop_lab::smtpd::Options;
use spamdrop_lab::wait::until;
use spamdrop_lab::{Daemon, End, Host, Smtpd, binary, wire};

const WAIT: Duration = Duration::from_secs(10);
/// The environment variable that turns a run of this test program into the
/// victim that is killed. Its value is the victim's directory.
const VICTIM: &str = "LAB_VICTIM";

/// The parts of a lab: a wire, a server with a session that sleeps in its
/// tarpit, and another program.
struct Lab {
    _session: Client,
    _daemon: Daemon,
    _smtpd: Smtpd,
    _hosts: [Host; 2],
}

/// The processes and namespaces of a lab.
struct Traces {
    pids: Vec<u32>,
    /// The link targets of `/proc/PID/ns/NAME`.
    namespaces: Vec<String>,
}

impl Lab {
    fn new(directory: &Path) -> (Self, Traces) {
        let hosts = ["mx", "bots"].map(|name| Host::new(name).unwrap());
        let [mx, bots] = &hosts;
        let (a, b) = (["192.0.2.1/24"], ["192.0.2.2/24"]);
        let end = |host, interface, addresses| End {
            host,
            interface,
            addresses,
        };
        wire(&end(mx, "lab-mx", &a), &end(bots, "lab-bots", &b), 1500).unwrap();

        let listed = directory.join("listed");
        fs::write(&listed, "192.0.2.2").unwrap();
        let mut options = Options::new(directory.join("mail.log"), listed);
        options.tarpit = Duration::from_secs(3600);
        let smtpd = Smtpd::start(mx, &binary("lab-smtpd").unwrap(), &options).unwrap();
        let dest = "192.0.2.1:25".parse().unwrap();
        let mut session = Client::connect(bots, None, dest, Duration::from_millis(300)).unwrap();
        session.reject_session().unwrap_err();
        let no_env: [(&str, &str); 0] = [];
        let daemon = Daemon::start(bots, "sh", ["-c", "echo up; exec sleep 3600"], no_env).unwrap();
        daemon.wait_for(|line| line == "up", WAIT).unwrap();

        let mut pids = smtpd.session_pids().unwrap();
        assert_eq!(pids.len(), 1);
        pids.extend([smtpd.pid(), daemon.pid()]);
        let namespaces = hosts.iter().flat_map(|host| {
            ["net", "mnt"].map(|kind| {
                let link = format!("/proc/{}/ns/{kind}", host.tid());
                fs::read_link(link).unwrap().display().to_string()
            })
        });
        let traces = Traces {
            pids,
            namespaces: namespaces.collect(),
        };
        let lab = Self {
            _session: session,
            _daemon: daemon,
            _smtpd: smtpd,
            _hosts: hosts,
        };
        (lab, traces)
    }
}

impl Traces {
    /// Lists the processes that still exist, and the threads in the namespaces.
    fn left(&self) -> Vec<String> {
        let pids = self.pids.iter().map(|pid| format!("/proc/{pid}"));
        let mut left: Vec<String> = pids.filter(|path| fs::exists(path).unwrap()).collect();
        for process in directory("/proc") {
            for task in directory(&format!("{process}/task")) {
                for kind in ["net", "mnt"] {
                    let link = fs::read_link(format!("{task}/ns/{kind}")).unwrap_or_default();
                    if self.namespaces.iter().any(|name| link == Path::new(name)) {
                        left.push(format!("{task} in {}", link.display()));
                    }
                }
            }
        }
        left
    }

    fn await_end(&self) {
        let gone = until("the end of the lab", WAIT, || {
            Ok(self.left().is_empty().then_some(()))
        });
        gone.unwrap_or_else(|error| panic!("{error}: {:?}", self.left()));
    }
}

/// Lists a directory of /proc; empty if the directory no longer exists.
fn directory(path: &str) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten();
    entries
        .map_while(Result::ok)
        .map(|entry| entry.path().display().to_string())
        .collect()
}

/// The test process's own mounts at /sys and /run, which a host mounts anew for itself,
/// and the test process's interfaces.
fn surroundings() -> [Vec<String>; 2] {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts.lines().filter(|line| {
        let point = line.split(' ').nth(1);
        ["/sys", "/run"].map(Some).contains(&point)
    });
    let mut interfaces = directory("/sys/class/net");
    interfaces.sort();
    [mounts.map(str::to_owned).collect(), interfaces]
}

#[test]
fn dropping_a_lab_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let before = surroundings();
    let (lab, traces) = Lab::new(directory.path());
    assert!(traces.left().len() > traces.pids.len());
    assert_eq!(surroundings(), before, "while the lab is there");
    drop(lab);
    traces.await_end();
    assert_eq!(surroundings(), before);
}

#[test]
fn killing_a_lab_leaves_nothing() {
    if let Some(directory) = env::var_os(VICTIM) {
        return be_killed(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let before = surroundings();
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["killing_a_lab_leaves_nothing", "--exact", "--nocapture"])
        .env(VICTIM, directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let line = lines
        .find_map(|line| Some(line.unwrap().strip_prefix("traces ")?.to_owned()))
        .unwrap();
    let (namespaces, pids): (Vec<_>, Vec<_>) = line.split(' ').partition(|word| word.contains(':'));
    let traces = Traces {
        pids: pids.iter().map(|pid| pid.parse().unwrap()).collect(),
        namespaces: namespaces.into_iter().map(str::to_owned).collect(),
    };
    assert!(traces.left().len() > traces.pids.len());
    victim.kill().unwrap();
    assert_eq!(victim.wait().unwrap().signal(), Some(9));
    traces.await_end();
    assert_eq!(surroundings(), before);
}

/// Acts as the victim: makes a lab, prints its traces and waits to be killed.
#[expect(clippy::print_stdout, reason = "the killer reads it")]
fn be_killed(directory: &Path) {
    let (_lab, traces) = Lab::new(directory);
    let pids = traces.pids.iter().map(u32::to_string);
    let words: Vec<_> = pids.chain(traces.namespaces.clone()).collect();
    println!("\ntraces {}", words.join(" "));
    // Returns when the killer's end of the pipe is closed.
    stdin().read_line(&mut String::new()).unwrap();
}
