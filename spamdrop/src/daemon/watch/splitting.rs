//! Splits the entries of /64s in which a sender has become protected or known.
//!
//! This belongs to the watch task, because that task blocks offenders in the log.
//! It submits a split only after it has the new scope, so that it does not block
//! the whole /64 again.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Error, Result};
use spamdrop_core::policy::{KnownNets, Protected, ProtectionChanges, Scope, nets_around};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot::Receiver;

use super::WatchSettings;
use crate::daemon::disk::{Disk, take_finished};
use crate::daemon::health::Subject;
use crate::daemon::release::ReleaseMessage;
use crate::daemon::status::HealthReporter;
use crate::kernel::blocklist::{Blocklist, Split};
use crate::lock;
use crate::owned_blocks::{self, OwnerStore};
use crate::store::DAEMON_WAIT;

/// How long each split waits for the write lock, in the disk thread.
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// The /64s that are to be split if they are blocked.
pub(super) struct Splitting {
    pin_dir: PathBuf,
    run_dir: PathBuf,
    store: PathBuf,
    disk: Disk,
    due: HashSet<[u8; 8]>,
    under_way: Option<Receiver<Result<Vec<Split>, FailedSplit>>>,
}

struct FailedSplit {
    nets: HashSet<[u8; 8]>,
    error: Error,
}

impl Splitting {
    /// At the start, every /64 that must not be blocked as a whole is due, because it
    /// may have got its protected or known address while no daemon ran.
    pub fn new(settings: &WatchSettings, scope: &Scope, disk: Disk) -> Self {
        let mut splitting = Self {
            pin_dir: settings.pin_dir.clone(),
            run_dir: settings.run_dir.clone(),
            store: settings.store.clone(),
            disk,
            due: HashSet::new(),
            under_way: None,
        };
        splitting.add(nets_around(scope.protected.nets().map(|(net, _)| net)));
        splitting.add(scope.known.new_since(&KnownNets::Unread));
        splitting
    }

    pub fn add(&mut self, nets: impl IntoIterator<Item = [u8; 8]>) {
        self.due.extend(nets);
    }

    /// Adds the /64s around newly protected prefixes.
    pub fn add_protected(&mut self, changes: &ProtectionChanges) {
        self.add(nets_around(changes.set.iter().map(|(net, _)| *net)));
    }

    /// Takes the result of the last split, and begins the next if one is due.
    pub fn poll(
        &mut self,
        protected: &Protected,
        releases: &UnboundedSender<ReleaseMessage>,
        health: &HealthReporter,
    ) {
        match take_finished(&mut self.under_way) {
            Some(Some(Ok(splits))) => {
                report_splits(&splits, releases);
                health.clear(Subject::Splits);
            }
            Some(Some(Err(FailedSplit { nets, error }))) => {
                let text = format!(
                    "some IPv6 /64s may still be blocked as a whole although known or allowlisted senders are in them; trying again: {error:#}"
                );
                health.raise(Subject::Splits, text);
                self.due.extend(nets);
            }
            Some(None) | None => {}
        }
        if self.under_way.is_none() && !self.due.is_empty() {
            let (pin_dir, run_dir) = (self.pin_dir.clone(), self.run_dir.clone());
            let store = self.store.clone();
            let (nets, protected) = (std::mem::take(&mut self.due), protected.clone());
            self.under_way = Some(self.disk.submit(move || {
                let split = Blocklist::open(&pin_dir).and_then(|mut blocklist| {
                    owned_blocks::split(
                        &mut blocklist,
                        &mut OwnerStore::new(&store, DAEMON_WAIT),
                        nets.iter().copied(),
                        |addr| protected.why(addr).is_none(),
                        || lock::acquire_within(&run_dir, LOCK_WAIT),
                    )
                });
                split.map_err(|error| FailedSplit { nets, error })
            }));
        }
    }
}

/// Logs the splits. The release task then seals the new entries.
fn report_splits(splits: &[Split], releases: &UnboundedSender<ReleaseMessage>) {
    if splits.is_empty() {
        return;
    }
    for split in splits {
        log::info!(target: "spamdrop::block", "{split}");
    }
    let _ = releases.send(ReleaseMessage::Adopt);
}
