//! The condition of the logs, and the proxy that they show, for `status`.

use std::collections::BTreeMap;
use std::path::Path;

use spamdrop_core::status::SourceState;

use super::pipeline::moment;
use super::{WatchReport, WatchTask};
use crate::account;
use crate::clock;
use crate::daemon::health::Subject;
use crate::readable;
use crate::tail::{FileStatus, ReadState};

impl WatchTask {
    /// Reports a private address from which most connections come, so that it is
    /// protected.
    pub(super) fn check_proxy(&mut self) {
        let proxy = self.engine.proxy(moment());
        if proxy == self.proxy {
            return;
        }
        self.proxy = proxy;
        let _ = self.outputs.supervisor.send(WatchReport::Proxy(proxy));
        let text = proxy.map(|addr| {
            format!(
                "most connections of the last hour came from {addr}, a private address: the mail \
                 server seems to see a proxy's address instead of the senders', so {addr} is never \
                 blocked; let the proxy pass on the senders' addresses"
            )
        });
        self.health.set(Subject::Proxy, text);
    }

    /// Reports logs that are empty, silent for unusually long, or not understood.
    pub(super) fn check_sources(&mut self) {
        self.tail.watch_silence(clock::instant());
        for file in self.tail.files() {
            let path = file.path.display();
            let trouble = file.trouble().map(|text| format!("{path}: {text}"));
            let subject = Subject::Silence(file.path.clone());
            self.health.set(subject, trouble);
            let subject = Subject::Unreadable(file.path.clone());
            self.health.set(subject, access_trouble(file));
        }
        for (path, trouble) in self.clocks.troubles() {
            let text = trouble.map(|text| format!("{}: {text}", path.display()));
            self.health.set(Subject::TimeZone(path.to_owned()), text);
        }
        let events = self.engine.counts().values().sum();
        let near_misses = self.engine.near_misses();
        self.near_misses
            .update(events, near_misses, clock::monotonic());
        self.health
            .set(Subject::NearMisses, self.near_misses.trouble());
    }
}

/// Why the daemon's account may not read a source.
fn access_trouble(file: &FileStatus) -> Option<String> {
    let account = account::daemon();
    let is_journal = file.path == Path::new("journal");
    match &file.state {
        // Without the right to read the journal, journalctl shows only the entries
        // of its own user, and does not fail.
        _ if is_journal && file.lines == 0 => readable::journal_trouble(&account),
        ReadState::Missing(_) if readable::is_refused(&file.path) => {
            Some(readable::advice(&file.path, &account))
        }
        _ => None,
    }
}

pub(super) fn source_state(status: &FileStatus) -> SourceState {
    SourceState {
        path: status.path.clone(),
        trusted: status.trusted,
        state: status.state.to_string(),
        lines: status.lines,
        overlong: status.overlong,
        unfit: status.unfit,
        lag_bytes: status.lag,
        silent: status.trouble().is_some(),
    }
}

/// The numbers of events by name. `failed`, the number of blocks that could not be
/// written, is added if it is not zero.
pub(super) fn events(
    counts: &BTreeMap<&'static str, u64>,
    failed: u64,
) -> Vec<(&'static str, u64)> {
    let mut events: Vec<_> = counts.iter().map(|(name, count)| (*name, *count)).collect();
    if failed > 0 {
        events.push(("failed", failed));
    }
    events
}
