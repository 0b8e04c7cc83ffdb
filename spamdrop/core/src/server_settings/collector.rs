//! Collects zones and tables in the order in which a server works through them.

use super::Note;
use crate::client_table::{ClientEntry, ClientTable, Says};
use crate::dnsbl::address_filter::AddressFilter;
use crate::dnsbl::rule::{Effect, Rule, is_zone};
use crate::target::parse_net;

/// The rules, tables and notes so far.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    pub rules: Vec<Rule>,
    tables: Vec<ClientTable>,
    pub notes: Vec<Note>,
    /// The number of the current list.
    list: u16,
    /// The tables of the current list, whose end is not known yet.
    open: Vec<ClientTable>,
    /// Whether the server may stop before it reaches the next zone of the list.
    is_doubtful: bool,
    /// Notes that matter only if the list has another zone that rejects.
    pending: Vec<Note>,
    /// Whether the server turns rejections into 4xx.
    defers: bool,
}

impl Collector {
    /// Notes something about a setting, once.
    pub fn note(&mut self, setting: &str, text: impl Into<String>) {
        self.keep_note(Note::new(setting, &text.into()));
    }

    fn keep_note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Notes something if the list has another zone that rejects.
    pub fn remark(&mut self, setting: &str, text: impl Into<String>) {
        self.pending.push(Note::new(setting, &text.into()));
    }

    /// Ends the current list. A client that was accepted in it is checked again in the
    /// next list, so its tables and doubts do not apply there.
    pub fn end_list(&mut self) {
        let end = self.rules.len();
        for table in std::mem::take(&mut self.open) {
            self.keep_table(ClientTable { end, ..table });
        }
        self.is_doubtful = false;
        self.pending.clear();
        self.list = self.list.saturating_add(1);
    }

    /// Marks the later zones of the list as doubtful, and notes why: the server may
    /// accept a client before it reaches them, and it is not known which clients.
    pub fn doubt(&mut self, setting: &str, why: impl Into<String>) {
        self.remark(setting, why);
        self.is_doubtful = true;
    }

    /// Marks every rejecting zone that is added after this call as one that defers:
    /// the server answers 4xx in place of 5xx.
    pub fn defer_all(&mut self) {
        self.defers = true;
    }

    /// Adds a table for the rules from here to the end of the list.
    pub fn add_table(&mut self, source: &str, entries: Vec<ClientEntry>) {
        self.open.push(ClientTable {
            source: source.into(),
            first: self.rules.len(),
            end: 0,
            entries,
        });
    }

    /// Adds a table for the rules from `first` to here.
    pub fn add_table_from(&mut self, first: usize, source: &str, entries: Vec<ClientEntry>) {
        self.keep_table(ClientTable {
            source: source.into(),
            first,
            end: self.rules.len(),
            entries,
        });
    }

    fn keep_table(&mut self, table: ClientTable) {
        let has_a_say = table.entries.iter().any(|entry| entry.says != Says::Dunno);
        // While there are no rules (`end` is 0), the table may apply to zones that the
        // settings do not name, see `take_tables`.
        if has_a_say && (table.first < table.end || table.end == 0) {
            self.tables.push(table);
        }
    }

    /// Takes the tables, after the last list. A table that covers no rule is left out,
    /// unless the settings have no rule at all: then spamdrop's configuration names
    /// the zones.
    pub fn take_tables(&mut self) -> Vec<ClientTable> {
        let mut tables = std::mem::take(&mut self.tables);
        let has_rules = !self.rules.is_empty();
        tables.retain(|table| !has_rules || table.first < table.end);
        tables
    }

    /// Adds a zone. A name that cannot be queried is only noted.
    pub fn add_zone(
        &mut self,
        setting: &str,
        zone: &str,
        effect: Effect,
        only: Option<AddressFilter>,
    ) {
        let zone = zone.strip_suffix('.').unwrap_or(zone);
        if !is_zone(zone) {
            self.note(setting, format!("{zone:?} is not the name of a zone"));
            return;
        }
        if !effect.is_allowing() {
            for note in std::mem::take(&mut self.pending) {
                self.keep_note(note);
            }
        }
        let weakens = self.is_doubtful || self.defers;
        let effect = match effect {
            Effect::Weigh { weight, .. } if weakens && weight < 0 => return,
            Effect::Weigh { .. } if weakens => Effect::Unsure,
            Effect::Reject(_) if self.is_doubtful => Effect::Unsure,
            Effect::Reject(_) if self.defers => Effect::Defer,
            effect => effect,
        };
        self.rules.push(Rule {
            zone: zone.into(),
            effect,
            only,
            list: self.list,
        });
    }
}

/// Parses an address or a prefix, perhaps in brackets.
pub(crate) fn entry(text: &str, says: Says) -> Option<ClientEntry> {
    let text = match text.split_once('/') {
        Some((addr, length)) => format!("{}/{length}", unbracketed(addr)),
        None => unbracketed(text).to_owned(),
    };
    let net = parse_net(&text)?;
    Some(ClientEntry { net, says })
}

fn unbracketed(addr: &str) -> &str {
    let inner = addr
        .strip_prefix('[')
        .and_then(|addr| addr.strip_suffix(']'));
    inner.unwrap_or(addr)
}
