//! Proposes the configuration for a machine, from what is found on it.
//!
//! A key that the configuration sets stays as it is. If a value is not found, the
//! proposal asks the administrator for it. The gate and the responder are never
//! switched on.

use crate::log::MailServer;

/// The findings on the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundMachine {
    /// The interfaces of default routes.
    pub interfaces: Vec<String>,
    /// The mail servers that are installed.
    pub servers: Vec<MailServer>,
    /// Whether the journal has entries that the default matches of these servers
    /// select.
    pub is_in_journal: bool,
    /// Whether there is a journal.
    pub has_journal: bool,
    /// The logs of these servers that exist.
    pub logs: Vec<String>,
    /// The number of slots and the setting that gives it, or why it is not
    /// known.
    pub slots: Option<Result<(u32, String), String>>,
    /// The zones by which the server rejects for certain.
    pub zones: Vec<String>,
}

/// A line of the proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The key of the configuration.
    pub key: &'static str,
    /// The proposed change.
    pub step: Step,
    /// The reason for the step.
    pub reason: String,
}

/// The change that a proposal makes to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Set it to this value, as TOML.
    Set(String),
    /// Leave it: it is set, or its default is right.
    Keep,
    /// The administrator has to set it.
    Ask,
}

/// Proposes a step for each key. `is_set`: whether the configuration sets a key.
#[must_use]
pub fn propose(found: &FoundMachine, is_set: impl Fn(&str) -> bool) -> Vec<Proposal> {
    let proposals = [
        interfaces(found),
        servers(found),
        source(found, &is_set),
        slots(found),
        zones(found),
    ];
    let proposals = proposals.into_iter();
    proposals
        .map(|proposal| match is_set(proposal.key) {
            true => Proposal {
                step: Step::Keep,
                reason: "the configuration sets it".into(),
                ..proposal
            },
            false => proposal,
        })
        .collect()
}

fn interfaces(found: &FoundMachine) -> Proposal {
    let (step, reason) = match found.interfaces.is_empty() {
        false => (
            Step::Set(list(&found.interfaces)),
            "the default route leads there",
        ),
        true => (
            Step::Ask,
            "there is no default route; name the interface on which mail arrives, as in [\"eth0\"]",
        ),
    };
    proposal("interfaces", step, reason)
}

fn servers(found: &FoundMachine) -> Proposal {
    let names: Vec<String> = found
        .servers
        .iter()
        .map(|it| it.name().to_owned())
        .collect();
    match names.as_slice() {
        [_] => proposal("servers", Step::Set(list(&names)), "it is installed"),
        [] => proposal(
            "servers",
            Step::Ask,
            "neither Courier, Postfix nor Exim is installed; name your mail server",
        ),
        _ => {
            let reason = format!(
                "{} are installed; name the one that listens on port 25, as in [{:?}]",
                names.join(" and "),
                names.first().map_or("", String::as_str)
            );
            proposal("servers", Step::Ask, reason)
        }
    }
}

fn source(found: &FoundMachine, is_set: impl Fn(&str) -> bool) -> Proposal {
    if is_set("logs") {
        return proposal("logs", Step::Keep, "");
    }
    // Beside the journal, a log file would again let local users forge lines.
    if is_set("journal") {
        return proposal("journal", Step::Keep, "");
    }
    if found.is_in_journal {
        let reason = "the server logs to the journal, where no local user can forge its entries";
        return proposal("journal", Step::Set("true".into()), reason);
    }
    match found.logs.first() {
        Some(log) => {
            let reason = "the journal has no entry of the server in the last seven days";
            proposal("logs", Step::Set(list(std::slice::from_ref(log))), reason)
        }
        // A new server may not have logged yet.
        None if found.has_journal && found.servers.len() == 1 => {
            let reason = "no usual log file exists, so the server logs to the journal";
            proposal("journal", Step::Set("true".into()), reason)
        }
        None => proposal(
            "logs",
            Step::Ask,
            "neither the journal nor a usual file has lines of the server; name its log",
        ),
    }
}

fn slots(found: &FoundMachine) -> Proposal {
    match &found.slots {
        Some(Ok((count, setting))) => proposal(
            "slots",
            Step::Keep,
            format!("the server has {count}, by {setting}"),
        ),
        Some(Err(why)) => proposal("slots", Step::Ask, format!("the number is unknown: {why}")),
        None => proposal(
            "slots",
            Step::Ask,
            "the number of connections that the server serves at once is unknown",
        ),
    }
}

fn zones(found: &FoundMachine) -> Proposal {
    match found.zones.is_empty() {
        false => {
            let reason = format!("the server rejects by {}", found.zones.join(", "));
            proposal("zones", Step::Keep, reason)
        }
        true => {
            let reason =
                "the server rejects by no DNS blocklist for certain, so no sender counts as listed";
            proposal("zones", Step::Keep, reason)
        }
    }
}

fn proposal(key: &'static str, step: Step, reason: impl Into<String>) -> Proposal {
    Proposal {
        key,
        step,
        reason: reason.into(),
    }
}

/// A list of texts in TOML.
fn list(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("[{}]", values.join(", "))
}

/// A changed line of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedLine {
    /// The number of the line in the new text, from 1.
    pub line: usize,
    /// The line that is replaced; `None`: the new one is inserted.
    pub old: Option<String>,
    /// The new line.
    pub new: String,
}

/// Sets the keys in the text of the configuration: in place of a line that
/// comments the key out, or else before the first table.
#[must_use]
pub fn apply(text: &str, proposals: &[Proposal]) -> (String, Vec<ChangedLine>) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut changes: Vec<ChangedLine> = Vec::new();
    // Replaced lines stand before the inserted ones, so no number changes later.
    for Proposal { key, step, .. } in proposals {
        let Step::Set(value) = step else {
            continue;
        };
        let new = format!("{key} = {value}");
        let end = lines.iter().position(|line| line.starts_with('['));
        let end = end.unwrap_or(lines.len());
        let mut commented = lines.iter().take(end);
        let found = commented.position(|line| is_commented(line, key));
        let at = found.unwrap_or(end);
        let old = match found.and_then(|at| lines.get_mut(at)) {
            Some(line) => Some(std::mem::replace(line, new.clone())),
            None => {
                lines.insert(at, new.clone());
                None
            }
        };
        changes.push(ChangedLine {
            line: at + 1,
            old,
            new,
        });
    }
    changes.sort_by_key(|change| change.line);
    let mut text = lines.join("\n");
    text.push('\n');
    (text, changes)
}

/// Whether the line is `#key = …`.
fn is_commented(line: &str, key: &str) -> bool {
    let rest = line
        .strip_prefix('#')
        .and_then(|line| line.strip_prefix(key));
    rest.is_some_and(|rest| rest.trim_start().starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> FoundMachine {
        FoundMachine {
            interfaces: vec!["ens3".into()],
            servers: vec![MailServer::Postfix],
            is_in_journal: true,
            has_journal: true,
            logs: vec!["/var/log/mail.log".into()],
            slots: Some(Ok((100, "default_process_limit in main.cf".into()))),
            zones: vec!["zen.example".into()],
        }
    }

    fn steps(found: &FoundMachine, set: &[&str]) -> Vec<(&'static str, Step)> {
        let proposals = propose(found, |key| set.contains(&key));
        proposals.into_iter().map(|it| (it.key, it.step)).collect()
    }

    fn set(value: &str) -> Step {
        Step::Set(value.into())
    }

    #[test]
    fn what_is_found_is_set_and_the_gate_is_not() {
        assert_eq!(
            steps(&found(), &[]),
            [
                ("interfaces", set("[\"ens3\"]")),
                ("servers", set("[\"postfix\"]")),
                ("journal", set("true")),
                ("slots", Step::Keep),
                ("zones", Step::Keep),
            ]
        );
        let in_file = FoundMachine {
            is_in_journal: false,
            ..found()
        };
        let expected = ("logs", set("[\"/var/log/mail.log\"]"));
        assert_eq!(steps(&in_file, &[]).get(2), Some(&expected));
        let new_server = FoundMachine {
            is_in_journal: false,
            logs: Vec::new(),
            ..found()
        };
        let expected = ("journal", set("true"));
        assert_eq!(steps(&new_server, &[]).get(2), Some(&expected));
    }

    #[test]
    fn what_the_configuration_sets_stays() {
        let all = steps(&found(), &["interfaces", "servers", "logs"]);
        assert!(all.iter().all(|(_, step)| *step == Step::Keep), "{all:?}");
        let proposals = propose(&found(), |_| true);
        assert!(!proposals.is_empty());
        let mut reasons = proposals.iter().map(|it| it.reason.as_str());
        assert!(reasons.all(|reason| reason == "the configuration sets it"));
        // The journal may have had no entry yet; a file beside it is forgeable.
        let idle = FoundMachine {
            is_in_journal: false,
            ..found()
        };
        let expected = ("journal", Step::Keep);
        assert_eq!(steps(&idle, &["journal"]).get(2), Some(&expected));
    }

    #[test]
    fn what_is_not_found_is_asked_for() {
        for found in [
            FoundMachine::default(),
            FoundMachine {
                servers: vec![MailServer::Postfix, MailServer::Exim],
                slots: Some(Err("x".into())),
                ..FoundMachine::default()
            },
        ] {
            let asked = steps(&found, &[]);
            let asked = asked.iter().filter(|(_, step)| *step == Step::Ask);
            let keys: Vec<_> = asked.map(|(key, _)| *key).collect();
            assert_eq!(keys, ["interfaces", "servers", "logs", "slots"]);
        }
    }

    #[test]
    fn lines_that_are_commented_out_are_replaced_and_others_inserted() {
        let text =
            "# Docs\n#interfaces = [\"eth0\"]\n\n[[pattern]]\n#journal = false\nname = \"x\"\n";
        let (new, changes) = apply(text, &propose(&found(), |_| false));
        assert_eq!(
            new,
            "# Docs\ninterfaces = [\"ens3\"]\n\nservers = [\"postfix\"]\njournal = true\n[[pattern]]\n#journal = false\nname = \"x\"\n"
        );
        let change = |line, old: Option<&str>, new: &str| ChangedLine {
            line,
            old: old.map(Into::into),
            new: new.into(),
        };
        assert_eq!(
            changes,
            [
                change(
                    2,
                    Some("#interfaces = [\"eth0\"]"),
                    "interfaces = [\"ens3\"]"
                ),
                change(4, None, "servers = [\"postfix\"]"),
                change(5, None, "journal = true"),
            ]
        );
        let (same, none) = apply(&new, &[]);
        assert_eq!((same, none), (new, vec![]));
    }
}
