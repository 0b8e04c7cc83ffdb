//! Stores the holds of entries with several owners, in the disk thread. A hold says
//! until when one owner wants an entry.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use spamdrop_core::owners::{Hold, OwnerBit};
use spamdrop_core::saved::Clocks;
use spamdrop_core::target::Target;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

use super::disk::Disk;
use super::health::Subject;
use super::status::HealthReporter;
use crate::clock;
use crate::kernel::blocklist::Blocked;
use crate::store::{DAEMON_WAIT, HoldChange, HoldChangeKind, Store};

/// Maximum number of holds that wait for the disk. Further ones are dropped, so the
/// ends of their owners are unknown, as if the database could not be written.
const MAX_WAITING: usize = 16_384;

/// A task's holds that are to be stored.
pub(super) struct HoldLog {
    disk: Disk,
    store: PathBuf,
    health: HealthReporter,
    /// The name of the task, because each task reports a problem of its own.
    task: &'static str,
    waiting: Holds,
    /// Writes in the disk thread, which runs them in order.
    writing: VecDeque<Receiver<HoldWriteResult>>,
    is_failing: bool,
    /// Number of holds that were dropped since the last write succeeded.
    dropped: usize,
}

type Holds = HashMap<(Target, OwnerBit), WaitingHold>;
/// Holds whose write failed.
type HoldWriteResult = Result<(), (Holds, Error)>;

struct WaitingHold {
    hold: Hold,
    /// Whether the end in the database stays if it is later than that of `hold`.
    is_renewal: bool,
    /// When the entry was blocked.
    set: Clocks,
}

impl WaitingHold {
    /// Puts a later hold of the same owner in the place of this one.
    fn replace_with(&mut self, later: Self) {
        let hold = match later.is_renewal {
            true => Hold {
                ends: later.hold.ends.max(self.hold.ends),
                ..later.hold
            },
            false => later.hold,
        };
        *self = Self {
            hold,
            is_renewal: later.is_renewal && self.is_renewal,
            set: later.set,
        };
    }
}

impl HoldLog {
    pub fn new(disk: Disk, store: PathBuf, health: HealthReporter, task: &'static str) -> Self {
        Self {
            disk,
            store,
            health,
            task,
            waiting: HashMap::new(),
            writing: VecDeque::new(),
            is_failing: false,
            dropped: 0,
        }
    }

    /// Queues the holds of an entry that was blocked.
    pub fn add(&mut self, target: Target, blocked: &Blocked) {
        let set = clock::both();
        for (owner, hold) in &blocked.holds {
            let later = WaitingHold {
                hold: *hold,
                is_renewal: blocked.renews_hold,
                set,
            };
            let is_full = self.waiting.len() >= MAX_WAITING;
            match self.waiting.entry((target, *owner)) {
                Entry::Occupied(mut earlier) => earlier.get_mut().replace_with(later),
                Entry::Vacant(_) if is_full => self.dropped += 1,
                Entry::Vacant(place) => {
                    place.insert(later);
                }
            }
        }
    }

    /// Begins to store the queued holds, unless a write is under way, or the last one
    /// failed. To be called after every batch of blocks, so that a command that reads the
    /// database finds their holds.
    pub fn begin(&mut self) {
        self.take_written();
        if self.writing.is_empty() && !self.is_failing {
            self.submit();
        }
    }

    /// As [`HoldLog::begin`], but also repeats failed writes. To be called once a second.
    pub fn poll(&mut self) {
        self.take_written();
        if self.writing.is_empty() {
            self.submit();
        }
    }

    /// Submits the queued holds to the disk thread, so that the caller's next job finds
    /// them in the database. A caller that awaits its job before the next call keeps the
    /// queue of the disk thread short.
    pub fn submit(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let (holds, path) = (std::mem::take(&mut self.waiting), self.store.clone());
        self.writing
            .push_back(self.disk.submit(move || write(&path, holds)));
    }

    /// Stores what is queued, at the end of the task. The supervisor limits how long
    /// that may take.
    pub async fn end(&mut self) {
        for _ in 0..2 {
            while let Some(writing) = self.writing.pop_front() {
                self.take(writing.await.ok());
            }
            self.submit();
        }
        while let Some(writing) = self.writing.pop_front() {
            self.take(writing.await.ok());
        }
        let lost = self.waiting.len() + self.dropped;
        if lost > 0 {
            log::warn!("{lost} holds of owners are lost: the database cannot be written");
        }
    }

    fn take_written(&mut self) {
        while let Some(writing) = self.writing.front_mut() {
            let written = match writing.try_recv() {
                Ok(written) => Some(written),
                Err(TryRecvError::Closed) => None,
                Err(TryRecvError::Empty) => return,
            };
            self.writing.pop_front();
            self.take(written);
        }
    }

    /// Takes the result of a write; `None`: its thread died.
    fn take(&mut self, written: Option<HoldWriteResult>) {
        let subject = Subject::OwnerEnds(self.task);
        self.is_failing = !matches!(written, Some(Ok(())));
        match written {
            Some(Ok(())) => {
                self.health.clear(subject);
                if self.dropped > 0 {
                    log::warn!("{} holds of owners were lost", self.dropped);
                    self.dropped = 0;
                }
            }
            Some(Err((holds, error))) => {
                for (key, mut earlier) in holds {
                    if let Some(later) = self.waiting.remove(&key) {
                        earlier.replace_with(later);
                    }
                    self.waiting.insert(key, earlier);
                }
                let full = match self.waiting.len() >= MAX_WAITING {
                    true => ", and further ones are dropped",
                    false => "",
                };
                let text = format!("holds of owners wait for the database{full}: {error:#}");
                self.health.raise(subject, text);
            }
            None => {
                let text = "some holds of owners are lost: the disk thread died";
                self.health.raise(subject, text);
            }
        }
    }
}

fn write(path: &Path, holds: Holds) -> HoldWriteResult {
    let change = |(&(target, owner), waiting): (&(Target, OwnerBit), &WaitingHold)| HoldChange {
        target,
        holds: vec![(owner, waiting.hold)],
        kind: match waiting.is_renewal {
            true => HoldChangeKind::Renewal,
            false => HoldChangeKind::Some,
        },
        set: waiting.set,
    };
    let changes: Vec<HoldChange> = holds.iter().map(change).collect();
    let written = Store::open(path, DAEMON_WAIT)
        .and_then(|mut store| store.change_holds(&changes, &clock::boot_id()?));
    written.map_err(|error| (holds, error))
}

#[cfg(test)]
mod tests {
    use spamdrop_core::time::MonotonicNs;

    use super::*;

    fn hold(ends: u32, is_renewal: bool) -> WaitingHold {
        WaitingHold {
            hold: Hold {
                ends: MonotonicNs::from_second(ends),
                hard_until_s: 0,
                ttl_s: ends,
            },
            is_renewal,
            set: clock::both(),
        }
    }

    #[test]
    fn a_renewal_that_waits_keeps_the_later_end_and_a_new_block_does_not() {
        for (earlier, later, ends, is_renewal) in [
            (hold(60, false), hold(20, true), 60, false),
            (hold(20, true), hold(60, true), 60, true),
            (hold(60, true), hold(20, false), 20, false),
        ] {
            let mut waiting = earlier;
            let ttl_s = later.hold.ttl_s;
            waiting.replace_with(later);
            assert_eq!(waiting.hold.ends, MonotonicNs::from_second(ends));
            assert_eq!(
                (waiting.hold.ttl_s, waiting.is_renewal),
                (ttl_s, is_renewal)
            );
        }
    }
}
