//! State shared by all sessions: settings, limits, counters.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::syslog::{Severity, Syslog};
use spamdrop_core::target::Target;

/// Returns the text that tells a listed source why it is rejected.
pub type Texts = Arc<dyn Fn(IpAddr) -> String + Send + Sync>;

/// Limits for each session and for all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of connections.
    pub connections: usize,
    /// Maximum number of connections of one IPv4 address or IPv6 /64.
    pub per_source: usize,
    /// Maximum time from one complete command to the next.
    pub command: Duration,
    /// Maximum duration of a connection.
    pub session: Duration,
    /// How long to wait, after the last reply, for the peer to close the
    /// connection.
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

/// The settings of the responder.
#[derive(Clone)]
pub struct Setting {
    /// The server name in its replies.
    pub host: String,
    /// Its limits.
    pub limits: Limits,
    /// The rejection text for each source.
    pub texts: Texts,
    /// The path of syslog's socket.
    pub syslog: PathBuf,
    /// The program name in the log, which is the mail server's.
    pub program: String,
    /// Whether connections to the socket's own address are served. Only tests
    /// set this, as they have no steering.
    pub direct: bool,
}

/// The responder's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponderCounts {
    /// Current connections.
    pub connections: usize,
    /// Current connections whose dialogue is complete. They cost little: they
    /// only wait for the peer to close.
    pub leaving: usize,
    /// The maximum of `connections` so far.
    pub peak: usize,
    /// Recipients that were rejected with 511.
    pub answered: u64,
    /// Connections that were closed because of a limit.
    pub limited: u64,
    /// Log lines that did not reach syslog.
    pub lost_lines: u64,
}

/// State shared by all sessions.
pub(super) struct Shared {
    pub setting: Setting,
    syslog: Syslog,
    state: Mutex<SharedState>,
}

#[derive(Default)]
struct SharedState {
    sources: HashMap<Target, usize>,
    counts: ResponderCounts,
}

/// The right to hold a connection. The connection is counted until the permit is dropped.
pub(super) struct Permit {
    pub shared: Arc<Shared>,
    source: Target,
    leaving: bool,
}

impl Shared {
    pub fn new(setting: Setting) -> Self {
        Self {
            syslog: Syslog::new(setting.syslog.clone(), &setting.program),
            setting,
            state: Mutex::default(),
        }
    }

    pub fn log(&self, severity: Severity, message: &[u8]) {
        self.syslog.write(severity, message);
    }

    pub fn count(&self, change: impl FnOnce(&mut ResponderCounts)) {
        change(&mut self.state().counts);
    }

    /// Counts a new connection from `addr`; `None` if it exceeds a limit.
    pub fn permit(self: &Arc<Self>, addr: IpAddr) -> Option<Permit> {
        let limits = self.setting.limits;
        let source = Target::from(addr);
        let mut state = self.state();
        let SharedState { sources, counts } = &mut *state;
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
        Some(Permit {
            shared: Arc::clone(self),
            source,
            leaving: false,
        })
    }

    fn release(&self, source: Target, was_leaving: bool) {
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

    pub fn counts(&self) -> ResponderCounts {
        ResponderCounts {
            lost_lines: self.syslog.lost(),
            ..self.state().counts
        }
    }

    fn state(&self) -> MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Counts the connection as leaving: its socket is about to be closed on
    /// our side.
    pub fn is_leaving(&mut self) {
        if !self.leaving {
            self.leaving = true;
            self.shared.count(|counts| counts.leaving += 1);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.release(self.source, self.leaving);
    }
}
