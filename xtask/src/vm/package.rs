//! Boots a mail server with Debian 13, installs the package there, reboots,
//! upgrades, removes and purges it: see package/test.sh.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::tally::Tally;

use super::system::{self, System};
use super::{SCRIPTS, guest};

/// Without dbus, logind and udev, which take a third of the time of a boot.
const PACKAGES: &str = "apt,init-system-helpers,iproute2,kmod,netbase,postfix,procps,rbldnsd,systemd,systemd-sysv,busybox-static";

/// The server is ready for the package.
const SERVER: (&str, &str) = (
    "sh xtask/src/vm/package/server.sh",
    include_str!("package/server.sh"),
);

const KERNEL: &str = "6.12";
const KERNELS: [(&str, &str); 1] = [(KERNEL, "linux-image-6[.]12[.][0-9]+[+]deb13-amd64-unsigned")];

/// The size of the disk with the packages.
const JOB_SIZE: &str = "100M";

/// A guest that is still running then is ended. It usually takes a fifth.
const TIMEOUT: Duration = Duration::from_secs(1200);

/// Installs the first package, and upgrades to the second.
///
/// # Errors
///
/// The system cannot be built. The tally counts the checks in the guest.
pub fn test(packages: &[PathBuf; 2]) -> Result<Tally> {
    let system = System {
        name: "package",
        suite: "trixie".into(),
        packages: PACKAGES,
        change: SERVER,
        kernel_suite: "trixie",
        kernels: &KERNELS,
    };
    let system = system.build_if_outdated()?;
    let job = system::directory()?.join("package.job");
    let scripts = Path::new(SCRIPTS).join("package");
    let files = [
        (scripts.join("test.sh"), "test.sh"),
        (packages[0].clone(), "1/spamdrop.deb"),
        (packages[1].clone(), "2/spamdrop.deb"),
    ];
    system::pack(
        &job,
        JOB_SIZE,
        &files.each_ref().map(|(from, name)| (from.as_path(), *name)),
    )?;
    let console = system::directory()?.join("package.console");
    let mut qemu = guest::ending(TIMEOUT);
    qemu.arg("sh").arg(scripts.join("qemu.sh"));
    qemu.arg(&system).arg(KERNEL).arg(&job).arg(&console);
    Ok(guest::run("package", Ok(qemu), &console))
}
