//! Boots Debian's kernels under QEMU, and runs the test program of tests/vm in
//! each.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;

use crate::{
    command::{as_root, each_line, find, output, run},
    say,
    tally::Tally,
};

/// The scripts beside this file's directory.
const SCRIPTS: &str = "xtask/src/vm";

/// The content of the scripts on which the built system depends.
const BUILD: [&str; 3] = [
    include_str!("vm/build.sh"),
    include_str!("vm/download.sh"),
    include_str!("vm/initrd.sh"),
];

/// The packages of the guest, beside a minimal Debian.
const PACKAGES: &str = "busybox-static,ethtool,iproute2,kmod,ppp,wireguard-tools";

/// The kernels, and patterns of their packages. The flavour for clouds has
/// few drivers.
const KERNELS: [(&str, &str); 2] = [
    ("6.1", "linux-image-6[.]1[.]0-[0-9]+-amd64-unsigned"),
    ("6.12", "linux-image-6[.]12[.][0-9]+[+]deb12-amd64-unsigned"),
];

/// The size of the disk with the programs, which are not optimised.
const JOB_SIZE: &str = "300M";

/// A guest that is still running then is ended. It usually takes a third.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Number of the console's lines that are shown when a guest dies.
const LAST_LINES: usize = 40;

/// The tally of a guest that was not run.
const FAILED: Tally = Tally {
    passed: 0,
    failed: 1,
};

/// Where the system is built, and the guests' output is kept.
struct Place {
    directory: PathBuf,
}

/// Runs a test program in a guest of each kernel, all at once.
///
/// # Errors
///
/// The system cannot be built. The tally counts the tests of the guests.
pub fn test(program: &Path, full: bool) -> Result<Tally> {
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    let place = Place {
        directory: target.join("vm").into(),
    };
    place.build_if_outdated()?;
    place.pack(program)?;
    let mut tally = Tally::default();
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let boots = KERNELS.map(|(version, _)| scope.spawn(|| place.boot(version, full)));
        boots
            .into_iter()
            .map(|boot| boot.join().unwrap_or(FAILED))
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

    /// Builds the root file system, the kernels and the initrds, unless that
    /// has been done by the same scripts and for the same packages.
    fn build_if_outdated(&self) -> Result<()> {
        let system = self.path("system");
        let recipe = system.join("recipe");
        let suite = suite()?;
        let wanted = format!("{suite} {PACKAGES} {KERNELS:?}\n{}", BUILD.concat());
        if fs::read_to_string(&recipe).is_ok_and(|made| made == wanted) {
            return Ok(());
        }
        say(&format!("building a Debian {suite} for guests: {PACKAGES}"));
        fs::create_dir_all(&self.directory)?;
        // The final name exists only when everything is built.
        let incomplete = self.path("incomplete");
        for directory in [&incomplete, &system] {
            let mut remove = Command::new("rm");
            remove.args(["-rf", "--one-file-system"]).arg(directory);
            run(&mut as_root(remove)?)?;
        }
        fs::create_dir(&incomplete)?;
        let mut build = Command::new("sh");
        build
            .arg(Path::new(SCRIPTS).join("build.sh"))
            .arg(&incomplete)
            .args([&suite, PACKAGES]);
        build.args(KERNELS.map(|(version, pattern)| format!("{version}={pattern}")));
        run(&mut as_root(build)?)?;
        fs::write(incomplete.join("recipe"), wanted)?;
        fs::rename(&incomplete, &system)?;
        Ok(())
    }

    /// Makes the disk with the programs that the guest runs.
    fn pack(&self, program: &Path) -> Result<()> {
        let directory = tempfile::tempdir_in(&self.directory)?;
        let built = program.parent().and_then(Path::parent);
        let spamdrop = built.context("a program without directory")?;
        for (from, name) in [
            (program, "vm"),
            (&spamdrop.join("spamdrop"), "spamdrop"),
            (&Path::new(SCRIPTS).join("init.sh"), "init"),
        ] {
            fs::copy(from, directory.path().join(name))
                .with_context(|| format!("cannot copy {}", from.display()))?;
        }
        let init = directory.path().join("init");
        fs::set_permissions(init, Permissions::from_mode(0o755))?;
        let job = self.path("job");
        let _ = fs::remove_file(&job);
        let mke2fs = find("mke2fs").context("there is no mke2fs; install e2fsprogs")?;
        let mut make = Command::new(mke2fs);
        make.args(["-q", "-t", "ext4", "-O", "^has_journal", "-d"]);
        make.arg(directory.path()).arg(&job).arg(JOB_SIZE);
        output(&mut make).map(drop)
    }

    fn boot(&self, version: &str, full: bool) -> Tally {
        let mut tally = Tally::default();
        let console = self.path(&format!("{version}.console"));
        let outcome = self.qemu(version, &console, full).and_then(|mut qemu| {
            each_line(&mut qemu, |line| {
                println!("{version}: {line}");
                tally.read(line);
            })
        });
        let has_result = tally != Tally::default();
        if outcome.is_err() || !has_result {
            let _ = outcome.map_err(|error| say(&format!("{version}: {error:#}")));
            say(&format!(
                "{version}: the guest gave no result; the last lines of {}:\n{}",
                console.display(),
                last_lines(&console)
            ));
            tally.failed += 1;
        }
        tally
    }

    fn qemu(&self, version: &str, console: &Path, full: bool) -> Result<Command> {
        let mut command = Command::new("setpriv");
        // The guest ends with this program, and at the latest after the
        // timeout.
        command.args(["--pdeathsig", "TERM", "--", "timeout"]);
        command.arg(TIMEOUT.as_secs().to_string());
        command.args(["setpriv", "--pdeathsig", "KILL", "--"]);
        command.args(["unshare", "--net", "--", "sh"]);
        command.arg(Path::new(SCRIPTS).join("qemu.sh"));
        command.arg(self.path("system")).arg(version);
        command.arg(self.path("job")).arg(console);
        let flags = if full { "--show-output" } else { "" };
        command.arg(format!("\"vm_flags=--color=never {flags}\""));
        as_root(command)
    }
}

/// The guest has the release of this machine, because the programs are linked
/// to its libc.
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

fn last_lines(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    lines[first..].join("\n")
}
