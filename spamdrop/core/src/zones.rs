//! The zones that are queried.

use std::net::IpAddr;

use crate::client_table::{ClientRules, ClientTable, evaluate};
use crate::courier::smtpaccess::{Access, AccessEntry};
use crate::dnsbl::rule::{Effect, Rule};

/// The zones of the mail server, in its order, and its tables of sources for
/// which it queries no zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zones {
    rules: Vec<Rule>,
    access: Access,
    tables: Vec<ClientTable>,
    /// The server's own tables, if its rules are replaced.
    replaced: Option<Replaced>,
}

/// The tables of the server, and the number of rules that their indices refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Replaced {
    tables: Vec<ClientTable>,
    rules: usize,
}

/// Whether the server queries its zones about a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queried {
    /// The server queries them. For each rule, whether the server skips the rule.
    Zones(Vec<bool>),
    /// The server's tables exempt the source from all zones.
    Exempt,
    /// The server's tables refuse the source, or do something that is not
    /// understood.
    Undecided,
}

impl Zones {
    /// Creates the zones without tables: every source is looked up.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self::with_access(rules, Access::default())
    }

    /// Creates the zones with Courier's access table, which decides about some
    /// sources without a look-up.
    #[must_use]
    pub fn with_access(rules: Vec<Rule>, access: Access) -> Self {
        Self {
            rules,
            access,
            tables: Vec::new(),
            replaced: None,
        }
    }

    /// Creates the zones with the tables of Postfix or Exim, whose `first` and `end`
    /// are indices of these rules.
    #[must_use]
    pub fn with_tables(rules: Vec<Rule>, tables: Vec<ClientTable>) -> Self {
        Self {
            rules,
            access: Access::default(),
            tables,
            replaced: None,
        }
    }

    /// The zones, in the mail server's order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Replaces the rules. A source that the server's tables exempt from all zones, or
    /// leave undecided, stays so with the new rules. If the server has no zones, each
    /// of its tables applies to all new rules.
    #[must_use]
    pub fn replace_rules(self, rules: Vec<Rule>) -> Self {
        let (old, end) = (self.rules.len(), rules.len());
        let is_general = |table: &&ClientTable| table.first == 0 && table.end >= old;
        let general = self.tables.iter().filter(is_general).cloned();
        Self {
            tables: general.map(|table| ClientTable { end, ..table }).collect(),
            rules,
            access: self.access,
            replaced: self.replaced.or(Some(Replaced {
                tables: self.tables,
                rules: old,
            })),
        }
    }

    /// Whether the server queries its zones about this source.
    #[must_use]
    pub fn queried(&self, addr: IpAddr) -> Queried {
        match self.access.entry_for(addr) {
            AccessEntry::Spares => return Queried::Exempt,
            AccessEntry::Refuses => return Queried::Undecided,
            AccessEntry::Silent => {}
        }
        if let Some(replaced) = &self.replaced {
            let queried = by_tables(&replaced.tables, replaced.rules, addr);
            if !matches!(queried, Queried::Zones(_)) {
                return queried;
            }
        }
        by_tables(&self.tables, self.rules.len(), addr)
    }

    /// Whether any zone can make the server reject a source.
    #[must_use]
    pub fn can_list(&self) -> bool {
        let rejects = |rule: &Rule| match rule.effect {
            Effect::Reject(_) => true,
            Effect::Weigh { threshold, .. } => self.greatest_sum(rule.list) >= i64::from(threshold),
            Effect::Allow { .. } | Effect::Defer | Effect::Unsure => false,
        };
        self.rules.iter().any(rejects)
    }

    /// The greatest sum that the weights in a list can reach.
    fn greatest_sum(&self, list: u16) -> i64 {
        let rules = self.rules.iter().filter(|rule| rule.list == list);
        let weights = rules.map(|rule| match rule.effect {
            Effect::Weigh { weight, .. } => i64::from(weight.max(0)),
            _ => 0,
        });
        weights.fold(0, i64::saturating_add)
    }
}

fn by_tables(tables: &[ClientTable], rules: usize, addr: IpAddr) -> Queried {
    match evaluate(tables, rules, addr) {
        ClientRules::Undecided => Queried::Undecided,
        ClientRules::Skips(skips) if !skips.is_empty() && !skips.contains(&false) => {
            Queried::Exempt
        }
        ClientRules::Skips(skips) => Queried::Zones(skips),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::client_table::{ClientEntry, Says};

    fn rules(zones: &[&str]) -> Vec<Rule> {
        zones
            .iter()
            .map(|zone| Rule::of_config(zone).unwrap())
            .collect()
    }

    fn permit(first: usize, end: usize) -> ClientTable {
        ClientTable {
            source: "mynetworks".into(),
            first,
            end,
            entries: vec![ClientEntry {
                net: "192.0.2.0/24".parse().unwrap(),
                says: Says::Permit,
            }],
        }
    }

    #[test]
    fn tables_exempt_from_zones() {
        let two = || rules(&["a.example", "b.example"]);
        let zones = |tables: Vec<ClientTable>| Zones::with_tables(two(), tables);
        let (member, other) = ([192, 0, 2, 1].into(), [198, 51, 100, 1].into());
        assert_eq!(zones(vec![permit(0, 2)]).queried(member), Queried::Exempt);
        let half = zones(vec![permit(1, 2)]);
        assert_eq!(half.queried(member), Queried::Zones(vec![false, true]));
        assert_eq!(half.queried(other), Queried::Zones(vec![false, false]));
        // Only a source that is exempt from all old rules is exempt from the new ones.
        let own = || rules(&["own.example"]);
        let replaced = zones(vec![permit(0, 2)]).replace_rules(own());
        assert_eq!(replaced.rules(), own());
        assert_eq!(replaced.queried(member), Queried::Exempt);
        // The two lists of a server may exempt together.
        let both = zones(vec![permit(0, 1), permit(1, 2)]).replace_rules(own());
        assert_eq!(both.queried(member), Queried::Exempt);
        assert_eq!(both.queried(other), Queried::Zones(vec![false]));
        let none = Zones::with_tables(Vec::new(), vec![permit(0, 0)]).replace_rules(own());
        assert_eq!(none.queried(member), Queried::Exempt);
        let first = zones(vec![permit(0, 1)]).replace_rules(own());
        assert_eq!(first.queried(member), Queried::Zones(vec![false]));
        let replaced = half.replace_rules(own());
        assert_eq!(replaced.queried(member), Queried::Zones(vec![false]));
    }

    #[test]
    fn weights_must_be_able_to_reach_the_threshold() {
        let weigh = |list, weight| Rule {
            list,
            effect: Effect::Weigh {
                weight,
                threshold: 3,
            },
            ..Rule::of_config("b.example").unwrap()
        };
        assert!(Zones::new(vec![weigh(0, 1), weigh(0, 2), weigh(0, -4)]).can_list());
        assert!(!Zones::new(vec![weigh(0, 1), weigh(1, 2)]).can_list());
    }
}
