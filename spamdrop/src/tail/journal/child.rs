//! journalctl, as a process of ours.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use log::warn;
use tokio::sync::Notify;

use crate::tail::ahead::{ReadAhead, Taken};

/// Longest line of its remarks that is read as one, in bytes.
const MAX_REMARK: u64 = 1024;

/// A process whose output is read. Dropped, it is killed and reaped; should we
/// be killed ourselves, journalctl ends when nobody reads its output.
pub struct Reader {
    process: Process,
    output: ReadAhead,
    remarks: JoinHandle<Option<String>>,
}

struct Process(Child);

impl Reader {
    /// Starts `program`; `wake` is notified of its output.
    pub fn spawn(
        program: &OsStr,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        wake: Arc<Notify>,
    ) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(args)
            // A Ctrl-C on the terminal is for us.
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

    /// Ends the process and tells why it ended by itself, if it did: its last
    /// remark, or its exit status.
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

/// Logs what the process says; returns the last of it.
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
