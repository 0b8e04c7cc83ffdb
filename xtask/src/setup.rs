//! What a bare machine lacks: parts of the Rust toolchain, bpf-linker, and
//! the Debian packages that the kernel tests call.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{
    command::{as_root, find, output, run},
    debian, linker, say,
};

/// A part of the toolchain that rustup may have left out.
pub struct Component {
    name: &'static str,
    /// A file of it, below the sysroot.
    file: &'static str,
}

/// The source of `core`, which is compiled for the kernel's target.
pub const RUST_SRC: Component = Component {
    name: "rust-src",
    file: "lib/rustlib/src/rust/library/Cargo.lock",
};
/// `cargo fmt`.
pub const RUSTFMT: Component = Component {
    name: "rustfmt",
    file: "bin/cargo-fmt",
};
/// `cargo clippy`.
pub const CLIPPY: Component = Component {
    name: "clippy",
    file: "bin/cargo-clippy",
};

/// What the kernel tests call: the command, and the Debian package it is in.
/// util-linux (unshare, setpriv) is missing from no Debian.
const TOOLS: [(&str, &str); 3] = [
    // Reads the pinned maps as an administrator would.
    ("bpftool", "bpftool"),
    // Makes the network namespaces.
    ("ip", "iproute2"),
    // Comes with journald, which they start.
    ("journalctl", "systemd"),
];

/// What shows the man pages, and warns about them.
const MAN: [(&str, &str); 1] = [("man", "man-db")];

/// What building libFuzzer needs: the command, and its Debian package.
const CXX: [(&str, &str); 1] = [("c++", "g++")];

/// What the bench compares spamdrop with, and sets up its interfaces with.
/// They only act in network namespaces of the bench's own.
const BENCH_TOOLS: [(&str, &str); 6] = [
    ("ethtool", "ethtool"),
    ("iptables-legacy", "iptables"),
    ("ipset", "ipset"),
    ("nft", "nftables"),
    ("rg", "ripgrep"),
    ("xdp-filter", "xdp-tools"),
];

/// Installs all that any verb needs.
///
/// # Errors
///
/// Names the command that failed.
pub fn everything() -> Result<()> {
    components(&[RUSTFMT, CLIPPY])?;
    building()?;
    tools()?;
    man()?;
    fuzzing()?;
    debian::unpack_if_missing()
}

/// Installs what `cargo build` needs.
///
/// # Errors
///
/// Names the command that failed.
pub fn building() -> Result<()> {
    components(&[RUST_SRC])?;
    linker::install_if_missing(&sysroot()?)
}

/// Installs these parts of the toolchain.
///
/// # Errors
///
/// Names the command that failed.
pub fn components(wanted: &[Component]) -> Result<()> {
    let sysroot = sysroot()?;
    for Component { name, file } in wanted {
        if !sysroot.join(file).exists() {
            say(&format!("installing {name}"));
            run(Command::new("rustup").args(["--quiet", "component", "add", name]))?;
        }
    }
    Ok(())
}

/// Installs what the kernel tests call.
///
/// # Errors
///
/// Names the command that failed, or that root has to run.
pub fn tools() -> Result<()> {
    packages(&TOOLS)
}

/// Installs what shows man pages.
///
/// # Errors
///
/// Names the command that failed, or that root has to run.
pub fn man() -> Result<()> {
    packages(&MAN)
}

/// Installs what the bench calls.
///
/// # Errors
///
/// Names the command that failed, or that root has to run.
pub fn bench_tools() -> Result<()> {
    packages(&BENCH_TOOLS)?;
    debian::unpack_if_missing()
}

/// Installs what the fuzz targets need beside Rust.
///
/// # Errors
///
/// Names the command that failed, or that root has to run.
pub fn fuzzing() -> Result<()> {
    packages(&CXX)
}

fn packages(wanted: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<_> = wanted
        .iter()
        .filter(|(command, _)| find(command).is_none())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("installing {}", missing.join(", ")));
    // One command, so that it can be told whole to who has no sudo.
    let script = format!(
        "apt-get -qq update && \
         apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends {}",
        missing.join(" ")
    );
    let mut command = Command::new("sh");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command.args(["-c", &script]);
    run(&mut as_root(command)?)
}

fn sysroot() -> Result<PathBuf> {
    let path = output(Command::new("rustc").args(["--print", "sysroot"]))
        .context("cannot ask rustc where it is installed")?;
    Ok(PathBuf::from(path.trim_end()))
}
