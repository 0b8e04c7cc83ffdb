//! Reduces the daemon's rights to those that it needs.

use std::fs;
use std::io;

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, geteuid, getrlimit, parent_process_death_signal,
    set_dumpable_behavior, set_parent_process_death_signal, setrlimit, umask,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::owner;
use crate::account::Account;

/// The capabilities to load programs, attach them and end connections.
const NEEDED: [(CapabilitySet, &str); 3] = [
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
];

/// Descriptors that the responder may need; only root can raise the hard limit.
const DESCRIPTORS: u64 = 16_384;

/// Changes to the account's user and groups, and drops all capabilities except
/// `NEEDED`. If `terminates`, the process also keeps the capabilities to terminate
/// other processes; if the account is root, the capability to read all files.
///
/// From then on, no program that the process starts gains rights, the process
/// writes no core dump and cannot be traced, and only the account can access its
/// new files. Returns the names of the capabilities in `NEEDED` that the
/// process does not have.
///
/// # Errors
///
/// Several threads run, each of which has rights of its own; or root may not
/// become the account, as in a container without CAP_SETUID and CAP_SETGID.
pub fn reduce(account: &Account, terminates: bool) -> io::Result<Vec<&'static str>> {
    ensure_single_thread()?;
    umask(Mode::from_raw_mode(0o077));
    let kept = wanted(account, terminates) & capabilities(None)?.permitted;
    if geteuid().is_root() {
        raise_descriptor_limit();
        limit_bounding_set(kept);
    }
    if account.uid != geteuid() {
        // The kernel clears this signal when the user changes.
        let end_with_parent = parent_process_death_signal()?;
        set_keep_capabilities(true)?;
        set_thread_groups(&account.groups)?;
        set_thread_res_gid(account.gid, account.gid, account.gid)?;
        set_thread_res_uid(account.uid, account.uid, account.uid)?;
        set_parent_process_death_signal(end_with_parent)?;
    }
    // journalctl would inherit ambient capabilities (systemd's AmbientCapabilities=).
    clear_ambient_capability_set()?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let missing = NEEDED.iter().filter(|(one, _)| !kept.contains(*one));
    Ok(missing.map(|(_, name)| *name).collect())
}

fn wanted(account: &Account, terminates: bool) -> CapabilitySet {
    let mut wanted: CapabilitySet = NEEDED.iter().map(|(one, _)| *one).collect();
    if terminates {
        wanted |= owner::NEEDED.iter().map(|(one, _)| *one).collect();
    }
    if account.uid.is_root() {
        // Logs often belong to another user, and root cannot read them without this.
        wanted |= CapabilitySet::DAC_READ_SEARCH;
    }
    wanted
}

fn ensure_single_thread() -> io::Result<()> {
    match fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        count => Err(io::Error::other(format!(
            "the rights can be reduced only while one thread runs, but {count} threads run"
        ))),
    }
}

/// Raises the hard limit, which an ordinary user cannot do later.
fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if maximum.is_some_and(|maximum| maximum < DESCRIPTORS) {
        let maximum = Some(DESCRIPTORS);
        if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current, maximum }) {
            log::debug!("cannot raise the limit of open files to {DESCRIPTORS}: {error}");
        }
    }
}

/// Removes all capabilities but `kept` from the bounding set. Where this is not
/// allowed, `no_new_privs` alone keeps programs from gaining them.
fn limit_bounding_set(kept: CapabilitySet) {
    for bit in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        // The numbers beyond the kernel's last capability are refused.
        if !kept.contains(one) && remove_capability_from_bounding_set(one).is_err() {
            log::trace!("capability {bit} stays in the bounding set");
        }
    }
}
