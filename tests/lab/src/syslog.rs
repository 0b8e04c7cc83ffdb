//! A stand-in for syslogd.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use jiff::Zoned;

/// Length of syslog(3)'s stamp: `Nov 23 08:50:54 `.
const STAMP: usize = 16;
/// Longer messages are truncated.
const MAX_MESSAGE: usize = 8 << 10;

/// A Unix datagram socket whose messages are written to a log in rsyslog's
/// format. Dropping it ends it.
pub struct Syslog {
    path: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Syslog {
    /// Listens at `socket` and appends to `log`.
    ///
    /// # Errors
    ///
    /// The socket cannot be created.
    pub fn start(socket: &Path, log: &Path) -> Result<Self> {
        let listener = UnixDatagram::bind(socket)
            .with_context(|| format!("listen at {}", socket.display()))?;
        let log = log.to_owned();
        let thread = thread::spawn(move || copy(&listener, &log));
        Ok(Self {
            path: socket.to_owned(),
            thread: Some(thread),
        })
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        // An empty message ends the thread.
        let end = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"", &self.path));
        if let (Ok(_), Some(thread)) = (end, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn copy(listener: &UnixDatagram, log: &Path) {
    let mut message = [0; MAX_MESSAGE];
    while let Ok(length @ 1..) = listener.recv(&mut message) {
        let line = log_line(&message[..length], &Zoned::now());
        let file = OpenOptions::new().append(true).create(true).open(log);
        // A single write, because the mail server writes at the same time. If
        // it fails, the test that waits for the line reports that.
        let _ = file.and_then(|mut file| file.write_all(&line));
    }
    let _ = listener.shutdown(Shutdown::Both);
}

/// Formats a message as rsyslog does: without the priority, with a host name
/// and a more precise stamp.
fn log_line(message: &[u8], now: &Zoned) -> Vec<u8> {
    let text = match message.iter().position(|&byte| byte == b'>') {
        Some(end) if message.starts_with(b"<") => &message[end + 1..],
        _ => message,
    };
    let text = text.get(STAMP..).unwrap_or_default();
    let stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%6f%:z").to_string();
    [stamp.as_bytes(), b" mx1 ", text.trim_ascii_end(), b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::civil::date;
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_message_of_syslog_3_becomes_a_line_of_rsyslog() {
        let now = date(2026, 11, 23)
            .at(8, 50, 54, 0)
            .to_zoned(TimeZone::UTC)
            .expect("it exists");
        let said = b"<19>Nov 23 08:50:54 courieresmtpd: error,relay=x";
        assert_eq!(
            String::from_utf8_lossy(&log_line(said, &now)),
            "2026-11-23T08:50:54.000000+00:00 mx1 courieresmtpd: error,relay=x\n"
        );
    }

    #[test]
    fn what_is_said_before_the_end_is_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let [socket, log] = ["socket", "log"].map(|name| directory.path().join(name));
        let syslog = Syslog::start(&socket, &log).expect("it starts");
        let client = UnixDatagram::unbound().expect("a socket");
        for text in ["one", "two"] {
            let message = format!("<22>Nov  3 08:50:54 x: {text}\n");
            client
                .send_to(message.as_bytes(), &socket)
                .expect("it is there");
        }
        drop(syslog);
        let written = fs::read_to_string(&log).expect("a log");
        let said: Vec<_> = written.lines().map(|line| line.rsplit_once(": ")).collect();
        assert_eq!(said.len(), 2, "{written}");
        assert!(written.ends_with(" mx1 x: two\n"), "{written}");
    }
}
