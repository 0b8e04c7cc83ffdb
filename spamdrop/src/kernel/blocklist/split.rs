//! Splits the entry of a /64 into entries of its offenders, when another
//! address in it becomes protected or known.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use anyhow::Result;
use spamdrop_common::{action::is_live, entry::Entry, time::MonotonicNs};
use spamdrop_core::target::Target;

use super::{Blocklist, present};
use crate::lock::WriteLock;

/// Maximum number of offenders that a message names beside the first.
const NAMED: usize = 4;

/// A /64 that is no longer blocked as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The /64.
    pub net: Target,
    /// Its addresses that stay blocked, sorted. Empty if no offender is
    /// recorded that may be blocked, as after an import: then no address of the
    /// /64 is blocked any more.
    pub offenders: Vec<IpAddr>,
}

/// A /64, and its live entry.
pub type WholeEntry = (Target, Entry);
/// An address in a /64, and its own live entry.
pub type OwnEntry = (Target, Option<Entry>);

/// Whether an address is the first of its /64, under which the reason for a
/// block of the /64 itself is recorded. No host sends from it (RFC 4291 section
/// 2.6.1).
fn is_first(addr: IpAddr) -> bool {
    addr == Target::from(addr).net().addr()
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let net = self.net;
        let Some((first, others)) = self.offenders.split_first() else {
            let why = "no other offender in it is recorded";
            return write!(f, "{net} is no longer blocked, because {why}");
        };
        write!(f, "{net} is no longer blocked as a whole: {first}")?;
        for other in others.iter().take(NAMED) {
            write!(f, ", {other}")?;
        }
        if others.len() > NAMED {
            write!(f, " and {} others", others.len() - NAMED)?;
        }
        let verb = if others.is_empty() { "stays" } else { "stay" };
        write!(f, " {verb} blocked")
    }
}

impl Blocklist {
    /// Splits the entries of these /64s, as far as they are blocked. The
    /// offenders are the addresses with an origin that `may_be_blocked`; they
    /// stay blocked as long as the /64 would have been. For each entry that is split,
    /// `lock` is called, and then `divide`, which returns the entries of the offenders.
    ///
    /// # Errors
    ///
    /// A map operation fails, or `lock` returns an error.
    pub fn split(
        &mut self,
        nets: impl IntoIterator<Item = [u8; 8]>,
        may_be_blocked: impl Fn(IpAddr) -> bool,
        now: MonotonicNs,
        lock: impl Fn() -> Result<WriteLock>,
        mut divide: impl FnMut(&WholeEntry, &[OwnEntry]) -> Vec<(Target, Entry)>,
    ) -> Result<Vec<Split>> {
        let mut offenders: HashMap<Target, Vec<IpAddr>> = HashMap::new();
        for net in nets {
            if self.is_blocked(Target::V6(net), now)? {
                offenders.insert(Target::V6(net), Vec::new());
            }
        }
        if offenders.is_empty() {
            return Ok(Vec::new());
        }
        self.for_each_origin(|addr, _| {
            if let Some(of_net) = offenders.get_mut(&addr.into())
                && !is_first(addr)
                && may_be_blocked(addr)
            {
                of_net.push(addr);
            }
        })?;
        let mut splits = Vec::new();
        for (net, mut offenders) in offenders {
            offenders.sort_unstable();
            let split = Split { net, offenders };
            if self.split_one(&lock()?, &split, now, &mut divide)? {
                splits.push(split);
            }
        }
        splits.sort_unstable_by_key(|split| split.net);
        Ok(splits)
    }

    /// Splits the entry of one /64. Returns false if it is not blocked any more.
    fn split_one(
        &mut self,
        _lock: &WriteLock,
        split: &Split,
        now: MonotonicNs,
        divide: &mut impl FnMut(&WholeEntry, &[OwnEntry]) -> Vec<(Target, Entry)>,
    ) -> Result<bool> {
        let live = |target| -> Result<Option<Entry>> {
            let entry = self.host(target)?;
            Ok(entry.filter(|entry| is_live(entry.expires, now)))
        };
        let Some(whole) = live(split.net)? else {
            return Ok(false);
        };
        let alone = split.offenders.iter().map(|addr| Target::alone(*addr));
        let own: Vec<OwnEntry> = alone
            .map(|target| Ok((target, live(target)?)))
            .collect::<Result<_>>()?;
        // The addresses come first, so that no packet of theirs passes.
        self.change(|list, change| {
            let mut divided = divide(&(split.net, whole), &own).into_iter();
            divided.try_for_each(|(target, entry)| list.put(target, entry, change))
        })?;
        if let Target::V6(key) = split.net {
            present(self.v6.remove(&key))?;
        }
        Ok(true)
    }
}
