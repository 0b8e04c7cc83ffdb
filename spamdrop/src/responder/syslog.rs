//! Writes lines to syslog in the format of syslog(3) (RFC 3164), without ever
//! blocking a session.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use crate::clock;

/// Maximum number of queued lines.
const WAITING: usize = 1024;
/// Queue length from which connection lines are dropped. A peer that opens
/// thousands of connections must not crowd out rejections, from which the
/// blocks follow.
const ENOUGH: usize = WAITING / 2;
/// Maximum time for syslog to accept a line.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The facility `LOG_MAIL`, shifted as in a priority.
const MAIL: u8 = 2 << 3;

/// The severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Severity {
    /// A rejected recipient.
    Error = 3,
    /// A connection.
    Info = 6,
}

/// A writer to syslog's socket under a program's name.
#[derive(Debug)]
pub struct Syslog {
    program: String,
    zone: TimeZone,
    waiting: Sender<Vec<u8>>,
    lost: Arc<AtomicU64>,
}

impl Syslog {
    /// Creates a writer. Needs a tokio runtime. An error with the socket at
    /// `path` surfaces only when a line is written.
    pub fn new(path: PathBuf, program: &str) -> Self {
        let (waiting, lines) = channel(WAITING);
        let lost = Arc::<AtomicU64>::default();
        tokio::spawn(carry(path, lines, Arc::clone(&lost)));
        Self {
            program: program.to_owned(),
            zone: TimeZone::system(),
            waiting,
            lost,
        }
    }

    /// Queues a message. If the queue is full, the message is counted as lost;
    /// if it is half full, only rejections are queued.
    pub fn write(&self, severity: Severity, message: &[u8]) {
        let waiting = WAITING - self.waiting.capacity();
        if severity == Severity::Info && waiting >= ENOUGH {
            return;
        }
        let now = Timestamp::try_from(clock::wall()).unwrap_or_default();
        let stamp = now.to_zoned(self.zone.clone()).strftime("%b %e %H:%M:%S");
        let priority = MAIL | severity as u8;
        let start = format!("<{priority}>{stamp} {}: ", self.program);
        let line = [start.as_bytes(), message].concat();
        if self.waiting.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Number of lines that did not reach syslog.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Delivers queued lines until every sender is dropped.
async fn carry(path: PathBuf, mut lines: Receiver<Vec<u8>>, lost: Arc<AtomicU64>) {
    let mut socket = None;
    while let Some(line) = lines.recv().await {
        if let Err(error) = deliver(&mut socket, &path, &line).await {
            lost.fetch_add(1, Ordering::Relaxed);
            log::debug!(target: "spamdrop::answer", "cannot write to {}: {error}", path.display());
        }
    }
}

/// Sends a line. After a failure it is sent once more over a new connection,
/// because syslog may have been restarted.
async fn deliver(socket: &mut Option<UnixDatagram>, path: &Path, line: &[u8]) -> io::Result<()> {
    if let Some(open) = socket {
        match timeout(TIMEOUT, open.send(line)).await {
            Ok(Ok(_)) => return Ok(()),
            // The socket exists, but its reader does not read.
            Err(late) => return Err(late.into()),
            Ok(Err(_)) => *socket = None,
        }
    }
    let open = UnixDatagram::unbound()?;
    open.connect(path)?;
    let open = socket.insert(open);
    timeout(TIMEOUT, open.send(line)).await??;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::os::unix::net;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let test = async { timeout(10 * TIMEOUT, test).await.unwrap() };
        runtime.enable_all().build().unwrap().block_on(test);
    }

    async fn settled(syslog: &Syslog, lost: u64) {
        while syslog.lost() != lost {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_line_is_as_syslog_3_writes_it() {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let socket = UnixDatagram::bind(&path).unwrap();
            let syslog = Syslog::new(path, "courieresmtpd");
            syslog.write(Severity::Error, b"error,relay=x");
            syslog.write(Severity::Info, b"started");
            let mut buffer = [0; 256];
            let length = socket.recv(&mut buffer).await.unwrap();
            let line = std::str::from_utf8(&buffer[..length]).unwrap();
            let rest = line.strip_prefix("<19>").unwrap();
            let (stamp, message) = rest.split_at("Nov 23 08:50:54".len());
            assert_eq!(message, " courieresmtpd: error,relay=x");
            let format = "%b %e %H:%M:%S %Y";
            jiff::civil::DateTime::strptime(format, format!("{stamp} 2028")).unwrap();
            let length = socket.recv(&mut buffer).await.unwrap();
            assert!(buffer[..length].starts_with(b"<22>"));
            assert_eq!(syslog.lost(), 0);
        });
    }

    #[test]
    fn lines_are_counted_while_syslog_is_away_and_come_when_it_is_back() {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let syslog = Syslog::new(path.clone(), "x");
            syslog.write(Severity::Info, b"1");
            settled(&syslog, 1).await;
            for line in [&b"2"[..], b"3"] {
                let socket = UnixDatagram::bind(&path).unwrap();
                syslog.write(Severity::Info, line);
                let mut buffer = [0; 64];
                let length = socket.recv(&mut buffer).await.unwrap();
                assert!(buffer[..length].ends_with(line));
                drop(socket);
                std::fs::remove_file(&path).unwrap();
            }
            syslog.write(Severity::Info, b"4");
            settled(&syslog, 2).await;
        });
    }

    #[test]
    fn nobody_waits_for_a_syslog_that_does_not_read() {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let _socket = net::UnixDatagram::bind(&path).unwrap();
            let syslog = Syslog::new(path, "x");
            // The delivery task does not run in between.
            for _ in 0..WAITING + 7 {
                syslog.write(Severity::Error, b"line");
            }
            assert_eq!(syslog.lost(), 7);
        });
    }

    #[test]
    fn connections_leave_room_for_refusals() {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let socket = UnixDatagram::bind(&path).unwrap();
            let syslog = Syslog::new(path, "x");
            for _ in 0..2 * WAITING {
                syslog.write(Severity::Info, b"started");
            }
            for _ in 0..ENOUGH {
                syslog.write(Severity::Error, b"error");
            }
            assert_eq!(syslog.lost(), 0);
            let mut buffer = [0; 64];
            for number in 0..WAITING {
                let length = socket.recv(&mut buffer).await.unwrap();
                let is_refusal = buffer[..length].ends_with(b"error");
                assert_eq!(is_refusal, number >= ENOUGH);
            }
        });
    }
}
