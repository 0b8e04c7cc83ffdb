//! journalctl as a child process.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use log::warn;
use tokio::sync::Notify;

use crate::tail::ahead::{ReadAhead, Taken};

/// Maximum length in bytes of a line on standard error; a longer one is split.
const MAX_REMARK: u64 = 1024;

/// A journalctl process whose output is read. It is killed and reaped on drop. If
/// spamdrop is killed, journalctl ends when it writes to the closed pipe.
pub struct Journalctl {
    process: Process,
    output: ReadAhead,
    remarks: JoinHandle<Option<String>>,
}

struct Process(Child);

impl Journalctl {
    /// Starts `program`; `wake` is notified of its output.
    pub fn spawn(
        program: &OsStr,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        wake: Arc<Notify>,
    ) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(args)
            // A Ctrl-C on the terminal is meant for spamdrop, not for journalctl.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipes = (child.stdout.take(), child.stderr.take());
        let process = Process(child);
        let (Some(output), Some(errors)) = pipes else {
            return Err(io::Error::other("its output is not piped"));
        };
        let output = ReadAhead::spawn("journal", output, wake)?;
        let remarks = thread::Builder::new().name("journal-errors".into());
        Ok(Self {
            process,
            output,
            remarks: remarks.spawn(move || log_lines(errors))?,
        })
    }

    /// Takes at most `budget` bytes of its output.
    pub fn take(&mut self, budget: usize) -> Taken<'_> {
        self.output.take(budget)
    }

    /// Bytes that were read ahead and not taken yet.
    pub fn left(&self) -> u64 {
        self.output.left()
    }

    /// Whether the process ended without an error; `None` while it runs.
    pub fn success(&mut self) -> Option<bool> {
        match self.process.0.try_wait() {
            Ok(status) => status.map(|status| status.success()),
            Err(_) => Some(false),
        }
    }

    /// Ends the process. Returns why it ended, if it did so by itself: its last
    /// line on standard error, or its exit status.
    pub fn end(mut self) -> String {
        let status = self.process.stop();
        let remark = self.remarks.join().ok().flatten();
        remark.unwrap_or_else(|| match status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        })
    }
}

impl Process {
    fn stop(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.0.try_wait()? {
            return Ok(status);
        }
        self.0.kill()?;
        self.0.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            warn!(target: "spamdrop::tail", "cannot end journalctl: {error}");
        }
    }
}

/// Logs the process's standard error; returns its last line.
fn log_lines(errors: impl Read) -> Option<String> {
    let (mut errors, mut line, mut last) = (BufReader::new(errors), Vec::new(), None);
    loop {
        line.clear();
        match (&mut errors).take(MAX_REMARK).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return last,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        warn!(target: "spamdrop::tail", "journalctl: {text}");
        last = Some(text);
    }
}
