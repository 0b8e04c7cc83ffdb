//! The state that the daemon writes each second for `status`, as a JSON file.
//!
//! `status --json` prints it unchanged, so the names below are also part of
//! that output.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::reload::ReloadState;

/// The name of the file in the run directory.
pub const FILE: &str = "daemon.json";

/// The [`DaemonState::version`] that this program reads and writes. It is
/// raised when a field changes its meaning or its type. An added field has a
/// default and needs no new version.
pub const VERSION: u32 = 1;

/// The maximum age of a state file. An older one means that the daemon hangs,
/// because it writes every second.
pub const FRESH: Duration = Duration::from_secs(5);

/// The version of a state file. It is read alone first, because the other fields of
/// another version may have other types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StateVersion {
    /// 0 in a file without a version.
    #[serde(default)]
    pub version: u32,
}

/// The state of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DaemonState {
    /// [`VERSION`].
    pub version: u32,
    /// When the daemon started, in seconds since 1970.
    pub since_unix_s: u64,
    /// When the daemon wrote this, in seconds since 1970.
    pub written_unix_s: u64,
    /// The configuration file that the daemon reads; absent if the daemon is of an
    /// older version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// The logs that the daemon follows.
    #[serde(rename = "files")]
    pub sources: Vec<SourceState>,
    /// Number of log events by the name of the decision, such as `blocked`.
    pub events: BTreeMap<String, u64>,
    /// Number of log lines that look like rejections and were not understood,
    /// by the reason.
    pub near_misses: BTreeMap<String, u64>,
    /// Blocked addresses with a connection that has not ended yet, or open entries if
    /// these are more.
    pub pending_releases: u64,
    /// Connections that spamdrop ended.
    pub released: u64,
    /// The reason why no new address is blocked; `null` while blocking is
    /// active.
    pub ceiling: Option<String>,
    /// The FIFO; `null` if none is configured.
    pub fifo: Option<FifoState>,
    /// The gate; `null` if it is off.
    pub gate: Option<GateState>,
    /// The responder; `null` if it is off.
    pub responder: Option<ResponderState>,
    /// The zones that are looked up, by their names without keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<ZoneFigures>,
    /// The settings of Postfix or Exim that root has read; absent if there are
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_settings: Option<SettingsState>,
    /// The last reload of the configuration; absent if the daemon is older than
    /// `spamdrop reload`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<ReloadState>,
    /// Current problems, one sentence each.
    pub warnings: Vec<String>,
    /// The warnings that impair the protection.
    pub degraded_by: Vec<String>,
}

/// The mail server's settings that root has read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SettingsState {
    /// The names of the servers.
    pub servers: Vec<String>,
    /// When root read them, in seconds since 1970.
    pub read_unix_s: u64,
}

/// A log that the daemon follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceState {
    /// Its path; `journal` for the journal, `-` for standard input.
    pub path: PathBuf,
    /// Whether no local user can forge its lines. True only for the journal.
    pub trusted: bool,
    /// `"reading"`, `"ended"`, or `"missing: …"` with the reason.
    pub state: String,
    /// Lines read since the daemon started.
    pub lines: u64,
    /// Lines longer than 8 KiB, which were skipped.
    pub overlong: u64,
    /// Journal entries that do not come from syslog(3), which were skipped.
    pub unfit: u64,
    /// Bytes that were written but not read yet.
    pub lag_bytes: u64,
    /// Whether no line has come for longer than usual.
    pub silent: bool,
}

impl SourceState {
    /// Whether the source is read, or was read to its end.
    #[must_use]
    pub fn is_read(&self) -> bool {
        ["reading", "ended"].contains(&self.state.as_str())
    }
}

/// A zone: the result of its last test, and its answers to look-ups since the
/// daemon started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ZoneFigures {
    /// Its name, in which keys are masked.
    pub zone: String,
    /// `"works"`, `"broken"`, `"refuses"`, `"untested"` or `"pending"`.
    pub state: String,
    /// Look-ups that found the source listed.
    pub listed: u64,
    /// Look-ups that found it not listed.
    pub unlisted: u64,
    /// Look-ups without a usable answer.
    pub failed: u64,
}

/// The gate. Counts are SYNs since the filter was attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GateState {
    /// Whether the gate refuses SYNs, or only counts them.
    pub mode: ActiveGateMode,
    /// Number of connections of the server at the last count.
    pub open: u32,
    /// Number of connections that the server can serve at once.
    pub slots: u32,
    /// Number of known senders in the filter's map.
    pub known: u64,
    /// SYNs that passed.
    pub admitted: u64,
    /// SYNs of known or allowlisted senders that passed while strangers had to
    /// wait. Part of `admitted`.
    pub known_or_allowed: u64,
    /// SYNs of strangers that passed because they had waited longest. Part of
    /// `admitted`.
    pub starvation_admits: u64,
    /// SYNs that were refused or, in observe mode, would have been; by class, best
    /// class first.
    pub refused: [u64; 3],
    /// Number of samples of the connections, five a second, in which all slots
    /// were in use.
    pub full: u64,
}

/// The mode of an active gate: the treatment of a SYN over the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActiveGateMode {
    /// Counts it.
    #[default]
    Observe,
    /// Drops it.
    On,
}

impl ActiveGateMode {
    /// The value of the configuration's `admit`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::On => "on",
        }
    }
}

/// Counts of the FIFO's commands since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FifoState {
    /// Its path.
    pub path: PathBuf,
    /// Addresses that were blocked or renewed.
    pub added: u64,
    /// Addresses that were unblocked.
    pub removed: u64,
    /// Commands that unblocked everything.
    pub flushed: u64,
    /// Addresses that were not blocked because they are protected.
    pub protected: u64,
    /// Invalid commands.
    pub malformed: u64,
    /// Commands that failed in the kernel.
    pub failed: u64,
}

/// Counts of the responder since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResponderState {
    /// Current connections, accepted or waiting to be accepted.
    pub connections: usize,
    /// The maximum number of simultaneously accepted connections.
    pub peak: usize,
    /// Recipients that were rejected with 511.
    pub answered: u64,
    /// Connections that were ended because of a limit.
    pub limited: u64,
    /// Log lines that did not reach syslog.
    pub lost_lines: u64,
}
