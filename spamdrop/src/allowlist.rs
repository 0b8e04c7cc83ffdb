//! The administrator's allowlist: a file with a prefix a line.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use ipnet::IpNet;

use crate::durable;
use crate::exit::{Exit, Failure};

/// The file, line by line, so that its comments survive an edit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowlist {
    path: PathBuf,
    lines: Vec<String>,
    nets: Vec<IpNet>,
}

impl Allowlist {
    /// Reads the file; none is an empty list.
    ///
    /// # Errors
    ///
    /// It cannot be read, or a line is not an address ([`Exit::Config`]).
    pub fn read(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let mut list = Self {
            path: path.into(),
            ..Self::default()
        };
        for (number, line) in text.lines().enumerate() {
            list.nets.extend(net_of(line).map_err(|word| {
                let message = format!(
                    "{}:{}: `{word}` is not an address or prefix",
                    path.display(),
                    number + 1
                );
                Failure::new(Exit::Config, message)
            })?);
            list.lines.push(line.into());
        }
        Ok(list)
    }

    /// The allowed prefixes.
    #[must_use]
    pub fn nets(&self) -> &[IpNet] {
        &self.nets
    }

    /// Adds a prefix; whether it was new.
    pub fn add(&mut self, net: IpNet) -> bool {
        if self.nets.contains(&net) {
            return false;
        }
        self.nets.push(net);
        self.lines.push(if is_host(net) {
            net.addr().to_string()
        } else {
            net.to_string()
        });
        true
    }

    /// Removes a prefix with its line; whether it was there.
    pub fn remove(&mut self, net: IpNet) -> bool {
        let before = self.nets.len();
        self.nets.retain(|other| *other != net);
        self.lines.retain(|line| net_of(line) != Ok(Some(net)));
        self.nets.len() != before
    }

    /// Replaces the file whole, so that a crash leaves the old or the new.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self) -> Result<()> {
        let mut text = self.lines.join("\n");
        text.push('\n');
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)
                .with_context(|| format!("cannot make the directory {}", dir.display()))?;
        }
        durable::replace(&self.path, text.as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn is_host(net: IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

/// The prefix on a line; its word where it is none.
fn net_of(line: &str) -> Result<Option<IpNet>, &str> {
    let word = line.split('#').next().unwrap_or("").trim();
    if word.is_empty() {
        return Ok(None);
    }
    parse_net(word).map(Some).ok_or(word)
}

/// An address or prefix, host bits cleared, IPv4-mapped ones as IPv4.
#[must_use]
pub fn parse_net(word: &str) -> Option<IpNet> {
    if let Ok(addr) = word.parse::<IpAddr>() {
        return Some(addr.to_canonical().into());
    }
    let net: IpNet = word.parse().ok()?;
    let mapped = match net.addr() {
        IpAddr::V6(addr) => addr.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    };
    match (mapped, net.prefix_len().checked_sub(96)) {
        (Some(addr), Some(length)) => IpNet::new(addr.into(), length).ok(),
        _ => Some(net),
    }
    .map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn edits_keep_comments_and_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etc/allow");
        let mut list = Allowlist::read(&path).unwrap();
        assert!(list.nets().is_empty());
        assert!(list.add("192.0.2.0/24".parse().unwrap()));
        list.write().unwrap();
        fs::write(&path, "# ours\n192.0.2.0/24\n\n2001:db8::1  # backup MX\n").unwrap();
        let mut list = Allowlist::read(&path).unwrap();
        assert!(!list.add("192.0.2.0/24".parse().unwrap()));
        assert!(list.add("198.51.100.7/32".parse().unwrap()));
        assert!(list.remove("192.0.2.0/24".parse().unwrap()));
        assert!(!list.remove("192.0.2.0/24".parse().unwrap()));
        list.write().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "# ours\n\n2001:db8::1  # backup MX\n198.51.100.7\n");
        assert!(!path.with_added_extension("new").exists());
    }

    #[test]
    fn reads_prefixes_as_the_filter_sees_their_packets() {
        for (word, net) in [
            ("192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.77/24", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:192.0.2.77/120", "192.0.2.0/24"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(parse_net(word), net.parse().ok(), "{word}");
        }
        assert_eq!(parse_net("192.0.2.1/33"), None);
    }

    #[test]
    fn a_bad_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("allow");
        fs::write(&path, "192.0.2.1\nfriend.example\n").unwrap();
        let error = Allowlist::read(&path).unwrap_err().to_string();
        assert!(error.contains(":2: `friend.example`"), "{error}");
    }
}
