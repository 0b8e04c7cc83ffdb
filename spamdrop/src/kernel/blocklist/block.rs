//! Blocks for one owner, as the daemon's tasks do it for the log and the FIFO.

use std::net::IpAddr;

use anyhow::Result;
use spamdrop_common::action::is_live;
use spamdrop_common::entry::{Entry, Origin, SEALED};
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::owners::{Hold, OwnerBit, OwnerHold, OwnerMask, with_hold};
use spamdrop_core::target::{Target, full_key};
use spamdrop_core::term::Term;

use super::Blocklist;
use crate::lock::WriteLock;

/// The result of a block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blocked {
    /// Whether the target already had a live entry.
    pub is_renewed: bool,
    /// The owners' holds to store in the database, if the entry has several owners.
    /// Holds that the database has already are left out.
    pub holds: Vec<OwnerHold>,
    /// Whether the entry already had several owners, and the blocking owner was among
    /// them. Then, a later end that the database has for this owner stays valid. Otherwise,
    /// an end that the database has for this owner is from an earlier entry.
    pub renews_hold: bool,
}

impl Blocklist {
    /// Blocks an address for an owner, by the entry of `target`. A live entry
    /// keeps its hits, its other owners, and its end, if that is later. Without
    /// `sealed`, a sealed entry is opened again, so that the session that caused
    /// the new offence gets its reply.
    pub fn block(
        &mut self,
        _lock: &WriteLock,
        (addr, target): (IpAddr, Target),
        owner: OwnerBit,
        term: Term,
        sealed: bool,
        origin: &Origin,
    ) -> Result<Blocked> {
        // The origin is written before the entry, so that a reader of the entry
        // finds it.
        if let Err(error) = self.origins.insert(full_key(addr), origin, 0) {
            log::debug!("cannot store why {addr} is blocked: {error}");
        }
        let seal = if sealed { SEALED } else { 0 };
        let (entry, old, blocked) = match self.live(target, term.start)? {
            None => {
                let entry = OwnerMask::from(owner).of_entry(term.entry(seal));
                (entry, None, Blocked::default())
            }
            Some(old) => {
                let exact = self.host_now(target)?.unwrap_or(old);
                let (entry, blocked) = held(&old, &exact, owner, Hold::from_entry(&term.entry(0)));
                let flags = entry.flags & !SEALED | seal;
                (Entry { flags, ..entry }, Some(old), blocked)
            }
        };
        self.change(|list, change| list.put_again(target, entry, old, change))?;
        Ok(blocked)
    }

    fn live(&self, target: Target, now: MonotonicNs) -> Result<Option<Entry>> {
        let entry = self.host(target)?;
        Ok(entry.filter(|entry| is_live(entry.expires, now)))
    }
}

/// Adds a hold to a live entry. Returns the new entry, and the holds to store. `exact` is
/// the entry with the slide that the filter has not stored in it yet.
fn held(old: &Entry, exact: &Entry, owner: OwnerBit, hold: Hold) -> (Entry, Blocked) {
    let expires = exact.expires;
    let old = Entry { expires, ..*old };
    let entry = with_hold(&old, owner, hold);
    let owners = OwnerMask::from_entry(&old);
    let mut holds = Vec::new();
    if OwnerMask::from_entry(&entry).is_shared() {
        if !owners.is_shared() {
            holds.extend(owners.each().map(|it| (it, Hold::from_entry(&old))));
        }
        holds.push((owner, hold));
    }
    let blocked = Blocked {
        is_renewed: true,
        holds,
        renews_hold: owners.is_shared() && owners.contains(owner),
    };
    (entry, blocked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_owner_of_a_shared_entry_keeps_a_later_end_that_is_stored() {
        let hold = Hold {
            ends: MonotonicNs::from_second(600),
            hard_until_s: 0,
            ttl_s: 600,
        };
        let (log, hand, fifo) = (OwnerBit::LOG, OwnerBit::HAND, OwnerBit::FIFO);
        let entry = OwnerMask::from(hand).of_entry(Entry::default());
        let block = |entry: &Entry, owner| held(entry, entry, owner, hold);
        let (both, first) = block(&entry, fifo);
        assert_eq!((first.holds.len(), first.renews_hold), (2, false));
        let (_, again) = block(&both, fifo);
        assert_eq!((again.holds, again.renews_hold), (vec![(fifo, hold)], true));
        let (_, third) = block(&both, log);
        assert_eq!((third.holds, third.renews_hold), (vec![(log, hold)], false));
    }
}
