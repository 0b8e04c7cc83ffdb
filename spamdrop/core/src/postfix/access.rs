//! Tables of access(5), cidr_table(5), and lists of networks.

use crate::client_table::{ClientEntry, Says};
use crate::server_settings::{Contents, ReadFile, entry};

/// The effects that a table can have on a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AccessTable {
    /// The addresses and networks that the table names.
    pub entries: Vec<ClientEntry>,
    /// A key that is no address (a host name, a pattern), and for which the server
    /// may skip the zones. For a file, only the line number is given: root reads the
    /// file, but a reader of the message may not be allowed to.
    pub permits_by: Option<String>,
}

/// Reads the table `type:name`.
///
/// # Errors
///
/// The reason why its content is not known.
pub(super) fn table(map: &str, read: &ReadFile<'_>) -> Result<AccessTable, String> {
    let (kind, name) = map.split_once(':').ok_or("the table has no type")?;
    match kind {
        "cidr" => Ok(cidr(&file(name, read)?)),
        "inline" => inline(name),
        "static" => Ok(one("any client", name)),
        _ if is_indexed(kind) => Ok(indexed(&file(name, read)?)),
        "regexp" | "pcre" => Ok(patterns(&file(name, read)?)),
        _ => Err(format!("tables of the type {kind} cannot be read")),
    }
}

/// Whether the file of a table of this type has lines of key and value.
pub(super) fn is_indexed(kind: &str) -> bool {
    matches!(
        kind,
        "texthash" | "hash" | "btree" | "lmdb" | "cdb" | "dbm" | "sdbm"
    )
}

fn file(path: &str, read: &ReadFile<'_>) -> Result<String, String> {
    match read(path) {
        Contents::Text(text) => Ok(text),
        Contents::Absent => Err(format!("there is no file {path}")),
        Contents::Unreadable(why) => Err(format!("{path} cannot be read: {why}")),
    }
}

/// Parses lines of key and value. The longest prefixes come first in the table, as
/// in Postfix's look-ups.
fn indexed(text: &str) -> AccessTable {
    let lines = super::numbered_lines(text);
    let pairs = lines.iter().map(|(number, line)| {
        let (key, value) = cut(line);
        (line_name(*number), key, value)
    });
    pairs_table(pairs)
}

fn line_name(number: usize) -> String {
    format!("line {number}")
}

/// Builds a table from pairs: the name for messages, the key, and the value.
fn pairs_table<'a>(pairs: impl Iterator<Item = (String, &'a str, &'a str)>) -> AccessTable {
    let mut table = AccessTable::default();
    for (name, key, value) in pairs {
        let action = action(value);
        match network(key, action.says()) {
            Some(entry) => table.entries.push(entry),
            None => table.add_key(&name, action),
        }
    }
    let length = |entry: &ClientEntry| std::cmp::Reverse(entry.net.prefix_len());
    table.entries.sort_by_key(length);
    table
}

/// Parses `{key=value …}`. A pair with blanks has braces of its own, which `words` removes.
fn inline(text: &str) -> Result<AccessTable, String> {
    let text = text.trim();
    let inner = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    let pairs = super::words(inner.unwrap_or(text));
    let pairs: Option<Vec<(&str, &str)>> = pairs.iter().map(|pair| pair.split_once('=')).collect();
    let pairs = pairs.ok_or("an element is not of the form key=value")?;
    let pairs = pairs
        .into_iter()
        .map(|(key, value)| (key.trim().to_owned(), key.trim(), value.trim()));
    Ok(pairs_table(pairs))
}

/// Parses lines of prefix and value, in their order. `if` is not understood: its line
/// counts as a key for which the server may skip the zones.
fn cidr(text: &str) -> AccessTable {
    let mut table = AccessTable::default();
    for (number, line) in super::numbered_lines(text) {
        let (key, value) = cut(&line);
        let action = action(value);
        match entry(key, action.says()) {
            Some(entry) => table.entries.push(entry),
            None if key == "endif" => {}
            None => table.add_key(&line_name(number), action),
        }
    }
    table
}

/// Parses lines of `/pattern/flags value`. No line has entries, because it is not
/// known which clients match.
fn patterns(text: &str) -> AccessTable {
    let mut table = AccessTable::default();
    for (number, line) in super::numbered_lines(text) {
        let (_, value) = cut(line.rsplit_once(['/', '!']).map_or("", |(_, value)| value));
        if !matches!(cut(&line).0, "if" | "endif") {
            table.add_key(&line_name(number), action(value));
        }
    }
    table
}

fn one(key: &str, value: &str) -> AccessTable {
    let mut table = AccessTable::default();
    table.add_key(key, action(value));
    table
}

impl AccessTable {
    /// Records a key that is no address, if the server may skip the zones for it; only
    /// the first one is kept. A key with another action spares no client from the zones.
    fn add_key(&mut self, key: &str, action: Action) {
        if matches!(action, Action::Permit | Action::Unclear) {
            self.permits_by.get_or_insert_with(|| key.to_owned());
        }
    }
}

fn cut(line: &str) -> (&str, &str) {
    let end = line.find(|c: char| c.is_ascii_whitespace());
    let (key, value) = line.split_at(end.unwrap_or(line.len()));
    (key, value.trim())
}

/// An address, or a network of whole octets such as `192.0.2`.
fn network(key: &str, says: Says) -> Option<ClientEntry> {
    if let Some(entry) = entry(key, says).filter(|_| !key.contains('/')) {
        return Some(entry);
    }
    let octets: Vec<&str> = key.split('.').collect();
    let is_octet = |octet: &&str| octet.parse::<u8>().is_ok();
    if octets.len() > 3 || !octets.iter().all(is_octet) {
        return network6(key, says);
    }
    let missing = ".0".repeat(4 - octets.len());
    entry(&format!("{key}{missing}/{}", octets.len() * 8), says)
}

/// A network of whole groups such as `2001:db8`.
fn network6(key: &str, says: Says) -> Option<ClientEntry> {
    let groups = key.split(':').count();
    let is_written = key.contains(':') && groups < 8;
    is_written.then(|| entry(&format!("{key}::/{}", groups * 16), says))?
}

/// The effect of an action of access(5).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The server ends the list, so it skips the zones behind the table.
    Permit,
    /// The server goes on.
    Dunno,
    /// The server refuses the client.
    Refuse,
    /// Not understood, such as the name of a restriction.
    Unclear,
}

impl Action {
    fn says(self) -> Says {
        match self {
            Self::Permit => Says::Permit,
            Self::Dunno => Says::Dunno,
            Self::Refuse | Self::Unclear => Says::Other,
        }
    }
}

/// Parses the value of a table.
pub(super) fn action(value: &str) -> Action {
    let (word, behind) = cut(value.trim());
    let word = word.to_ascii_lowercase();
    let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    match word.as_str() {
        "ok" | "relay" | "permit" | "discard" => Action::Permit,
        "dunno" | "bcc" | "filter" | "hold" | "info" | "prepend" | "redirect" | "warn"
        | "defer_if_permit" => Action::Dunno,
        "reject" | "defer" => Action::Refuse,
        // Three digits with a text are a reply.
        _ if is_number && word.len() == 3 && word.starts_with(['4', '5']) => match behind {
            "" => Action::Unclear,
            _ => Action::Refuse,
        },
        _ if is_number => Action::Permit,
        word if word.starts_with("permit_") => Action::Permit,
        // Only if it is the whole value: another restriction behind it may permit.
        word if word.starts_with("reject_") && behind.is_empty() && !word.contains(',') => {
            Action::Dunno
        }
        _ => Action::Unclear,
    }
}

/// A list of networks such as `mynetworks`; the first that matches decides.
///
/// # Errors
///
/// An element is no network.
pub(super) fn networks(value: &str, read: &ReadFile<'_>) -> Result<Vec<ClientEntry>, String> {
    let mut entries = Vec::new();
    for word in super::words(value) {
        let (word, says) = match word.strip_prefix('!') {
            Some(word) => (word, Says::Dunno),
            None => (word.as_str(), Says::Permit),
        };
        if word.starts_with('/') {
            if says == Says::Dunno {
                return Err(format!("!{word} is not understood"));
            }
            entries.extend(networks_of_file(word, &file(word, read)?)?);
        } else if word.starts_with("cidr:") {
            let table = table(word, read)?.entries.into_iter();
            entries.extend(table.map(|entry| ClientEntry { says, ..entry }));
        } else {
            let entry = entry(word, says);
            entries.push(entry.ok_or_else(|| no_network(word))?);
        }
    }
    Ok(entries)
}

/// The networks of a file. The error names only the line number: root reads the file,
/// but a reader of the message may not be allowed to.
fn networks_of_file(path: &str, text: &str) -> Result<Vec<ClientEntry>, String> {
    let nested = |_: &str| Contents::Unreadable("it is named in a file".into());
    let mut entries = Vec::new();
    for (number, line) in (1_usize..).zip(text.lines()) {
        if !line.trim_start().starts_with('#') {
            let of_line = networks(line, &nested);
            entries
                .extend(of_line.map_err(|_| format!("line {number} of {path} is not a network"))?);
        }
    }
    Ok(entries)
}

fn no_network(word: &str) -> String {
    match word.split_once(':') {
        Some((kind, _)) if kind.bytes().all(|byte| byte.is_ascii_lowercase()) => {
            format!("tables of the type {kind} are not understood")
        }
        _ => format!("{word} is not a network"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, action};

    #[test]
    fn only_three_digits_and_a_text_are_a_reply() {
        assert!(action("550 go away") == Action::Refuse);
        assert!(action("450 later") == Action::Refuse);
        assert!(action("550") == Action::Unclear);
        for number in ["1", "45000", "45000 x", "250 fine"] {
            assert!(action(number) == Action::Permit, "{number}");
        }
    }
}
