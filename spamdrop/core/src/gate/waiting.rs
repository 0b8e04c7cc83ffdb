//! The strangers that wait at the gate, and which of them is admitted next.
//!
//! A stranger above the limit of its class is admitted after all when it has
//! waited longest. Its kernel repeats the SYN after 1, 3, 7 and 15 s, so it is
//! promised that the next SYN passes.
//!
//! The rates of the promises are meant for connections. A forged SYN can be repeated, too,
//! but never becomes one. If promises prove void, there are more of them, for the
//! strangers whose next SYNs come soonest, so that their outcomes are soon known.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use spamdrop_common::gate::{CLASSES, SHARE_ONE};
use spamdrop_common::time::MonotonicNs;

use super::Occupancy;
use crate::target::Target;
use outcomes::Outcomes;

mod outcomes;

/// The shortest pause after which a SYN counts as repeated. No common system
/// repeats a SYN within a second.
const PAUSE: Duration = Duration::from_millis(750);
/// A kernel doubles its pauses, so the pause after a SYN is about as long as the time
/// since the first one. If it is longer by more than this, the sender has given up.
const LATE: Duration = Duration::from_secs(2);
/// The longest pause between two repetitions on a common system, Linux.
const LONGEST_PAUSE: Duration = Duration::from_secs(64);
/// How long a first SYN is remembered, at least. Windows repeats it after 3 s.
const REMEMBERED: Duration = Duration::from_secs(4);
/// Maximum number of first SYNs in each of two generations. In a flood of more,
/// they are forgotten earlier.
const MAX_FIRST: usize = 1 << 15;
/// Maximum number of strangers that have repeated their SYN.
const MAX_WAITING: usize = 1 << 14;
/// Number of waiting strangers of a class and of better ones from which only
/// the slow rate applies to the class.
const MANY: usize = 16;
/// At the fast rate, one stranger is admitted in this time.
const FAST: Duration = Duration::from_millis(500);
/// The fast rate applies to strangers that have waited for this time: they have
/// repeated their SYN twice, and the slots above the limit stay free for known
/// senders a little longer.
const FAST_AFTER: Duration = Duration::from_millis(2_500);
/// At the slow rate, one stranger of each class is admitted in this time.
const SLOW: Duration = Duration::from_secs(10);
/// A promise is void if the stranger has not connected this long after its next SYN was
/// due: the handshake, and the time until the connections are counted again.
const HANDSHAKE: Duration = Duration::from_secs(1);
/// The shortest time between two looks at the server.
const LOOK: Duration = Duration::from_millis(200);
/// The fast rate needs more than one in this many slots free: a tenth.
const FREE: u32 = 10;
/// Without free slots, the fast rate needs a server that has accepted every
/// connection at once for this time. The number of slots is then set too low.
const ACCEPTED_AT_ONCE: Duration = Duration::from_secs(10);

/// The server's answer to a connection for which it has no slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It lets the connection wait to be accepted, as Courier and Postfix's
    /// smtpd do.
    #[default]
    Waits,
    /// It accepts the connection and refuses with a 421, as Exim and postscreen
    /// do.
    Refuses,
}

/// A SYN that the gate has refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefusedSyn {
    /// The stranger.
    pub source: IpAddr,
    /// Its port.
    pub source_port: u16,
    /// The sequence number. A kernel repeats a SYN with the same one.
    pub sequence: u32,
}

/// A promise to a stranger that its next SYN is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmitNext {
    /// The stranger.
    pub source: IpAddr,
    /// The last nanosecond at which its SYN is admitted.
    pub until: MonotonicNs,
}

/// The strangers that wait.
#[derive(Clone, Debug, Default)]
pub struct WaitingStrangers {
    /// When SYNs that were not repeated yet were first seen, in two
    /// generations.
    first: HashMap<RefusedSyn, MonotonicNs>,
    older: HashMap<RefusedSyn, MonotonicNs>,
    /// When `first` began.
    begun: MonotonicNs,
    /// The strangers that have repeated a SYN. A stranger with many connections
    /// waits once, so that it does not displace others.
    waiting: HashMap<Target, Wait>,
    next_fast: MonotonicNs,
    next_slow: [MonotonicNs; CLASSES],
    /// When the next early promise may be made to a class.
    next_early: [MonotonicNs; CLASSES],
    /// Whether the next promise at the slow rate is for the stranger whose SYN comes
    /// soonest, not for the one that has waited longest.
    is_soonest_next: [bool; CLASSES],
    outcomes: Outcomes,
    /// Since when no connection has waited to be accepted.
    accepted_since: Option<MonotonicNs>,
    /// How much of a connection a SYN counts.
    share: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    /// The SYN that it repeats.
    syn: RefusedSyn,
    first: MonotonicNs,
    last: MonotonicNs,
    class: usize,
    promise: Promise,
}

/// The promise, since its last SYN, that a stranger's next SYN passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    None,
    /// Its outcome is not known.
    Pending,
    /// As [`Self::Pending`], and made in place of void ones.
    Early,
    /// The stranger has not connected.
    Void,
}

impl Wait {
    /// When the next repetition is due.
    fn due(&self) -> MonotonicNs {
        let pause = self.last.elapsed_since(self.first).min(LONGEST_PAUSE);
        self.last.plus(pause)
    }

    /// When the next repetition is overdue.
    fn overdue(&self) -> MonotonicNs {
        self.due().plus(LATE)
    }

    fn is_promised(&self) -> bool {
        self.promise != Promise::None
    }

    fn promise(&mut self, promise: Promise) -> AdmitNext {
        self.promise = promise;
        AdmitNext {
            source: self.syn.source,
            until: self.overdue(),
        }
    }
}

impl WaitingStrangers {
    /// Records a refused SYN. Returns how long the stranger has waited.
    pub fn refused(&mut self, syn: RefusedSyn, class: usize, now: MonotonicNs) -> Duration {
        let stranger = Target::from(syn.source);
        if let Some(wait) = self
            .waiting
            .get_mut(&stranger)
            .filter(|wait| wait.syn == syn)
        {
            (wait.last, wait.class, wait.promise) = (now, class % CLASSES, Promise::None);
            return now.elapsed_since(wait.first);
        }
        let known = self.first.get(&syn).or_else(|| self.older.get(&syn));
        let is_recent = |first: &&MonotonicNs| now.elapsed_since(**first) <= LONGEST_PAUSE;
        let Some(&first) = known.filter(is_recent) else {
            self.remember(syn, now);
            return Duration::ZERO;
        };
        let waited = now.elapsed_since(first);
        if waited < PAUSE {
            return Duration::ZERO;
        }
        let is_waiting = self.waiting.contains_key(&stranger);
        if self.waiting.len() < MAX_WAITING && !is_waiting {
            self.first.remove(&syn);
            self.older.remove(&syn);
            let wait = Wait {
                syn,
                first,
                last: now,
                class: class % CLASSES,
                promise: Promise::None,
            };
            self.waiting.insert(stranger, wait);
        }
        waited
    }

    fn remember(&mut self, syn: RefusedSyn, now: MonotonicNs) {
        if now.elapsed_since(self.begun) >= REMEMBERED || self.first.len() >= MAX_FIRST {
            self.older = std::mem::take(&mut self.first);
            self.begun = now;
        }
        self.first.insert(syn, now);
    }

    /// Chooses the strangers whose next SYN is admitted, given a sample of the
    /// server with this many slots.
    pub fn admit(
        &mut self,
        seen: Occupancy,
        slots: u32,
        when_full: WhenFull,
        now: MonotonicNs,
    ) -> Vec<AdmitNext> {
        self.forget_overdue(now);
        let room = self.room(seen, slots, when_full);
        let mut admitted = Vec::new();
        for class in 0..CLASSES {
            if admitted.len() < room {
                admitted.extend(self.admit_slowly(class, now));
            }
        }
        let has_room = self.has_room(seen, slots, now);
        if has_room && self.next_fast <= now && admitted.len() < room {
            admitted.extend(self.admit_fast(now));
        }
        if has_room {
            let left = room.saturating_sub(admitted.len());
            let free = slots.saturating_sub(seen.open);
            let spare = free.saturating_sub((slots / FREE).max(1)) as usize;
            admitted.extend(self.admit_early(left.min(spare), now));
        }
        admitted
    }

    /// Forgets the strangers that have given up, and counts the promises that are void.
    fn forget_overdue(&mut self, now: MonotonicNs) {
        let outcomes = &mut self.outcomes;
        self.waiting.retain(|_, wait| {
            let is_pending = matches!(wait.promise, Promise::Pending | Promise::Early);
            if is_pending && wait.due().plus(HANDSHAKE) < now {
                wait.promise = Promise::Void;
                outcomes.add_void();
            }
            wait.overdue() >= now
        });
    }

    /// Makes the promises that void ones have left unused: as many in [`SLOW`] as it
    /// takes for about one connection of each class. Of these, at most `spare` are
    /// without an outcome, so that no crowd takes all free slots at once.
    fn admit_early(&mut self, spare: usize, now: MonotonicNs) -> Vec<AdmitNext> {
        let pause = self.outcomes.part(SLOW);
        if pause >= SLOW {
            return Vec::new();
        }
        let is_early = |wait: &&Wait| wait.promise == Promise::Early;
        let pending = self.waiting.values().filter(is_early).count();
        let mut left = spare.saturating_sub(pending);
        let at_once = (LOOK.as_nanos() / pause.as_nanos().max(1)).max(1);
        let mut admitted = Vec::new();
        for class in 0..CLASSES {
            if self.next_early[class] > now {
                continue;
            }
            for _ in 0..at_once.min(left as u128) {
                let Some(soonest) = self.soonest(|wait| wait.class == class) else {
                    break;
                };
                admitted.push(soonest.promise(Promise::Early));
                left -= 1;
                self.next_early[class] = now.plus(pause.max(LOOK));
            }
        }
        admitted
    }

    fn admit_fast(&mut self, now: MonotonicNs) -> Option<AdmitNext> {
        let fast = self.fast_classes();
        let has_waited = |wait: &Wait| wait.last.elapsed_since(wait.first) >= FAST_AFTER;
        let promise = self.promise(|wait| wait.class < fast && has_waited(wait))?;
        self.next_fast = now.plus(FAST);
        Some(promise)
    }

    /// How many strangers may be promised a slot. With [`WhenFull::Refuses`], a full
    /// server also accepts every connection at once, so `waiting` does not show that it
    /// is full, and it would refuse a known sender whose slot a stranger took. So a
    /// tenth of its slots stays free, besides the promised ones.
    fn room(&self, seen: Occupancy, slots: u32, when_full: WhenFull) -> usize {
        if when_full == WhenFull::Waits {
            return usize::MAX;
        }
        let reserved = (slots / FREE).max(1);
        let taken = seen.open.saturating_add(self.promised());
        slots.saturating_sub(taken).saturating_sub(reserved) as usize
    }

    /// Number of connections to expect of the strangers whose next SYN was
    /// promised to pass. A forged SYN that is repeated takes no slot, so each of
    /// these SYNs counts as much as any other.
    #[must_use]
    pub fn promised(&self) -> u32 {
        let promised = self.waiting.values().filter(|wait| wait.is_promised());
        let share = u64::from(self.share.unwrap_or(SHARE_ONE));
        let expected = (promised.count() as u64 * share).div_ceil(SHARE_ONE.into());
        u32::try_from(expected).unwrap_or(u32::MAX)
    }

    /// Sets how much of a connection a SYN counts, in units of 1 /
    /// [`SHARE_ONE`]; before that, it counts as one.
    pub fn set_share(&mut self, share: u32) {
        self.share = Some(share);
    }

    /// Records that a stranger is connected, so that it does not wait.
    pub fn connected(&mut self, stranger: IpAddr) {
        let wait = self.waiting.remove(&Target::from(stranger));
        if wait.as_ref().is_some_and(Wait::is_promised) {
            self.outcomes.add_kept();
        }
    }

    /// Whether no stranger waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The number of classes, from the best one, to which the fast rate applies:
    /// a crowd of a worse class does not delay a better one.
    fn fast_classes(&self) -> usize {
        let mut count = [0; CLASSES];
        for wait in self.waiting.values().filter(|wait| !wait.is_promised()) {
            for count in count.iter_mut().skip(wait.class) {
                *count += 1;
            }
        }
        let real = count.map(|count| self.outcomes.number(count));
        real.iter().take_while(|count| **count < MANY).count()
    }

    fn admit_slowly(&mut self, class: usize, now: MonotonicNs) -> Option<AdmitNext> {
        let next = *self.next_slow.get(class)?;
        if next > now {
            return None;
        }
        let is_soonest = *self.is_soonest_next.get(class)?;
        let promise = match is_soonest {
            true => self
                .soonest(|wait| wait.class == class)?
                .promise(Promise::Pending),
            false => self.promise(|wait| wait.class == class)?,
        };
        *self.is_soonest_next.get_mut(class)? = !is_soonest;
        *self.next_slow.get_mut(class)? = now.plus(SLOW);
        *self.next_early.get_mut(class)? = now.plus(self.outcomes.part(SLOW));
        Some(promise)
    }

    /// Whether the server surely has a free slot.
    fn has_room(&mut self, seen: Occupancy, slots: u32, now: MonotonicNs) -> bool {
        if seen.waiting > 0 {
            self.accepted_since = None;
            return false;
        }
        let since = *self.accepted_since.get_or_insert(now);
        let free = u64::from(slots.saturating_sub(seen.open));
        free * u64::from(FREE) > u64::from(slots) || now.elapsed_since(since) >= ACCEPTED_AT_ONCE
    }

    /// Chooses the stranger that has waited longest, of those that `is_meant` accepts, and
    /// promises that its next SYN passes; `None`: there is no such stranger.
    fn promise(&mut self, is_meant: impl Fn(&Wait) -> bool) -> Option<AdmitNext> {
        let longest = self.open(is_meant).min_by_key(|wait| wait.first)?;
        Some(longest.promise(Promise::Pending))
    }

    /// The stranger whose next SYN comes soonest, of those that `is_meant` accepts.
    fn soonest(&mut self, is_meant: impl Fn(&Wait) -> bool) -> Option<&mut Wait> {
        self.open(is_meant).min_by_key(|wait| wait.due())
    }

    /// The strangers without a promise that `is_meant` accepts.
    fn open(&mut self, is_meant: impl Fn(&Wait) -> bool) -> impl Iterator<Item = &mut Wait> {
        let all = self.waiting.values_mut();
        all.filter(move |wait| !wait.is_promised() && is_meant(wait))
    }
}

#[cfg(test)]
mod crowds;
#[cfg(test)]
mod tests;
