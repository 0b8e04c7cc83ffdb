//! Courier's `smtpaccess`: if it sets `BLOCK` for a source, Courier looks the
//! source up in no zone.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// The lines of the table, keyed by the text before the tab.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    entries: HashMap<String, AccessEntry>,
}

/// The table's decision about a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessEntry {
    /// No decision: the zones decide.
    Silent,
    /// `BLOCK` is set and empty: the source is not rejected because of a zone.
    Spares,
    /// The source is refused at once, or `BLOCK` has a text. Either way, the
    /// zones do not matter.
    Refuses,
}

impl Access {
    /// Adds the lines of a file. Of two lines with the same key, the one that
    /// spares the source wins.
    pub fn add(&mut self, text: &[u8]) {
        for line in String::from_utf8_lossy(text).lines() {
            let Some((key, says)) = line.split_once('\t') else {
                continue;
            };
            if key.starts_with('#') {
                continue;
            }
            let entry = entry(says);
            let kept = self.entries.entry(key.into()).or_insert(entry);
            if entry == AccessEntry::Spares {
                *kept = entry;
            }
        }
    }

    /// The decision about a source. The line with the longest matching key
    /// decides, or `*` if no other key matches.
    #[must_use]
    pub fn entry_for(&self, addr: IpAddr) -> AccessEntry {
        let (mut key, separator) = match addr.to_canonical() {
            IpAddr::V4(addr) => (addr.to_string(), '.'),
            IpAddr::V6(addr) => (groups(addr), ':'),
        };
        loop {
            if let Some(entry) = self.entries.get(&key) {
                return *entry;
            }
            match key.rfind(separator) {
                Some(at) if at > 0 => key.truncate(at),
                _ => break,
            }
        }
        self.entries
            .get("*")
            .copied()
            .unwrap_or(AccessEntry::Silent)
    }
}

/// The key of an IPv6 address in the table's form: `:2001:0db8:…`.
fn groups(addr: Ipv6Addr) -> String {
    let groups = addr.segments().map(|group| format!(":{group:04x}"));
    groups.concat()
}

/// Parses `deny`, or `allow` with variables: `allow,BLOCK,RELAYCLIENT=x`.
fn entry(says: &str) -> AccessEntry {
    let says = says.trim_ascii();
    if says.starts_with("deny") {
        return AccessEntry::Refuses;
    }
    let variables = says.strip_prefix("allow").unwrap_or(says).split(',');
    let mut values = variables.filter_map(|variable| {
        let value = variable.trim_ascii().strip_prefix("BLOCK")?;
        match value.is_empty() {
            true => Some(value),
            false => value.strip_prefix('='),
        }
    });
    match values.next().map(|value| value.trim_matches(['"', '\''])) {
        None => AccessEntry::Silent,
        Some("") => AccessEntry::Spares,
        Some(_) => AccessEntry::Refuses,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const TABLE: &[u8] = b"# 192.0.2\tallow,BLOCK
127.0.0.1\tallow,RELAYCLIENT
192.0.2\tallow,BLOCK
192.0.2.7\tallow,RELAYCLIENT,BLOCK=\"Go away\"
192.0.2.8\tallow
192.0.2.9\tallow,RELAYCLIENT,BLOCK=\"\"
198.51.100\tdeny
203.0.113.1\tallow,BLOCK2,UNBLOCK=1
no tab
:2001:0db8\tallow,BLOCK=
";

    fn says(table: &Access, addr: &str) -> AccessEntry {
        table.entry_for(addr.parse().unwrap())
    }

    #[test]
    fn the_longest_key_decides() {
        let mut table = Access::default();
        table.add(TABLE);
        for (addr, expected) in [
            ("127.0.0.1", AccessEntry::Silent),
            ("192.0.2.1", AccessEntry::Spares),
            ("::ffff:192.0.2.1", AccessEntry::Spares),
            ("192.0.2.7", AccessEntry::Refuses),
            ("192.0.2.8", AccessEntry::Silent),
            ("192.0.2.9", AccessEntry::Spares),
            ("198.51.100.1", AccessEntry::Refuses),
            ("203.0.113.1", AccessEntry::Silent),
            ("2001:db8::1", AccessEntry::Spares),
            ("2001:db9::1", AccessEntry::Silent),
        ] {
            assert_eq!(says(&table, addr), expected, "{addr}");
        }
        table.add(b"*\tallow,BLOCK\n");
        assert_eq!(says(&table, "2001:db9::1"), AccessEntry::Spares);
        assert_eq!(says(&table, "192.0.2.8"), AccessEntry::Silent);
    }
}
