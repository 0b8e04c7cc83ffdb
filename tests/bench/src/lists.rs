//! Lists: import and export of a million addresses, a single `add`, the start,
//! and memory. The program itself is measured, as a process.

mod bulk;
mod daemon;
mod fifo;
mod owners;
mod single;

pub use daemon::run;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use spamdrop_lab::{Host, binary};

use crate::packets::Thoroughness;
use crate::table::Case;

/// Number of addresses in a long list.
pub const MANY: u32 = 1_000_000;
/// The file to which a host's commands write their output; each host has its
/// own /run.
const OUTPUT: &str = "/run/output";

/// Measures all list cases.
///
/// # Errors
///
/// spamdrop or a peer cannot be run, or has a wrong result.
pub fn cases(thoroughness: Thoroughness) -> Result<Vec<Case>> {
    let rounds = rounds(thoroughness);
    let mut cases = bulk::measure(rounds, thoroughness.quick)?;
    cases.extend(owners::measure(rounds)?);
    cases.push(single::measure(rounds)?);
    cases.push(fifo::measure(rounds)?);
    cases.extend(daemon::measure(rounds)?);
    Ok(cases)
}

/// Number of measurements of each case.
pub fn rounds(thoroughness: Thoroughness) -> usize {
    if thoroughness.quick { 2 } else { 5 }
}

/// spamdrop on a host of its own, with an interface to filter.
pub struct Spamdrop {
    /// The host.
    pub host: Host,
    program: PathBuf,
}

impl Spamdrop {
    const CONFIG: &str = "/run/spamdrop.toml";

    /// Configures spamdrop, without starting it.
    ///
    /// # Errors
    ///
    /// The host could not be made.
    pub fn new(capacity4: u32) -> Result<Self> {
        let host = Host::new("spamdrop")?;
        host.exec("ip link add eth0 type veth peer name eth1".split(' '))?;
        // Everybody may write to a new tmpfs, and `spamdrop run` refuses such a directory.
        host.exec(["chmod", "755", "/run"])?;
        for interface in ["eth0", "eth1"] {
            host.exec(["ip", "link", "set", interface, "up"])?;
        }
        let config = format!(
            "interfaces = [\"eth0\"]\nlogs = [\"/run/mail.log\"]\nallow_file = \"/run/allow\"\n\
             state_dir = \"/run/state\"\ncourier_dir = \"/run/courier\"\ncapacity4 = {capacity4}\n"
        );
        host.run(move || {
            fs::write(Self::CONFIG, config)?;
            fs::write("/run/mail.log", "")
        })?;
        Ok(Self {
            host,
            program: binary("spamdrop")?,
        })
    }

    /// Adds settings to the configuration.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn configure(&self, settings: &str) -> Result<()> {
        let settings = settings.to_owned();
        self.host.run(move || {
            let mut config = OpenOptions::new().append(true).open(Self::CONFIG)?;
            config.write_all(settings.as_bytes())?;
            Ok(())
        })
    }

    /// The words of a spamdrop command.
    pub fn argv(&self, args: &[&str]) -> Vec<OsString> {
        let mut argv = vec![self.program.clone().into_os_string()];
        argv.extend(["--config", Self::CONFIG].map(OsString::from));
        argv.extend(args.iter().map(OsString::from));
        argv
    }

    /// Runs a spamdrop command and measures its time. Its output is written to
    /// [`OUTPUT`].
    ///
    /// # Errors
    ///
    /// The command fails.
    pub fn time(&self, args: &[&str]) -> Result<Duration> {
        time(&self.host, self.argv(args))
    }
}

/// Runs a command and measures the time from its start to its end.
fn time(host: &Host, argv: Vec<OsString>) -> Result<Duration> {
    host.run(move || {
        let (program, args) = argv.split_first().context("no program to run")?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        command.stdout(File::create(OUTPUT)?);
        let start = Instant::now();
        let status = command.status();
        let time = start.elapsed();
        let status = status.with_context(|| format!("cannot start {}", program.display()))?;
        ensure!(status.success(), "{command:?}: {status}");
        Ok(time)
    })
}

fn words(command: &str) -> Vec<OsString> {
    command.split(' ').map(OsString::from).collect()
}

/// Counts the occurrences of a text in the last command's output.
fn printed(host: &Host, text: &'static str) -> Result<usize> {
    let output = host.run(|| fs::read_to_string(OUTPUT))?;
    Ok(output.matches(text).count())
}

/// Writes a file of a host.
///
/// # Errors
///
/// The file cannot be written.
pub fn write(host: &Host, path: &'static str, text: String) -> Result<()> {
    host.run(move || fs::write(path, text))
        .with_context(|| format!("cannot write {path}"))
}

/// Generates `number` different addresses in 16.0.0.0/6, not sorted.
pub fn addresses(number: u32) -> impl Iterator<Item = Ipv4Addr> {
    // An odd factor maps the lower 26 bits one to one.
    (0..number).map(|index| (0x1000_0000 | index.wrapping_mul(0x9e37_79b1) & 0x03ff_ffff).into())
}
