//! Lists, and lists of hosts (spec.txt, "Domain, host, address, and local part
//! lists").

use super::config::Configuration;
use crate::client_table::{ClientEntry, Says};
use crate::server_settings::{Contents, ReadFile, entry};

/// How deep named lists may name each other.
const DEEPEST: usize = 8;
/// The most items of a list of hosts.
const MOST: usize = 10_000;

/// The items of a list. The separator is a colon, unless the list begins with
/// `<` and another separator. A doubled separator stands for that character in an
/// item.
pub(super) fn items(value: &str) -> Vec<String> {
    let value = value.trim();
    let mut chars = value.strip_prefix('<').unwrap_or_default().chars();
    let (separator, rest) = match chars.next() {
        Some(separator) if separator.is_ascii_punctuation() => (separator, chars.as_str()),
        _ => (':', value),
    };
    let mut items = Vec::new();
    let mut item = String::new();
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        if c != separator {
            item.push(c);
        } else if chars.next_if_eq(&separator).is_some() {
            item.push(separator);
        } else {
            items.push(std::mem::take(&mut item));
        }
    }
    items.push(item);
    let items = items.iter().map(|item| item.trim().to_owned());
    items.filter(|item| !item.is_empty()).collect()
}

/// Replaces `${if exists{FILE}{FILE}{}}`, as Debian's configuration has it, by
/// the file or nothing.
///
/// # Errors
///
/// The value has another expression.
pub(super) fn resolve(value: &str, read: &ReadFile<'_>) -> Result<String, String> {
    if !value.contains('$') {
        return Ok(value.to_owned());
    }
    let path = file_if_exists(value.trim());
    let path = path.ok_or_else(|| format!("{} is not understood", kind(value)))?;
    match read(path) {
        Contents::Absent => Ok(String::new()),
        Contents::Text(_) | Contents::Unreadable(_) => Ok(path.to_owned()),
    }
}

fn file_if_exists(value: &str) -> Option<&str> {
    let inner = value.strip_prefix("${if exists{")?.strip_suffix('}')?;
    let (path, behind) = inner.split_once('}')?;
    let same = behind
        .strip_prefix('{')?
        .strip_prefix(path)?
        .strip_prefix('}')?;
    let is_plain = path.starts_with('/') && !path.contains(['$', '{', ':']);
    (is_plain && matches!(same.trim(), "" | "{}")).then_some(path)
}

/// The kind of a value, for a message. An expression or a look-up may hold a
/// password, so only its kind is named: `${lookup ldap`, `ldap;`.
pub(super) fn kind(value: &str) -> String {
    if let Some(path) = file_if_exists(value.trim()) {
        return path.to_owned();
    }
    if let Some(start) = value.find("${") {
        let (begin, inner) = value.split_at(start).1.split_at(2);
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_! ".contains(c);
        let end = inner.find(|c| !is_word(c)).unwrap_or(inner.len());
        return shortened(&format!("{begin}{}", inner.split_at(end).0))
            .trim_end()
            .to_owned();
    }
    lookup_type(value).unwrap_or_else(|| shortened(value))
}

/// The first `type;` of a value, such as `net-ldap;`.
fn lookup_type(value: &str) -> Option<String> {
    let mut ends = value
        .match_indices(';')
        .map(|(end, _)| value.split_at(end).0);
    ends.find_map(|before| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let word = before.rsplit(|c| !is_word(c)).next().unwrap_or_default();
        let is_type = word.starts_with(|c: char| c.is_ascii_alphabetic());
        is_type.then(|| format!("{word};"))
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Reads lists of hosts.
#[derive(Clone, Copy)]
pub(super) struct HostLists<'a> {
    pub configuration: &'a Configuration,
    pub read: &'a ReadFile<'a>,
}

impl HostLists<'_> {
    /// Reads a list of hosts. The first item that matches a host decides; an item
    /// with a `!` takes the host out of the list. A host that no item matches is in
    /// the list only if the last item has a `!`.
    ///
    /// # Errors
    ///
    /// An item is no address, or a list or file that it names cannot be read.
    pub fn hosts(&self, value: &str) -> Result<Hosts, String> {
        let mut hosts = Hosts::default();
        self.add(value, DEEPEST, &mut hosts)?;
        Ok(hosts)
    }

    fn add(&self, value: &str, depth: usize, hosts: &mut Hosts) -> Result<(), String> {
        for item in items(&resolve(value, self.read)?) {
            let (is_negated, item) = match item.strip_prefix('!') {
                Some(item) => (true, item.trim_start()),
                None => (false, item.as_str()),
            };
            self.add_item(item, is_negated, depth, hosts)?;
            if hosts.items.len() > MOST {
                return Err("it has too many items".into());
            }
        }
        Ok(())
    }

    fn add_item(
        &self,
        item: &str,
        is_negated: bool,
        depth: usize,
        hosts: &mut Hosts,
    ) -> Result<(), String> {
        match item {
            "*" => {
                hosts.add_all(is_negated);
                return Ok(());
            }
            // This machine itself, and so no client over the network.
            "@" | "@[]" | "localhost" => {
                hosts.last_is_negated = is_negated;
                return Ok(());
            }
            // These only say how to treat a host whose name or address cannot be found.
            "+include_unknown" | "+ignore_unknown" | "+include_defer" | "+ignore_defer" => {
                return Ok(());
            }
            _ => {}
        }
        if let Some(list) = item.strip_prefix('+') {
            return self.add_named(list, is_negated, depth, hosts);
        }
        if item.starts_with('/') && !item.contains(';') {
            return self.add_file(item, is_negated, hosts);
        }
        let net =
            entry(item, Says::Permit).ok_or_else(|| format!("{} is no address", kind(item)))?;
        hosts.items.push((is_negated, net));
        hosts.last_is_negated = is_negated;
        Ok(())
    }

    fn add_named(
        &self,
        name: &str,
        is_negated: bool,
        depth: usize,
        hosts: &mut Hosts,
    ) -> Result<(), String> {
        let value = self.configuration.host_list(name);
        let value = value.ok_or_else(|| format!("there is no hostlist {name}"))?;
        let deeper = depth.checked_sub(1).ok_or("a hostlist names itself")?;
        let mut nested = Hosts::default();
        self.add(value, deeper, &mut nested)?;
        hosts
            .add_nested(nested, is_negated)
            .map_err(|why| format!("+{name} {why}"))
    }

    /// Adds the items of a file, one in each line.
    fn add_file(&self, path: &str, is_negated: bool, hosts: &mut Hosts) -> Result<(), String> {
        let text = match (self.read)(path) {
            Contents::Text(text) => text,
            Contents::Absent => return Err(format!("there is no file {path}")),
            Contents::Unreadable(why) => return Err(format!("{path} cannot be read: {why}")),
        };
        let mut nested = Hosts::default();
        for (number, line) in (1_usize..).zip(text.lines()) {
            let item = line.split('#').next().unwrap_or_default().trim();
            if !item.is_empty() {
                let net = entry(item, Says::Permit);
                let net = net.ok_or_else(|| format!("line {number} of {path} is no address"))?;
                nested.items.push((false, net));
            }
        }
        hosts.add_nested(nested, is_negated)
    }
}

/// A list of hosts.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// The items in order; `true`: with a `!`.
    items: Vec<(bool, ClientEntry)>,
    last_is_negated: bool,
}

impl Hosts {
    fn add_all(&mut self, is_negated: bool) {
        let all = ["0.0.0.0/0", "::/0"].map(|net| entry(net, Says::Permit));
        let all = all.into_iter().flatten();
        self.items.extend(all.map(|entry| (is_negated, entry)));
        self.last_is_negated = is_negated;
    }

    fn add_nested(&mut self, nested: Self, is_negated: bool) -> Result<(), String> {
        let has_negated = nested.items.iter().any(|(is_negated, _)| *is_negated);
        if has_negated || nested.last_is_negated {
            return Err("(a nested list that has an item with `!`)".into());
        }
        let items = nested.items.into_iter();
        self.items
            .extend(items.map(|(_, entry)| (is_negated, entry)));
        self.last_is_negated = is_negated;
        Ok(())
    }

    /// A table with the effect `inside` for the hosts in the list and `outside` for
    /// all others.
    pub fn table(self, inside: Says, outside: Says) -> Vec<ClientEntry> {
        let behind = if self.last_is_negated {
            inside
        } else {
            outside
        };
        let mut rest = Self::default();
        rest.add_all(false);
        let items = self
            .items
            .into_iter()
            .map(|(is_negated, entry)| ClientEntry {
                says: if is_negated { outside } else { inside },
                ..entry
            });
        let rest = rest.items.into_iter().map(|(_, entry)| ClientEntry {
            says: behind,
            ..entry
        });
        let rest = rest.filter(|entry| entry.says != Says::Dunno);
        items.chain(rest).collect()
    }
}
