//! Error messages for an invalid configuration file: with the line, the key, and an
//! example in place of the terms of serde.

use spamdrop_core::invalid::Invalid;
use spamdrop_core::nearest::nearest;
use toml::{Table, Value};

use super::Config;

/// The commented configuration, which shows each key with a value.
const EXAMPLE: &str = include_str!("../../spamdrop.toml");

/// Every key of the configuration, as serde lists them when it is given an
/// unknown one.
#[must_use]
pub fn keys() -> Vec<String> {
    let error = toml::from_str::<Config>("no_such_key = 1").err();
    let message = error.map(|error| error.message().to_owned());
    let all = quoted(message.as_deref().unwrap_or_default()).skip(1);
    all.map(str::to_owned).collect()
}

/// Turns an error of the TOML parser for `text` into a message with the line and
/// the key.
pub(super) fn describe(text: &str, error: &toml::de::Error) -> Invalid {
    let start = error.span().map_or(0, |span| span.start);
    let (line, key) = place(text, start);
    let is_syntax = toml::from_str::<Table>(text).is_err();
    let message = error.message().trim_end().replace('\n', ", ");
    let said = match is_syntax {
        true => syntax(&message, key),
        false => value(&message, key.unwrap_or_default()),
    };
    Invalid::new(format!("line {line}: {said}"))
}

/// The number of the line with the byte `at`, and the key whose value is there.
fn place(text: &str, at: usize) -> (usize, Option<&str>) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let lines: Vec<&str> = text.lines().take(line).collect();
    let key = lines.iter().rev().find_map(|line| key_of(line));
    (line, key)
}

/// The key of a line such as `key = value` or `[[key]]`.
fn key_of(line: &str) -> Option<&str> {
    let line = line.trim();
    let header = line.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let key = match header {
        Some(name) => name.trim_matches(['[', ']']),
        None => line.split_once('=')?.0.trim(),
    };
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (!key.is_empty() && key.bytes().all(is_key)).then_some(key)
}

/// The words of a text that stand in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn syntax(message: &str, key: Option<&str>) -> String {
    match key.and_then(example) {
        Some(line) => format!("{message}; an example: {line}"),
        None => message.to_owned(),
    }
}

/// The line of the commented configuration that sets a key.
fn example(key: &str) -> Option<&'static str> {
    let lines = EXAMPLE.lines();
    let mut lines = lines.map(|line| line.strip_prefix('#').unwrap_or(line));
    lines.find(|line| {
        line.strip_prefix(key)
            .is_some_and(|rest| rest.starts_with(" = "))
    })
}

/// The value of a key in the commented configuration.
pub(super) fn example_value(key: &str) -> Option<Value> {
    let shown = example(key)?.split_once(" = ")?.1;
    let mut example: Table = toml::from_str(&format!("value = {shown}")).ok()?;
    example.remove("value")
}

/// Describes a mistake that is not one of TOML's syntax: an unknown key, or a wrong or
/// missing value.
fn value(message: &str, key: &str) -> String {
    let mut words = quoted(message);
    let first = words.next().unwrap_or_default();
    if message.starts_with("unknown field ") {
        return unknown_key(first, key, &words.collect::<Vec<_>>());
    }
    if message.starts_with("unknown variant ") {
        let all: Vec<&str> = words.collect();
        let listed: Vec<String> = all.iter().map(|word| format!("{word:?}")).collect();
        let meant = nearest(first, all).map(|word| format!("; did you mean {word:?}?"));
        return format!(
            "`{key}`: {first:?} is none of {}{}",
            listed.join(", "),
            meant.unwrap_or_default()
        );
    }
    match message.split_once(", expected ") {
        Some((_, expected)) => match kind(key, expected) {
            Some(kind) => format!("`{key}` is {kind}"),
            None => format!("`{key}` must be {expected}"),
        },
        None if message.starts_with("missing field ") => format!("`{first}` is missing here"),
        // The message is the attribute `expecting` of a type, such as `Programs`.
        None if message.starts_with("a ") || message.starts_with('"') => {
            format!("`{key}` must be {message}")
        }
        None if key.is_empty() || message.starts_with(&format!("`{key}`")) => message.to_owned(),
        None => format!("`{key}`: {message}"),
    }
}

fn unknown_key(word: &str, key: &str, all: &[&str]) -> String {
    // `ports` is a key of the top level. If serde's list of keys lacks it, the unknown
    // key is in a table, such as an entry of [[pattern]].
    let place = match all.contains(&"ports") || key.is_empty() {
        true => "",
        false => " here",
    };
    match nearest(word, all.iter().copied()) {
        Some(meant) => format!("there is no key `{word}`{place}; did you mean `{meant}`?"),
        None => format!("there is no key `{word}`{place}; spamdrop.toml(5) describes all keys"),
    }
}

/// The kind of value that a key takes, derived from its value in the commented
/// configuration. `None`: it cannot be derived, or serde's `expected` says more.
fn kind(key: &str, expected: &str) -> Option<String> {
    let number = match expected {
        "u16" => " from 0 to 65535",
        "u32" => " from 0 to 4294967295",
        "a sequence" | "a string" | "path string" | "a boolean" => "",
        _ => return None,
    };
    let shown = example(key)?.split_once(" = ")?.1;
    Some(match &example_value(key)? {
        Value::Array(all) if all.is_empty() => "a list: [\"…\"]".to_owned(),
        Value::Array(_) if expected == "u16" => format!("a list of numbers{number}: {shown}"),
        Value::Array(_) => format!("a list: {shown}"),
        Value::String(text) if text.is_empty() => "a text: \"…\"".to_owned(),
        Value::String(_) => format!("a text: {shown}"),
        Value::Boolean(_) => "true or false".to_owned(),
        Value::Integer(_) => format!("a number{number}: {shown}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn said(text: &str) -> String {
        Config::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_mistake_is_told_in_the_words_of_the_file() {
        for (text, expected) in [
            (
                "ttl = \"10m\"\nportz = [25]",
                "line 2: there is no key `portz`; did you mean `ports`?",
            ),
            (
                "bantime = 600",
                "line 1: there is no key `bantime`; spamdrop.toml(5) describes all keys",
            ),
            (
                "[[pattern]]\nname = \"a\"\nmtach = '^<HOST> '",
                "line 3: there is no key `mtach` here; did you mean `match`?",
            ),
            (
                "\ninterfaces = \"eth0\"",
                "line 2: `interfaces` is a list: [\"eth0\"]",
            ),
            (
                "zones = \"b.example\"",
                "line 1: `zones` is a list: [\"…\"]",
            ),
            (
                "ports = [\n  25,\n  \"smtp\",\n]",
                "line 3: `ports` is a list of numbers from 0 to 65535: [25]",
            ),
            (
                "ports = [70000]",
                "line 1: `ports` is a list of numbers from 0 to 65535: [25]",
            ),
            ("journal = \"yes\"", "line 1: `journal` is true or false"),
            (
                "run_dir = 1",
                "line 1: `run_dir` is a text: \"/run/spamdrop\"",
            ),
            ("fifo = true", "line 1: `fifo` is a text: \"…\""),
            (
                "slots = \"40\"",
                "line 1: `slots` is a number from 0 to 4294967295: 0",
            ),
            (
                "mode = \"natve\"",
                "line 1: `mode`: \"natve\" is none of \"auto\", \"native\", \"generic\"; did you mean \"native\"?",
            ),
            (
                "ttl = \"soon\"",
                "line 1: `ttl`: `soon` is not a duration; give seconds, such as 600, or units, such as 10m, 1h30m, 7d or 2w",
            ),
            (
                "[[pattern]]\nname = \"a\"",
                "line 1: `match` is missing here",
            ),
            (
                "addresses = 25",
                "line 1: `addresses` must be \"own\", \"any\" or a list of addresses",
            ),
        ] {
            assert_eq!(said(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_toml_has_the_key_as_an_example() {
        let text = said("ports = [25]\ninterfaces = eth0\n");
        assert!(text.starts_with("line 2: "), "{text}");
        assert!(
            text.ends_with("; an example: interfaces = [\"eth0\"]"),
            "{text}"
        );
    }

    #[test]
    fn every_key_has_an_example() {
        let keys = keys();
        assert!(keys.len() > 30, "{keys:?}");
        for key in keys {
            // `pattern` is a table.
            assert!(example(&key).is_some() || key == "pattern", "{key}");
        }
    }
}
