//! The result of a reload: which keys of the configuration have changed, and
//! which of them only a new start applies.

use std::fmt;
use std::mem;

use serde::{Deserialize, Serialize};

use crate::time::MonotonicNs;

/// When a new value of a key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEffect {
    /// With the reload.
    AtOnce,
    /// With the next start of the daemon.
    AfterRestart,
    /// With the next start after `spamdrop detach`.
    AfterDetach,
}

/// Whether standard input is a log, before or after the change. The thread that
/// reads it has read ahead, and a new reader could not get those bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StdinUse {
    /// Standard input is no log.
    #[default]
    Unused,
    /// Standard input is a log, and the journal is not read.
    Alone,
    /// Standard input is a log, and the journal is read, too.
    BesideJournal,
}

/// The facts beside a key's name that decide when its new value takes effect.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReloadCircumstances {
    /// The use of standard input.
    pub standard_input: StdinUse,
    /// Whether `release` becomes `"terminate"`.
    pub begins_to_terminate: bool,
    /// Whether `fifo` moves to a directory in which the daemon can make no file.
    pub is_fifo_out_of_reach: bool,
}

/// When a new value of this key takes effect.
#[must_use]
pub fn effect(key: &str, circumstances: ReloadCircumstances) -> KeyEffect {
    let ReloadCircumstances {
        standard_input,
        begins_to_terminate,
        is_fifo_out_of_reach,
    } = circumstances;
    match key {
        // The pinned maps have these sizes, and are in this directory.
        "capacity4" | "capacity6" | "known_capacity" | "pin_dir" => KeyEffect::AfterDetach,
        // The daemon has given up the rights to take another account and to
        // write to other directories.
        "run_dir" | "state_dir" | "user" => KeyEffect::AfterRestart,
        // The daemon has given up the rights to find and end processes.
        "release" if begins_to_terminate => KeyEffect::AfterRestart,
        "fifo" if is_fifo_out_of_reach => KeyEffect::AfterRestart,
        "logs" | "journal" | "journal_match" if standard_input != StdinUse::Unused => {
            KeyEffect::AfterRestart
        }
        // These keys also decide which entries of the journal are read.
        "servers" | "answer" if standard_input == StdinUse::BesideJournal => {
            KeyEffect::AfterRestart
        }
        _ => KeyEffect::AtOnce,
    }
}

/// The keys whose values a reload found changed, in the order of the
/// configuration. `reload --json` prints this struct.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyChanges {
    /// Keys whose new values are in force.
    pub changed: Vec<String>,
    /// Keys whose old values stay in force until the daemon is restarted.
    pub needs_restart: Vec<String>,
    /// Keys whose old values stay in force until `spamdrop detach` and a start.
    pub needs_detach: Vec<String>,
    /// Failures to apply new values, each with its keys and the reason.
    pub failed: Vec<String>,
}

impl KeyChanges {
    /// Adds a key with a new value.
    pub fn add(&mut self, key: &str, effect: KeyEffect) {
        let keys = match effect {
            KeyEffect::AtOnce => &mut self.changed,
            KeyEffect::AfterRestart => &mut self.needs_restart,
            KeyEffect::AfterDetach => &mut self.needs_detach,
        };
        keys.push(key.to_owned());
    }

    /// Records a failure to apply the values of `keys`. The changed keys among them no
    /// longer count as in force.
    pub fn fail(&mut self, keys: &[&str], reason: &str) {
        let is_applied = |key: &String| !keys.contains(&key.as_str());
        let (changed, failed): (Vec<_>, Vec<_>) = mem::take(&mut self.changed)
            .into_iter()
            .partition(is_applied);
        self.changed = changed;
        self.failed.push(match failed.is_empty() {
            true => reason.to_owned(),
            false => format!("not in force: {}: {reason}", failed.join(", ")),
        });
    }

    /// A sentence for each kind of change, and for each failure.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        if *self == Self::default() {
            return vec!["no key of the configuration has changed".to_owned()];
        }
        let changed = sentence("changed", &self.changed);
        let failed = self.failed.iter().cloned();
        changed
            .into_iter()
            .chain(self.pending())
            .chain(failed)
            .collect()
    }

    /// The sentences about keys whose old values stay in force.
    fn pending(&self) -> impl Iterator<Item = String> {
        let restart = sentence("only a restart of the daemon applies", &self.needs_restart);
        let detach = "only `spamdrop detach` and a new start apply";
        let detach = sentence(detach, &self.needs_detach);
        restart.into_iter().chain(detach)
    }

    /// A warning if values of the configuration are not in force.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let pending: Vec<String> = self.pending().collect();
        let pending = pending.join("; ");
        (!pending.is_empty()).then(|| format!("the configuration was read again; {pending}"))
    }
}

fn sentence(fact: &str, keys: &[String]) -> Option<String> {
    (!keys.is_empty()).then(|| format!("{fact}: {}", keys.join(", ")))
}

/// The last reload of a daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReloadState {
    /// When it began, in nanoseconds of the monotonic clock; 0: there was none.
    begun_ns: u64,
    /// Why the old configuration stays in force; `null` if it does not.
    pub error: Option<String>,
    /// The changed keys; none after an error.
    #[serde(flatten)]
    pub keys: KeyChanges,
}

impl ReloadState {
    /// The state after a reload that began at this time.
    #[must_use]
    pub fn new(begun: MonotonicNs, result: Result<KeyChanges, String>) -> Self {
        let (keys, error) = match result {
            Ok(keys) => (keys, None),
            Err(error) => (KeyChanges::default(), Some(error)),
        };
        Self {
            begun_ns: begun.ns(),
            error,
            keys,
        }
    }

    /// Whether the reload began at this time or later.
    #[must_use]
    pub fn is_since(&self, time: MonotonicNs) -> bool {
        self.begun_ns >= time.ns()
    }
}

impl fmt::Display for ReloadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => write!(f, "the configuration is unchanged: {error}"),
            None => {
                let sentences = self.keys.sentences().join("; ");
                write!(f, "configuration read again; {sentences}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(keys: &[&str], circumstances: ReloadCircumstances) -> KeyChanges {
        let mut changes = KeyChanges::default();
        for key in keys {
            changes.add(key, effect(key, circumstances));
        }
        changes
    }

    #[test]
    fn each_changed_key_is_in_force_or_needs_a_start() {
        let all = ["ttl", "logs", "capacity4", "state_dir", "grace"];
        let found = changes(&all, ReloadCircumstances::default());
        assert_eq!(
            found.sentences(),
            [
                "changed: ttl, logs, grace",
                "only a restart of the daemon applies: state_dir",
                "only `spamdrop detach` and a new start apply: capacity4",
            ]
        );
        assert_eq!(
            found.warning().as_deref(),
            Some(
                "the configuration was read again; only a restart of the daemon applies: \
                 state_dir; only `spamdrop detach` and a new start apply: capacity4"
            )
        );
        let found = changes(&["ttl"], ReloadCircumstances::default());
        assert_eq!(found.sentences(), ["changed: ttl"]);
        assert_eq!(found.warning(), None);
        let none = KeyChanges::default();
        assert_eq!(
            none.sentences(),
            ["no key of the configuration has changed"]
        );
        assert_eq!(none.warning(), None);
    }

    #[test]
    fn sources_beside_standard_input_need_a_restart() {
        let all = ["logs", "journal", "ttl", "servers", "answer"];
        let found = |standard_input| {
            changes(
                &all,
                ReloadCircumstances {
                    standard_input,
                    ..ReloadCircumstances::default()
                },
            )
        };
        let alone = found(StdinUse::Alone);
        assert_eq!(alone.needs_restart, ["logs", "journal"]);
        assert_eq!(alone.changed, ["ttl", "servers", "answer"]);
        let beside = found(StdinUse::BesideJournal);
        assert_eq!(
            beside.needs_restart,
            ["logs", "journal", "servers", "answer"]
        );
        assert_eq!(found(StdinUse::Unused).changed, all);
    }

    #[test]
    fn a_change_that_failed_is_not_in_force() {
        let mut found = changes(&["ttl", "answer"], ReloadCircumstances::default());
        found.fail(&["answer", "syslog"], "no room");
        assert_eq!(
            found.sentences(),
            ["changed: ttl", "not in force: answer: no room"]
        );
        found.fail(&["answer"], "no socket");
        assert_eq!(found.failed, ["not in force: answer: no room", "no socket"]);
    }

    #[test]
    fn only_a_reload_that_began_later_answers() {
        let at = |ns| MonotonicNs::from_ns(ns);
        let state = ReloadState::new(at(7), Ok(changes(&["ttl"], ReloadCircumstances::default())));
        assert!(state.is_since(at(7)) && !state.is_since(at(8)));
        assert_eq!(state.to_string(), "configuration read again; changed: ttl");
        let state = ReloadState::new(at(7), Err("`ttl` must be".to_owned()));
        assert_eq!(
            state.to_string(),
            "the configuration is unchanged: `ttl` must be"
        );
    }
}
