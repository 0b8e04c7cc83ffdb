//! One connection of a sender, and its course.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, SocketAddrV4};
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::population::{Class, Manners, Sender};
use super::retransmissions::retransmissions;
use super::scale::Scale;
use crate::site::SERVER4;

/// The course of a connection. Times are from the start of the wave.
#[derive(Clone, Debug)]
pub struct Session {
    /// The sender.
    pub sender: Sender,
    /// The time of the call of `connect()`.
    pub called: Duration,
    /// As `called`, on the wall clock.
    pub called_at: Timestamp,
    /// The sender's port.
    pub port: u16,
    /// The time at which the connection was established.
    pub connected: Option<Duration>,
    /// The time of the server's 220.
    pub banner: Option<Duration>,
    /// The time and the code of the reply to the first recipient.
    pub recipient: Option<(Duration, u16)>,
    /// The time at which the mail was accepted.
    pub accepted: Option<Duration>,
    /// The time of the reply to QUIT.
    pub quit: Option<Duration>,
    /// Number of retransmitted SYNs.
    pub retransmissions: u32,
    /// The end of the connection.
    pub end: End,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The server answered QUIT.
    Quit,
    /// No SYN was answered before the timeout.
    Unconnected,
    /// A reply did not come before the timeout.
    Bored,
    /// The server closed or reset the connection, or its greeting was not 220.
    Closed,
    /// The wave's time was over first.
    Unfinished,
}

/// The state that all connections of a wave share.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The wave's start.
    pub start: Instant,
    /// The time at which all connections are abandoned.
    pub deadline: Instant,
    /// As in [`Scale::think`].
    think: Range<f64>,
}

impl Clock {
    /// The clock of a wave that starts now.
    #[must_use]
    pub fn new(scale: &Scale) -> Self {
        let start = Instant::now();
        Self {
            start,
            deadline: start + scale.length + scale.drain,
            think: scale.think.clone(),
        }
    }
}

/// Runs one session from `connect()` to its end.
///
/// # Errors
///
/// The socket could not be created or bound, or the kernel refused to connect
/// it. That is a fault of the test, not the behaviour of a server.
pub async fn run(sender: &Sender, clock: &Clock, random: &mut Rng) -> io::Result<Session> {
    let mut session = Session {
        sender: sender.clone(),
        called: clock.start.elapsed(),
        called_at: Timestamp::now(),
        port: 0,
        connected: None,
        banner: None,
        recipient: None,
        accepted: None,
        quit: None,
        retransmissions: 0,
        end: End::Unfinished,
    };
    let stream = connecting(sender)?;
    session.port = stream.local_addr()?.port();
    let deadline = clock.deadline.min(Instant::now() + sender.connect_timeout);
    let connected = timeout_at(deadline, stream.writable()).await;
    session.retransmissions = retransmissions(&stream)?;
    session.end = match connected {
        Err(_) if deadline == clock.deadline => End::Unfinished,
        Err(_) => End::Unconnected,
        Ok(ready) => {
            ready?;
            if stream.take_error()?.is_some() {
                End::Closed
            } else {
                session.connected = Some(clock.start.elapsed());
                let talk = Talk {
                    stream: BufReader::new(stream),
                    session: &mut session,
                    clock,
                    random,
                };
                let talk = timeout_at(clock.deadline, talk.run()).await;
                talk.map_or(End::Unfinished, |ended| ended.unwrap_or_else(|end| end))
            }
        }
    };
    Ok(session)
}

/// Creates a socket that has started to connect.
fn connecting(sender: &Sender) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_freebind_v4(true)?;
    socket.set_ttl_v4(sender.ttl.into())?;
    socket.bind(&SocketAddr::from((sender.addr, 0)).into())?;
    match socket.connect(&SocketAddrV4::new(SERVER4, 25).into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        result => result?,
    }
    TcpStream::from_std(socket.into())
}

struct Talk<'a> {
    stream: BufReader<TcpStream>,
    session: &'a mut Session,
    clock: &'a Clock,
    random: &'a mut Rng,
}

impl Talk<'_> {
    async fn run(mut self) -> Result<End, End> {
        if self.reply().await? != 220 {
            return Err(End::Closed);
        }
        self.session.banner = self.now();
        self.command("EHLO sender.example").await?;
        self.command("MAIL FROM:<a@sender.example>").await?;
        let code = self.command("RCPT TO:<b@here.example>").await?;
        self.session.recipient = self.now().map(|now| (now, code));
        match self.session.sender.manners {
            Manners::Rude => return Err(self.stay().await),
            Manners::Insistent if code >= 500 => {
                self.command("RCPT TO:<c@here.example>").await?;
            }
            _ => {}
        }
        if code == 250 {
            self.command("DATA").await?;
            if self.command("Subject: hello\r\n\r\nhello\r\n.").await? == 250 {
                self.session.accepted = self.now();
            }
        }
        self.command("QUIT").await?;
        self.session.quit = self.now();
        Ok(End::Quit)
    }

    async fn command(&mut self, line: &str) -> Result<u16, End> {
        let think = &self.clock.think;
        let seconds = think.start + (think.end - think.start) * self.random.f64();
        sleep(Duration::from_secs_f64(seconds)).await;
        let line = format!("{line}\r\n");
        let sent = self.stream.get_mut().write_all(line.as_bytes()).await;
        sent.map_err(|_| End::Closed)?;
        self.reply().await
    }

    /// Reads the next reply, and returns the code of its last line.
    async fn reply(&mut self) -> Result<u16, End> {
        let boredom = self.session.sender.boredom;
        let code = timeout(boredom, code(&mut self.stream)).await;
        code.map_err(|_| End::Bored)?.map_err(|_| End::Closed)
    }

    /// Waits until the server closes the connection.
    async fn stay(&mut self) -> End {
        let mut line = Vec::new();
        while let Ok(1..) = self.stream.read_until(b'\n', &mut line).await {
            line.clear();
        }
        End::Closed
    }

    fn now(&self) -> Option<Duration> {
        Some(self.clock.start.elapsed())
    }
}

async fn code(stream: &mut BufReader<TcpStream>) -> io::Result<u16> {
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            let code = line.get(..3).and_then(|code| code.parse().ok());
            return code.ok_or_else(|| ErrorKind::InvalidData.into());
        }
    }
}

impl Session {
    /// The time from `connect()` to the banner.
    #[must_use]
    pub fn banner_wait(&self) -> Option<Duration> {
        Some(self.banner? - self.called)
    }

    /// The time at which the sender received a 5xx for its first recipient.
    #[must_use]
    pub fn refused(&self) -> Option<Duration> {
        let (when, code) = self.recipient?;
        (code >= 500).then_some(when)
    }

    /// Whether the mail of the sender should be accepted.
    #[must_use]
    pub fn is_legitimate(&self) -> bool {
        matches!(self.sender.class, Class::Known | Class::Near | Class::New)
    }
}
