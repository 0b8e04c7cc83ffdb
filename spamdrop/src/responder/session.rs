//! One connection: its dialogue and its limits.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::shared::{Limits, Permit};
use super::syslog::Severity;
use spamdrop_core::nat64::canonical;
use spamdrop_core::smtp::{Dialogue, DialogueOutput, Parties};

/// Bytes per read; most commands fit.
const PORTION: usize = 256;

/// A client's session. It preallocates no buffers, because thousands of
/// sessions can be idle at once.
pub(super) struct Session {
    permit: Permit,
    stream: TcpStream,
    peer: SocketAddr,
    dialogue: Dialogue,
    /// Bytes that were read but not answered yet.
    heard: Vec<u8>,
    out: DialogueOutput,
}

/// Why a session ended.
enum End {
    /// The dialogue is complete.
    Said,
    /// The peer closed the connection.
    Gone,
    /// The peer was too slow.
    Late,
    /// The responder is stopping.
    Stopped,
}

impl Session {
    pub fn new(permit: Permit, stream: TcpStream, peer: SocketAddr) -> Self {
        Self {
            permit,
            stream,
            peer,
            dialogue: Dialogue::default(),
            heard: Vec::new(),
            out: DialogueOutput::default(),
        }
    }

    /// Runs the session until the peer or a limit ends it. Errors are not
    /// logged: they concern only this peer.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let start = Instant::now();
        self.speak(|dialogue, parties, out| dialogue.greet(parties, out));
        let ended = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => End::Stopped,
            ended = self.talk(start) => ended,
        };
        let why = match ended {
            End::Gone => return,
            End::Said => None,
            End::Late => {
                self.permit.shared.count(|counts| counts.limited += 1);
                Some("Timeout.")
            }
            End::Stopped => Some("Going down."),
        };
        if let Some(why) = why {
            self.dialogue.end(why, &mut self.out);
            // An error is ignored: a peer that has not read its replies so far
            // gets no more.
            let _ = self.flush();
        }
        let farewell = Instant::now() + self.limits().farewell;
        let _ = timeout_at(farewell, self.leave()).await;
    }

    async fn talk(&mut self, start: Instant) -> End {
        let limits = self.limits();
        let mut deadline = limits.deadline(start, start);
        loop {
            let is_said = self.out.replies.is_empty();
            if is_said && self.dialogue.has_ended() {
                return End::Said;
            }
            let commands = self.dialogue.commands();
            let done = if is_said && !self.heard.is_empty() {
                self.answer();
                Ok(())
            } else {
                let interest = [Interest::WRITABLE, Interest::READABLE][usize::from(is_said)];
                match timeout_at(deadline, self.stream.ready(interest)).await {
                    Ok(Ok(_)) if is_said => self.listen(),
                    Ok(Ok(_)) => self.flush(),
                    Ok(Err(error)) => Err(error),
                    Err(_) => return End::Late,
                }
            };
            match done {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return End::Gone,
                _ => {}
            }
            if self.dialogue.commands() != commands {
                deadline = limits.deadline(start, Instant::now());
            }
        }
    }

    /// Reads up to [`PORTION`] bytes and answers them.
    fn listen(&mut self) -> io::Result<()> {
        let mut portion = [0; PORTION];
        let length = self.stream.try_read(&mut portion)?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.heard = portion.get(..length).unwrap_or_default().to_vec();
        self.answer();
        Ok(())
    }

    fn answer(&mut self) {
        let heard = std::mem::take(&mut self.heard);
        let mut taken = 0;
        self.speak(|dialogue, parties, out| taken = dialogue.feed(&heard, parties, out));
        self.heard = heard.get(taken..).unwrap_or_default().to_vec();
    }

    /// Lets the dialogue produce output, logs its lines, and sends as much of
    /// its replies as possible without waiting.
    fn speak(&mut self, say: impl FnOnce(&mut Dialogue, &Parties<'_>, &mut DialogueOutput)) {
        let shared = &self.permit.shared;
        let text = || (shared.setting.texts)(canonical(self.peer.ip()));
        let parties = Parties {
            host: &shared.setting.host,
            peer: self.peer,
            text: &text,
        };
        say(&mut self.dialogue, &parties, &mut self.out);
        for line in std::mem::take(&mut self.out.lines) {
            shared.log(Severity::Error, &line);
        }
        let refusals = std::mem::take(&mut self.out.refusals);
        shared.count(|counts| counts.answered += refusals);
        // An error surfaces in the next attempt.
        let _ = self.flush();
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.out.replies.is_empty() {
            let sent = self.stream.try_write(&self.out.replies)?;
            self.out.replies.drain(..sent);
        }
        // The buffer is freed, so that an idle session holds no memory.
        self.out.replies = Vec::new();
        Ok(())
    }

    /// Closes this side and waits for the peer to close the other. If the
    /// socket were closed with unread bytes, the kernel would reset the
    /// connection and the last reply would be lost.
    async fn leave(&mut self) -> io::Result<()> {
        self.permit.is_leaving();
        self.stream.shutdown().await?;
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut [0; PORTION]) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    fn limits(&self) -> Limits {
        self.permit.shared.setting.limits
    }
}

impl Limits {
    fn deadline(&self, start: Instant, last_command: Instant) -> Instant {
        (last_command + self.command).min(start + self.session)
    }
}
