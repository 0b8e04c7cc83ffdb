//! The health line: the first line of `status`, which says whether the filter
//! protects the mail server.

use std::io::{self, Write};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Serialize;
use spamdrop_common::time::UnixSeconds;
use spamdrop_core::duration::human;
use spamdrop_core::status::{DaemonState, FRESH};

use super::status::{self, FilterPlace, InterfaceStatus, Maps, Status, describe_place};

/// Whether the filter protects the mail server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthLevel {
    /// On every interface, and everything works.
    #[default]
    Protecting,
    /// In part.
    Degraded,
    /// No interface has the filter.
    None,
}

/// The health line's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HealthLine {
    /// Whether the filter protects the mail server.
    pub protection: HealthLevel,
    /// What is wrong, one sentence each.
    pub problems: Vec<String>,
}

/// What `status` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusAnswer {
    /// The health line.
    #[serde(flatten)]
    pub health: HealthLine,
    /// Everything else.
    #[serde(flatten)]
    pub status: Status,
}

impl StatusAnswer {
    /// The answer at `now`.
    #[must_use]
    pub fn new(status: Status, now: UnixSeconds) -> Self {
        Self {
            health: HealthLine::of(&status, now),
            status,
        }
    }

    /// Writes the answer at `now`, with times in `zone`.
    pub fn text(&self, out: &mut impl Write, zone: &TimeZone, now: UnixSeconds) -> io::Result<()> {
        writeln!(out, "{}", self.health.text(&self.status))?;
        status::text(out, &self.status, zone, now)
    }
}

impl HealthLine {
    /// Judges a status at `now`. Nothing that a sender of mail or packets can
    /// cause counts, except that blocking is paused.
    #[must_use]
    pub fn of(status: &Status, now: UnixSeconds) -> Self {
        let mut problems = of_daemon(status, now);
        for interface in status.interfaces.iter().filter(|one| !is_filtered(one)) {
            let begins = |text: &String| names(text, &interface.name);
            if !problems.iter().any(begins) {
                problems.push(format!("{}: {}", interface.name, describe_place(interface)));
            }
        }
        let protection = if !status.interfaces.iter().any(is_filtered) {
            HealthLevel::None
        } else if problems.is_empty() {
            HealthLevel::Protecting
        } else {
            HealthLevel::Degraded
        };
        Self {
            protection,
            problems,
        }
    }

    /// The line itself.
    #[must_use]
    pub fn text(&self, status: &Status) -> String {
        let problems = self.problems.join("; ");
        match self.protection {
            HealthLevel::Protecting => protects(status),
            HealthLevel::Degraded => format!("DEGRADED: {problems}; {}", protects(status)),
            HealthLevel::None if problems.is_empty() => {
                "NOT PROTECTING: no interface is configured".into()
            }
            HealthLevel::None => format!("NOT PROTECTING: {problems}"),
        }
    }
}

/// Whether a text is about an interface: it has its name as a word.
fn names(text: &str, interface: &str) -> bool {
    text.split([' ', '`', ':', ';', ','])
        .any(|word| word == interface)
}

fn is_filtered(interface: &InterfaceStatus) -> bool {
    matches!(interface.state, FilterPlace::Native | FilterPlace::Generic)
}

fn of_daemon(status: &Status, now: UnixSeconds) -> Vec<String> {
    let Some(daemon) = &status.daemon else {
        return vec!["the daemon does not run; start it with `spamdrop run`".into()];
    };
    match &daemon.state {
        None => vec![
            daemon
                .unreadable
                .clone()
                .unwrap_or_else(|| "the daemon has written no state yet".into()),
        ],
        Some(state) => of_state(state, now),
    }
}

fn of_state(state: &DaemonState, now: UnixSeconds) -> Vec<String> {
    let mut problems = Vec::new();
    let age = Duration::from_secs(now.get().abs_diff(state.written_unix_s));
    if age > FRESH {
        problems.push(format!(
            "the daemon has not been responding for {}",
            human(age)
        ));
    }
    for source in &state.sources {
        if source.state.starts_with("missing") {
            let path = source.path.display();
            problems.push(format!("{path} is {}", source.state));
        }
    }
    if let Some(ceiling) = &state.ceiling {
        problems.push(format!("blocking is paused: {ceiling}"));
    }
    problems.extend(state.degraded.iter().cloned());
    problems
}

/// `protecting eth0, port 25: 42 blocked`.
fn protects(status: &Status) -> String {
    let interfaces = status.interfaces.iter().filter(|one| is_filtered(one));
    let names: Vec<_> = interfaces.map(|one| one.name.as_str()).collect();
    let ports: Vec<_> = status.ports.iter().map(u16::to_string).collect();
    let plural = if ports.len() == 1 { "port" } else { "ports" };
    let blocked = status
        .maps
        .map_or(0, |Maps { v4, v6, prefixes }| v4.live + v6.live + prefixes);
    format!(
        "protecting {}, {plural} {}: {blocked} blocked",
        names.join(", "),
        ports.join(", ")
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::render::status::DaemonStatus;
    use crate::render::status::tests::{interface, status};
    use spamdrop_core::status::SourceState;

    const NOW: UnixSeconds = UnixSeconds::new(1_000_000);

    /// One native interface, and a daemon that works.
    fn well() -> Status {
        let mut status = status();
        status.interfaces = vec![interface("eth0", FilterPlace::Native, Some(42))];
        status.ports = vec![25];
        status.daemon = Some(DaemonStatus {
            pid: 99,
            state: Some(DaemonState {
                written_unix_s: NOW.get(),
                ..DaemonState::default()
            }),
            unreadable: None,
        });
        status
    }

    fn line(status: &Status) -> (HealthLevel, String) {
        let health = HealthLine::of(status, NOW);
        (health.protection, health.text(status))
    }

    /// The line, for a change of the daemon's state.
    fn with_state(change: impl FnOnce(&mut DaemonState)) -> (HealthLevel, String) {
        let mut status = well();
        if let Some(DaemonStatus {
            state: Some(state), ..
        }) = &mut status.daemon
        {
            change(state);
        }
        line(&status)
    }

    #[test]
    fn all_is_well() {
        let expected = "protecting eth0, port 25: 1601 blocked".to_owned();
        assert_eq!(line(&well()), (HealthLevel::Protecting, expected));
    }

    #[test]
    fn it_is_the_first_of_both_outputs() {
        let answer = StatusAnswer::new(well(), NOW);
        let mut out = Vec::new();
        answer.text(&mut out, &TimeZone::UTC, NOW).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "protecting eth0, port 25: 1601 blocked\neth0             attached, native";
        assert!(text.starts_with(expected), "{text}");
        let text = serde_json::to_string(&answer).unwrap();
        let expected =
            r#"{"protection":"protecting","problems":[],"attached":true,"interfaces":[{"#;
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn each_cause_degrades_and_is_named() {
        let because = |found: (HealthLevel, String), cause: &str| {
            assert_eq!(found.0, HealthLevel::Degraded, "{}", found.1);
            let expected = format!("DEGRADED: {cause}; protecting eth0, port 25: 1601 blocked");
            assert_eq!(found.1, expected);
        };
        let mut status = well();
        status.daemon = None;
        because(
            line(&status),
            "the daemon does not run; start it with `spamdrop run`",
        );
        for age in [6, -6] {
            let old = with_state(|state| {
                state.written_unix_s = NOW.get().saturating_add_signed(age);
            });
            because(old, "the daemon has not been responding for 6s");
        }
        because(
            with_state(|state| {
                state.sources = vec![SourceState {
                    path: "/var/log/mail.log".into(),
                    state: "missing: no such file".into(),
                    ..SourceState::default()
                }];
            }),
            "/var/log/mail.log is missing: no such file",
        );
        because(
            with_state(|state| state.ceiling = Some("too many".into())),
            "blocking is paused: too many",
        );
        because(
            with_state(|state| state.degraded = vec!["no resolver".into()]),
            "no resolver",
        );
        // A problem of less weight.
        let warned = with_state(|state| state.warnings = vec!["a warning".into()]);
        assert_eq!(warned.0, HealthLevel::Protecting);
    }

    #[test]
    fn an_interface_without_the_filter_is_named_once() {
        let mut status = well();
        let absent = interface("eth1", FilterPlace::Absent, None);
        status.interfaces.push(absent);
        let cause = "DEGRADED: eth1: not attached: there is no such interface; protecting eth0, ";
        assert!(line(&status).1.starts_with(cause), "{}", line(&status).1);
        if let Some(DaemonStatus {
            state: Some(state), ..
        }) = &mut status.daemon
        {
            state.degraded = vec!["there is no interface `eth1`".into()];
        }
        let cause = "DEGRADED: there is no interface `eth1`; protecting eth0, ";
        assert!(line(&status).1.starts_with(cause), "{}", line(&status).1);
        status.interfaces.remove(0);
        let expected = "NOT PROTECTING: there is no interface `eth1`".to_owned();
        assert_eq!(line(&status), (HealthLevel::None, expected));
    }
}
