//! Installs what a fresh machine lacks: parts of the Rust toolchain,
//! bpf-linker, and the Debian packages of the kernel tests.

use std::path::PathBuf;
use std::process::Command;
use std::sync::PoisonError;

use anyhow::{Context as _, Result};

use crate::{
    command::{APT, as_root, find, output, run},
    debian, linker, say,
};

/// A component of the toolchain that rustup may not have installed.
pub struct Component {
    name: &'static str,
    /// A file of the component, relative to the sysroot.
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

/// The standard library for static programs.
const STATIC_STD: Component = Component {
    name: "rust-std-x86_64-unknown-linux-musl",
    file: "lib/rustlib/x86_64-unknown-linux-musl/lib",
};

/// The C compiler for static programs, which builds SQLite.
const MUSL: [(&str, &str); 1] = [("musl-gcc", "musl-tools")];

/// The commands that the kernel tests call, each with its Debian package. Every
/// Debian has util-linux (unshare, setpriv).
const TOOLS: [(&str, &str); 5] = [
    // Reads the pinned maps, as an administrator would.
    ("bpftool", "bpftool"),
    // Makes the network namespaces.
    ("ip", "iproute2"),
    // Its package includes journald, which the tests start.
    ("journalctl", "systemd"),
    // Forwards a port as docker does.
    ("nft", "nftables"),
    // Gives `spamdrop top` a terminal.
    ("tmux", "tmux"),
];

/// The command that formats the man pages and prints warnings about them.
const MAN: [(&str, &str); 1] = [("man", "man-db")];

/// The command that checks systemd's units.
const SYSTEMD: [(&str, &str); 1] = [("systemd-analyze", "systemd")];

/// The commands that build and check the package. binutils is not here, because Rust
/// cannot link without it.
const PACKAGING: [(&str, &str); 3] = [
    ("dh", "debhelper"),
    ("dpkg-buildpackage", "dpkg-dev"),
    ("lintian", "lintian"),
];

/// The command that builds libFuzzer, with its Debian package.
const CXX: [(&str, &str); 1] = [("c++", "g++")];

/// The emulator, and the tools that build its guests and connect them. Every Debian has
/// e2fsprogs and xz-utils, unless they were removed.
const EMULATION: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("mke2fs", "e2fsprogs"),
    ("mmdebstrap", "mmdebstrap"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("xz", "xz-utils"),
];

/// The alternatives to spamdrop that the bench measures, and the tools that set
/// up its interfaces. They act only in network namespaces of the bench.
const BENCH_TOOLS: [(&str, &str); 6] = [
    ("ethtool", "ethtool"),
    ("iptables-legacy", "iptables"),
    ("ipset", "ipset"),
    ("nft", "nftables"),
    ("rg", "ripgrep"),
    ("xdp-filter", "xdp-tools"),
];

/// Installs what `cargo xtask test` needs without `--full`.
///
/// # Errors
///
/// Names the command that failed.
pub fn everything() -> Result<()> {
    components(&[RUSTFMT, CLIPPY])?;
    building()?;
    tools()?;
    man()?;
    emulation()?;
    fuzzing()?;
    packaging()?;
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

/// Installs these components of the toolchain.
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

/// Installs the commands of the kernel tests.
///
/// # Errors
///
/// Names the command that failed or, without sudo, the command that root has to run first.
pub fn tools() -> Result<()> {
    packages(&TOOLS)
}

/// Installs the command that checks systemd's units.
///
/// # Errors
///
/// Names the command that failed or, without sudo, the command that root has to run first.
pub fn systemd() -> Result<()> {
    packages(&SYSTEMD)
}

/// Installs the emulator, and the tools that build its guests.
///
/// # Errors
///
/// Names the command that failed or, without sudo, the command that root has to run first.
pub fn emulation() -> Result<()> {
    packages(&EMULATION)
}

/// Installs the commands that build and check the package.
///
/// # Errors
///
/// Names the command that failed or, without sudo, the command that root has to run first.
pub fn packaging() -> Result<()> {
    packages(&PACKAGING)
}

/// Installs what building a static program needs.
///
/// # Errors
///
/// Names the command that failed or, without sudo, the command that root has to run first.
pub fn static_building() -> Result<()> {
    components(&[STATIC_STD])?;
    packages(&MUSL)
}

/// Installs the man command.
///
/// # Errors
///
/// Names the command that failed or, without sudo, the command that root has to run first.
pub fn man() -> Result<()> {
    packages(&MAN)
}

/// Installs the commands of the bench.
///
/// # Errors
///
/// Names the command that failed or, without sudo, the command that root has to run first.
pub fn bench_tools() -> Result<()> {
    packages(&BENCH_TOOLS)?;
    debian::unpack_if_missing()
}

/// Installs the C++ compiler, which the fuzz targets need beside Rust.
///
/// # Errors
///
/// Names the command that failed or, without sudo, the command that root has to run first.
pub fn fuzzing() -> Result<()> {
    packages(&CXX)
}

fn packages(wanted: &[(&str, &str)]) -> Result<()> {
    let _one = APT.lock().unwrap_or_else(PoisonError::into_inner);
    let missing: Vec<_> = wanted
        .iter()
        .filter(|(command, _)| find(command).is_none())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("installing {}", missing.join(", ")));
    // A single command, which can be shown to a user without sudo.
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

/// Where the toolchain is installed.
///
/// # Errors
///
/// rustc cannot be started.
pub fn sysroot() -> Result<PathBuf> {
    let path = output(Command::new("rustc").args(["--print", "sysroot"]))
        .context("cannot ask rustc where it is installed")?;
    Ok(PathBuf::from(path.trim_end()))
}
