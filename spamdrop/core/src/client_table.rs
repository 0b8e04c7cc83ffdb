//! Tables by which a mail server treats some clients differently, before it asks
//! its zones: Postfix's `mynetworks` and `check_client_access`, Exim's `hosts`.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A table, and the range of rules that the server skips for a client that it permits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTable {
    /// The setting or file that it comes from.
    pub source: String,
    /// If the table says [`Says::Permit`] about a client, the server skips some rules
    /// for it. This is the index of the first of these rules.
    pub first: usize,
    /// The index after the last of these rules.
    pub end: usize,
    /// The first entry that covers the client decides.
    pub entries: Vec<ClientEntry>,
}

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientEntry {
    /// The clients.
    pub net: IpNet,
    /// The effect for these clients.
    pub says: Says,
}

/// The effect of a table for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// The server skips the zones.
    Permit,
    /// The table decides nothing, and the server goes on.
    Dunno,
    /// The server refuses the client itself, or does something that is not
    /// understood. Either way the zones do not tell what happens.
    Other,
}

/// The effect of all tables together for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRules {
    /// For each rule, whether the server skips it.
    Skips(Vec<bool>),
    /// The zones do not tell what happens to the client.
    Undecided,
}

impl ClientTable {
    fn says(&self, addr: IpAddr) -> Says {
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| entry.net.contains(&addr));
        entry.map_or(Says::Dunno, |entry| entry.says)
    }
}

/// Evaluates the tables for a client. `rules`: the number of rules.
#[must_use]
pub fn evaluate(tables: &[ClientTable], rules: usize, addr: IpAddr) -> ClientRules {
    let mut skips = vec![false; rules];
    for table in tables {
        // If earlier tables let the client skip all rules of this one, the server
        // does not reach it.
        let is_skipped = (table.first..table.end).all(|rule| skips.get(rule) == Some(&true));
        match table.says(addr) {
            _ if is_skipped => {}
            Says::Dunno => {}
            Says::Other => return ClientRules::Undecided,
            Says::Permit => {
                let skipped = skips.get_mut(table.first..table.end);
                skipped.into_iter().flatten().for_each(|skip| *skip = true);
            }
        }
    }
    ClientRules::Skips(skips)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn table(first: usize, end: usize, entries: &[(&str, Says)]) -> ClientTable {
        let entries = entries.iter().map(|(net, says)| ClientEntry {
            net: net.parse().unwrap(),
            says: *says,
        });
        ClientTable {
            source: "x".into(),
            first,
            end,
            entries: entries.collect(),
        }
    }

    fn skips(tables: &[ClientTable], addr: &str) -> Option<Vec<bool>> {
        match evaluate(tables, 3, addr.parse().unwrap()) {
            ClientRules::Skips(skips) => Some(skips),
            ClientRules::Undecided => None,
        }
    }

    #[test]
    fn the_first_entry_decides_about_the_rules_behind_the_table() {
        let tables = [
            table(
                1,
                3,
                &[
                    ("192.0.2.7/32", Says::Dunno),
                    ("192.0.2.0/24", Says::Permit),
                ],
            ),
            table(2, 3, &[("192.0.2.0/25", Says::Other)]),
        ];
        let all = |skips: [bool; 3]| Some(skips.to_vec());
        assert_eq!(skips(&tables, "192.0.2.1"), all([false, true, true]));
        assert_eq!(skips(&tables, "192.0.2.7"), None);
        assert_eq!(skips(&tables, "198.51.100.1"), all([false; 3]));
        assert_eq!(skips(&tables, "2001:db8::1"), all([false; 3]));
    }
}
