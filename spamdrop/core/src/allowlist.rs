//! The administrator's allowlist file: one address or prefix per line.

use std::fmt;

use ipnet::IpNet;

use crate::invalid::Invalid;
use crate::target::parse_net;

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

    /// Adds a prefix. Returns `false` if it was there already.
    pub fn add(&mut self, net: IpNet) -> bool {
        if self.nets.contains(&net) {
            return false;
        }
        self.nets.push(net);
        let is_host = net.prefix_len() == net.max_prefix_len();
        self.lines.push(if is_host {
            net.addr().to_string()
        } else {
            net.to_string()
        });
        true
    }

    /// Removes a prefix and its line. Returns `false` if it was not there.
    pub fn remove(&mut self, net: IpNet) -> bool {
        let before = self.nets.len();
        self.nets.retain(|other| *other != net);
        self.lines.retain(|line| net_of(line) != Ok(Some(net)));
        self.nets.len() != before
    }
}

impl fmt::Display for Allowlist {
    /// Formats the text of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
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
        assert!(!list.add("192.0.2.0/24".parse().unwrap()));
        assert!(list.add("198.51.100.7/32".parse().unwrap()));
        assert!(list.remove("192.0.2.0/24".parse().unwrap()));
        assert!(!list.remove("192.0.2.0/24".parse().unwrap()));
        assert!(list.add("203.0.113.0/24".parse().unwrap()));
        assert_eq!(
            list.to_string(),
            "# ours\n\n2001:db8::1  # backup MX\n198.51.100.7\n203.0.113.0/24\n"
        );
        assert_eq!(list.nets().len(), 3);
        assert_eq!(Allowlist::default().to_string(), "");
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = Allowlist::parse("/etc/allow", "192.0.2.1\nfriend.example # x\n");
        let expected = "/etc/allow:2: `friend.example` is not an address or prefix";
        assert_eq!(error.unwrap_err().to_string(), expected);
    }
}
