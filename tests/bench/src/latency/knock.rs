//! A sender that sends SYN after SYN, and records which are answered.

use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::set_current_timer_slack;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use spamdrop_lab::Host;
use spamdrop_lab::frame::{ACK, FrameSpec, SYN, tcp_frame};
use spamdrop_lab::site::SERVER4;

use crate::machine::{Cores, pin};

/// Time between two SYNs, and so the resolution of a delay.
pub const INTERVAL: Duration = Duration::from_micros(100);
/// Maximum duration: each SYN has its own port, by which answers are matched,
/// and ports run out after this time.
pub const LONGEST: Duration = Duration::from_secs(6);
/// Time without an answer after which the SYNs count as dropped. An answer
/// arrives before the next SYN is sent, unless the server's core is busy.
const SILENCE: Duration = Duration::from_millis(30);
/// The source port of the first SYN.
const FIRST_PORT: u16 = 1024;
/// The server's port.
const SMTP: u16 = 25;
const ETHERNET: usize = 14;

/// A raw socket on the host of the clients, and the cores to use.
pub struct Knocker {
    socket: Socket,
    cores: Cores,
}

impl Knocker {
    /// Creates a knocker on `world`. It sends SYNs on `cores.generator`, and runs the `act`
    /// of [`Knocker::until_dropped`] on `cores.receiver`.
    ///
    /// # Errors
    ///
    /// The kernel refuses the socket.
    pub fn new(world: &Host, cores: Cores) -> Result<Self> {
        let socket = world.run(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP))?;
            socket.set_header_included_v4(true)?;
            socket.set_nonblocking(true)?;
            anyhow::Ok(socket)
        })?;
        Ok(Self { socket, cores })
    }

    /// Measures the time from the start of `act` to the first dropped SYN of
    /// `sender`, which is the one after the last answered SYN. `None` if no SYN
    /// is dropped before `timeout`. The server must answer `sender` before
    /// `act`.
    ///
    /// # Errors
    ///
    /// `sender` was not answered, `act` failed, or a system call failed.
    pub fn until_dropped(
        &self,
        sender: Ipv4Addr,
        timeout: Duration,
        act: impl FnOnce() -> Result<()> + Send,
    ) -> Result<Option<Duration>> {
        let mut attempt = Attempt::new(&self.socket, sender);
        let (ready, wanted) = channel();
        // In threads of their own, because each sets its core and its priority.
        thread::scope(|scope| {
            let acting = scope.spawn(move || self.act(&wanted, act));
            let knocking = scope.spawn(|| self.knock(&mut attempt, ready, timeout));
            let dropped = join(knocking)?;
            let start = join(acting)?;
            Ok(dropped.map(|sent| sent.saturating_duration_since(start)))
        })
    }

    /// Sends SYNs and returns the time of the first dropped one. Sends to
    /// `ready` when the first SYN is answered.
    fn knock(
        &self,
        attempt: &mut Attempt<'_>,
        ready: Sender<()>,
        timeout: Duration,
    ) -> Result<Option<Instant>> {
        pin(None, self.cores.generator)?;
        set_current_timer_slack(NonZeroU64::new(1))?;
        attempt.is_answered()?;
        // The send fails if the other thread has failed, which reports its own
        // error.
        let _ = ready.send(());
        attempt.knock(timeout)
    }

    /// Runs `act` when a message arrives on `wanted`; returns the time of its
    /// start.
    fn act(&self, wanted: &Receiver<()>, act: impl FnOnce() -> Result<()>) -> Result<Instant> {
        pin(None, self.cores.receiver)?;
        wanted.recv().context("the sender is not ready")?;
        let start = Instant::now();
        act()?;
        Ok(start)
    }
}

fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// The SYNs of one sender, identified by their source ports.
struct Attempt<'a> {
    socket: &'a Socket,
    sender: Ipv4Addr,
    /// The time at which each SYN was sent.
    sent: Vec<Instant>,
    /// Number of SYNs up to the last one that was answered.
    answered: usize,
}

impl<'a> Attempt<'a> {
    fn new(socket: &'a Socket, sender: Ipv4Addr) -> Self {
        Self {
            socket,
            sender,
            sent: Vec::new(),
            answered: 0,
        }
    }

    /// Sends the first SYN and waits for the answer.
    fn is_answered(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(1);
        self.send()?;
        while self.answered == 0 {
            ensure!(
                Instant::now() < deadline,
                "{} is not answered before its line is written",
                self.sender
            );
            thread::sleep(INTERVAL);
            self.receive()?;
        }
        Ok(())
    }

    /// Sends SYNs until they are dropped. Returns the time of the first dropped
    /// one, unless `timeout` passes first.
    fn knock(&mut self, timeout: Duration) -> Result<Option<Instant>> {
        let deadline = Instant::now() + timeout;
        loop {
            let now = Instant::now();
            let dropped = self.first_dropped();
            if dropped.is_some_and(|sent| now - sent >= SILENCE) {
                return Ok(dropped);
            }
            if now >= deadline {
                return Ok(None);
            }
            self.send()?;
            thread::sleep((now + INTERVAL).saturating_duration_since(Instant::now()));
            self.receive()?;
        }
    }

    /// The time of the first SYN after the last answered one.
    fn first_dropped(&self) -> Option<Instant> {
        self.sent.get(self.answered).copied()
    }

    fn send(&mut self) -> Result<()> {
        let number = u16::try_from(self.sent.len()).context("too many SYNs")?;
        let sport = FIRST_PORT.checked_add(number).context("too many SYNs")?;
        let frame = tcp_frame(&FrameSpec {
            sport,
            ..FrameSpec::syn(self.sender.into(), SERVER4.into())
        });
        let packet = frame.get(ETHERNET..).context("a frame has a header")?;
        self.sent.push(Instant::now());
        let server = SockAddr::from(SocketAddr::from((SERVER4, SMTP)));
        self.socket.send_to(packet, &server)?;
        Ok(())
    }

    /// Receives the pending answers.
    fn receive(&mut self) -> Result<()> {
        let mut packet = [0; 128];
        loop {
            match self.socket.read(&mut packet) {
                Ok(length) => {
                    let number = packet.get(..length).and_then(|packet| self.answers(packet));
                    self.answered = self.answered.max(number.map_or(0, |number| number + 1));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot read the answers"),
            }
        }
    }

    /// The index of the SYN that an IPv4 packet answers.
    fn answers(&self, packet: &[u8]) -> Option<usize> {
        let header = usize::from(packet.first()? & 0x0f) * 4;
        let (ip, tcp) = packet.split_at_checked(header)?;
        let ours = ip.get(12..16)? == SERVER4.octets()
            && ip.get(16..20)? == self.sender.octets()
            && tcp.get(..2)? == SMTP.to_be_bytes()
            && tcp.get(13)? & (SYN | ACK) == SYN | ACK;
        let port = u16::from_be_bytes(tcp.get(2..4)?.try_into().ok()?);
        ours.then_some(port.checked_sub(FIRST_PORT)?.into())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const SENDER: Ipv4Addr = Ipv4Addr::new(100, 96, 0, 1);

    fn answer(change: impl FnOnce(&mut FrameSpec)) -> Option<usize> {
        let mut spec = FrameSpec {
            sport: SMTP,
            dport: FIRST_PORT + 7,
            flags: SYN | ACK,
            ..FrameSpec::syn(SERVER4.into(), SENDER.into())
        };
        change(&mut spec);
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        let attempt = Attempt::new(&socket, SENDER);
        attempt.answers(&tcp_frame(&spec)[ETHERNET..])
    }

    #[test]
    fn a_syn_ack_answers_the_syn_of_its_port() {
        assert_eq!(answer(|_| ()), Some(7));
        let options = vec![1; 8];
        assert_eq!(answer(|spec| spec.ipv4_options = options), Some(7));
    }

    #[test]
    fn other_packets_answer_nothing() {
        let other = Ipv4Addr::new(100, 96, 0, 2);
        assert_eq!(answer(|spec| spec.dest = other.into()), None);
        assert_eq!(answer(|spec| spec.source = other.into()), None);
        assert_eq!(answer(|spec| spec.sport = 26), None);
        assert_eq!(answer(|spec| spec.flags = ACK), None);
        assert_eq!(answer(|spec| spec.dport = FIRST_PORT - 1), None);
    }
}
