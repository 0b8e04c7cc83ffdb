//! What all sessions share: settings, limits, counts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::syslog::{Severity, Syslog};
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

    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.state().counts);
    }

    /// Counts a connection, unless it is one too many.
    pub fn permit(self: &Arc<Self>, addr: IpAddr) -> Option<Permit> {
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

    pub fn counts(&self) -> Counts {
        Counts {
            lost_lines: self.syslog.lost(),
            ..self.state().counts
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Its socket is about to be closed on our side.
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
