//! Boots mail servers, installs the package there, reboots, upgrades, removes and
//! purges it: see package/test.sh. Upgrades from a version whose maps have an older
//! layout, and goes back: see package/layouts.sh.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::{say, tally::Tally};

use super::system::{self, System};
use super::{SCRIPTS, guest};

mod cuts;

/// The packages of each server, beside a minimal Debian. dbus, logind and udev are left
/// out, because they take a third of the time of a boot.
const PACKAGES: &str = "apt,init-system-helpers,iproute2,kmod,netbase,procps,rbldnsd,systemd,systemd-sysv,busybox-static";

/// The content of the script that makes a mail server of a new Debian.
const SERVER: &str = include_str!("package/server.sh");

/// A release of Debian.
struct Release {
    suite: &'static str,
    kernel: &'static str,
    kernels: [(&'static str, &'static str); 1],
}

static DEBIAN_12: Release = Release {
    suite: "bookworm",
    kernel: "6.1",
    kernels: [("6.1", "linux-image-6[.]1[.]0-[0-9]+-amd64-unsigned")],
};
static DEBIAN_13: Release = Release {
    suite: "trixie",
    kernel: "6.12",
    kernels: [("6.12", "linux-image-6[.]12[.][0-9]+[+]deb13-amd64-unsigned")],
};

/// A mail server of this release.
struct Server {
    name: &'static str,
    release: &'static Release,
    /// The Debian package of the mail server.
    package: &'static str,
    /// The argument of server.sh.
    kind: &'static str,
    /// Whether it is tested only with `--full`.
    is_extra: bool,
}

const SERVERS: [Server; 5] = [
    Server {
        name: "debian-13-postfix",
        release: &DEBIAN_13,
        package: "postfix",
        kind: "postfix",
        is_extra: false,
    },
    Server {
        name: "debian-12-courier",
        release: &DEBIAN_12,
        package: "courier-mta",
        kind: "courier",
        is_extra: false,
    },
    Server {
        name: "debian-13-courier",
        release: &DEBIAN_13,
        package: "courier-mta",
        kind: "courier",
        is_extra: true,
    },
    Server {
        name: "debian-12-postfix",
        release: &DEBIAN_12,
        package: "postfix",
        kind: "postfix",
        is_extra: true,
    },
    Server {
        name: "debian-12-exim",
        release: &DEBIAN_12,
        package: "exim4-daemon-light",
        kind: "exim",
        is_extra: true,
    },
];

/// The page of the guide with a table row for each server. Each guest checks that its
/// own row is there.
const GUIDE: &str = "spamdrop/docs/install.md";

/// Maximum number of guests that run at a time: a step of test.sh has a time limit.
const AT_ONCE: usize = 2;

/// The size of the disk with the packages.
const JOB_SIZE: &str = "150M";

/// Time limit of a guest. A guest usually needs a fifth of it.
const TIMEOUT: Duration = Duration::from_secs(1200);

/// The packages of spamdrop that are installed.
pub struct Packages {
    /// The package of this version.
    pub this: PathBuf,
    /// The same package, but with a higher version.
    pub newer: PathBuf,
    /// The package of a version whose maps have an older layout, with `--full`.
    pub older: Option<PathBuf>,
}

/// Installs the package on each mail server, and upgrades it. With `--full`, also
/// upgrades from the older package, and cuts the power of the first server.
///
/// # Errors
///
/// A system cannot be built. The tally counts the checks in the guests.
pub fn test(packages: &Packages) -> Result<Tally> {
    let is_full = packages.older.is_some();
    let servers = SERVERS.iter().filter(|server| is_full || !server.is_extra);
    let servers: Vec<_> = servers.collect();
    let systems: Result<Vec<_>> = servers.iter().map(|server| server.build()).collect();
    let directory = system::directory()?;
    let job = job(&directory, "test.sh", packages)?;
    let mut guests: Vec<_> = servers.into_iter().zip(systems?).collect();
    let mut tally = Tally::default();
    tally.check(has_a_row_for_each());
    for some in guests.chunks(AT_ONCE) {
        let boot = &|(server, system): &(&Server, PathBuf)| {
            server.boot(server.name, system, &job, &directory)
        };
        let tallies: Vec<_> = thread::scope(|scope| {
            let spawn = |guest| scope.spawn(move || boot(guest));
            let boots: Vec<_> = some.iter().map(spawn).collect();
            let boots = boots.into_iter();
            boots
                .map(|boot| boot.join().unwrap_or(Tally::FAILED))
                .collect()
        });
        tallies.into_iter().for_each(|one| tally.add(one));
    }
    if is_full {
        let (server, system) = guests.swap_remove(0);
        let job = self::job(&directory, "layouts.sh", packages)?;
        tally.add(server.boot("layouts", &system, &job, &directory));
        let kernel = system.join(server.release.kernel);
        let job = self::job(&directory, "cuts.sh", packages)?;
        tally.add(cuts::test(&system, &kernel, &job)?);
    }
    Ok(tally)
}

/// Checks that the guide's table has as many rows as there are servers, so that each
/// row is tested by a guest.
fn has_a_row_for_each() -> Result<()> {
    let guide = fs::read_to_string(GUIDE).context(GUIDE)?;
    let rows = guide.lines().filter(|line| line.starts_with("| Debian "));
    let (rows, servers) = (rows.count(), SERVERS.len());
    ensure!(
        rows == servers,
        "{GUIDE} has {rows} rows of Debian, and {servers} servers are tested"
    );
    Ok(())
}

impl Server {
    fn build(&self) -> Result<PathBuf> {
        let Release { suite, kernels, .. } = self.release;
        let system = System {
            name: self.name,
            suite: (*suite).into(),
            packages: &format!("{PACKAGES},{}", self.package),
            change: (
                &format!("sh {SCRIPTS}/package/server.sh {}", self.kind),
                SERVER,
            ),
            kernel_suite: suite,
            kernels,
        };
        system.build_if_outdated()
    }

    fn boot(&self, name: &str, system: &Path, job: &Path, directory: &Path) -> Tally {
        let start = Instant::now();
        let console = directory.join(format!("{name}.console"));
        let kernel = system.join(self.release.kernel);
        // With a snapshot, the guest's writes are discarded when QEMU ends.
        let disk = format!("file={},snapshot=on", system.join("image").display());
        let qemu = boot_command(TIMEOUT, &kernel, &disk, job, &console);
        let tally = guest::run(name, Ok(qemu), &console);
        say(&format!("{name}: {:.0?}", start.elapsed()));
        tally
    }
}

/// Makes the disk with the packages and the script that the guest runs.
fn job(directory: &Path, script: &str, packages: &Packages) -> Result<PathBuf> {
    let job = directory.join(format!("{script}.job"));
    let scripts = Path::new(SCRIPTS).join("package");
    let (common, test) = (scripts.join("common.sh"), scripts.join(script));
    let mut files = vec![
        (&*common, "common.sh"),
        (&*test, "test.sh"),
        (Path::new(GUIDE), "install.md"),
        (&*packages.this, "1/spamdrop.deb"),
        (&*packages.newer, "2/spamdrop.deb"),
    ];
    let older = packages.older.as_deref();
    files.extend(older.map(|older| (older, "0/spamdrop.deb")));
    system::pack(&job, JOB_SIZE, &files)?;
    Ok(job)
}

/// The command that boots a mail server. The caller may add arguments for QEMU.
fn boot_command(
    timeout: Duration,
    kernel: &Path,
    disk: &str,
    job: &Path,
    console: &Path,
) -> Command {
    let mut qemu = guest::ending(timeout);
    qemu.arg("sh")
        .arg(Path::new(SCRIPTS).join("package/qemu.sh"));
    qemu.args([kernel, Path::new(disk), job, console]);
    qemu
}
