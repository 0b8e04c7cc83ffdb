//! Parses Exim's configuration into options, lists of hosts, ACLs and authenticators.

use std::collections::HashMap;

/// The verbs of ACL statements.
const VERBS: [&str; 7] = [
    "accept", "defer", "deny", "discard", "drop", "require", "warn",
];
const HOST_LISTS: [&str; 2] = ["hostlist", "hostlist_cache"];
/// The keywords that define other named lists than lists of hosts.
const OTHER_LISTS: [&str; 6] = [
    "addresslist",
    "addresslist_cache",
    "domainlist",
    "domainlist_cache",
    "localpartlist",
    "localpartlist_cache",
];

/// The parts of the configuration that matter here.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    /// The options of the main section.
    options: HashMap<String, String>,
    /// The values of `hostlist NAME = …`.
    host_lists: HashMap<String, String>,
    /// The statements of each ACL.
    acls: HashMap<String, Vec<Statement>>,
    /// The names of the options of each authenticator.
    pub authenticators: Vec<Vec<String>>,
    /// A line that only Exim can resolve: a macro or an inclusion.
    pub unresolved: Option<String>,
}

/// A statement of an ACL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Statement {
    pub verb: String,
    pub conditions: Vec<Condition>,
}

/// A condition or a modifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub is_negated: bool,
    pub name: String,
    pub value: String,
}

impl Configuration {
    /// Parses the text. In a file (`is_raw`), macros are not replaced yet.
    pub fn parse(text: &str, is_raw: bool) -> Self {
        let mut configuration = Self::default();
        let mut section = String::new();
        let mut acl = String::new();
        for line in logical_lines(text) {
            if let Some(name) = line.strip_prefix("begin ") {
                section = name.trim().to_owned();
                acl.clear();
            } else if is_macro(&line) || line.starts_with('.') {
                configuration.note_macro(&line, is_raw);
            } else {
                match section.as_str() {
                    "" => configuration.add_option(&line),
                    "acl" => configuration.add_to_acl(&mut acl, &line),
                    "authenticators" => configuration.add_to_authenticator(&line),
                    _ => {}
                }
            }
        }
        configuration
    }

    /// The value of an option of the main section.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// The value of a named list of hosts.
    pub fn host_list(&self, name: &str) -> Option<&str> {
        self.host_lists.get(name).map(String::as_str)
    }

    /// The statements of an ACL.
    pub fn acl(&self, name: &str) -> Option<&[Statement]> {
        self.acls.get(name).map(Vec::as_slice)
    }

    /// Remembers a macro or inclusion of a file. The output of `exim -bP config`
    /// (`is_raw` is false) also has definitions of macros, but no uses of them.
    fn note_macro(&mut self, line: &str, is_raw: bool) {
        if is_raw {
            self.unresolved.get_or_insert_with(|| line.to_owned());
        }
    }

    fn add_option(&mut self, line: &str) {
        let line = line.strip_prefix("hide ").unwrap_or(line).trim_start();
        let Some((name, value)) = line.split_once('=') else {
            return;
        };
        let (name, value) = (name.trim(), unquoted(value.trim()));
        let (kind, list) = name
            .split_once(|c: char| c.is_ascii_whitespace())
            .unwrap_or(("", ""));
        if HOST_LISTS.contains(&kind) {
            self.host_lists.insert(list.trim().to_owned(), value);
        } else if !OTHER_LISTS.contains(&kind) {
            self.options.insert(name.to_owned(), value);
        }
    }

    fn add_to_acl(&mut self, acl: &mut String, line: &str) {
        if let Some(name) = line.strip_suffix(':')
            && !name.contains('=')
        {
            name.trim().clone_into(acl);
            self.acls.entry(acl.clone()).or_default();
            return;
        }
        let Some(statements) = self.acls.get_mut(acl) else {
            return;
        };
        let (word, rest) = first_word(line);
        let rest = if VERBS.contains(&word) {
            statements.push(Statement {
                verb: word.to_owned(),
                conditions: Vec::new(),
            });
            rest
        } else {
            line
        };
        if let Some(statement) = statements.last_mut() {
            statement.conditions.extend(condition(rest));
        }
    }

    fn add_to_authenticator(&mut self, line: &str) {
        if line.ends_with(':') && !line.contains('=') {
            self.authenticators.push(Vec::new());
        } else if let Some(options) = self.authenticators.last_mut() {
            let name = line.split('=').next().unwrap_or_default();
            options.push(name.trim().to_owned());
        }
    }
}

/// Parses `[!]name [= value]`.
fn condition(text: &str) -> Option<Condition> {
    let text = text.trim();
    let (is_negated, text) = match text.strip_prefix('!') {
        Some(text) => (true, text.trim_start()),
        None => (false, text),
    };
    let end = text.find(|c: char| c == '=' || c.is_ascii_whitespace());
    let (name, value) = text.split_at(end.unwrap_or(text.len()));
    let value = value.trim_start();
    let value = value.strip_prefix('=').unwrap_or(value);
    (!name.is_empty()).then(|| Condition {
        is_negated,
        name: name.to_owned(),
        value: unquoted(value.trim()),
    })
}

fn first_word(line: &str) -> (&str, &str) {
    let end = line.find(|c: char| c.is_ascii_whitespace());
    line.split_at(end.unwrap_or(line.len()))
}

/// Removes the quotes around a value, and in quotes the backslash before each quote
/// and backslash.
fn unquoted(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|inner| inner.strip_suffix('"'));
    match inner {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => value.to_owned(),
    }
}

/// Whether the line defines a macro, `NAME = …` or `NAME == …`. Its name begins
/// with a capital letter; no option or condition does.
fn is_macro(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_uppercase())
}

/// Joins lines that end with a backslash; leaves out comments and empty lines.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut joined = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('#') || (line.is_empty() && joined.is_empty()) {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(begun) => joined.push_str(begun),
            None => {
                joined.push_str(line);
                lines.push(std::mem::take(&mut joined));
            }
        }
    }
    lines.push(joined);
    lines.retain(|line| !line.trim().is_empty());
    lines
}
