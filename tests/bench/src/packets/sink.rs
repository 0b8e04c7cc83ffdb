//! The destination of packets: a host with one interface, whose packets are
//! handled by one kernel thread on one core.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rustix::process::setpriority_process;
use rustix::thread::Pid;
use spamdrop_lab::{End, Host, wire};

use super::traffic::{SERVER, SERVER_MAC};
use crate::machine::bind;

/// The kernel thread that handles the packets.
pub struct Receiver(PathBuf);

impl Receiver {
    /// The CPU time of the thread so far, in seconds.
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

/// A host that is connected to a source by its own veth.
pub struct Sink {
    /// The host.
    pub host: Host,
    /// The interface, named like the host.
    pub interface: &'static str,
    /// The index of the veth's other end, on the source.
    pub sender: u32,
}

impl Sink {
    /// Creates a sink. `name` has at most 12 bytes and is no prefix of another
    /// sink's name.
    ///
    /// # Errors
    ///
    /// A system call, `ip` or `ethtool` failed.
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
        // GRO gives a veth a NAPI thread even without an XDP program.
        host.exec(["ethtool", "-K", name, "gro", "on"])?;
        host.run(move || accept_any_source(name))?;
        let sender = source.run(move || number(&format!("/sys/class/net/{sender}/ifindex")))?;
        Ok(Self {
            host,
            interface: name,
            sender,
        })
    }

    /// Moves the handling of packets to a thread of its own, on this core. Must
    /// be called last, because attaching another program to the interface
    /// replaces the thread.
    ///
    /// # Errors
    ///
    /// The kernel refuses, or its threads are not visible.
    pub fn receive_on(&self, cpu: usize) -> Result<Receiver> {
        let threaded = format!("/sys/class/net/{}/threaded", self.interface);
        self.host.run(move || write(&threaded, "1"))?;
        let name = format!("napi/{}", self.interface);
        let mut receivers = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            // Processes come and go during the scan, so an unreadable one is
            // skipped.
            let comm = fs::read_to_string(path.join("comm")).unwrap_or_default();
            if comm.starts_with(&name) {
                bind(pid(&path), cpu)?;
                // A lower priority than that of the busy loop in `lane`.
                setpriority_process(pid(&path), 5)?;
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

    /// Number of TCP segments that reached the host's TCP.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
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

/// Disables IPv6 on future interfaces, so that they send no packets by
/// themselves.
///
/// # Errors
///
/// `/proc` cannot be written.
pub fn without_ipv6() -> Result<()> {
    write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")
}

/// Disables the reverse-path filter, because the sources have no route back.
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
