//! Reads addresses from the command line or standard input.

use std::io::BufRead;

use anyhow::{Context as _, Result};
use ipnet::IpNet;

use crate::cli::Addrs;
use crate::exit::{Exit, Failure};
use spamdrop_core::escape::escape;
use spamdrop_core::target::{Target, parse_net};

/// An address or prefix, as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Given {
    /// The entry that usually blocks the address or prefix: for an IPv6 address, the entry
    /// of its /64.
    pub target: Target,
    /// The address or prefix itself. An IPv6 address is not widened to its /64.
    pub net: IpNet,
}

/// The addresses given to a verb, sorted, without duplicates.
#[derive(Debug)]
pub struct GivenAddresses {
    /// All addresses and prefixes.
    pub all: Vec<Given>,
    /// Each word of the command line, and what it names. Empty for standard input.
    pub words: Vec<(String, Given)>,
    /// Prefixes of the command line that have host bits set, each with the prefix
    /// that is used: without these bits.
    pub truncated: Vec<(String, IpNet)>,
}

/// Reads addresses and prefixes. `-` alone stands for standard input.
///
/// # Errors
///
/// A word is not an address ([`Exit::Usage`]), or standard input fails.
pub fn read(args: &Addrs) -> Result<GivenAddresses> {
    let words = &args.addrs;
    if words == &["-"] {
        return Ok(GivenAddresses {
            all: sorted(read_lines("standard input", std::io::stdin().lock())?),
            words: Vec::new(),
            truncated: Vec::new(),
        });
    }
    if words.iter().any(|word| word == "-") {
        let message = "`-` reads standard input and must be the only ADDR";
        return Err(Failure::new(Exit::Usage, message));
    }
    let all = each(words)?;
    let truncated = words
        .iter()
        .zip(&all)
        .filter(|(word, _)| word.parse().is_ok_and(|net: IpNet| net != net.trunc()))
        .map(|(word, given)| (word.clone(), given.net))
        .collect();
    Ok(GivenAddresses {
        words: words.iter().cloned().zip(all.iter().copied()).collect(),
        all: sorted(all),
        truncated,
    })
}

impl Given {
    /// Whether this is a single address, not a prefix or a /64.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.net.prefix_len() == self.net.max_prefix_len()
    }
}

/// Fails if `step` returns a next step for a word: the word is not an address, but
/// the user seems to want something else that spamdrop can do.
///
/// # Errors
///
/// `step` returns a next step for a word ([`Exit::Usage`]).
pub fn ensure_addresses(args: &Addrs, step: impl Fn(&str) -> Option<String>) -> Result<()> {
    let words = args.addrs.iter().map(|word| (word, step(word)));
    match words
        .into_iter()
        .find_map(|(word, step)| Some((word, step?)))
    {
        Some((word, step)) => {
            let message = format!("`{}` is not an address; {step}", escape(word.as_bytes()));
            Err(Failure::new(Exit::Usage, message))
        }
        None => Ok(()),
    }
}

/// Reads one address a line. Blank lines and comments, from `#` on, are
/// skipped. `name` is the name of the input, for messages.
///
/// # Errors
///
/// A line is not an address ([`Exit::Usage`]), or `input` fails.
pub fn read_lines(name: &str, input: impl BufRead) -> Result<Vec<Given>> {
    let mut all = Vec::new();
    for (index, line) in input.split(b'\n').enumerate() {
        let line = line.with_context(|| format!("cannot read {name}"))?;
        let word = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let word = word.trim_ascii();
        if word.is_empty() {
            continue;
        }
        let text = std::str::from_utf8(word).map_or_else(|_| escape(word), str::to_owned);
        all.push(given(&text).with_context(|| format!("{name}, line {}", index + 1))?);
    }
    Ok(all)
}

/// The addresses and prefixes that `words` name, in their order.
///
/// # Errors
///
/// A word is not an address ([`Exit::Usage`]).
pub(super) fn each(words: &[String]) -> Result<Vec<Given>> {
    words.iter().map(|word| given(word)).collect()
}

fn given(word: &str) -> Result<Given> {
    let target: Target = word.parse()?;
    Ok(Given {
        target,
        net: parse_net(word).unwrap_or_else(|| target.net()),
    })
}

fn sorted(mut all: Vec<Given>) -> Vec<Given> {
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn words(words: &[&str]) -> Result<GivenAddresses> {
        read(&Addrs {
            addrs: words.iter().map(|word| (*word).into()).collect(),
        })
    }

    #[test]
    fn duplicates_are_one_entry() {
        let addresses = words(&["2001:db8::2", "192.0.2.1", "2001:db8::1", "192.0.2.1"]).unwrap();
        let mut targets: Vec<String> = addresses
            .all
            .iter()
            .map(|given| given.target.to_string())
            .collect();
        targets.dedup();
        assert_eq!(targets, ["192.0.2.1", "2001:db8::/64"]);
        let nets: Vec<String> = addresses
            .all
            .iter()
            .map(|given| given.net.to_string())
            .collect();
        assert_eq!(nets, ["192.0.2.1/32", "2001:db8::1/128", "2001:db8::2/128"]);
        assert_eq!(addresses.words.len(), 4);
    }

    #[test]
    fn lines_may_hold_comments_and_blanks() {
        let text = b"# ours\n\n 192.0.2.1 \r\n2001:db8::/48 # a block\n192.0.2.2";
        let all = read_lines("x", &text[..]).unwrap();
        let targets: Vec<String> = all.iter().map(|given| given.target.to_string()).collect();
        assert_eq!(targets, ["192.0.2.1", "2001:db8::/48", "192.0.2.2"]);
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = read_lines("standard input", &b"192.0.2.1\n\nmx.\xff\n"[..]).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.starts_with(r"standard input, line 3: `mx.\xff` is not"),
            "{text}"
        );
    }

    #[test]
    fn standard_input_does_not_mix() {
        let error = words(&["192.0.2.1", "-"]).unwrap_err();
        assert!(error.to_string().contains("must be the only"), "{error}");
    }
}
