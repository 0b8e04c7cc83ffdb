//! The daemon: the time until it is ready, and its memory.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use spamdrop_lab::{Daemon, Signal, wait};

use super::{OUTPUT, Spamdrop, addresses, write};
use crate::packets::say;
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};

/// The default capacity.
const FULL: u32 = 262_144;
/// Rejected senders in the log, too few to reach the ceiling.
const OFFENDERS: u32 = 2_000;
const TIMEOUT: Duration = Duration::from_secs(20);

/// Measures the start without an attached filter, and the resident set with an
/// empty and a full map.
///
/// # Errors
///
/// The daemon does not become ready, or does not read its log.
pub fn measure(rounds: usize) -> Result<Vec<Case>> {
    say("the daemon");
    let spamdrop = Spamdrop::new(FULL)?;
    let list: String = addresses(FULL).map(|addr| format!("{addr}\n")).collect();
    write(&spamdrop.host, "/run/list", list)?;
    let [mut start, mut empty, mut full] = [const { Sample(Vec::new()) }; 3];
    for _ in 0..rounds {
        let begin = Instant::now();
        let mut daemon = run(&spamdrop)?;
        daemon.wait_for(|line| line.contains("ready: "), TIMEOUT)?;
        start.0.push(begin.elapsed().as_secs_f64());
        empty.0.push(resident(&daemon)?);
        fill(&spamdrop)?;
        full.0.push(resident(&daemon)?);
        daemon.signal(Signal::SIGTERM)?;
        daemon.exit_status(TIMEOUT)?;
        spamdrop.time(&["detach"])?;
    }
    let most = Bar::AtMost(16.0);
    let memory = |name, sample| Case::new(name, Unit::Mebibytes, "spamdrop", sample).with_bar(most);
    let ready = Case::new("start to ready", Unit::Milliseconds, "spamdrop", start);
    Ok(vec![
        ready.with_bar(Bar::AtMost(0.1)),
        memory("daemon, empty map", empty),
        memory("daemon, full map", full),
    ])
}

/// Starts the daemon.
///
/// # Errors
///
/// The program cannot be started.
pub fn run(spamdrop: &Spamdrop) -> Result<Daemon> {
    let argv = spamdrop.argv(&["run"]);
    let (program, args) = argv.split_first().context("no program to run")?;
    Daemon::start(&spamdrop.host, program, args, [("RUST_LOG", "info")])
}

/// Fills the map, appends rejections to the log, and waits until the daemon has read them.
/// The log is not truncated, because the figure would include the work after a truncation.
fn fill(spamdrop: &Spamdrop) -> Result<()> {
    spamdrop.time(&["import", "/run/list"])?;
    let stamp = Timestamp::now();
    let mut lines = String::new();
    for number in 0..OFFENDERS {
        let addr = Ipv4Addr::from(0x6440_0000 | number);
        writeln!(
            lines,
            "{stamp} mx courieresmtpd: error,relay=::ffff:{addr},port=4,\
             from=<a@b.example>,to=<c@here.example>: 511 Blacklisted by zone.example"
        )?;
    }
    spamdrop.host.run(move || -> Result<()> {
        let mut log = OpenOptions::new().append(true).open("/run/mail.log")?;
        Ok(log.write_all(lines.as_bytes())?)
    })?;
    let blocked = format!("\"blocked\":{OFFENDERS}");
    wait::until("the log to be read", TIMEOUT, || {
        // `status` exits with 1, because no mail server listens here.
        let _ = spamdrop.time(&["status", "--json"]);
        let status = spamdrop.host.run(|| fs::read_to_string(OUTPUT))?;
        Ok(status.contains(&blocked).then_some(()))
    })
}

/// Reads the resident set of a process, in MiB.
fn resident(daemon: &Daemon) -> Result<f64> {
    let path = format!("/proc/{}/status", daemon.pid());
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    let mib = kib.context("no VmRSS")? / 1024.0;
    ensure!(mib > 0.0, "the daemon has ended");
    Ok(mib)
}
