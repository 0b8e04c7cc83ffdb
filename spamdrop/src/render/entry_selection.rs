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
    /// No packet extends it.
    Fixed,
    /// It has no effect.
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
    /// The newest block first; at the end those of which it is not known when they
    /// began.
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

/// A prefix whose entries are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AskedNet {
    net: IpNet,
    is_found: bool,
}

/// Takes the entries that are asked for.
#[derive(Clone, Debug, Default)]
pub struct EntrySelection {
    nets: Vec<AskedNet>,
    states: Vec<StateWord>,
    order: EntryOrder,
    most: Option<usize>,
    since: FirstBlocked,
    entries: Vec<LiveEntry>,
    fitting: usize,
    all: usize,
}

impl EntrySelection {
    /// Selects the entries in these prefixes or around one of them, if there are
    /// some, which have all of these words; the first `most` of the order.
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

    /// Tells when blocks began, before any entry is taken.
    pub fn set_since(&mut self, since: FirstBlocked) {
        self.since = since;
    }

    /// Counts a live entry. Returns whether it is where entries are asked for.
    pub fn is_asked(&mut self, target: Target) -> bool {
        self.all += 1;
        self.nets.is_empty() || self.nets.iter().any(|asked| asked.is_near(target.net()))
    }

    /// Takes an entry that is asked for, if its state fits.
    pub fn take(&mut self, entry: LiveEntry) {
        if !self.states.iter().all(|word| word.is_of(&entry)) {
            return;
        }
        let net = entry.target.net();
        for asked in self.nets.iter_mut().filter(|asked| asked.is_near(net)) {
            asked.is_found = true;
        }
        self.fitting += 1;
        self.entries.push(entry);
        // Each entry is compared with a constant number of others.
        if self
            .most
            .is_some_and(|most| self.entries.len() >= most.saturating_mul(2))
        {
            self.cut();
        }
    }

    /// Leaves out the entries that are certainly not among the first ones.
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
            fitting: self.fitting,
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
    /// The prefixes without an entry that fits.
    pub missing: Vec<IpNet>,
    since: FirstBlocked,
    fitting: usize,
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
        let (shown, fitting, all) = (self.entries.len(), self.fitting, self.all);
        let entries = if all == 1 { "entry" } else { "entries" };
        match (shown == fitting, fitting == all) {
            (true, true) => writeln!(out, "{all} {entries}"),
            (true, false) | (false, true) => writeln!(out, "{shown} of {all} {entries}"),
            (false, false) => writeln!(out, "{shown} of {fitting} that fit, of {all} {entries}"),
        }
    }
}

/// Writes entries with their beginnings as a table.
pub fn dated_text(out: &mut impl Write, style: Style, dated: &[DatedEntry]) -> io::Result<()> {
    table::write(out, style, &DATED, dated)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::time::Duration;

    use super::super::entries::tests::entry;
    use super::super::json;
    use super::*;

    fn nets(text: &str) -> Vec<IpNet> {
        let target = |word: &str| word.parse::<Target>().unwrap();
        let net = |word: &str| spamdrop_core::target::parse_net(word);
        let words = text.split_whitespace();
        words
            .map(|word| net(word).unwrap_or_else(|| target(word).net()))
            .collect()
    }

    /// The selected ones of some entries, and the prefixes without any.
    fn selected(
        nets: Vec<IpNet>,
        states: &[StateWord],
        order: EntryOrder,
        most: Option<usize>,
    ) -> SelectedEntries {
        let some = |addr: &str, hits, expires, state, fixed, allowed| LiveEntry {
            hits,
            expires_in: Duration::from_secs(expires),
            state,
            fixed,
            allowed,
            ..entry(addr)
        };
        let (open, sealed) = (EntryState::Open, EntryState::Sealed);
        let all = [
            some("192.0.2.10", 5, 100, open, false, false),
            some("192.0.2.9", 5, 300, sealed, false, false),
            some("192.0.2.0/24", 9, 200, sealed, true, false),
            some("2001:db8::/64", 1, 50, sealed, false, true),
            some("2001:db8:0:1::7/128", 7, 60, open, true, false),
            some("198.51.100.0/25", 0, 70, sealed, true, false),
        ];
        let mut selection = EntrySelection::new(nets, states.to_vec(), order, most);
        let since = [("192.0.2.9", 30), ("192.0.2.10", 40), ("2001:db8::/64", 10)];
        let since = since.map(|(addr, at)| (addr.parse().unwrap(), UnixSeconds::new(at)));
        selection.set_since(since.into());
        for entry in all {
            if selection.is_asked(entry.target) {
                selection.take(entry);
            }
        }
        selection.finish()
    }

    fn shown(selected: &SelectedEntries) -> String {
        let targets = selected
            .entries
            .iter()
            .map(|entry| entry.target.to_string());
        targets.collect::<Vec<_>>().join(" ")
    }

    fn count(selected: &SelectedEntries) -> String {
        let mut out = Vec::new();
        selected.write_count(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_address_selects_what_blocks_it_and_a_prefix_what_is_in_it() {
        for (asked, expected, missing) in [
            ("192.0.2.9", "192.0.2.0/24 192.0.2.9", ""),
            ("192.0.2.8", "192.0.2.0/24", ""),
            ("192.0.2.8/30", "192.0.2.0/24 192.0.2.9 192.0.2.10", ""),
            ("192.0.0.0/16", "192.0.2.0/24 192.0.2.9 192.0.2.10", ""),
            (
                "198.51.100.200 2001:db8::5",
                "2001:db8::/64",
                "198.51.100.200",
            ),
            ("2001:db8::/32", "2001:db8::/64 2001:db8:0:1::7", ""),
            ("2001:db8:0:1::/64", "2001:db8:0:1::7", ""),
            ("2001:db8:0:1::8", "", "2001:db8:0:1::8"),
        ] {
            let selected = selected(nets(asked), &[], EntryOrder::Address, None);
            assert_eq!(shown(&selected), expected, "{asked}");
            assert_eq!(selected.missing, nets(missing), "{asked}");
        }
    }

    #[test]
    fn states_are_the_words_that_the_table_prints() {
        use StateWord::{Allowed, Fixed, Open, Sealed};
        for (states, expected) in [
            (&[Open][..], "192.0.2.10 2001:db8:0:1::7"),
            (&[Sealed], "192.0.2.0/24 192.0.2.9 198.51.100.0/25"),
            (&[Sealed, Fixed], "192.0.2.0/24 198.51.100.0/25"),
            (&[Fixed], "192.0.2.0/24 198.51.100.0/25 2001:db8:0:1::7"),
            (&[Allowed], "2001:db8::/64"),
            (&[Open, Sealed], ""),
        ] {
            let selected = selected(Vec::new(), states, EntryOrder::Address, None);
            assert_eq!(shown(&selected), expected, "{states:?}");
        }
        let other = selected(nets("2001:db8::1"), &[Sealed], EntryOrder::Address, None);
        assert_eq!(other.missing, nets("2001:db8::1"));
    }

    #[test]
    fn the_first_of_an_order_are_those_of_the_whole_order() {
        for (order, expected) in [
            (
                EntryOrder::Address,
                "192.0.2.0/24 192.0.2.9 192.0.2.10 198.51.100.0/25 2001:db8::/64 2001:db8:0:1::7",
            ),
            (
                EntryOrder::Hits,
                "192.0.2.0/24 2001:db8:0:1::7 192.0.2.9 192.0.2.10 2001:db8::/64 198.51.100.0/25",
            ),
            (
                EntryOrder::Expires,
                "2001:db8::/64 2001:db8:0:1::7 198.51.100.0/25 192.0.2.10 192.0.2.0/24 192.0.2.9",
            ),
            (
                EntryOrder::Since,
                "192.0.2.10 192.0.2.9 2001:db8::/64 192.0.2.0/24 198.51.100.0/25 2001:db8:0:1::7",
            ),
        ] {
            let expected: Vec<&str> = expected.split(' ').collect();
            for most in 1..8 {
                let first = selected(Vec::new(), &[], order, Some(most));
                let expected = expected[..most.min(6)].join(" ");
                assert_eq!(shown(&first), expected, "{order:?} {most}");
            }
            assert_eq!(
                shown(&selected(Vec::new(), &[], order, None)),
                expected.join(" ")
            );
        }
    }

    #[test]
    fn the_count_says_how_many_of_how_many() {
        let count = |asked, most| count(&selected(nets(asked), &[], EntryOrder::Hits, most));
        assert_eq!(count("", None), "6 entries\n");
        assert_eq!(count("", Some(2)), "2 of 6 entries\n");
        assert_eq!(count("192.0.2.9", None), "2 of 6 entries\n");
        assert_eq!(
            count("192.0.2.9", Some(1)),
            "1 of 2 that fit, of 6 entries\n"
        );
        assert_eq!(count("192.0.9.9", None), "0 of 6 entries\n");
    }

    #[test]
    fn entries_by_their_beginning_say_it() {
        let selected = selected(nets("192.0.2.9"), &[], EntryOrder::Since, None);
        let dated = selected.dated(&TimeZone::UTC);
        let mut out = Vec::new();
        dated_text(&mut out, Style::Plain, &dated).unwrap();
        json::array(&mut out, &dated[..1]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"ADDRESS       STATE          EXPIRES  HITS  SINCE                       BY
192.0.2.9     sealed         5m          5  1970-01-01 00:00:30 +00:00  hand
192.0.2.0/24  sealed, fixed  3m 20s      9  -                           hand
[
{"addr":"192.0.2.9","state":"sealed","expires_in_s":300.0,"hard_limit_in_s":null,"ttl_s":600,"hits":5,"refreshes":3,"origin":"hand","owners":["hand"],"fixed":false,"since_unix_s":30}
]
"#
        );
    }
}
