//! A host: a thread with its own network and mount namespaces.

use std::any::Any;
use std::ffi::OsStr;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, gettid};

type Job = Box<dyn FnOnce() + Send>;

/// A host with its own interfaces, routes, sockets, `/sys/fs/bpf` and `/run`.
///
/// The namespaces have no name: they vanish with the last process and the last
/// socket in them. `lo` is up, and duplicate address detection for IPv6 is off.
/// In a closure, `/proc/self/net` shows the namespace of the program's first
/// thread; the host's is `/proc/thread-self/net`.
///
/// Dropping the host ends its thread, which kills its children.
pub struct Host {
    name: String,
    tid: Pid,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Creates a host. `name` appears in errors and in thread lists.
    ///
    /// # Errors
    ///
    /// The kernel refused the namespaces or a mount. Root is needed.
    pub fn new(name: &str) -> Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (entered, result) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let outcome = enter().map(|()| gettid());
                let lives = outcome.is_ok();
                if entered.send(outcome).is_ok() && lives {
                    queue.into_iter().for_each(|job| job());
                }
            })?;
        let tid = result
            .recv()
            .context("the host's thread ended")?
            .with_context(|| format!("make the host {name}: is this root?"))?;
        let host = Self {
            name: name.to_owned(),
            tid,
            jobs: Some(jobs),
            thread: Some(thread),
        };
        host.exec(["ip", "link", "set", "lo", "up"])?;
        Ok(host)
    }

    /// The name given to [`Host::new`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the host's thread. `ip link set … netns TID` moves an
    /// interface to it, and `/proc/TID/ns/net` is its network namespace.
    #[must_use]
    pub fn tid(&self) -> i32 {
        self.tid.as_raw()
    }

    /// Runs `job` on the host's thread and returns its result.
    ///
    /// Jobs run one at a time, so a job that blocks delays the host's other
    /// users. Must not be called from a job of the same host.
    ///
    /// # Panics
    ///
    /// If `job` panics, with its panic.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (reply, result) = mpsc::sync_channel(1);
        let job = move || {
            // Cannot fail, because the caller waits for the reply.
            let _ = reply.send(catch_unwind(AssertUnwindSafe(job)));
        };
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(Box::new(job));
        }
        let ended = |_| -> Box<dyn Any + Send> { Box::new("the host's thread ended") };
        match result.recv().map_err(ended).flatten() {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// A command that the kernel kills when the host's thread ends.
    ///
    /// It runs under `setpriv`, so a missing `program` appears as exit status
    /// 127. A program that changes its credentials on `exec` is not killed.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    }

    /// Starts `command`, created by [`Host::command`], on the host.
    ///
    /// # Errors
    ///
    /// The process could not be started.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        // The kernel kills the child when the thread that forked it ends. That must be
        // the host's thread, so the command is moved there and back.
        let mut travelling = std::mem::replace(command, Command::new(""));
        let (returned, child) = self.run(move || {
            let child = travelling.spawn();
            (travelling, child)
        });
        *command = returned;
        child.with_context(|| format!("start {command:?} on {}", self.name))
    }

    /// Runs a program on the host to its end and returns its standard output.
    ///
    /// # Errors
    ///
    /// The program could not be started, or failed. The error contains its
    /// standard error.
    pub fn exec<S: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = S>) -> Result<String> {
        let mut argv = argv.into_iter();
        let program = argv.next().context("no program to run")?;
        let mut command = self.command(program);
        command
            .args(argv)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = self.spawn(&mut command)?.wait_with_output()?;
        if !output.status.success() {
            bail!(
                "{command:?} on {}: {}: {}",
                self.name,
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Mounts an empty tmpfs on `directory`, for this thread and for the threads,
/// hosts and processes that it starts from now on. The rest of the machine does
/// not see it, and it vanishes with the last of them.
///
/// # Errors
///
/// The kernel refused. Root is needed.
pub fn private_tmpfs(directory: &Path) -> Result<()> {
    unshare_mounts(CloneFlags::empty())?;
    mount_new("tmpfs", directory)
}

fn enter() -> Result<()> {
    unshare_mounts(CloneFlags::CLONE_NEWNET)?;
    // The old sysfs shows the interfaces of the old namespace.
    for (kind, target) in [("sysfs", "/sys"), ("bpf", "/sys/fs/bpf"), ("tmpfs", "/run")] {
        mount_new(kind, Path::new(target))?;
    }
    // Duplicate address detection is off: until it has ended, an address can neither be
    // bound nor answer neighbour solicitations.
    let dad = "/proc/sys/net/ipv6/conf/default/accept_dad";
    fs::write(dad, "0").with_context(|| format!("write {dad}"))?;
    Ok(())
}

fn unshare_mounts(and: CloneFlags) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS | and)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("make the mounts private")
}

/// Mounts a new file system of a `kind` that needs no device, for this thread
/// and everything that it starts.
pub(crate) fn mount_new(kind: &str, target: &Path) -> Result<()> {
    let none: Option<&str> = None;
    mount(Some(kind), target, Some(kind), MsFlags::empty(), none)
        .with_context(|| format!("mount {kind} on {}", target.display()))
}
