//! The text format of block lists, which `import` reads and `export` writes.
//!
//! | line | blocks |
//! |---|---|
//! | `ADDRESS` | as `add` does without a flag |
//! | `ADDRESS TIME` | for this time after the peer's last packet |
//! | `ADDRESS TIME fixed` | for this time, whatever the peer sends |
//! | `ADDRESS TIME ttl=TIME` | for this time; a packet renews it for `ttl` |
//! | `src=ADDRESS ttl: …` | as `ADDRESS`: a line of `/proc/net/xt_recent/NAME` |
//!
//! A time is a number of seconds, or a duration such as `10m`. `limit=TIME` may
//! follow: no packet extends the block beyond this time. `owner=OWNER` may follow as
//! well, or `log`, which is `owner=log`. An address may be a prefix; the
//! block of a prefix is always fixed. Blank lines and comments from `#` or `;` to
//! the end of the line are ignored. An IPv6 address without a length blocks its /64.
//! If that /64 holds a protected address or a known sender, or with `/128`, the address
//! is blocked alone.
//!
//! The stamps of xt_recent are ignored, because they count ticks since boot,
//! possibly that of another machine.

use std::time::Duration;

use ipnet::IpNet;
use spamdrop_common::action::expiry;
use spamdrop_common::entry::{Entry, ORIGIN_HAND, ORIGIN_LOG};

use crate::duration;
use crate::escape::escape;
use crate::invalid::Invalid;
use crate::nat64::canonical;
use crate::owners::EntryOwner;
use crate::target::{Target, parse_net};
use crate::term::{LONGEST, Term};

type Result<T> = std::result::Result<T, Invalid>;

/// The block that a line describes.
#[derive(Clone, Debug, PartialEq)]
pub struct ListEntry {
    /// The target that the address or prefix stands for.
    pub target: Target,
    /// The address or prefix as given; for an IPv6 /64, possibly one of its
    /// addresses.
    pub net: IpNet,
    /// The block's entry; not sealed.
    pub entry: Entry,
    /// The owner that the line names.
    pub owner: Option<EntryOwner>,
}

/// Parses lines. Their times count from the start of the default term.
#[derive(Clone, Copy, Debug)]
pub struct ListReader {
    term: Term,
}

impl ListReader {
    /// `term` applies to addresses without a time of their own.
    #[must_use]
    pub fn new(term: Term) -> Self {
        Self { term }
    }

    /// Parses one line; `None` if it has only blanks or a comment.
    ///
    /// # Errors
    ///
    /// The line is not in the [format above](self); the message names the word.
    pub fn read_line(&self, line: &[u8]) -> Result<Option<ListEntry>> {
        let line = line.split(|byte| b"#;".contains(byte)).next();
        let line = line.unwrap_or_default();
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let Some(first) = words.next() else {
            return Ok(None);
        };
        let recent = first.strip_prefix(b"src=");
        let (target, net) = address(recent.unwrap_or(first))?;
        let (entry, owner) = match (recent, words.next()) {
            (None, None) | (Some(_), Some(b"ttl:")) => (self.term.entry(ORIGIN_HAND), None),
            (None, Some(word)) => self.entry(word, words)?,
            (Some(_), _) => {
                return Err(Invalid::new(format!(
                    "`{}` is not a line of xt_recent",
                    shown(line)
                )));
            }
        };
        Ok(Some(ListEntry {
            target,
            net,
            entry,
            owner,
        }))
    }

    /// An address or prefix of a list in another format. With a time it is blocked
    /// for that time, whatever the peer sends.
    ///
    /// # Errors
    ///
    /// The word is not an address; the message names it.
    pub fn read_address(&self, word: &[u8], left: Option<Duration>) -> Result<ListEntry> {
        let (target, net) = address(word)?;
        Ok(self.listed(target, net, left))
    }

    /// The entry of a prefix of a list in another format.
    #[must_use]
    pub fn read_net(&self, net: IpNet, left: Option<Duration>) -> ListEntry {
        self.listed(net.into(), net, left)
    }

    fn listed(&self, target: Target, net: IpNet, left: Option<Duration>) -> ListEntry {
        let mut entry = self.term.entry(ORIGIN_HAND);
        if let Some(left) = left {
            let left = left.clamp(Duration::from_secs(1), LONGEST).as_secs();
            let left_s = u32::try_from(left).unwrap_or(u32::MAX);
            (entry.ttl_s, entry.hard_until_s) = (0, 0);
            entry.expires = expiry(self.term.start, left_s, 0);
        }
        ListEntry {
            target,
            net,
            entry,
            owner: None,
        }
    }

    fn entry<'a>(
        &self,
        left: &[u8],
        more: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(Entry, Option<EntryOwner>)> {
        let start = self.term.start;
        let left_s = number(left)?;
        let mut entry = Entry {
            ttl_s: left_s,
            flags: ORIGIN_HAND,
            ..Entry::default()
        };
        let mut owner = None;
        for word in more {
            if word == b"fixed" {
                entry.ttl_s = 0;
            } else if word == b"log" {
                owner = Some(EntryOwner::Log);
            } else if let Some(name) = word.strip_prefix(b"owner=") {
                owner = Some(named_owner(name)?);
            } else if let Some(ttl) = word.strip_prefix(b"ttl=") {
                entry.ttl_s = number(ttl)?;
            } else if let Some(limit) = word.strip_prefix(b"limit=") {
                entry.hard_until_s = start.second().saturating_add(number(limit)?);
            } else {
                return Err(Invalid::new(format!(
                    "`{}` is none of fixed, ttl=TIME, limit=TIME, owner=OWNER and log",
                    shown(word)
                )));
            }
        }
        if owner == Some(EntryOwner::Log) {
            entry.flags = ORIGIN_LOG;
        }
        entry.expires = expiry(start, left_s, entry.hard_until_s);
        Ok((entry, owner))
    }
}

fn address(word: &[u8]) -> Result<(Target, IpNet)> {
    let addr = str::from_utf8(word).ok().and_then(|text| text.parse().ok());
    if let Some(addr) = addr.map(canonical) {
        return Ok((addr.into(), addr.into()));
    }
    // The error of this parser explains what is wrong with a prefix.
    let text = shown(word);
    let target: Target = text.parse()?;
    Ok((target, parse_net(&text).unwrap_or_else(|| target.net())))
}

/// The owner of a line. `unnamed:NUMBER` is refused, because the number has another
/// owner on another machine.
fn named_owner(word: &[u8]) -> Result<EntryOwner> {
    match str::from_utf8(word).map(str::parse) {
        Ok(Ok(EntryOwner::Unnamed(_))) | Err(_) => Err(Invalid::new(format!(
            "`{}` is not the name of an owner",
            shown(word)
        ))),
        Ok(owner) => owner,
    }
}

fn number(word: &[u8]) -> Result<u32> {
    let time = str::from_utf8(word).ok();
    let time = time.and_then(|text| duration::parse(text).ok());
    let whole = time.filter(|time| time.subsec_nanos() == 0 && *time <= LONGEST);
    match whole.and_then(|time| u32::try_from(time.as_secs()).ok()) {
        Some(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(Invalid::new(format!(
            "`{}` is not a time; give whole seconds, or a duration such as 10m, up to {}",
            shown(word),
            duration::human(LONGEST)
        ))),
    }
}

/// The beginning of an invalid word or line, made printable.
pub(crate) fn shown(bytes: &[u8]) -> String {
    match bytes.get(..60) {
        Some(beginning) => escape(beginning) + "…",
        None => escape(bytes),
    }
}

#[cfg(test)]
mod tests;
