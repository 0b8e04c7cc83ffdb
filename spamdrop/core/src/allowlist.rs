//! The administrator's allowlist file: one address or prefix per line.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use ipnet::IpNet;

use crate::invalid::Invalid;
use crate::target::parse_net;

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

/// The lines of the file, kept so that comments survive an edit, and their
/// prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowlist {
    lines: Vec<String>,
    nets: Vec<IpNet>,
}

impl Allowlist {
    /// Parses the text of the file; `name` is the file name for error messages.
    ///
    /// # Errors
    ///
    /// A line is not an address or prefix; the message names file, line and
    /// word.
    pub fn parse(name: &str, text: &str) -> Result<Self, Invalid> {
        let mut list = Self::default();
        for (index, line) in text.lines().enumerate() {
            let net = net_of(line).map_err(|word| {
                let number = index + 1;
                Invalid::new(format!(
                    "{name}:{number}: `{word}` is not an address or prefix"
                ))
            })?;
            list.nets.extend(net);
            list.lines.push(line.into());
        }
        Ok(list)
    }

    /// The allowed prefixes.
    #[must_use]
    pub fn nets(&self) -> &[IpNet] {
        &self.nets
    }

    /// Adds prefixes. Returns those that were not on the list.
    pub fn add(&mut self, nets: &[IpNet]) -> HashSet<IpNet> {
        let mut present: HashSet<IpNet> = self.nets.iter().copied().collect();
        let mut added = HashSet::new();
        for &net in nets {
            if present.insert(net) {
                added.insert(net);
                self.nets.push(net);
                self.lines.push(show(net));
            }
        }
        added
    }

    /// Removes prefixes and their lines. Returns those that were on the list.
    pub fn remove(&mut self, nets: &[IpNet]) -> HashSet<IpNet> {
        let unwanted: HashSet<IpNet> = nets.iter().copied().collect();
        let mut removed = HashSet::new();
        self.nets.retain(|net| {
            let stays = !unwanted.contains(net);
            if !stays {
                removed.insert(*net);
            }
            stays
        });
        self.lines
            .retain(|line| !matches!(net_of(line), Ok(Some(net)) if unwanted.contains(&net)));
        removed
    }
}

impl fmt::Display for Allowlist {
    /// Formats the text of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A prefix as the file shows it: a host without its length.
fn show(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

/// Parses the prefix of a line; `None` for a line without one. The error is the
/// word that is not a prefix.
fn net_of(line: &str) -> Result<Option<IpNet>, &str> {
    let word = line.split('#').next().unwrap_or("").trim();
    if word.is_empty() {
        return Ok(None);
    }
    parse_net(word).map(Some).ok_or(word)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn edits_keep_comments_and_order() {
        let text = "# ours\n192.0.2.0/24\n\n2001:db8::1  # backup MX";
        let mut list = Allowlist::parse("allow", text).unwrap();
        let nets = |text: &str| -> Vec<IpNet> {
            let words = text.split(' ');
            words.map(|word| word.parse().unwrap()).collect()
        };
        let set = |text: &str| HashSet::from_iter(nets(text));
        let present_and_new = nets("192.0.2.0/24 198.51.100.7/32 198.51.100.7/32");
        assert_eq!(list.add(&present_and_new), set("198.51.100.7/32"));
        let present_and_missing = nets("192.0.2.0/24 192.0.2.1/32");
        assert_eq!(list.remove(&present_and_missing), set("192.0.2.0/24"));
        assert!(list.remove(&present_and_missing).is_empty());
        assert_eq!(list.add(&nets("203.0.113.0/24")).len(), 1);
        assert_eq!(
            list.to_string(),
            "# ours\n\n2001:db8::1  # backup MX\n198.51.100.7\n203.0.113.0/24\n"
        );
        assert_eq!(list.nets().len(), 3);
        assert_eq!(Allowlist::default().to_string(), "");
    }

    /// With a search of the list for each prefix, this took minutes.
    #[test]
    fn large_edits_take_time_in_proportion() {
        let host = |number: u32| IpNet::from(std::net::IpAddr::from(number.to_be_bytes()));
        let hosts: Vec<IpNet> = (0..200_000).map(host).collect();
        let start = std::time::Instant::now();
        let mut list = Allowlist::default();
        assert_eq!(list.add(&hosts).len(), hosts.len());
        assert_eq!(list.remove(&hosts[1..]).len(), hosts.len() - 1);
        assert_eq!(list.to_string(), "0.0.0.0\n");
        assert!(start.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = Allowlist::parse("/etc/allow", "192.0.2.1\nfriend.example # x\n");
        let expected = "/etc/allow:2: `friend.example` is not an address or prefix";
        assert_eq!(error.unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_prefix_is_covered_by_wider_ones_only() {
        let nets = ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/48"];
        let allowed: AllowedNets = nets.iter().filter_map(|net| net.parse().ok()).collect();
        for (net, expected) in [
            ("192.0.2.9/32", true),
            ("192.0.2.0/24", true),
            ("192.0.0.0/16", false),
            ("198.51.100.7/32", true),
            ("198.51.100.8/32", false),
            ("2001:db8:0:1::/64", true),
            ("2001:db8:1::/64", false),
        ] {
            let covered = net.parse().map(|net| allowed.cover(net));
            assert_eq!(covered, Ok(expected), "{net}");
        }
    }
}
