//! The daemon's cost on a quiet server: CPU time and wake-ups while nothing
//! comes, with the gate observing. Also the cost of `top`.

mod top;

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;
use spamdrop_lab::{Daemon, Host};

use crate::latency::fail2ban;
use crate::lists::{Spamdrop, run};
use crate::packets::say;
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};

/// Number of connections. This process has both ends of each open, and on common
/// machines the limit of open files is at least 20,000.
const CONNECTIONS: usize = 9_500;
const SMTP: u16 = 25;
const OTHER: u16 = 8_080;
/// Many slots, so that the connections take less than a third of them.
const SETTINGS: &str = "admit = \"observe\"\nslots = 40000\n";
/// Wait before each measurement, so that the daemon no longer works on its start or on new
/// connections.
const SETTLE: Duration = Duration::from_secs(12);
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Maximum share of a core, in percent.
const CPU: Bar = Bar::AtMost(0.2);
/// Maximum number of wake-ups per second.
const WAKES: Bar = Bar::AtMost(8.0);

/// CPU time of a process in seconds, and how often its threads have waited: so far, or
/// per second.
#[derive(Clone, Copy)]
struct Usage {
    cpu: f64,
    waits: f64,
}

/// The connections of the quiet server.
#[derive(Clone, Copy)]
enum Crowd {
    None,
    Of(u16),
}

const CROWDS: [(&str, Crowd); 3] = [
    ("spamdrop", Crowd::None),
    (
        "spamdrop, 9,500 connections of another port",
        Crowd::Of(OTHER),
    ),
    ("spamdrop, 9,500 connections of port 25", Crowd::Of(SMTP)),
];

/// Measures spamdrop and fail2ban, and `top`.
///
/// # Errors
///
/// spamdrop does not start, or `/proc` cannot be read. If fail2ban does not
/// start, that is only noted in the table.
pub fn cases(quick: bool) -> Result<Vec<Case>> {
    say("a quiet server");
    let (rounds, length, of_top) = if quick { (1, 10, 30) } else { (3, 20, 240) };
    let [length, of_top] = [length, of_top].map(Duration::from_secs);
    open_many_files()?;
    let spamdrop = Spamdrop::new(262_144)?;
    spamdrop.configure(SETTINGS)?;
    let daemon = run(&spamdrop)?;
    daemon.wait_for(|line| line.contains("ready: "), READY_WITHIN)?;
    let _server = listen(&spamdrop.host, SMTP)?;
    let other = Host::new("fail2ban")?;
    let fail2ban = start_fail2ban(&other);
    let mut cpu = [const { Sample(Vec::new()) }; CROWDS.len() + 1];
    let mut waits = cpu.clone();
    for _ in 0..rounds {
        let mut figures = Vec::new();
        for (_, crowd) in CROWDS {
            let _crowd = match crowd {
                Crowd::None => Vec::new(),
                Crowd::Of(port) => connect(&spamdrop.host, port)?,
            };
            figures.push(measure(&daemon, length)?);
        }
        if let Ok(fail2ban) = &fail2ban {
            figures.push(measure(fail2ban, length)?);
        }
        for (usage, (cpu, waits)) in figures.iter().zip(cpu.iter_mut().zip(&mut waits)) {
            cpu.0.push(usage.cpu * 100.0);
            waits.0.push(usage.waits);
        }
    }
    let failed = fail2ban.err().map(|error| format!("{error:#}"));
    Ok(vec![
        case(
            "idle, part of a core",
            Unit::Percent,
            cpu,
            CPU,
            failed.as_deref(),
        ),
        case(
            "idle, wake-ups",
            Unit::PerSecond,
            waits,
            WAKES,
            failed.as_deref(),
        ),
        top::measure(of_top)?,
    ])
}

fn case(
    name: &str,
    unit: Unit,
    samples: [Sample; CROWDS.len() + 1],
    bar: Bar,
    failed: Option<&str>,
) -> Case {
    let [alone, other, own, fail2ban] = samples;
    let [first, second, third] = CROWDS.map(|(subject, _)| subject);
    let mut case = Case::new(name, unit, first, alone).with_bar(bar);
    case.also(second, other, Some(bar));
    case.also(third, own, None);
    match failed {
        Some(why) => case.without("fail2ban", why, None),
        None => case.also("fail2ban", fail2ban, None),
    }
    case
}

fn start_fail2ban(host: &Host) -> Result<Daemon> {
    host.run(|| fs::write("/run/mail.log", ""))?;
    fail2ban::start(host, Path::new("/run/mail.log"))
}

/// Waits for [`SETTLE`], and then measures the usage per second over `length`.
fn measure(daemon: &Daemon, length: Duration) -> Result<Usage> {
    sleep(SETTLE);
    let (start, before) = (Instant::now(), usage(daemon.pid())?);
    sleep(length);
    let (after, seconds) = (usage(daemon.pid())?, start.elapsed().as_secs_f64());
    Ok(Usage {
        cpu: (after.cpu - before.cpu) / seconds,
        waits: (after.waits - before.waits) / seconds,
    })
}

/// The usage of a process so far, summed over its threads.
fn usage(pid: u32) -> Result<Usage> {
    let mut sum = Usage {
        cpu: 0.0,
        waits: 0.0,
    };
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        let schedstat = fs::read_to_string(task.join("schedstat"))?;
        let status = fs::read_to_string(task.join("status"))?;
        let waits = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<f64>().ok());
        let cpu_ns = number(schedstat.split(' ').next()).context("no CPU time")?;
        sum.cpu += cpu_ns / 1e9;
        sum.waits += number(waits).context("no voluntary_ctxt_switches")?;
    }
    Ok(sum)
}

/// Raises this process's limit of open files to the maximum that it may set.
fn open_many_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}

fn listen(host: &Host, port: u16) -> Result<TcpListener> {
    // Not on all addresses, because `connect` listens on 127.0.0.2.
    host.run(move || TcpListener::bind((Ipv4Addr::LOCALHOST, port)))
        .with_context(|| format!("cannot listen on port {port}"))
}

/// Opens [`CONNECTIONS`] connections to a port of the host, and accepts them. They end
/// with a reset, so that none is in TIME_WAIT during the next measurement.
fn connect(host: &Host, port: u16) -> Result<Vec<[TcpStream; 2]>> {
    host.run(move || -> Result<Vec<[TcpStream; 2]>> {
        let address = (Ipv4Addr::new(127, 0, 0, 2), port);
        let listener = TcpListener::bind(address)?;
        (0..CONNECTIONS)
            .map(|_| {
                let both = [TcpStream::connect(address)?, listener.accept()?.0];
                for end in &both {
                    SockRef::from(end).set_linger(Some(Duration::ZERO))?;
                }
                Ok(both)
            })
            .collect()
    })
}
