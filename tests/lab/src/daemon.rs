//! A long-running program on a host.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, PipeReader, pipe};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::Host;
use crate::wait::until;

/// A running program whose output lines are collected. Dropping it kills it.
pub struct Daemon {
    child: Child,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    all: Vec<String>,
    /// Lines that [`Daemon::wait_for`] has not returned yet.
    unclaimed: Vec<String>,
    ended: bool,
}

impl Daemon {
    /// Starts `program` on `host`. Its standard output and standard error are
    /// merged into one stream.
    ///
    /// # Errors
    ///
    /// The process could not be started. If `program` does not exist, the
    /// process starts and exits with status 127.
    pub fn start<A, E, K, V>(
        host: &Host,
        program: impl AsRef<OsStr>,
        args: A,
        env: E,
    ) -> Result<Self>
    where
        A: IntoIterator<Item: AsRef<OsStr>>,
        E: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let (reader, writer) = pipe()?;
        let mut command = host.command(program);
        command
            .args(args)
            .envs(env)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let child = host.spawn(&mut command)?;
        let output = Arc::<Output>::default();
        let collector = Arc::clone(&output);
        std::thread::spawn(move || collector.collect(reader));
        Ok(Self { child, output })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn ensure_not_root(&self) -> Result<()> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        let ids = ids.context("a process without user ids")?;
        let is_root = ids.split_whitespace().any(|id| id == "0");
        ensure!(!is_root, "the daemon has the user ids {ids}");
        Ok(())
    }

    /// Waits for an output line that satisfies `wanted`, and returns it.
    /// Earlier lines count as well; each line is returned once.
    ///
    /// # Errors
    ///
    /// The output ended, or `timeout` passed, without such a line; the error
    /// contains the whole output.
    pub fn wait_for(&self, wanted: impl Fn(&str) -> bool, timeout: Duration) -> Result<String> {
        let deadline = Instant::now() + timeout;
        let mut lines = self.output.lock();
        loop {
            if let Some(found) = lines.unclaimed.iter().position(|line| wanted(line)) {
                return Ok(lines.unclaimed.remove(found));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.ended || left.is_zero() {
                let why = if lines.ended {
                    "its end"
                } else {
                    "the timeout"
                };
                bail!(
                    "no such line before {why}; the output:\n{}",
                    lines.all.join("\n")
                );
            }
            let waited = self.output.changed.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// All output so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lock().all.join("\n")
    }

    /// Sends `signal`.
    ///
    /// # Errors
    ///
    /// The process has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        // After the process has been waited for, another process may get its
        // id.
        if let Some(status) = self.child.try_wait()? {
            bail!("cannot send {signal}: the process ended with {status}");
        }
        let pid = Pid::from_raw(i32::try_from(self.pid())?);
        kill(pid, signal).with_context(|| format!("send {signal} to {pid}"))
    }

    /// Kills the process with SIGKILL and waits until it has ended.
    ///
    /// # Errors
    ///
    /// The process cannot be waited for.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    ///
    /// The process is still running after `timeout`; the error contains its
    /// output.
    pub fn exit_status(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        until("the program to end", timeout, || Ok(child.try_wait()?))
            .with_context(|| format!("its output:\n{}", self.output()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(&self, reader: PipeReader) {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let mut lines = self.lock();
            lines.all.push(line.clone());
            lines.unclaimed.push(line);
            self.changed.notify_all();
        }
        self.lock().ended = true;
        self.changed.notify_all();
    }
}
