//! Accepts, within limits, and counts.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as Listener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::session::Session;
use super::syslog::{Severity, Syslog};
use spamdrop_core::courier::log_line;
use spamdrop_core::target::Target;

/// Why a listed source is listed, as it shall be told.
pub type Texts = Arc<dyn Fn(IpAddr) -> String + Send + Sync>;

/// How much one and all may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections.
    pub connections: usize,
    /// Connections of one IPv4 address or IPv6 /64.
    pub per_source: usize,
    /// From one whole command to the next.
    pub command: Duration,
    /// From the connection to its end.
    pub session: Duration,
    /// From the last reply to the peer's own end.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            per_source: 20,
            command: Duration::from_secs(30),
            session: Duration::from_secs(120),
            farewell: Duration::from_secs(1),
        }
    }
}

/// What the responder is told.
#[derive(Clone)]
pub struct Setting {
    /// The name that it gives itself.
    pub host: String,
    /// Its limits.
    pub limits: Limits,
    /// What it says to whom.
    pub texts: Texts,
    /// Syslog's socket.
    pub syslog: PathBuf,
    /// The mail server's name in the log.
    pub program: String,
    /// Whether who connects to the socket's own address is served: for tests,
    /// as nobody is steered there.
    pub direct: bool,
}

/// What it has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections now.
    pub connections: usize,
    /// Of these, those that were said all: they take no more of the server
    /// than a peer that is slow to close.
    pub leaving: usize,
    /// The most at any time.
    pub peak: usize,
    /// Recipients that were refused with a 511.
    pub answered: u64,
    /// Connections that were ended for a limit.
    pub limited: u64,
    /// Log lines that did not reach syslog.
    pub lost_lines: u64,
}

/// A running responder. Dropping it closes its listening sockets and ends its
/// sessions.
pub struct Server {
    ports: Vec<u16>,
    shared: Arc<Shared>,
    accepting: Vec<AbortHandle>,
    stop: watch::Sender<bool>,
}

/// What all sessions share.
pub(super) struct Shared {
    pub setting: Setting,
    syslog: Syslog,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sources: HashMap<Target, usize>,
    counts: Counts,
}

/// A connection that counts until this is dropped.
pub(super) struct Guest {
    pub shared: Arc<Shared>,
    source: Target,
    leaving: bool,
}

/// How long nothing is accepted for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Serves non-blocking listening sockets. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// A socket is not fit for that.
    pub fn start(listeners: Vec<Listener>, setting: Setting) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            syslog: Syslog::new(setting.syslog.clone(), &setting.program),
            setting,
            state: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let mut server = Self {
            ports: Vec::new(),
            shared,
            accepting: Vec::new(),
            stop,
        };
        for listener in listeners {
            let port = listener.local_addr()?.port();
            let listener = TcpListener::from_std(listener)?;
            let shared = Arc::clone(&server.shared);
            let task = tokio::spawn(accept(listener, port, shared, stopped.clone()));
            server.ports.push(port);
            server.accepting.push(task.abort_handle());
        }
        Ok(server)
    }

    /// The ports of the listening sockets, which are not those of the
    /// connections.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// A view of its counts that another task can hold.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter {
            ports: self.ports.clone(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Closes the listening sockets and tells the peers so; returns when all
    /// sessions have ended, within this time.
    pub async fn end(self, within: Duration) {
        self.tell_end();
        let _ = timeout(within, self.stop.closed()).await;
    }

    fn tell_end(&self) {
        self.accepting.iter().for_each(AbortHandle::abort);
        self.stop.send_replace(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tell_end();
    }
}

/// The counts of a server, also after it has ended.
#[derive(Clone)]
pub struct Meter {
    ports: Vec<u16>,
    shared: Arc<Shared>,
}

impl Meter {
    /// As [`Server::ports`].
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// As [`Server::counts`].
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }
}

async fn accept(
    listener: TcpListener,
    own: u16,
    shared: Arc<Shared>,
    stopped: watch::Receiver<bool>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let is_direct = stream.local_addr().is_ok_and(|addr| addr.port() == own);
                if !is_direct || shared.setting.direct {
                    shared.welcome(stream, peer, stopped.clone());
                }
            }
            Err(error) if is_shortage(&error) => {
                log::warn!(target: "spamdrop::answer", "cannot accept: {error}");
                sleep(PAUSE).await;
            }
            // Of this connection alone.
            Err(_) => {}
        }
    }
}

fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| shortages.contains(&error))
}

impl Shared {
    pub fn log(&self, severity: Severity, message: &[u8]) {
        self.syslog.write(severity, message);
    }

    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.state().counts);
    }

    fn welcome(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        stopped: watch::Receiver<bool>,
    ) {
        let Some(guest) = self.admit(peer.ip()) else {
            // What does not fit into the buffer of a new socket, nobody needs.
            let _ = stream.try_write(b"421 Too many connections.\r\n");
            return;
        };
        self.log(Severity::Info, &log_line::started(peer));
        tokio::spawn(Session::new(guest, stream, peer).run(stopped));
    }

    fn admit(self: &Arc<Self>, addr: IpAddr) -> Option<Guest> {
        let limits = self.setting.limits;
        let source = Target::from(addr);
        let mut state = self.state();
        let State { sources, counts } = &mut *state;
        let of_source = sources.entry(source).or_default();
        if counts.connections >= limits.connections || *of_source >= limits.per_source {
            counts.limited += 1;
            if *of_source == 0 {
                sources.remove(&source);
            }
            return None;
        }
        *of_source += 1;
        counts.connections += 1;
        counts.peak = counts.peak.max(counts.connections);
        Some(Guest {
            shared: Arc::clone(self),
            source,
            leaving: false,
        })
    }

    fn leave(&self, source: Target, was_leaving: bool) {
        let mut state = self.state();
        state.counts.connections -= 1;
        state.counts.leaving -= usize::from(was_leaving);
        if let Some(of_source) = state.sources.get_mut(&source) {
            *of_source -= 1;
            if *of_source == 0 {
                state.sources.remove(&source);
            }
        }
    }

    fn counts(&self) -> Counts {
        Counts {
            lost_lines: self.syslog.lost(),
            ..self.state().counts
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// Its socket is about to be closed on our side.
    pub fn is_leaving(&mut self) {
        if !self.leaving {
            self.leaving = true;
            self.shared.count(|counts| counts.leaving += 1);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.shared.leave(self.source, self.leaving);
    }
}

#[cfg(test)]
mod tests;
