//! Compares a new configuration with that of the running daemon.

use std::path::Path;

use spamdrop_core::reload::{KeyChanges, KeyEffect, effect};

use super::Config;

/// Compares the named keys. The value of a key that only a new start applies is
/// replaced by the running one. Does not compile if a key is missing.
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
    /// The configuration that a reload puts into force: this one, with the
    /// running values of the keys that only a new start applies; and the keys
    /// that differ.
    #[must_use]
    pub fn reloaded(mut self, running: &Self) -> (Self, KeyChanges) {
        let reads_stdin = self.reads_stdin() || running.reads_stdin();
        let changes = compare!(self, running, |key| effect(key, reads_stdin);
            interfaces mode ports addresses nat64 journal journal_match logs servers program
            pattern reject_text fifo ttl refresh hard_limit seal release grace compat answer
            syslog max_new_per_minute admit slots capacity4 capacity6 known_capacity history allow_file
            pin_dir run_dir state_dir courier_dir zones resolv_conf user max_lookups_per_day);
        (self, changes)
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
}
