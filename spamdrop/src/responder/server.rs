//! Accepts connections within the limits, and counts them.

use std::io;
use std::net::{SocketAddr, TcpListener as Listener};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::session::Session;
use super::shared::{ResponderCounts, Setting, Shared};
use super::syslog::Severity;
use spamdrop_core::courier::log_line;

/// A running responder. Dropping it closes its listening sockets and ends its
/// sessions.
pub struct Server {
    ports: Vec<u16>,
    shared: Arc<Shared>,
    accepting: Vec<AbortHandle>,
    stop: watch::Sender<bool>,
}

/// How long the server accepts nothing after descriptors or memory ran out.
const PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Serves non-blocking listening sockets. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// The runtime refuses a socket.
    pub fn start(listeners: Vec<Listener>, setting: Setting) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(setting));
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

    /// The ports of the listening sockets. The connections have other ports,
    /// because they are steered.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// The counters of this server.
    #[must_use]
    pub fn counts(&self) -> ResponderCounts {
        self.shared.counts()
    }

    /// A handle to the counters that another task can hold.
    #[must_use]
    pub fn meter(&self) -> ResponderMeter {
        ResponderMeter {
            ports: self.ports.clone(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Closes the listening sockets and tells the peers that the service ends.
    /// Returns when all sessions have ended, or after `within`.
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

/// A handle to the counters of a server, which stays valid after the server has
/// ended.
#[derive(Clone)]
pub struct ResponderMeter {
    ports: Vec<u16>,
    shared: Arc<Shared>,
}

impl ResponderMeter {
    /// As [`Server::ports`].
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// As [`Server::counts`].
    #[must_use]
    pub fn counts(&self) -> ResponderCounts {
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
                    serve(&shared, stream, peer, stopped.clone());
                }
            }
            Err(error) if is_shortage(&error) => {
                log::warn!(target: "spamdrop::answer", "the responder cannot accept connections: {error}");
                sleep(PAUSE).await;
            }
            // The error concerns this connection only.
            Err(_) => {}
        }
    }
}

/// Starts a session if the limits allow another one.
fn serve(
    shared: &Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    stopped: watch::Receiver<bool>,
) {
    let Some(permit) = shared.permit(peer.ip()) else {
        // The reply fits into the buffer of a new socket. If it ever does not, the peer
        // gets none, because the responder must not wait for room.
        let _ = stream.try_write(b"421 Too many connections.\r\n");
        return;
    };
    shared.log(Severity::Info, &log_line::started(peer));
    tokio::spawn(Session::new(permit, stream, peer).run(stopped));
}

fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| shortages.contains(&error))
}

#[cfg(test)]
mod tests;
