//! A private journald for a host, and programs in units that log to it.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::daemon::Daemon;
use crate::host::{Host, mount_new};
use crate::wait::until;

const PROGRAM: &str = "/lib/systemd/systemd-journald";
/// journald's socket for syslog(3).
const SYSLOG: &str = "/run/systemd/journal/dev-log";
/// The directory of a journal that is not stored on disk.
const JOURNAL: &str = "/run/log/journal";
const CGROUPS: &str = "/sys/fs/cgroup";
const SOON: Duration = Duration::from_secs(10);

/// Settings of journald: nothing on disk, no kernel messages, no forwarding, no
/// rate limit.
const SETTINGS: &str = "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\n\
                        ForwardToSyslog=no\nForwardToWall=no\nRateLimitIntervalSec=0\n";

/// A running systemd-journald. Its journal is in the host's `/run`; the
/// machine's own journal is hidden from the host.
pub struct Journald {
    daemon: Daemon,
    slice: Slice,
}

/// A control group whose children look like services to systemd's programs. It
/// belongs to the machine, because control groups cannot be mounted privately.
/// Dropping the value removes it.
struct Slice {
    /// The root of the control groups, mounted only on the host.
    root: File,
    name: String,
}

/// A program that sends each line of its input to syslog(3), like
/// courierlogger. Dropping it kills it.
pub struct Logger {
    child: Child,
}

/// The identity of a [`Logger`].
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The service, such as `courier-mta.service`; `None` for that of the test.
    pub unit: Option<&'a str>,
    /// The user id.
    pub uid: u32,
    /// The severity of its messages: `err`, `info`, …
    pub severity: &'a str,
    /// The name in its messages.
    pub program: &'a str,
}

impl Journald {
    /// Starts journald on `host`. Returns when it accepts messages.
    ///
    /// # Errors
    ///
    /// journald is not installed (package systemd), or did not start.
    pub fn start(host: &Host) -> Result<Self> {
        // On a real machine, systemd-tmpfiles makes the journal's directory, which belongs
        // to this group.
        let group = ["install", "-d", "-g", "systemd-journal", "-m", "2755"];
        host.exec(group.into_iter().chain([JOURNAL]))?;
        let root = host.run(|| -> Result<File> {
            mount_new("cgroup2", Path::new(CGROUPS))?;
            let stored = Path::new("/var/log/journal");
            if stored.exists() {
                mount_new("tmpfs", stored)?;
            }
            let directory = Path::new("/run/systemd/journald.conf.d");
            fs::create_dir_all(directory)?;
            fs::write(directory.join("zz-lab.conf"), SETTINGS)?;
            Ok(File::open(CGROUPS)?)
        })?;
        Ok(Self {
            slice: Slice::new(root, host)?,
            daemon: launch(host)?,
        })
    }

    /// Kills journald and starts another one.
    ///
    /// # Errors
    ///
    /// As [`Journald::start`].
    pub fn restart(&mut self, host: &Host) -> Result<()> {
        self.daemon.kill()?;
        host.run(|| fs::remove_file(SYSLOG))?;
        self.daemon = launch(host)?;
        Ok(())
    }

    /// Starts a program that logs. It must be dropped before this value.
    ///
    /// # Errors
    ///
    /// The program could not be started, or could not be moved into its unit.
    pub fn logger(&self, host: &Host, sender: Sender<'_>) -> Result<Logger> {
        // The process moves to its unit before its user changes, because only root can
        // move it. The change also clears the signal that it would get at the end of the
        // host's thread, so setpriv sets that signal again.
        let script = "[ -z \"$1\" ] || echo $$ > \"$1\" || exit 1; \
                      exec setpriv --reuid \"$2\" --clear-groups --pdeathsig KILL -- \
                      logger --socket \"$3\" --priority \"mail.$4\" --tag \"$5\"";
        let procs = sender
            .unit
            .map(|unit| self.processes_of(unit))
            .transpose()?;
        let mut command = host.command("sh");
        command.args(["-c", script, "sh"]);
        command.arg(procs.unwrap_or_default());
        command.arg(sender.uid.to_string());
        command.args([SYSLOG, sender.severity, sender.program]);
        let child = host.spawn(command.stdin(Stdio::piped()))?;
        Ok(Logger { child })
    }

    /// Creates a unit, and returns the path of the file that moves a process into it.
    /// The path is valid on the host only.
    pub(crate) fn processes_of(&self, unit: &str) -> Result<PathBuf> {
        Ok(self.slice.unit(unit)?.join("cgroup.procs"))
    }

    /// Waits until the journal contains `number` entries with `text`.
    ///
    /// # Errors
    ///
    /// The entries did not appear in time.
    pub fn wait_for(&self, host: &Host, text: &str, number: usize) -> Result<()> {
        until(&format!("{number} entries with {text}"), SOON, || {
            let all = host.exec(["journalctl", "--quiet", "--output=cat", "--all"])?;
            let found = all.lines().filter(|line| line.contains(text)).count();
            Ok((found == number).then_some(()))
        })
    }
}

impl Logger {
    /// Logs a line.
    ///
    /// # Errors
    ///
    /// The `logger` program has ended.
    pub fn log(&mut self, line: &[u8]) -> Result<()> {
        let input = self
            .child
            .stdin
            .as_mut()
            .context("standard input is piped")?;
        input.write_all(&[line, b"\n"].concat())?;
        Ok(())
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Slice {
    fn new(root: File, host: &Host) -> Result<Self> {
        let name = format!("spamdroplab{}.slice", host.tid());
        let slice = Self { root, name };
        slice.remove_orphans();
        let path = slice.path();
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(slice)
    }

    /// Removes the control groups of a killed test.
    fn remove_orphans(&self) {
        let root = format!("/proc/self/fd/{}", self.root.as_raw_fd());
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let number = name.strip_prefix("spamdroplab");
            let tid = number.and_then(|rest| rest.strip_suffix(".slice"));
            if tid.is_some_and(|tid| !Path::new("/proc").join(tid).exists()) {
                remove(&entry.path());
            }
        }
    }

    /// Creates a unit's control group, and returns its path on the host.
    fn unit(&self, unit: &str) -> Result<PathBuf> {
        fs::create_dir_all(self.path().join(unit))?;
        Ok([CGROUPS, &self.name, unit].iter().collect())
    }

    /// The path of the slice, which is valid on any thread, whatever its mounts are.
    fn path(&self) -> PathBuf {
        let root = self.root.as_raw_fd();
        format!("/proc/self/fd/{root}/{}", self.name).into()
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        remove(&self.path());
    }
}

/// Removes a slice and its units, except those with a running process.
fn remove(slice: &Path) {
    let units = fs::read_dir(slice).into_iter().flatten().flatten();
    for unit in units.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let _ = fs::remove_dir(unit.path());
    }
    let _ = fs::remove_dir(slice);
}

fn launch(host: &Host) -> Result<Daemon> {
    let none: [&str; 0] = [];
    let no_env: [(&str, &str); 0] = [];
    let daemon = Daemon::start(host, PROGRAM, none, no_env)?;
    until("journald to listen", SOON, || {
        Ok(host.run(|| Path::new(SYSLOG).exists()).then_some(()))
    })
    .with_context(|| format!("{PROGRAM} (Debian package systemd): {}", daemon.output()))?;
    Ok(daemon)
}
