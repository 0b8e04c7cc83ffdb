//! Where packets go: a host with one interface, whose packets are handled by
//! one kernel thread on one core.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::Pid;
use spamdrop_lab::{End, Host, wire};

use super::traffic::{SERVER, SERVER_MAC};
use crate::machine::pin;

/// The kernel thread that handles the packets.
pub struct Receiver(PathBuf);

impl Receiver {
    /// The CPU time that it has used, in seconds.
    ///
    /// # Errors
    ///
    /// The thread is gone.
    pub fn cpu_time(&self) -> Result<f64> {
        let path = self.0.display();
        let text = fs::read_to_string(&self.0).with_context(|| format!("cannot read {path}"))?;
        let first = text.split_whitespace().next();
        let ns: f64 = first.with_context(|| format!("{path} is empty"))?.parse()?;
        Ok(ns / 1e9)
    }
}

/// A host to which a source has a wire of its own.
pub struct Sink {
    /// The host.
    pub host: Host,
    /// Its interface, called as the host.
    pub interface: &'static str,
    /// The index of the wire's other end, on the source.
    pub sender: u32,
}

impl Sink {
    /// Makes a sink. `name` is at most 12 bytes and the beginning of no other
    /// sink's.
    ///
    /// # Errors
    ///
    /// The kernel, `ip` or `ethtool` refused something.
    pub fn new(source: &Host, name: &'static str) -> Result<Self> {
        let host = Host::new(name)?;
        host.run(without_ipv6)?;
        let sender = format!("to-{name}");
        let near = End {
            host: source,
            interface: &sender,
            addresses: &[],
        };
        let address = format!("{SERVER}/24");
        let far = End {
            host: &host,
            interface: name,
            addresses: &[&address],
        };
        wire(&near, &far, 1500)?;
        let mac = SERVER_MAC.map(|byte| format!("{byte:02x}")).join(":");
        host.exec(["ip", "link", "set", name, "address", &mac])?;
        // Gives a veth the NAPI thread, also without an XDP program.
        host.exec(["ethtool", "-K", name, "gro", "on"])?;
        host.run(move || accept_any_source(name))?;
        let sender = source.run(move || number(&format!("/sys/class/net/{sender}/ifindex")))?;
        Ok(Self {
            host,
            interface: name,
            sender,
        })
    }

    /// Handles the packets in a thread of their own, on this core. To be
    /// called last: another program on the interface means another thread.
    ///
    /// # Errors
    ///
    /// The kernel refuses, or hides its threads.
    pub fn receive_on(&self, cpu: usize) -> Result<Receiver> {
        let threaded = format!("/sys/class/net/{}/threaded", self.interface);
        self.host.run(move || write(&threaded, "1"))?;
        let name = format!("napi/{}", self.interface);
        let mut receivers = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            // Processes come and go meanwhile.
            let comm = fs::read_to_string(path.join("comm")).unwrap_or_default();
            if comm.starts_with(&name) {
                pin(pid(&path), cpu)?;
                receivers.push(Receiver(path.join("schedstat")));
            }
        }
        ensure!(
            receivers.len() == 1,
            "{} kernel threads {name}: is this a PID namespace, or does another bench run?",
            receivers.len()
        );
        receivers.pop().context("no kernel thread")
    }

    /// TCP segments that got as far as the host's TCP.
    ///
    /// # Errors
    ///
    /// `/proc` does not say.
    pub fn segments(&self) -> Result<u64> {
        let path = "/proc/thread-self/net/snmp";
        let snmp = self.host.run(move || fs::read_to_string(path))?;
        let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp:"));
        let names = lines.next().unwrap_or_default().split_whitespace();
        let values = lines.next().unwrap_or_default().split_whitespace();
        let found = names.zip(values).find(|(name, _)| *name == "InSegs");
        let (_, value) = found.with_context(|| format!("{path} has no InSegs"))?;
        Ok(value.parse()?)
    }
}

/// Interfaces to come say nothing by themselves: what arrives is what is sent.
///
/// # Errors
///
/// `/proc` refuses.
pub fn without_ipv6() -> Result<()> {
    write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")
}

/// The sources have no route back, and must be taken nevertheless.
fn accept_any_source(interface: &str) -> Result<()> {
    for name in ["all", interface] {
        write(&format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), "0")?;
    }
    Ok(())
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {text} to {path}"))
}

fn number(path: &str) -> Result<u32> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.trim_end().parse()?)
}

fn pid(path: &Path) -> Option<Pid> {
    Pid::from_raw(path.file_name()?.to_str()?.parse().ok()?)
}
