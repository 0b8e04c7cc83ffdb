//! Summarizes in one sentence why the kernel refused a program. The verifier's
//! log fills a page, so it is printed at level `debug` only.

use std::io;

use aya::programs::ProgramError;
use rustix::io::Errno;
use rustix::system::uname;
use rustix::thread::{CapabilitySet, capabilities};

use crate::exit::{Exit, Failure};

/// The oldest kernel that has every feature of the filter; the last to arrive
/// were atomic operations that return a value.
const OLDEST: (u32, u32) = (5, 12);

/// The capabilities that loading and attaching need.
const NEEDED: [(CapabilitySet, &str); 3] = [
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
];

/// The error message for a program that was not loaded.
pub(super) fn explain(error: ProgramError) -> anyhow::Error {
    let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    else {
        return anyhow::Error::new(error).context("cannot load the filter");
    };
    log::debug!(target: "spamdrop::attach", "the verifier's log:\n{verifier_log}");
    shortcoming().unwrap_or_else(|| refused(&io_error))
}

fn refused(error: &io::Error) -> anyhow::Error {
    let message =
        format!("the kernel's verifier refuses the filter: {error}; RUST_LOG=debug shows its log");
    Failure::new(Exit::Failed, message)
}

/// The error message for maps that were not created.
pub(super) fn explain_maps(error: anyhow::Error) -> anyhow::Error {
    let causes = error.chain().filter_map(|cause| cause.downcast_ref());
    let errno = causes.filter_map(Errno::from_io_error).next();
    shortcoming()
        .or_else(|| forbidden(errno?))
        .unwrap_or_else(|| error.context("the kernel refuses the filter's maps"))
}

/// The reason why the first call of bpf(2) failed, although the capabilities are
/// held and the kernel is new enough. `None`: `errno` shows no such reason.
fn forbidden(errno: Errno) -> Option<anyhow::Error> {
    match errno {
        Errno::PERM | Errno::ACCESS => Some(Failure::new(
            Exit::NoPermission,
            "bpf(2) is forbidden although the capabilities are held: by a user namespace \
             (`PrivateUsers=yes`, a rootless container), a system call filter \
             (`SystemCallFilter=` without `bpf`) or the kernel's lockdown",
        )),
        Errno::NOSYS => Some(Failure::new(
            Exit::Failed,
            "this kernel was built without bpf(2) (`CONFIG_BPF_SYSCALL`)",
        )),
        _ => None,
    }
}

/// The missing capability or kernel feature, if any.
fn shortcoming() -> Option<anyhow::Error> {
    let held = capabilities(None).ok()?.effective;
    lacks(held, &uname().release().to_string_lossy())
}

fn lacks(held: CapabilitySet, release: &str) -> Option<anyhow::Error> {
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(capability, _)| !holds(held, *capability))
        .map(|(_, name)| *name)
        .collect();
    if !missing.is_empty() {
        let message = format!(
            "the filter cannot be loaded without {}; run as root, or with {}",
            missing.join(" and "),
            NEEDED.map(|(_, name)| name).join(", ")
        );
        return Some(Failure::new(Exit::NoPermission, message));
    }
    if version(release).is_some_and(|version| version < OLDEST) {
        let (major, minor) = OLDEST;
        let message = format!("the filter needs Linux {major}.{minor} or newer; this is {release}");
        return Some(Failure::new(Exit::Failed, message));
    }
    None
}

/// Whether `capability` is held. CAP_SYS_ADMIN includes the capabilities that
/// were split from it.
fn holds(held: CapabilitySet, capability: CapabilitySet) -> bool {
    let split = CapabilitySet::BPF | CapabilitySet::PERFMON;
    held.contains(capability)
        || (split.contains(capability) && held.contains(CapabilitySet::SYS_ADMIN))
}

/// Major and minor version number: `6.1.0-18-amd64` is 6.1.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|digit: char| !digit.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(held: CapabilitySet, release: &str) -> Option<String> {
        lacks(held, release).map(|error| error.to_string())
    }

    #[test]
    fn a_missing_capability_is_named() {
        let some = CapabilitySet::BPF | CapabilitySet::NET_ADMIN;
        assert_eq!(
            said(some, "6.1.0-18-amd64").as_deref(),
            Some(
                "the filter cannot be loaded without CAP_PERFMON; \
                 run as root, or with CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"
            )
        );
        for enough in [
            some | CapabilitySet::PERFMON,
            CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN,
        ] {
            assert_eq!(said(enough, "6.1.0-18-amd64"), None);
        }
    }

    #[test]
    fn an_old_kernel_is_named() {
        let all = CapabilitySet::all();
        assert_eq!(
            said(all, "5.10.0-28-amd64").as_deref(),
            Some("the filter needs Linux 5.12 or newer; this is 5.10.0-28-amd64")
        );
        for release in ["5.12.0", "6.1.0-18-amd64", "10.0", "odd"] {
            assert_eq!(said(all, release), None, "{release}");
        }
    }

    #[test]
    fn what_forbids_bpf_is_named() {
        let said = |errno: Errno| {
            let error = anyhow::Error::new(io::Error::from(errno)).context("outer");
            explain_maps(error).to_string()
        };
        // If this test runs without the capabilities, the message names them instead.
        if shortcoming().is_none() {
            assert!(said(Errno::PERM).contains("a user namespace"));
            assert!(said(Errno::NOSYS).contains("CONFIG_BPF_SYSCALL"));
            assert_eq!(said(Errno::NOMEM), "the kernel refuses the filter's maps");
        }
    }

    #[test]
    fn the_verifiers_log_is_no_part_of_the_error() {
        let error = ProgramError::LoadError {
            io_error: io::ErrorKind::PermissionDenied.into(),
            verifier_log: aya_obj::VerifierLog::new("0: R1=ctx()\n1: R2 pointer\n".repeat(20)),
        };
        let said = format!("{:#}", explain(error));
        assert!(!said.contains('\n') && !said.contains("R1"), "{said}");
    }
}
