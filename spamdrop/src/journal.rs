//! The daemon's messages to the journal. Nothing here waits: while journald does
//! not read, messages are counted instead of written.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use spamdrop_core::notice::Notice;

/// journald's socket for entries with fields (systemd's native protocol).
const SOCKET: &str = "/run/systemd/journal/socket";

/// Whether standard error is the journal: systemd sets `JOURNAL_STREAM` to its
/// device and inode (systemd.exec(5)). A process that inherits the variable may
/// have another standard error.
#[must_use]
pub fn is_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// A message of the daemon, and its fields in the journal.
#[derive(Clone, Copy, Debug)]
pub struct JournalMessage<'a> {
    /// The priority of syslog(3).
    pub priority: u8,
    /// The event that the message reports; `None`: it reports no event.
    pub notice: Option<Notice>,
    /// The text, without the name of the program.
    pub text: &'a str,
}

/// Writes to the journal.
#[derive(Debug)]
pub struct JournalWriter<F> {
    /// The stream that systemd has connected to journald.
    stream: F,
    socket: PathBuf,
    state: Mutex<Stream>,
}

/// The state of the stream.
#[derive(Debug, Default)]
struct Stream {
    /// Number of messages that were lost since the last one that was written.
    lost: u64,
    /// Whether only the first part of the last line was written.
    is_torn: bool,
}

impl<F: AsFd> JournalWriter<F> {
    /// Writes messages to this stream, and events to journald's socket.
    pub fn new(stream: F) -> Self {
        Self::with_socket(stream, Path::new(SOCKET))
    }

    fn with_socket(stream: F, socket: &Path) -> Self {
        Self {
            stream,
            socket: socket.to_owned(),
            state: Mutex::default(),
        }
    }

    /// Writes a message. If that would wait, the message is lost and counted.
    pub fn write(&self, message: JournalMessage<'_>) {
        let is_sent = message
            .notice
            .is_some_and(|notice| self.send(notice, message).is_ok());
        if !is_sent {
            self.write_line(message);
        }
    }

    /// Sends an entry with a message ID. Without journald's socket, as in a
    /// container, or while journald does not read, the stream gets the message.
    fn send(&self, notice: Notice, message: JournalMessage<'_>) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to(&entry(notice, message), &self.socket)?;
        Ok(())
    }

    /// Writes a message to the stream, after a report of the messages that were lost.
    fn write_line(&self, message: JournalMessage<'_>) {
        let mut state = match self.state.lock() {
            Ok(state) => state,
            // A panic cannot leave the state inconsistent.
            Err(poisoned) => poisoned.into_inner(),
        };
        let mut lines = String::new();
        if state.is_torn {
            lines.push('\n');
        }
        if state.lost > 0 {
            lines += &format!(
                "<4>spamdrop: warning: {} messages were lost, because the journal did not take them\n",
                state.lost
            );
        }
        lines += &format!("<{}>spamdrop: {}\n", message.priority, message.text);
        match write_now(self.stream.as_fd(), lines.as_bytes()) {
            Ok(sent) if sent == lines.len() => *state = Stream::default(),
            Ok(_) => {
                state.is_torn = true;
                state.lost += 1;
            }
            Err(_) => state.lost += 1,
        }
    }
}

/// Writes as much as fits without waiting. systemd connects a socket; anything
/// else is written as usual.
fn write_now(stream: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    match send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Err(Errno::NOTSOCK) => Ok(rustix::io::write(stream, bytes)?),
        sent => Ok(sent?),
    }
}

/// The entry in systemd's native protocol. The text may have several lines, so
/// its length precedes it.
fn entry(notice: Notice, message: JournalMessage<'_>) -> Vec<u8> {
    let mut entry = format!(
        "PRIORITY={}\nSYSLOG_IDENTIFIER=spamdrop\nMESSAGE_ID={}\nSPAMDROP_EVENT={}\nMESSAGE\n",
        message.priority,
        notice.message_id(),
        notice.name()
    )
    .into_bytes();
    entry.extend((message.text.len() as u64).to_le_bytes());
    entry.extend(message.text.as_bytes());
    entry.push(b'\n');
    entry
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn message(text: &str) -> JournalMessage<'_> {
        JournalMessage {
            priority: 6,
            notice: None,
            text,
        }
    }

    #[test]
    fn nobody_waits_for_a_journal_that_does_not_read_and_the_lost_are_counted() {
        let (reader, stream) = UnixStream::pair().unwrap();
        let journal = JournalWriter::with_socket(stream, Path::new("/nonexistent"));
        let text = "x".repeat(100);
        let all = 100_000;
        for _ in 0..all {
            journal.write(message(&text));
        }
        let mut lines = BufReader::new(reader).lines();
        let expected = format!("<6>spamdrop: {text}");
        // Some lines are read, and then there is room again.
        for _ in 0..100 {
            assert_eq!(lines.next().unwrap().unwrap(), expected);
        }
        journal.write(message("again"));
        drop(journal);
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        let [whole @ .., lost, again] = &rest[..] else {
            panic!("{rest:?}")
        };
        assert_eq!(again, "<6>spamdrop: again");
        let whole = whole.iter().filter(|line| **line == expected).count() + 100;
        let expected = format!(
            "<4>spamdrop: warning: {} messages were lost, because the journal did not take them",
            all - whole
        );
        assert_eq!(*lost, expected);
    }

    #[test]
    fn an_event_is_an_entry_with_its_message_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        let (mut reader, stream) = UnixStream::pair().unwrap();
        let journal = JournalWriter::with_socket(stream, &path);
        let notice = JournalMessage {
            priority: 4,
            notice: Some(Notice::ZoneBroken),
            text: "zen.example lists\neverybody",
        };
        journal.write(notice);
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        let id = format!("MESSAGE_ID={}\n", Notice::ZoneBroken.message_id());
        let expected = [
            b"PRIORITY=4\nSYSLOG_IDENTIFIER=spamdrop\n".as_slice(),
            id.as_bytes(),
            b"SPAMDROP_EVENT=zone-broken\nMESSAGE\n",
            &27_u64.to_le_bytes(),
            b"zen.example lists\neverybody\n",
        ];
        assert_eq!(buffer[..length], expected.concat());
        // Without journald's socket, the event is written to the stream.
        drop(socket);
        journal.write(notice);
        drop(journal);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "<4>spamdrop: zen.example lists\neverybody\n");
    }
}
