//! Compares a new configuration with that of the running daemon.

use std::path::Path;

use spamdrop_core::release::ReleaseMode;
use spamdrop_core::reload::{KeyChanges, KeyEffect, ReloadCircumstances, StdinUse, effect};

use super::Config;
use crate::directory;

/// Lists the named keys whose values differ. A new value that cannot be applied at once
/// is replaced by the running one. Does not compile if a key of `Config` is missing.
macro_rules! compare {
    ($new:expr, $running:expr, $effect:expr; $($key:ident)*) => {{
        let Config { $($key),* } = $running;
        let mut changes = KeyChanges::default();
        $(if $new.$key != *$key {
            let effect = $effect(stringify!($key));
            changes.add(stringify!($key), effect);
            if effect != KeyEffect::AtOnce {
                $new.$key.clone_from($key);
            }
        })*
        changes
    }};
}

impl Config {
    /// Returns the configuration that a reload puts into force, and the keys that
    /// differ. In this configuration, keys that cannot be changed at once have their
    /// running values.
    #[must_use]
    pub fn reloaded(mut self, running: &Self) -> (Self, KeyChanges) {
        let circumstances = self.circumstances(running);
        let changes = compare!(self, running, |key| effect(key, circumstances);
            interfaces mode ports addresses nat64 journal journal_match logs servers program
            pattern reject_text fifo ttl refresh hard_limit seal release grace compat answer
            syslog max_new_per_minute admit slots capacity4 capacity6 known_capacity history allow_file
            pin_dir run_dir state_dir courier_dir zones resolv_conf user max_lookups_per_day);
        (self, changes)
    }

    fn circumstances(&self, running: &Self) -> ReloadCircumstances {
        let terminates = |config: &Self| config.release == ReleaseMode::Terminate;
        ReloadCircumstances {
            standard_input: match self.reads_stdin() || running.reads_stdin() {
                false => StdinUse::Unused,
                true if running.journal => StdinUse::BesideJournal,
                true => StdinUse::Alone,
            },
            begins_to_terminate: terminates(self) && !terminates(running),
            is_fifo_out_of_reach: !terminates(running) && self.is_fifo_out_of_reach(running),
        }
    }

    /// Whether Landlock keeps the running daemon from creating the FIFO of this
    /// configuration: since its start, the daemon may write only to the directories
    /// of its configuration at that time.
    fn is_fifo_out_of_reach(&self, running: &Self) -> bool {
        let of_fifo = |config: &Self| {
            let is_set = !config.fifo.as_os_str().is_empty();
            is_set.then(|| directory::of_file(&config.fifo))
        };
        let Some(new) = of_fifo(self) else {
            return false;
        };
        let own = [&running.run_dir, &running.state_dir];
        !own.contains(&&new) && of_fifo(running) != Some(new)
    }

    /// Whether standard input is a log.
    #[must_use]
    pub fn reads_stdin(&self) -> bool {
        self.logs.iter().any(|log| log == Path::new("-"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn parsed(text: &str) -> Config {
        Config::parse(text).unwrap()
    }

    #[test]
    fn keys_that_need_a_start_keep_their_values_and_the_others_change() {
        let running = parsed("interfaces = [\"eth0\"]\nttl = \"5m\"");
        let new = parsed(
            "interfaces = [\"eth0\"]\nttl = \"7m\"\ncapacity4 = 524288\nstate_dir = \"/srv/state\"\n\
             ports = [25, 587]",
        );
        let (next, changes) = new.reloaded(&running);
        assert_eq!(changes.changed, ["ports", "ttl"]);
        assert_eq!(changes.needs_restart, ["state_dir"]);
        assert_eq!(changes.needs_detach, ["capacity4"]);
        let expected = parsed("interfaces = [\"eth0\"]\nttl = \"7m\"\nports = [25, 587]");
        assert_eq!(next, expected);
        let (next, changes) = expected.clone().reloaded(&expected);
        assert_eq!((next, changes), (expected, KeyChanges::default()));
    }

    #[test]
    fn standard_input_stays_a_log_until_the_next_start() {
        let running = parsed("logs = [\"-\"]");
        let (next, changes) = parsed("logs = [\"/var/log/mail.log\"]").reloaded(&running);
        assert_eq!(changes.needs_restart, ["logs"]);
        assert_eq!(next.logs, running.logs);
    }

    #[test]
    fn the_entries_of_the_journal_beside_standard_input_stay_until_the_next_start() {
        let running = parsed("logs = [\"-\"]\njournal = true");
        let text = "logs = [\"-\"]\njournal = true\nttl = \"5m\"\nservers = [\"postfix\"]";
        let (next, changes) = parsed(text).reloaded(&running);
        assert_eq!(changes.needs_restart, ["servers"]);
        assert_eq!(changes.changed, ["ttl"]);
        assert_eq!(next.journal_args().ok(), running.journal_args().ok());
    }

    #[test]
    fn a_daemon_cannot_begin_to_terminate_processes() {
        let (destroys, terminates) = (parsed(""), parsed("release = \"terminate\""));
        let (next, changes) = terminates.clone().reloaded(&destroys);
        assert_eq!(changes.needs_restart, ["release"]);
        assert_eq!(next, destroys);
        let (next, changes) = destroys.clone().reloaded(&terminates);
        assert_eq!(changes.changed, ["release"]);
        assert_eq!(next, destroys);
    }

    #[test]
    fn a_fifo_in_another_directory_needs_a_restart() {
        let fifo = |path: &str| parsed(&format!("fifo = {path:?}"));
        let needs_restart = |new: &Config, running: &Config| {
            let (_, changes) = new.clone().reloaded(running);
            assert_eq!(changes.changed.len() + changes.needs_restart.len(), 1);
            changes.needs_restart == ["fifo"]
        };
        let (none, elsewhere) = (parsed(""), fifo("/srv/fifo/a"));
        for new in ["/run/spamdrop/recent", "/var/lib/spamdrop/recent"] {
            assert!(!needs_restart(&fifo(new), &none));
        }
        assert!(needs_restart(&elsewhere, &none));
        assert!(needs_restart(&elsewhere, &fifo("/run/spamdrop/recent")));
        assert!(!needs_restart(&fifo("/srv/fifo/b"), &elsewhere));
        assert!(!needs_restart(&none, &elsewhere));
        // Landlock does not limit a daemon with `release = "terminate"`.
        let running = parsed("release = \"terminate\"");
        let new = parsed("release = \"terminate\"\nfifo = \"/srv/fifo/a\"");
        assert!(!needs_restart(&new, &running));
    }
}
