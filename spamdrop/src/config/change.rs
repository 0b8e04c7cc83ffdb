//! `--set KEY=VALUE`: a configuration with other values, for comparison.

use std::path::Path;
use std::str::FromStr;

use anyhow::Result;
use toml::{Table, Value};

use super::mistake::{describe, example_value};
use super::{Config, read_text};
use crate::exit::{Exit, Failure};
use spamdrop_core::invalid::Invalid;

/// Keys that act on the whole process, so that two values cannot be compared in
/// one run.
const INCOMPARABLE: [&str; 2] = ["nat64", "user"];

/// Keys whose effect cannot be predicted from a log. `--set` rejects them, because
/// another value would always seem to make no difference.
const NOT_SIMULATED: [&str; 20] = [
    "interfaces",
    "mode",
    "ports",
    "addresses",
    "journal",
    "journal_match",
    "logs",
    "fifo",
    "seal",
    "answer",
    "syslog",
    "admit",
    "capacity4",
    "capacity6",
    "known_capacity",
    "pin_dir",
    "run_dir",
    "max_lookups_per_day",
    "history",
    "resolv_conf",
];

/// An argument of `--set`: a key, and the value that it gets in place of the file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The key, as in the file.
    pub key: String,
    /// The value in TOML.
    value: String,
    /// The argument, as it was given.
    pub given: String,
}

impl FromStr for ConfigChange {
    type Err = Invalid;

    /// Parses `KEY=VALUE`. The value is written as in the file, but the quotes of a
    /// text and the brackets of a list may be left out.
    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let pair = given.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, value) = pair.ok_or_else(|| {
            Invalid::new("give a key of the configuration and a value, such as ttl=5m")
        })?;
        let (key, value) = (key.trim(), value.trim());
        if INCOMPARABLE.contains(&key) {
            let text = format!("two values of `{key}` cannot be compared in one run");
            return Err(Invalid::new(text));
        }
        if NOT_SIMULATED.contains(&key) {
            let text = format!(
                "a log does not show the effect of `{key}`, so its values cannot be compared"
            );
            return Err(Invalid::new(text));
        }
        let change = Self {
            key: key.to_owned(),
            value: as_toml(key, value),
            given: given.to_owned(),
        };
        change.table().map(|_| change)
    }
}

impl ConfigChange {
    /// A TOML table with only this key. The error says why the value is invalid.
    fn table(&self) -> Result<Table, Invalid> {
        let line = format!("{} = {}", self.key, self.value);
        match toml::from_str::<Config>(&line) {
            Ok(_) => toml::from_str(&line).map_err(|error| describe(&line, &error)),
            Err(error) => {
                let text = describe(&line, &error).to_string();
                let text = text.strip_prefix("line 1: ").unwrap_or(&text);
                Err(Invalid::new(text.to_owned()))
            }
        }
    }
}

impl Config {
    /// As [`Config::read`], with other values in place of those of the file.
    ///
    /// # Errors
    ///
    /// Those of [`Config::read`], or the changed configuration is invalid
    /// ([`Exit::Usage`]).
    pub fn read_changed(path: Option<&Path>, changes: &[ConfigChange]) -> Result<Self> {
        let text = read_text(path)?;
        Self::parse_file(path, &text)?;
        let mut table: Table = toml::from_str(&text)?;
        for change in changes {
            merge(&mut table, change.table()?);
        }
        let changed = toml::to_string(&table)?;
        Self::parse(&changed)
            .map_err(|error| Failure::new(Exit::Usage, format!("with `--set`: {error:#}")))
    }
}

/// Sets the keys of `changes` in `table`. If the value is a table itself, such as
/// `program`, its keys that `changes` does not name keep their values.
fn merge(table: &mut Table, changes: Table) {
    for (key, change) in changes {
        let old = table.get_mut(&key).and_then(Value::as_table_mut);
        if let (Some(old), Value::Table(new)) = (old, &change) {
            old.extend(new.clone());
        } else {
            table.insert(key, change);
        }
    }
}

/// Adds the quotes and brackets that the key's value needs.
fn as_toml(key: &str, value: &str) -> String {
    let is_toml = |text: &str| toml::from_str::<Table>(&format!("x = {text}")).is_ok();
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    let is_quoted = |text: &str| text.starts_with(['"', '\'', '[', '{']) && is_toml(text);
    match example_value(key) {
        _ if is_quoted(value) => value.to_owned(),
        Some(Value::Array(_)) => {
            let items = value.split(',').map(str::trim);
            let items = items.filter(|item| !item.is_empty());
            let item = |text: &str| match is_toml(text) {
                true => text.to_owned(),
                false => quoted(text),
            };
            format!("[{}]", items.map(item).collect::<Vec<_>>().join(", "))
        }
        Some(Value::String(_)) => quoted(value),
        _ if is_toml(value) => value.to_owned(),
        _ => quoted(value),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::exit::has_code;
    use spamdrop_core::log::MailServer;

    fn changed(file: &str, changes: &[&str]) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spamdrop.toml");
        fs::write(&path, file).unwrap();
        let changes = changes.iter().map(|change| change.parse());
        let changes: Result<Vec<ConfigChange>, _> = changes.collect();
        let changes = changes.map_err(|error: Invalid| error.to_string())?;
        Config::read_changed(Some(&path), &changes).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_value_replaces_that_of_the_file() {
        let file = "ttl = \"20m\"\nslots = 7\nservers = [\"exim\"]";
        let config = changed(
            file,
            &[
                "ttl=5m",
                "servers=courier, postfix",
                "reject_text=zen|sbl\\.",
            ],
        );
        let config = config.unwrap();
        assert_eq!(config.ttl, Duration::from_secs(300));
        assert_eq!(config.servers, [MailServer::Courier, MailServer::Postfix]);
        assert_eq!(config.reject_text, "zen|sbl\\.");
        assert_eq!(config.slots, 7);
        for (value, expected) in [("25,587", "[25, 587]"), ("[26]", "[26]")] {
            assert_eq!(as_toml("ports", value), expected);
        }
        let config = changed("", &["hard_limit=0", "slots=12", "compat=recent"]).unwrap();
        assert_eq!((config.hard_limit, config.slots), (Duration::ZERO, 12));
        let quoted = changed("", &["reject_text=\"a=b\""]).unwrap();
        assert_eq!(quoted.reject_text, "a=b");
        assert_eq!(as_toml("journal", "true"), "true");
    }

    #[test]
    fn a_mistake_in_the_file_is_told_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spamdrop.toml");
        for text in ["slots = 7 8", "ttl = \"soon\"", "grace = \"2h\""] {
            fs::write(&path, text).unwrap();
            let read =
                |changes: &[ConfigChange]| Config::read_changed(Some(&path), changes).unwrap_err();
            let error = read(&["slots=9".parse().unwrap()]);
            let message = error.to_string();
            assert!(has_code(&error, Exit::Config), "{message}");
            let named = message.starts_with(&format!("{}: ", path.display()));
            assert!(named && !message.contains("--set"), "{message}");
        }
    }

    #[test]
    fn one_value_of_a_table_leaves_the_others() {
        let file = "servers = [\"courier\", \"exim\"]\nprogram = { courier = \"a\", exim = \"e\" }";
        let expected = file.replace("\"a\"", "\"b\"");
        let expected: Config = toml::from_str(&expected).unwrap();
        assert_eq!(changed(file, &["program.courier=b"]).unwrap(), expected);
        let file = "program = \"a\"";
        let expected: Config = toml::from_str("program = { courier = \"b\" }").unwrap();
        assert_eq!(changed(file, &["program.courier=b"]).unwrap(), expected);
    }

    #[test]
    fn the_keys_that_cannot_be_compared_are_keys() {
        let keys = super::super::keys();
        for key in INCOMPARABLE.iter().chain(&NOT_SIMULATED) {
            assert!(keys.iter().any(|known| known == key), "{key}");
        }
    }

    #[test]
    fn a_mistake_is_told_in_the_words_of_the_file() {
        for (change, expected) in [
            (
                "ttl",
                "give a key of the configuration and a value, such as ttl=5m",
            ),
            ("tll=5m", "there is no key `tll`; did you mean `ttl`?"),
            ("servers=postfx", "`servers`: \"postfx\" is none of "),
            ("slots=many", "`slots` is a number from 0 to 4294967295: 0"),
            (
                "nat64=",
                "two values of `nat64` cannot be compared in one run",
            ),
            (
                "capacity4=1048576",
                "a log does not show the effect of `capacity4`, so its values cannot be compared",
            ),
            ("ttl=0", "with `--set`: `ttl` must be whole seconds"),
            ("reject_text=(", "with `--set`: `reject_text`: "),
        ] {
            let error = changed("", &[change]).unwrap_err();
            assert!(error.starts_with(expected), "{change}: {error}");
        }
    }
}
