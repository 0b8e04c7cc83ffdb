//! Whether the mail server is protected: the first line of `status` and its
//! exit code.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::duration::human;
use crate::pause::{PausedLayer, describe};
use crate::status::{DaemonState, FRESH};

/// How well the mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Every configured part works.
    Protected,
    /// The filter works on an interface, but a part of the protection is
    /// missing.
    Degraded,
    /// No interface has the filter.
    #[default]
    Unprotected,
}

/// The facts that [`judge`] considers.
#[derive(Clone, Copy, Debug)]
pub struct HealthFacts<'a> {
    /// The interfaces on which the filter runs.
    pub filtered: &'a [String],
    /// A sentence for each configured interface without the filter.
    pub unfiltered: &'a [String],
    /// Why the allowlist cannot be read, if it cannot.
    pub allowlist: Option<&'a str>,
    /// The ports that the filter watches.
    pub ports: &'a [u16],
    /// The number of blocked addresses and prefixes.
    pub blocked: usize,
    /// The layers that are paused by hand.
    pub paused: &'a [PausedLayer],
    /// The daemon.
    pub daemon: DaemonHealth<'a>,
}

/// The state of the daemon, as far as it can be read.
#[derive(Clone, Copy, Debug)]
pub enum DaemonHealth<'a> {
    /// It does not run.
    Stopped,
    /// It runs, but its state cannot be read, for this reason.
    Unreadable(&'a str),
    /// It has written this state, this long ago.
    Running(&'a DaemonState, Duration),
}

/// The health, and what impairs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// The health.
    pub health: Health,
    /// The protected interfaces and ports, and the number of blocks.
    #[serde(skip)]
    pub scope: String,
    /// One sentence for each problem; empty only if protected.
    pub reasons: Vec<String>,
}

/// Judges the health. Nothing that a mail client sends can impair it, except
/// that more real rejections than `max_new_per_minute` pause blocking.
#[must_use]
pub fn judge(facts: HealthFacts<'_>) -> HealthReport {
    let HealthFacts {
        filtered,
        unfiltered,
        allowlist,
        ports,
        blocked,
        paused,
        daemon,
    } = facts;
    let mut reasons = unfiltered.to_vec();
    if !paused.is_empty() {
        let paused = describe(paused);
        reasons.push(format!(
            "paused by hand: {paused}; `spamdrop resume` ends it"
        ));
    }
    reasons.extend(daemon_reasons(daemon));
    // The daemon may have reported the same problem.
    let unreadable = allowlist.map(str::to_owned);
    reasons.extend(unreadable.filter(|text| !reasons.contains(text)));
    let health = if filtered.is_empty() {
        Health::Unprotected
    } else if reasons.is_empty() {
        Health::Protected
    } else {
        Health::Degraded
    };
    if filtered.is_empty() && unfiltered.is_empty() {
        reasons.insert(
            0,
            "no filter is attached; start one with `spamdrop attach IFACE` or `spamdrop run`"
                .into(),
        );
    }
    let word = if ports.len() == 1 { "port" } else { "ports" };
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    HealthReport {
        health,
        scope: format!(
            "{}, {word} {}: {blocked} blocked",
            filtered.join(", "),
            ports.join(", ")
        ),
        reasons,
    }
}

fn daemon_reasons(daemon: DaemonHealth<'_>) -> Vec<String> {
    match daemon {
        DaemonHealth::Stopped => {
            vec![
                "the daemon is not running, so nothing new is blocked; start `spamdrop run`".into(),
            ]
        }
        DaemonHealth::Unreadable(reason) => {
            vec![format!("the daemon's state is unknown: {reason}")]
        }
        DaemonHealth::Running(_, age) if age > FRESH => {
            vec![format!(
                "the daemon has not been responding for {}: it hangs, or cannot write its state to `run_dir`",
                human(age)
            )]
        }
        DaemonHealth::Running(state, _) => {
            let paused = state.ceiling.iter();
            let paused = paused.map(|why| format!("blocking pauses: {why}"));
            let missing = state.sources.iter().filter(|source| !source.is_read());
            let missing =
                missing.map(|source| format!("{}: {}", source.path.display(), source.state));
            let impaired = state.degraded_by.iter().cloned();
            paused.chain(missing).chain(impaired).collect()
        }
    }
}

impl fmt::Display for HealthReport {
    /// Formats the health line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            health,
            scope,
            reasons,
        } = self;
        let reasons = reasons.join("; ");
        match health {
            Health::Protected => write!(f, "protecting {scope}"),
            Health::Degraded => write!(f, "DEGRADED: {reasons} (protecting {scope})"),
            Health::Unprotected => write!(f, "NOT PROTECTING: {reasons}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pause::Layer;
    use crate::status::SourceState;

    fn source(state: &str) -> SourceState {
        SourceState {
            path: "/var/log/mail.log".into(),
            state: state.into(),
            ..SourceState::default()
        }
    }

    fn report(filtered: &[&str], unfiltered: &[&str], daemon: DaemonHealth<'_>) -> HealthReport {
        let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        judge(HealthFacts {
            filtered: &owned(filtered),
            unfiltered: &owned(unfiltered),
            allowlist: None,
            ports: &[25],
            blocked: 42,
            paused: &[],
            daemon,
        })
    }

    #[test]
    fn a_filter_with_a_daemon_that_reads_its_logs_protects() {
        let state = DaemonState {
            sources: vec![source("reading"), source("ended")],
            warnings: vec!["the daily budget of look-ups is spent".into()],
            ..DaemonState::default()
        };
        let report = report(&["eth0"], &[], DaemonHealth::Running(&state, FRESH));
        assert_eq!(report.health, Health::Protected);
        assert_eq!(report.to_string(), "protecting eth0, port 25: 42 blocked");
    }

    #[test]
    fn each_missing_part_degrades_and_is_named() {
        let state = DaemonState {
            sources: vec![source("missing: it does not exist")],
            ceiling: Some("7 of 9 known senders were refused".into()),
            degraded_by: vec!["the gate is open".into()],
            ..DaemonState::default()
        };
        let now = Duration::ZERO;
        let fine = DaemonState::default();
        for (unfiltered, daemon, reason) in [
            (
                &["eth1: not attached"][..],
                DaemonHealth::Running(&fine, now),
                "eth1: not attached",
            ),
            (
                &[],
                DaemonHealth::Stopped,
                "the daemon is not running, so nothing new is blocked; start `spamdrop run`",
            ),
            (
                &[],
                DaemonHealth::Unreadable("it has no state yet"),
                "the daemon's state is unknown: it has no state yet",
            ),
            (
                &[],
                DaemonHealth::Running(&fine, Duration::from_secs(6)),
                "the daemon has not been responding for 6s: it hangs, or cannot write its state to `run_dir`",
            ),
            (
                &[],
                DaemonHealth::Running(&state, now),
                "blocking pauses: 7 of 9 known senders were refused; \
                 /var/log/mail.log: missing: it does not exist; the gate is open",
            ),
        ] {
            let report = report(&["eth0"], unfiltered, daemon);
            assert_eq!(report.health, Health::Degraded);
            let expected = format!("DEGRADED: {reason} (protecting eth0, port 25: 42 blocked)");
            assert_eq!(report.to_string(), expected);
        }
    }

    #[test]
    fn an_allowlist_that_cannot_be_read_is_named_once() {
        let text = "allow:1: `x` is not an address or prefix";
        let state = DaemonState {
            degraded_by: vec![text.into()],
            ..DaemonState::default()
        };
        for daemon in [
            DaemonHealth::Running(&DaemonState::default(), FRESH),
            DaemonHealth::Running(&state, FRESH),
        ] {
            let report = judge(HealthFacts {
                filtered: &["eth0".into()],
                unfiltered: &[],
                allowlist: Some(text),
                ports: &[25],
                blocked: 0,
                paused: &[],
                daemon,
            });
            assert_eq!(
                (report.health, report.reasons),
                (Health::Degraded, vec![text.into()])
            );
        }
    }

    #[test]
    fn a_pause_by_hand_degrades_and_names_its_layers_and_its_end() {
        let state = DaemonState::default();
        let remaining = Duration::from_secs(599);
        let paused = [Layer::Drop, Layer::Gate].map(|layer| PausedLayer { layer, remaining });
        let report = judge(HealthFacts {
            filtered: &["eth0".into()],
            unfiltered: &[],
            allowlist: None,
            ports: &[25],
            blocked: 42,
            paused: &paused,
            daemon: DaemonHealth::Running(&state, Duration::ZERO),
        });
        assert_eq!(
            report.to_string(),
            "DEGRADED: paused by hand: drop and gate for 9m 59s; `spamdrop resume` ends it \
             (protecting eth0, port 25: 42 blocked)"
        );
    }

    #[test]
    fn without_a_filter_nothing_is_protected() {
        let state = DaemonState::default();
        let running = DaemonHealth::Running(&state, Duration::ZERO);
        let none = report(&[], &[], running);
        assert_eq!(none.health, Health::Unprotected);
        assert_eq!(
            none.to_string(),
            "NOT PROTECTING: no filter is attached; start one with `spamdrop attach IFACE` or \
             `spamdrop run`"
        );
        let absent = report(&[], &["there is no interface `eth0`"], running);
        assert_eq!(absent.health, Health::Unprotected);
        assert_eq!(
            absent.to_string(),
            "NOT PROTECTING: there is no interface `eth0`"
        );
    }
}
