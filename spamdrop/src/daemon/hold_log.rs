//! Stores the holds of entries with several owners, in the disk thread.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Error, Result};
use spamdrop_core::owners::{OwnerBit, OwnerHold, StoredHold};
use spamdrop_core::target::Target;
use tokio::sync::oneshot::Receiver;

use super::disk::{Disk, take_finished};
use crate::clock;
use crate::owned_blocks::clocks;
use crate::store::{DAEMON_WAIT, HoldChange, Store};

/// The most holds that wait for the disk; further ones are dropped, and their
/// owners let go ten minutes after the entry falls back to them.
const MOST: usize = 16_384;

/// A task's holds that are to be stored.
pub(super) struct HoldLog {
    disk: Disk,
    store: PathBuf,
    waiting: Holds,
    writing: Option<Receiver<Written>>,
}

/// Each hold, with the time at which it was decided on.
type Holds = HashMap<(Target, OwnerBit), (StoredHold, SystemTime)>;
/// Holds whose write failed.
type Written = Result<(), (Holds, Error)>;

impl HoldLog {
    pub fn new(disk: Disk, store: PathBuf) -> Self {
        Self {
            disk,
            store,
            waiting: HashMap::new(),
            writing: None,
        }
    }

    /// Queues holds of an entry, of which the last of each owner counts.
    pub fn add(&mut self, target: Target, holds: &[OwnerHold]) {
        if holds.is_empty() || self.waiting.len() >= MOST {
            return;
        }
        let (now, at) = (clocks(), clock::wall());
        let stored = |(bit, hold): &OwnerHold| ((target, *bit), (StoredHold::of(hold, now), at));
        self.waiting.extend(holds.iter().map(stored));
    }

    /// Takes the result of the last write, and begins the next one if one is due.
    pub fn poll(&mut self) {
        match take_finished(&mut self.writing) {
            Some(Some(Err((holds, error)))) => {
                log::warn!("ends of owners are not stored; trying again: {error:#}");
                for (key, hold) in holds {
                    self.waiting.entry(key).or_insert(hold);
                }
            }
            Some(None) => log::warn!("ends of owners are lost: the disk thread died"),
            Some(Some(Ok(()))) | None => {}
        }
        if self.writing.is_some() || self.waiting.is_empty() {
            return;
        }
        let (holds, path) = (std::mem::take(&mut self.waiting), self.store.clone());
        self.writing = Some(self.disk.submit(move || write(&path, holds)));
    }
}

fn write(path: &std::path::Path, holds: Holds) -> Written {
    let mut by_time: HashMap<SystemTime, Vec<HoldChange>> = HashMap::new();
    for ((target, bit), (hold, at)) in &holds {
        by_time.entry(*at).or_default().push(HoldChange {
            target: *target,
            holds: vec![(*bit, *hold)],
            is_all: false,
        });
    }
    let written = Store::open(path, DAEMON_WAIT).and_then(|mut store| {
        let mut all = by_time.iter();
        all.try_for_each(|(at, changes)| store.change_holds(changes, *at))
    });
    written.map_err(|error| (holds, error))
}
