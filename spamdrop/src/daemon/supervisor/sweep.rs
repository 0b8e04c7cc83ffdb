//! Sweeps expired entries.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use spamdrop_core::owners::{EntryOwner, OwnerBit, OwnerMask};

use super::{SHORT_LOCK_WAIT, Supervisor};
use crate::clock;
use crate::daemon::database;
use crate::daemon::disk::take_finished;
use crate::daemon::health::Subject;
use crate::kernel::blocklist::{Blocklist, SweptEntries};
use crate::lock;
use crate::owned_blocks::{self, OwnerStore};
use crate::store::DAEMON_WAIT;

/// How often expired entries are swept.
const SWEEP_PERIOD: Duration = Duration::from_secs(30);
/// How long a sweep leaves the write lock free between two steps: longer than
/// tasks wait before they try again.
const SWEEP_GAP: Duration = Duration::from_millis(25);

/// The number of deleted entries, and whether owners whose time is over could be removed
/// from the entries that stay.
pub(super) type Swept = (usize, Result<()>);

impl Supervisor {
    /// Deletes expired entries, and removes owners whose time is over from the entries that
    /// stay. Runs in the disk thread, because reading a full map takes a while.
    pub(super) fn sweep(&mut self) {
        match take_finished(&mut self.sweeping) {
            Some(Some(Ok((count, settled)))) => {
                log::debug!("swept {count} expired entries");
                let failed = "cannot remove owners whose time is over from their entries";
                self.health
                    .report(Subject::OwnerEnds("sweep"), failed, settled);
            }
            Some(Some(Err(error))) => log::warn!("cannot sweep expired entries: {error:#}"),
            Some(None) | None => {}
        }
        if self.sweeping.is_some() || self.last_sweep.elapsed() < SWEEP_PERIOD {
            return;
        }
        self.last_sweep = clock::instant();
        let filter = &self.settings.filter;
        let (pin_dir, run_dir) = (filter.pin_dir.clone(), filter.run_dir.clone());
        let store = self.settings.history.store.clone();
        let is_history_kept = !self.settings.history.kept.is_zero();
        self.sweeping = Some(self.disk.submit(move || {
            let lock = || {
                // The tasks do not wait for the lock, so they need a gap in
                // which to find it free.
                thread::sleep(SWEEP_GAP);
                lock::acquire_within(&run_dir, SHORT_LOCK_WAIT)
            };
            let mut blocklist = Blocklist::open(&pin_dir)?;
            let mut owners = OwnerStore::new(&store, DAEMON_WAIT);
            let recorded = recorded(&mut owners);
            let mut swept = SweptEntries::default();
            let result = blocklist.sweep(clock::monotonic_ns(), recorded, lock, &mut swept);
            // Write the ends after an error, too: no later sweep finds the deleted entries.
            let SweptEntries { count, ends } = swept;
            if is_history_kept && let Err(error) = database::write_ends(&store, ends) {
                // The history task writes to the same table, and reports the error.
                log::debug!("the history lacks the ends of blocks: {error:#}");
            }
            result?;
            let settled = owned_blocks::settle(&mut blocklist, &mut owners, lock);
            Ok((count, settled.map(drop)))
        }));
    }
}

/// The owners whose blocks are in the history: the log, the FIFO, and the jails of
/// fail2ban, which write to the FIFO.
fn recorded(store: &mut OwnerStore) -> OwnerMask {
    let names = store.names().unwrap_or_default();
    let jails = names.named().filter(|it| matches!(it, EntryOwner::Jail(_)));
    let jails = jails.filter_map(|jail| names.bit(jail));
    let fixed = OwnerMask::from(OwnerBit::LOG).and(OwnerBit::FIFO);
    jails.fold(fixed, OwnerMask::and)
}
