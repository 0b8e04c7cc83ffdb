//! Boots Debian's kernels under QEMU: the test program of tests/vm in each, and
//! the package on a mail server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{command::as_root, tally::Tally};

mod guest;
pub mod package;
mod system;

use system::System;

/// The directory of the scripts.
const SCRIPTS: &str = "xtask/src/vm";

/// The packages of the guest, beside a minimal Debian.
const PACKAGES: &str = "busybox-static,ethtool,iproute2,kmod,ppp,wireguard-tools";

/// The kernels, and patterns of their packages. The patterns exclude the flavour for
/// clouds, which has few drivers. Both kernels are from Debian 12 and its security
/// updates, also for a guest of another release.
const KERNELS: [(&str, &str); 2] = [
    ("6.1", "linux-image-6[.]1[.]0-[0-9]+-amd64-unsigned"),
    ("6.12", "linux-image-6[.]12[.][0-9]+[+]deb12-amd64-unsigned"),
];

/// The newest kernel of Debian 13's backports, which is booted with `--full`.
const NEWEST: [(&str, &str); 1] = [("newest", "linux-image-[0-9.]+[+]deb13-amd64")];

/// The size of the disk with the programs, which are not optimised.
const JOB_SIZE: &str = "300M";

/// Time limit of a guest. A guest usually needs a third of it.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Where the system is built, and the guests' output is kept.
struct Place {
    system: PathBuf,
    directory: PathBuf,
}

/// Runs a test program in guests: one for each kernel of [`KERNELS`], all at the same
/// time; then, if `full`, one for the newest kernel.
///
/// # Errors
///
/// A system cannot be built. The tally counts the tests of the guests.
pub fn test(program: &Path, full: bool) -> Result<Tally> {
    let mut tally = boot_all(program, full, ("system", "bookworm", &KERNELS))?;
    if full {
        tally.add(boot_all(
            program,
            full,
            ("newest", "trixie-backports", &NEWEST),
        )?);
    }
    Ok(tally)
}

/// Builds a system by this name, with these kernels of a suite, and runs a test program
/// in one guest for each kernel, all at the same time.
fn boot_all(
    program: &Path,
    full: bool,
    (name, kernel_suite, kernels): (&str, &str, &[(&'static str, &'static str)]),
) -> Result<Tally> {
    let system = System {
        name,
        suite: suite()?,
        packages: PACKAGES,
        change: ("true", ""),
        kernel_suite,
        kernels,
    };
    let place = Place {
        system: system.build_if_outdated()?,
        directory: system::directory()?,
    };
    place.pack(program)?;
    let mut tally = Tally::default();
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let boot = |(version, _): &(&'static str, _)| {
            let (place, version) = (&place, *version);
            scope.spawn(move || place.boot(version, full))
        };
        let boots: Vec<_> = kernels.iter().map(boot).collect();
        boots
            .into_iter()
            .map(|boot| boot.join().unwrap_or(Tally::FAILED))
            .collect()
    });
    for one in tallies {
        tally.add(one);
    }
    Ok(tally)
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Makes the disk with the programs that the guest runs.
    fn pack(&self, program: &Path) -> Result<()> {
        let built = program.parent().and_then(Path::parent);
        let spamdrop = built.context("a program without directory")?;
        let files = [
            (program, "vm"),
            (&spamdrop.join("spamdrop"), "spamdrop"),
            (&Path::new(SCRIPTS).join("init.sh"), "init"),
        ];
        system::pack(&self.path("job"), JOB_SIZE, &files)
    }

    fn boot(&self, version: &str, full: bool) -> Tally {
        let console = self.path(&format!("{version}.console"));
        guest::run(version, self.qemu(version, &console, full), &console)
    }

    fn qemu(&self, version: &str, console: &Path, full: bool) -> Result<Command> {
        let mut command = guest::ending(TIMEOUT);
        command.args(["unshare", "--net", "--", "sh"]);
        command.arg(Path::new(SCRIPTS).join("qemu.sh"));
        command.arg(&self.system).arg(version);
        command.arg(self.path("job")).arg(console);
        let flags = if full { "--show-output" } else { "" };
        command.arg(format!("\"vm_flags=--color=never {flags}\""));
        as_root(command)
    }
}

/// The release of Debian for the guest. It is that of this machine, because the
/// programs are linked to this machine's libc.
fn suite() -> Result<String> {
    let path = "/etc/os-release";
    let text = fs::read_to_string(path).context(path)?;
    let field = |name| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    };
    let suite = field("VERSION_CODENAME").filter(|_| field("ID") == Some("debian"));
    let suite = suite.with_context(|| format!("{path} does not name a release of Debian"))?;
    Ok(suite.into())
}
