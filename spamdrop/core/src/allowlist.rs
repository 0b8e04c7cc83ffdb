//! The administrator's allowlist file: one address or prefix per line, with an
//! optional end and a comment.

mod line;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use ipnet::IpNet;

use crate::invalid::Invalid;
use crate::time::UnixSeconds;
use line::AllowLine;

pub use line::{AllowEnd, AllowTerm, checked_comment};

/// Allowed prefixes, to look others up in.
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

/// The changes by [`Allowlist::add`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowAdded {
    /// Prefixes that were not on the list.
    pub added: HashSet<IpNet>,
    /// Prefixes that have another end or comment now.
    pub changed: HashSet<IpNet>,
    /// Those of them that had no end and have one now, in their order.
    pub limited: Vec<IpNet>,
}

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
        of_net.max_by_key(|item| item.end.at().unwrap_or(UnixSeconds::new(u64::MAX)))
    }

    /// The time at which the next entry ends.
    #[must_use]
    pub fn next_end(&self) -> Option<UnixSeconds> {
        self.items().filter_map(|item| item.end.at()).min()
    }

    /// A sentence for each entry whose end cannot be read, so that it is allowed
    /// without one.
    pub fn mistakes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        let lines = self.lines.iter().enumerate();
        lines.filter_map(move |(index, line)| Some(line.mistake()?.describe(name, index + 1)))
    }

    /// Adds prefixes with this end and comment, which replace those that they have.
    pub fn add(&mut self, nets: &[IpNet], term: AllowTerm<'_>) -> AllowAdded {
        let mut change = AllowAdded::default();
        let mut places: HashMap<IpNet, usize> = HashMap::new();
        let mut repeated = HashSet::new();
        for (index, line) in self.lines.iter().enumerate() {
            if let Some(net) = line.net()
                && places.insert(net, index).is_some()
            {
                repeated.insert(net);
            }
        }
        for &net in nets {
            let Some(place) = places.get(&net) else {
                places.insert(net, self.lines.len());
                self.lines.push(AllowLine::new(net, term));
                self.nets.push(net);
                change.added.insert(net);
                continue;
            };
            let Some(line) = self.lines.get_mut(*place) else {
                continue;
            };
            let is_repeated = repeated.contains(&net);
            if line.fits(term) && !is_repeated {
                continue;
            }
            let (was_live, had_end) = (line.is_live(self.now), line.end().at().is_some());
            *line = line.replaced(net, term);
            if !was_live && !is_repeated {
                self.nets.push(net);
                change.added.insert(net);
            } else if !change.added.contains(&net) && change.changed.insert(net) {
                change
                    .limited
                    .extend((!had_end && term.until.is_some()).then_some(net));
            }
        }
        self.keep_last_of(&change.changed, &places);
        change
    }

    /// Of several lines of a prefix that was changed, keeps the one at its place.
    fn keep_last_of(&mut self, changed: &HashSet<IpNet>, places: &HashMap<IpNet, usize>) {
        let mut index = 0;
        self.lines.retain(|line| {
            let place = index;
            index += 1;
            let net = line.net().filter(|net| changed.contains(net));
            net.is_none_or(|net| places.get(&net) == Some(&place))
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

    /// Removes the lines of entries whose end has passed. Returns their number.
    pub fn remove_ended(&mut self) -> usize {
        let before = self.lines.len();
        let now = self.now;
        self.lines
            .retain(|line| line.net().is_none() || line.is_live(now));
        before - self.lines.len()
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
