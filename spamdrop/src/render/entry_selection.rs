//! Which entries `list` shows, and in which order.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use ipnet::IpNet;
use jiff::tz::TimeZone;
use serde::Serialize;
use spamdrop_core::target::Target;
use spamdrop_core::time::UnixSeconds;

use super::entries::{self, EntryState, LiveEntry};
use super::show::local_time;
use super::table::{self, Column, Style, left, right};

/// A word of the column STATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateWord {
    /// Only new connections are dropped.
    Open,
    /// Every packet is dropped.
    Sealed,
    /// No packet extends the entry.
    Fixed,
    /// The allowlist covers the entry, so that it has no effect.
    Allowed,
}

impl StateWord {
    /// Whether the column STATE of an entry has this word.
    fn is_of(self, entry: &LiveEntry) -> bool {
        let is_state = match self {
            Self::Allowed => return entry.allowed,
            Self::Open => entry.state == EntryState::Open,
            Self::Sealed => entry.state == EntryState::Sealed,
            Self::Fixed => entry.fixed,
        };
        is_state && !entry.allowed
    }
}

/// The order of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntryOrder {
    /// As [`entries::sort`].
    #[default]
    Address,
    /// Most hits first.
    Hits,
    /// The next to expire first.
    Expires,
    /// The newest block first. Blocks whose beginning is unknown come last.
    Since,
}

/// When the blocks of entries began.
pub type FirstBlocked = HashMap<Target, UnixSeconds>;

impl EntryOrder {
    fn compare(self, since: &FirstBlocked, a: &LiveEntry, b: &LiveEntry) -> Ordering {
        let began = |entry: &LiveEntry| since.get(&entry.target).copied();
        let by = match self {
            Self::Address => Ordering::Equal,
            Self::Hits => b.hits.cmp(&a.hits),
            Self::Expires => a.expires_in.cmp(&b.expires_in),
            Self::Since => Reverse(began(a)).cmp(&Reverse(began(b))),
        };
        by.then_with(|| a.target.net().cmp(&b.target.net()))
    }
}

/// A prefix that the command line names, and whether an entry was selected in it or
/// around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AskedNet {
    net: IpNet,
    is_found: bool,
}

/// Selects the entries that `list` shows, while all entries are read one by one.
#[derive(Clone, Debug, Default)]
pub struct EntrySelection {
    nets: Vec<AskedNet>,
    states: Vec<StateWord>,
    order: EntryOrder,
    most: Option<usize>,
    since: FirstBlocked,
    entries: Vec<LiveEntry>,
    selected: usize,
    all: usize,
}

impl EntrySelection {
    /// Selects the entries whose column STATE has all of `states`. If `nets` is not
    /// empty, an entry must also lie in one of `nets` or contain one. Of these
    /// entries, the first `most` in `order` are kept; `None`: all.
    #[must_use]
    pub fn new(
        nets: impl IntoIterator<Item = IpNet>,
        states: Vec<StateWord>,
        order: EntryOrder,
        most: Option<usize>,
    ) -> Self {
        let asked = |net| AskedNet {
            net,
            is_found: false,
        };
        Self {
            nets: nets.into_iter().map(asked).collect(),
            states,
            order,
            most,
            ..Self::default()
        }
    }

    /// Whether [`EntrySelection::set_since`] is needed.
    #[must_use]
    pub fn needs_since(&self) -> bool {
        self.order == EntryOrder::Since
    }

    /// Sets when blocks began. Must precede the first [`EntrySelection::take`].
    pub fn set_since(&mut self, since: FirstBlocked) {
        self.since = since;
    }

    /// Counts a live entry. Returns whether it passes the condition on `nets` of
    /// [`EntrySelection::new`].
    pub fn is_asked(&mut self, target: Target) -> bool {
        self.all += 1;
        self.nets.is_empty() || self.nets.iter().any(|asked| asked.is_near(target.net()))
    }

    /// Selects an entry for which [`EntrySelection::is_asked`] was true, if its column
    /// STATE has all of `states`.
    pub fn take(&mut self, entry: LiveEntry) {
        if !self.states.iter().all(|word| word.is_of(&entry)) {
            return;
        }
        let net = entry.target.net();
        for asked in self.nets.iter_mut().filter(|asked| asked.is_near(net)) {
            asked.is_found = true;
        }
        self.selected += 1;
        self.entries.push(entry);
        // To cut only at twice the number keeps the cost per entry constant.
        if self
            .most
            .is_some_and(|most| self.entries.len() >= most.saturating_mul(2))
        {
            self.cut();
        }
    }

    /// Drops the entries that are not among the first `most`.
    fn cut(&mut self) {
        if let Some(most) = self.most.filter(|most| self.entries.len() > *most) {
            let (order, since) = (self.order, &self.since);
            let compare = |a: &_, b: &_| order.compare(since, a, b);
            self.entries.select_nth_unstable_by(most, compare);
            self.entries.truncate(most);
        }
    }

    /// The selected entries, sorted.
    #[must_use]
    pub fn finish(mut self) -> SelectedEntries {
        self.cut();
        match self.order {
            EntryOrder::Address => entries::sort(&mut self.entries),
            order => {
                let compare = |a: &_, b: &_| order.compare(&self.since, a, b);
                self.entries.sort_unstable_by(compare);
            }
        }
        let missing = self.nets.iter().filter(|asked| !asked.is_found);
        SelectedEntries {
            missing: missing.map(|asked| asked.net).collect(),
            since: self.since,
            entries: self.entries,
            selected: self.selected,
            all: self.all,
        }
    }
}

impl AskedNet {
    fn is_near(&self, net: IpNet) -> bool {
        self.net.contains(&net) || net.contains(&self.net)
    }
}

/// The entries that `list` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedEntries {
    /// The entries, in their order.
    pub entries: Vec<LiveEntry>,
    /// The prefixes of the command line for which no entry was selected.
    pub missing: Vec<IpNet>,
    since: FirstBlocked,
    selected: usize,
    all: usize,
}

/// An entry with its beginning. `list --sort since --json` prints an array of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatedEntry {
    #[serde(flatten)]
    entry: LiveEntry,
    /// When it began, in seconds since 1970; `null`: unknown.
    since_unix_s: Option<u64>,
    #[serde(skip)]
    since: String,
}

const DATED: [Column<DatedEntry>; 6] = [
    left("ADDRESS", |dated, text| {
        write!(text, "{}", dated.entry.target)
    }),
    left("STATE", |dated, text| text.write_str(dated.entry.state())),
    left("EXPIRES", |dated, text| dated.entry.expires(text)),
    right("HITS", |dated, text| write!(text, "{}", dated.entry.hits)),
    left("SINCE", |dated, text| text.write_str(&dated.since)),
    left("BY", |dated, text| write!(text, "{}", dated.entry.owners)),
];

impl SelectedEntries {
    /// The entries with their beginnings, whose times are shown in `zone`.
    #[must_use]
    pub fn dated(&self, zone: &TimeZone) -> Vec<DatedEntry> {
        let dated = |entry: &LiveEntry| {
            let since = self.since.get(&entry.target).copied();
            DatedEntry {
                entry: entry.clone(),
                since_unix_s: since.map(UnixSeconds::get),
                since: since.map_or_else(|| "-".into(), |since| local_time(since, zone)),
            }
        };
        self.entries.iter().map(dated).collect()
    }

    /// Writes how many entries are shown, of how many.
    pub fn write_count(&self, out: &mut impl Write) -> io::Result<()> {
        let (shown, selected, all) = (self.entries.len(), self.selected, self.all);
        let entries = if all == 1 { "entry" } else { "entries" };
        match (shown == selected, selected == all) {
            (true, true) => writeln!(out, "{all} {entries}"),
            (true, false) | (false, true) => writeln!(out, "{shown} of {all} {entries}"),
            (false, false) => writeln!(out, "{shown} of {selected} selected, of {all} {entries}"),
        }
    }
}

/// Writes entries with their beginnings as a table.
pub fn dated_text(out: &mut impl Write, style: Style, dated: &[DatedEntry]) -> io::Result<()> {
    table::write(out, style, &DATED, dated)
}

#[cfg(test)]
mod tests;
