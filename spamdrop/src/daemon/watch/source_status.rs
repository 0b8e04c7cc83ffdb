//! The condition of the logs, for `status`.

use spamdrop_core::status::SourceState;

use super::WatchTask;
use crate::clock;
use crate::daemon::health::Subject;
use crate::tail::FileStatus;

impl WatchTask {
    /// Reports logs that are silent for unusually long, or not understood.
    pub(super) fn check_sources(&mut self) {
        self.tail.watch_silence(clock::instant());
        for file in self.tail.files() {
            let path = file.path.display();
            let trouble = file.silence.trouble().map(|text| format!("{path}: {text}"));
            let subject = Subject::Silence(file.path.clone());
            self.health.set(subject, trouble);
        }
        let events = self.engine.counts().values().sum();
        let near_misses = self.engine.near_misses();
        self.near_misses
            .update(events, near_misses, clock::monotonic());
        self.health
            .set(Subject::NearMisses, self.near_misses.trouble());
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
    }
}
