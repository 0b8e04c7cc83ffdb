//! The program that redirects connections of listed senders to the responder,
//! and its link to this process's network namespace.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::programs::SkLookup;
use aya::programs::links::FdLink;
use spamdrop_common::names;

use super::load::no_program;
use super::{Filter, remove_file, unlink, verifier};
use crate::kernel::blocklist::pins;
use crate::kernel::bpf;
use crate::lock::WriteLock;

/// The name of the pinned link. It does not begin with the prefix of an interface's link.
const LINK: &str = "answer_link";
/// The thread's own namespace, which is also that of its sockets.
const NAMESPACE: &str = "/proc/thread-self/ns/net";

/// Starts steering, or replaces the program without a gap if a link is pinned.
/// From then on the socket in the `responder` map, if there is one, receives
/// the connections of listed senders. `filter` is the one that
/// [`attach`](super::attach) has loaded.
///
/// # Errors
///
/// The kernel has no `sk_lookup` (before Linux 5.9), or refuses the program or
/// the link.
pub fn steer(_lock: &WriteLock, pin_dir: &Path, filter: &mut Filter) -> Result<()> {
    let _acting = pins::act_as_daemon(pin_dir)?;
    let name = names::PROGRAM_ANSWER;
    let program = filter.object.program_mut(name);
    let program: &mut SkLookup = program.with_context(|| no_program(name))?.try_into()?;
    program.load().map_err(verifier::explain)?;
    let pin = pin_dir.join(LINK);
    let namespace = File::open(NAMESPACE).with_context(|| format!("cannot open {NAMESPACE}"))?;
    let inode = namespace.metadata().context(NAMESPACE)?.ino();
    if bpf::pinned_namespace(&pin).is_ok_and(|linked| linked == inode) {
        return bpf::update_link(&pin, program.fd()?.as_fd())
            .with_context(|| format!("cannot replace the program behind {}", pin.display()));
    }
    // If a link is pinned, it belongs to another namespace and has no effect here.
    remove_file(&pin)?;
    let id = program
        .attach(&namespace)
        .context("the kernel refuses the `sk_lookup` link, which needs Linux 5.9")?;
    FdLink::from(program.take_link(id)?)
        .pin(&pin)
        .with_context(|| format!("cannot pin the link {}", pin.display()))?;
    Ok(())
}

/// Stops steering: every connection goes to the mail server.
pub fn unsteer(_lock: &WriteLock, pin_dir: &Path) -> Result<()> {
    let _acting = pins::act_as_daemon(pin_dir)?;
    stop(pin_dir)
}

pub(super) fn stop(pin_dir: &Path) -> Result<()> {
    unlink(&pin_dir.join(LINK))
}

/// Whether the steering link is pinned.
#[must_use]
pub fn is_steering(pin_dir: &Path) -> bool {
    fs::exists(pin_dir.join(LINK)).unwrap_or(false)
}
