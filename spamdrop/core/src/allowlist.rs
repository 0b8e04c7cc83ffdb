//! The administrator's allowlist file: one address or prefix per line, with an
//! optional end and a comment.

mod line;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use ipnet::IpNet;

use crate::invalid::Invalid;
use crate::time::UnixSeconds;
use line::AllowLine;

pub use line::{AllowEnd, AllowTerm, checked_comment, end_after};

/// Allowed prefixes, in which other prefixes are looked up.
#[derive(Clone, Debug, Default)]
pub struct AllowedNets(BTreeMap<u8, HashSet<IpNet>>);

impl FromIterator<IpNet> for AllowedNets {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        let mut allowed = Self::default();
        for net in nets {
            allowed.0.entry(net.prefix_len()).or_default().insert(net);
        }
        allowed
    }
}

impl AllowedNets {
    /// Whether a prefix is allowed as a whole.
    #[must_use]
    pub fn cover(&self, net: IpNet) -> bool {
        let wider = self.0.range(..=net.prefix_len());
        wider.into_iter().any(|(length, nets)| {
            IpNet::new(net.addr(), *length).is_ok_and(|wide| nets.contains(&wide.trunc()))
        })
    }
}

/// The lines of the file, kept so that comments survive an edit. Entries whose end
/// has passed are not allowed any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowlist {
    lines: Vec<AllowLine>,
    /// The prefixes of the entries that have not ended.
    nets: Vec<IpNet>,
    now: UnixSeconds,
}

/// An entry of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowItem<'a> {
    /// The prefix.
    pub net: IpNet,
    /// Its end.
    pub end: AllowEnd,
    /// The comment without the end; empty: none.
    pub comment: &'a str,
}

/// The period in which the prefixes read from a list stay right: until the next
/// entry ends, or the wall clock is set back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowSpan {
    /// When the list was read. If the wall clock is set to an earlier time, entries
    /// that counted as ended are allowed again.
    pub from: UnixSeconds,
    /// When the next entry ends.
    pub until: Option<UnixSeconds>,
}

impl AllowSpan {
    /// Whether the period is over at this reading of the wall clock.
    #[must_use]
    pub fn is_over(&self, now: UnixSeconds) -> bool {
        now < self.from || self.until.is_some_and(|until| until <= now)
    }
}

/// The changes by [`Allowlist::add`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowAdded {
    /// Prefixes that were not on the list.
    pub added: HashSet<IpNet>,
    /// Prefixes that have another end or comment now.
    pub changed: HashSet<IpNet>,
    /// The changed prefixes that had no end and have one now, in the given order.
    pub limited: Vec<IpNet>,
    /// Prefixes that were on the list without an end, or with a later end than the
    /// given one. Their end and comment are not changed.
    pub kept: HashSet<IpNet>,
}

/// The lines of the file that name the same prefix.
#[derive(Clone, Copy, Debug)]
struct LinesOfNet {
    last: usize,
    is_repeated: bool,
    /// The end of the entry that ends last; `None`: all have ended.
    end: Option<UnixSeconds>,
}

/// Stands for the end of an entry without one, in comparisons.
const NEVER: UnixSeconds = UnixSeconds::new(u64::MAX);

impl Allowlist {
    /// Parses the text of the file; `name` is the file name for error messages.
    ///
    /// # Errors
    ///
    /// A line is not an address or prefix; the message names file, line and
    /// word.
    pub fn parse(name: &str, text: &str, now: UnixSeconds) -> Result<Self, Invalid> {
        let mut list = Self {
            now,
            ..Self::default()
        };
        for (index, line) in text.lines().enumerate() {
            let line = AllowLine::parse(line).map_err(|word| {
                let number = index + 1;
                Invalid::new(format!(
                    "{name}:{number}: `{word}` is not an address or prefix"
                ))
            })?;
            list.nets.extend(line.net().filter(|_| line.is_live(now)));
            list.lines.push(line);
        }
        Ok(list)
    }

    /// The allowed prefixes.
    #[must_use]
    pub fn nets(&self) -> &[IpNet] {
        &self.nets
    }

    /// The entries that have not ended, in the order of the file.
    pub fn items(&self) -> impl Iterator<Item = AllowItem<'_>> {
        let live = self.lines.iter().filter(|line| line.is_live(self.now));
        live.filter_map(|line| {
            Some(AllowItem {
                net: line.net()?,
                end: line.end(),
                comment: line.comment(),
            })
        })
    }

    /// The entry of a prefix; of several, the one that ends last.
    #[must_use]
    pub fn item(&self, net: IpNet) -> Option<AllowItem<'_>> {
        let of_net = self.items().filter(|item| item.net == net);
        of_net.max_by_key(|item| item.end.time().unwrap_or(NEVER))
    }

    /// The period in which [`Allowlist::nets`] stay right.
    #[must_use]
    pub fn span(&self) -> AllowSpan {
        AllowSpan {
            from: self.now,
            until: self.items().filter_map(|item| item.end.time()).min(),
        }
    }

    /// A sentence for each entry whose end cannot be read. Such an entry is allowed
    /// without an end.
    pub fn mistakes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        let lines = self.lines.iter().enumerate();
        lines.filter_map(move |(index, line)| Some(line.mistake()?.describe(name, index + 1)))
    }

    /// Adds prefixes with this end and comment. For a prefix that is on the list already,
    /// [`AllowTerm`] says whether its own end and comment are replaced.
    pub fn add(&mut self, nets: &[IpNet], term: AllowTerm<'_>) -> AllowAdded {
        let mut change = AllowAdded::default();
        let mut places = self.places();
        let end = term.until.unwrap_or(NEVER);
        for &net in nets {
            let Some(place) = places.get_mut(&net) else {
                let place = LinesOfNet {
                    last: self.lines.len(),
                    is_repeated: false,
                    end: Some(end),
                };
                places.insert(net, place);
                self.lines.push(AllowLine::new(net, term));
                change.added.insert(net);
                continue;
            };
            if !term.shortens && place.end.is_some_and(|present| end < present) {
                change.kept.insert(net);
                continue;
            }
            let Some(line) = self.lines.get_mut(place.last) else {
                continue;
            };
            if line.fits(term) && !place.is_repeated {
                continue;
            }
            *line = line.replaced(net, term);
            let present = place.end.replace(end);
            if present.is_none() {
                change.added.insert(net);
            } else if !change.added.contains(&net) && change.changed.insert(net) {
                let is_limited = present == Some(NEVER) && end < NEVER;
                change.limited.extend(is_limited.then_some(net));
            }
        }
        self.keep_last_of(&change, &places);
        change
    }

    fn places(&self) -> HashMap<IpNet, LinesOfNet> {
        let mut places: HashMap<IpNet, LinesOfNet> = HashMap::new();
        for (last, line) in self.lines.iter().enumerate() {
            let Some(net) = line.net() else {
                continue;
            };
            let end = line.end().time().unwrap_or(NEVER);
            let end = line.is_live(self.now).then_some(end);
            let earlier = places.get(&net);
            let place = LinesOfNet {
                last,
                is_repeated: earlier.is_some(),
                end: earlier.and_then(|earlier| earlier.end).max(end),
            };
            places.insert(net, place);
        }
        places
    }

    /// Keeps only one line of each prefix that was added or changed: the one with its
    /// new end.
    fn keep_last_of(&mut self, change: &AllowAdded, places: &HashMap<IpNet, LinesOfNet>) {
        let AllowAdded { added, changed, .. } = change;
        let mut index = 0;
        self.lines.retain(|line| {
            let place = index;
            index += 1;
            let net = line.net();
            let net = net.filter(|net| added.contains(net) || changed.contains(net));
            let places = net.and_then(|net| places.get(&net));
            places.is_none_or(|lines| lines.last == place)
        });
        self.find_nets();
    }

    /// Removes prefixes and their lines. Returns those that were on the list.
    pub fn remove(&mut self, nets: &[IpNet]) -> HashSet<IpNet> {
        let unwanted: HashSet<IpNet> = nets.iter().copied().collect();
        let live = self.nets.iter();
        let removed = live.copied().filter(|net| unwanted.contains(net)).collect();
        let is_unwanted = |line: &AllowLine| line.net().is_some_and(|net| unwanted.contains(&net));
        self.lines.retain(|line| !is_unwanted(line));
        self.find_nets();
        removed
    }

    /// Removes the lines of entries that ended a day ago or earlier.
    pub fn remove_ended(&mut self) {
        let now = self.now;
        self.lines
            .retain(|line| line.net().is_none() || !line.is_over(now));
    }

    fn find_nets(&mut self) {
        let live = self.lines.iter().filter(|line| line.is_live(self.now));
        self.nets = live.filter_map(AllowLine::net).collect();
    }
}

impl fmt::Display for Allowlist {
    /// Formats the text of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests;
