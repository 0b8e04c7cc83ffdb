//! Finds the processes that own a socket, and terminates them.
//!
//! A process that sleeps in Courier's tarpit does not notice that its socket
//! was destroyed: it keeps its slot until it wakes.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::thread::{CapabilitySet, capabilities};

use super::sockets;

/// The capabilities that are needed to find and terminate the processes of other
/// users.
pub(super) const NEEDED: [(CapabilitySet, &str); 3] = [
    (CapabilitySet::KILL, "CAP_KILL"),
    (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE"),
    (CapabilitySet::DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"),
];

/// The needed capabilities that this thread does not have.
///
/// # Errors
///
/// The kernel does not return this thread's capabilities.
pub fn missing_capabilities() -> io::Result<Vec<&'static str>> {
    let effective = capabilities(None)?.effective;
    let missing = NEEDED.iter().filter(|(one, _)| !effective.contains(*one));
    Ok(missing.map(|(_, name)| *name).collect())
}

/// A process that owns one of the given sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pid: i32,
    inode: u64,
    executable: PathBuf,
}

/// The owners of these sockets. A process that holds a listening socket, such
/// as the server's main process, is never included.
///
/// # Errors
///
/// `/proc` or the list of listening sockets cannot be read.
pub fn find_owners(inodes: &HashSet<u64>) -> io::Result<Vec<Owner>> {
    let listeners = sockets::listeners()?;
    let mut owners = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        // The other names in `/proc` are not processes.
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let held = held_sockets(pid);
        let Some(inode) = held.intersection(inodes).next() else {
            continue;
        };
        if held.is_disjoint(&listeners) && pid != std::process::id().cast_signed() {
            owners.extend(executable(pid).ok().map(|executable| Owner {
                pid,
                inode: *inode,
                executable,
            }));
        }
    }
    Ok(owners)
}

/// The inodes of a process's sockets; empty if the process is gone or its
/// descriptors cannot be read.
fn held_sockets(pid: i32) -> HashSet<u64> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return HashSet::new();
    };
    descriptors
        .flatten()
        .filter_map(|descriptor| {
            let target = fs::read_link(descriptor.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?;
            inode.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

fn executable(pid: i32) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe"))
}

impl Owner {
    /// Sends SIGTERM, if the process is still the same one. The pidfd is opened
    /// first and executable and socket are compared afterwards, so that a new
    /// process with the same pid is never signalled.
    ///
    /// # Errors
    ///
    /// The process is gone, is another one, or may not be signalled.
    pub fn terminate(&self) -> io::Result<()> {
        let pid = Pid::from_raw(self.pid).ok_or(io::ErrorKind::InvalidInput)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        let same = executable(self.pid).is_ok_and(|exe| exe == self.executable)
            && held_sockets(self.pid).contains(&self.inode);
        if !same {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the process has changed",
            ));
        }
        Ok(pidfd_send_signal(&descriptor, Signal::TERM)?)
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} ({})", self.pid, self.executable.display())
    }
}
