//! A blocking SMTP client with deadlines.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::host::Host;

/// A connection to an SMTP server. Dropping it closes the connection.
pub struct Client {
    stream: BufReader<TcpStream>,
    timeout: Duration,
}

/// A server's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The code of the last line.
    pub code: u16,
    /// The text after the codes, line by line, without line ends.
    pub text: String,
}

impl Client {
    /// Connects from `source`, which may be any address that
    /// [`many_sources`](crate::many_sources) gave to `host`. Without it, the
    /// routes choose the source. `timeout` applies to the connection and then
    /// to each reply.
    ///
    /// # Errors
    ///
    /// As [`socket`] and `connect(2)`; `TimedOut` if there is no answer.
    pub fn connect(
        host: &Host,
        source: Option<IpAddr>,
        dest: SocketAddr,
        timeout: Duration,
    ) -> io::Result<Self> {
        Self::with_socket(socket(host, source, dest)?, dest, timeout)
    }

    /// Connects a [`socket`], on which the caller may have set options such as
    /// the TTL.
    ///
    /// # Errors
    ///
    /// As `connect(2)`; `TimedOut` if there is no answer.
    pub fn with_socket(socket: Socket, dest: SocketAddr, timeout: Duration) -> io::Result<Self> {
        socket.connect_timeout(&dest.into(), timeout)?;
        let stream = TcpStream::from(socket);
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self {
            stream: BufReader::new(stream),
            timeout,
        })
    }

    /// The underlying connection.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Sends one line, without waiting for a reply.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub fn send(&mut self, line: &str) -> io::Result<()> {
        self.stream
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
    }

    /// Reads one whole reply.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the client's timeout, `UnexpectedEof` if the server
    /// closes, `ConnectionReset`, and `InvalidData` if the reply is not SMTP.
    pub fn read_reply(&mut self) -> io::Result<Reply> {
        self.read_reply_until(Instant::now() + self.timeout)
    }

    /// As [`Client::read_reply`], with a deadline in place of the client's timeout.
    ///
    /// # Errors
    ///
    /// As [`Client::read_reply`]; `TimedOut` after the deadline.
    pub fn read_reply_until(&mut self, deadline: Instant) -> io::Result<Reply> {
        let mut text = Vec::new();
        loop {
            let line = self.read_line(deadline)?;
            let strange = || io::Error::new(ErrorKind::InvalidData, format!("reply {line:?}"));
            let (code, rest) = line.split_at_checked(3).ok_or_else(strange)?;
            let code = code.parse().map_err(|_| strange())?;
            text.push(rest.get(1..).unwrap_or_default().to_owned());
            if !rest.starts_with('-') {
                let text = text.join("\n");
                return Ok(Reply { code, text });
            }
        }
    }

    /// Sends a command line, such as `EHLO x`, and reads its reply.
    ///
    /// # Errors
    ///
    /// As [`Client::send`] and [`Client::read_reply`].
    pub fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.send(line)?;
        self.read_reply()
    }

    /// Sends `MAIL FROM`; an empty `sender` is the null sender.
    ///
    /// # Errors
    ///
    /// As [`Client::command`].
    pub fn mail(&mut self, sender: &str) -> io::Result<Reply> {
        self.command(&format!("MAIL FROM:<{sender}>"))
    }

    /// Sends `RCPT TO`.
    ///
    /// # Errors
    ///
    /// As [`Client::command`].
    pub fn rcpt(&mut self, recipient: &str) -> io::Result<Reply> {
        self.command(&format!("RCPT TO:<{recipient}>"))
    }

    /// Sends `DATA` with a one-line `message`.
    ///
    /// # Errors
    ///
    /// As [`Client::command`], and if the reply to DATA is not 354.
    pub fn data(&mut self, message: &str) -> io::Result<Reply> {
        expect(self.command("DATA")?, 354)?;
        self.command(&format!("{message}\r\n."))
    }

    /// Sends `QUIT`.
    ///
    /// # Errors
    ///
    /// As [`Client::command`].
    pub fn quit(&mut self) -> io::Result<Reply> {
        self.command("QUIT")
    }

    /// Acts as a rejected sender: reads the banner, sends EHLO, MAIL and RCPT,
    /// and returns the reply to RCPT. The connection stays open.
    ///
    /// # Errors
    ///
    /// As [`Client::command`], and if an earlier reply is not 220 or 250.
    pub fn reject_session(&mut self) -> io::Result<Reply> {
        expect(self.read_reply()?, 220)?;
        expect(self.command("EHLO zombie.example")?, 250)?;
        expect(self.mail("spam@zombie.example")?, 250)?;
        self.rcpt("postmaster@mx.example")
    }

    /// Checks whether the server has closed or reset the connection.
    ///
    /// # Errors
    ///
    /// The socket cannot be read.
    pub fn is_closed(&self) -> io::Result<bool> {
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true)?;
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        match peeked {
            Ok(bytes) => Ok(bytes == 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Waits until the server closes the connection without a reset.
    ///
    /// # Errors
    ///
    /// `TimedOut`, `ConnectionReset`, or `InvalidData` if the server sends more
    /// data.
    pub fn expect_close(&mut self, timeout: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(timeout))?;
        match self.stream.read(&mut [0]).map_err(timed_out)? {
            0 => Ok(()),
            _ => Err(io::Error::new(ErrorKind::InvalidData, "unread reply")),
        }
    }

    /// Waits until the connection is reset.
    ///
    /// # Errors
    ///
    /// `TimedOut`, `UnexpectedEof` if the server closes without a reset, or
    /// `InvalidData` if it sends more data.
    pub fn expect_reset(&mut self, timeout: Duration) -> io::Result<()> {
        match self.expect_close(timeout) {
            Ok(()) => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn read_line(&mut self, deadline: Instant) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.get_ref().set_read_timeout(Some(left))?;
            let received = self.stream.fill_buf().map_err(timed_out)?;
            if received.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let end = received.iter().position(|&byte| byte == b'\n');
            let part = &received[..end.map_or(received.len(), |end| end + 1)];
            line.extend_from_slice(part);
            let used = part.len();
            self.stream.consume(used);
        }
        Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
    }
}

/// Creates a TCP socket of `host`, bound to `source` if given. It can be
/// connected on any thread.
///
/// # Errors
///
/// As `socket(2)` and `bind(2)`.
pub fn socket(host: &Host, source: Option<IpAddr>, dest: SocketAddr) -> io::Result<Socket> {
    let socket = host
        .run(move || Socket::new(Domain::for_address(dest), Type::STREAM, Some(Protocol::TCP)))?;
    if let Some(source) = source {
        match source {
            IpAddr::V4(_) => socket.set_freebind_v4(true)?,
            IpAddr::V6(_) => socket.set_freebind_v6(true)?,
        }
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    Ok(socket)
}

/// Tries to connect. Returns whether neither SYN-ACK nor RST arrives within
/// `wait`.
///
/// # Errors
///
/// As [`socket`], and if the attempt fails for another reason, such as a
/// missing route.
pub fn syn_dropped(
    host: &Host,
    source: Option<IpAddr>,
    dest: SocketAddr,
    wait: Duration,
) -> io::Result<bool> {
    let attempt = socket(host, source, dest)?.connect_timeout(&dest.into(), wait);
    match attempt.map_err(|error| (error.kind(), error)) {
        Ok(()) | Err((ErrorKind::ConnectionRefused, _)) => Ok(false),
        Err((ErrorKind::TimedOut, _)) => Ok(true),
        Err((_, error)) => Err(error),
    }
}

fn expect(reply: Reply, code: u16) -> io::Result<()> {
    if reply.code == code {
        return Ok(());
    }
    Err(io::Error::other(format!("{reply:?} instead of {code}")))
}

/// Renames the error of an expired `SO_RCVTIMEO`, which is `EAGAIN`.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    }
}
