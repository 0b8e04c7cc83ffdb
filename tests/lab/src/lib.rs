//! A laboratory for spamdrop's kernel tests and its demo: hosts in anonymous
//! network namespaces, a miniature SMTP server that answers and logs like
//! Courier 1.0.16, SMTP clients, and crafted Ethernet frames.
//!
//! Needs root and Linux. The namespaces have no name in the file system and no process
//! outlives its parent, so no namespace and no process is left even after SIGKILL. Only
//! temporary directories can be left, and empty control groups if [`journald`] was used.

#![deny(unsafe_code)]

pub mod admission;
pub mod client;
pub mod courier;
pub mod daemon;
pub mod debian;
pub mod dns;
pub mod fail2ban;
pub mod forger;
pub mod frame;
pub mod guide;
pub mod host;
pub mod interfaces;
pub mod journald;
pub mod program;
pub mod rejection;
pub mod site;
pub mod smtpd;
pub mod strangers;
pub mod syslog;
pub mod tmux;
pub mod tun;
pub mod unit;
pub mod wait;
pub mod wave;
pub mod wire;

pub use client::{Client, Reply, syn_dropped};
pub use courier::Courier;
pub use daemon::Daemon;
pub use debian::{Packaged, Software};
pub use dns::DnsStub;
pub use host::{Host, private_tmpfs};
pub use journald::Journald;
pub use nix::sys::signal::Signal;
pub use site::Site;
pub use smtpd::Smtpd;
pub use syslog::Syslog;
pub use tmux::Tmux;
pub use wave::Wave;
pub use wire::{End, many_sources, wire};

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The directory of the unpacked Debian packages, in the target directory of
/// the running program.
///
/// # Errors
///
/// The packages are not unpacked; `cargo xtask setup --tests` unpacks them.
pub fn debian_tree() -> Result<PathBuf> {
    debian_tree_of("tree")
}

/// The directory of packages that are unpacked apart from those of [`debian_tree`],
/// such as `postfix` and `prometheus`.
///
/// # Errors
///
/// As [`debian_tree`].
pub fn debian_tree_of(server: &str) -> Result<PathBuf> {
    let running = std::env::current_exe().context("find the running program")?;
    let path = Path::new("debian").join(server);
    let trees = running.ancestors().map(|directory| directory.join(&path));
    let mut there = trees.filter(|tree| tree.is_dir());
    there.next().with_context(|| {
        let path = path.display();
        format!("no {path} in the target directory: run `cargo xtask setup --tests`")
    })
}

/// The path of a program of this workspace, such as `lab-smtpd`, in the target
/// directory of the running program.
///
/// Cargo does not build the programs of a dependency, so the file can be
/// missing or stale; `cargo xtask` builds it first.
///
/// # Errors
///
/// The file does not exist.
pub fn binary(name: &str) -> Result<PathBuf> {
    let running = std::env::current_exe().context("find the running program")?;
    // A test runs in target/PROFILE/deps, a program in target/PROFILE.
    let path = running
        .ancestors()
        .skip(1)
        .find(|directory| !directory.ends_with("deps"))
        .context("the running program has no directory")?
        .join(name);
    ensure!(
        path.is_file(),
        "no {}: run `cargo build -p spamdrop-lab` first",
        path.display()
    );
    Ok(path)
}
