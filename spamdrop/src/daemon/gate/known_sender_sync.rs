//! Copies the known senders from the database to the filter, and sends them to the
//! tasks that block.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use spamdrop_common::gate::GateMode;
use spamdrop_core::policy::KnownNets;
use spamdrop_core::target::Target;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot::Receiver;

use super::GateSettings;
use crate::clock;
use crate::daemon::database;
use crate::daemon::disk::{Disk, take_finished};
use crate::daemon::fifo_control::FifoMessage;
use crate::daemon::health::Subject;
use crate::daemon::status::HealthReporter;
use crate::daemon::watch::WatchMessage;
use crate::kernel::blocklist::{GateMaps, KnownSet};

/// Maximum time between two syncs. The known senders change even without new
/// evidence, because old evidence expires.
const PERIOD: Duration = Duration::from_secs(3600);
/// After a sync, wait this many times as long as it took before the next one,
/// so that a large list is not reread constantly.
const REST: u32 = 10;
/// After an error, wait at least this long before the next sync.
const RETRY: Duration = Duration::from_secs(1);

/// The state of the sync.
pub(super) struct KnownSenderSync {
    disk: Disk,
    outputs: KnownOutputs,
    under_way: Option<Receiver<Synced>>,
    /// When the last sync began; `None`: the senders may have changed since.
    started: Option<Instant>,
    /// The next sync begins at this time at the earliest.
    rest: Option<Instant>,
    /// The senders that the filter received last.
    known: Arc<KnownSet>,
    /// Whether the filter holds exactly the senders in `known`.
    is_exact: bool,
    /// Whether the filter has received the senders since the start, or since the gate
    /// was switched on.
    is_told: bool,
}

/// The tasks that block. They must not block a whole /64 that holds a known sender.
pub(in crate::daemon) struct KnownOutputs {
    pub watch: UnboundedSender<WatchMessage>,
    pub fifo: UnboundedSender<FifoMessage>,
}

struct Synced {
    known: Result<(KnownSet, KnownNets, Arc<[Target]>)>,
    took: Duration,
}

impl KnownSenderSync {
    pub fn new(disk: Disk, outputs: KnownOutputs) -> Self {
        Self {
            disk,
            outputs,
            under_way: None,
            started: None,
            rest: None,
            known: Arc::default(),
            is_exact: false,
            is_told: false,
        }
    }

    /// Requests a sync, because the senders may have changed.
    pub fn mark_changed(&mut self) {
        self.started = None;
    }

    /// Records that the gate was off, so that it must not refuse before the next sync.
    pub fn mark_untold(&mut self) {
        self.is_told = false;
    }

    /// Whether the filter has the known senders. Until then, no source may be
    /// refused.
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// Whether the filter has a source as a known sender.
    pub fn contains(&self, source: IpAddr) -> bool {
        self.known.contains(source)
    }

    /// Number of known senders in the filter.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Takes the result of a finished sync, and begins a sync if one is due.
    pub fn poll(&mut self, settings: &GateSettings, health: &HealthReporter) {
        if let Some(synced) = take_finished(&mut self.under_way) {
            self.take(synced, settings.mode, health);
        }
        if self.is_due(clock::instant()) {
            self.begin(settings);
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let is_old = |started| now.saturating_duration_since(started) >= PERIOD;
        self.under_way.is_none()
            && self.started.is_none_or(is_old)
            && self.rest.is_none_or(|rest| now >= rest)
    }

    fn begin(&mut self, settings: &GateSettings) {
        self.started = Some(clock::instant());
        let (store, pin_dir) = (settings.store.clone(), settings.pin_dir.clone());
        let old = self.is_exact.then(|| Arc::clone(&self.known));
        self.under_way = Some(self.disk.submit(move || {
            let start = clock::instant();
            let known = database::known_senders(&store).and_then(|senders| {
                let mut maps = GateMaps::open(&pin_dir)?;
                let nets = senders.iter().copied().collect();
                let all = senders.as_slice().into();
                Ok((
                    write_senders(&mut maps, senders, old.as_deref())?,
                    nets,
                    all,
                ))
            });
            let took = start.elapsed();
            Synced { known, took }
        }));
    }

    fn take(&mut self, synced: Option<Synced>, mode: GateMode, health: &HealthReporter) {
        let Some(Synced { known, took }) = synced else {
            // The disk thread died. If the problem lasts, the next sync reports it.
            self.is_exact = false;
            self.started = None;
            return;
        };
        let rest = match &known {
            Ok(_) => took * REST,
            Err(_) => (took * REST).max(RETRY),
        };
        self.rest = clock::instant().checked_add(rest);
        self.is_exact = known.is_ok();
        match known {
            Ok((known, nets, senders)) => {
                // The FIFO task comes first: the watch task then splits blocked
                // /64s, which the FIFO task must not block again.
                let _ = self.outputs.fifo.send(FifoMessage::Know(nets.clone()));
                let _ = self
                    .outputs
                    .watch
                    .send(WatchMessage::Know { nets, senders });
                self.is_told = true;
                self.known = Arc::new(known);
                health.clear(Subject::KnownSenders);
            }
            Err(error) => {
                let observes = if self.is_told || mode == GateMode::Off {
                    ""
                } else {
                    ", so the gate only observes"
                };
                let text =
                    format!("the filter does not know the known senders{observes}: {error:#}");
                health.raise(Subject::KnownSenders, text);
                // A problem with a file may be temporary, so the sync is
                // repeated.
                self.started = None;
            }
        }
    }
}

fn write_senders(
    maps: &mut GateMaps,
    senders: Vec<Target>,
    old: Option<&KnownSet>,
) -> Result<KnownSet> {
    match old {
        Some(old) => maps.know_instead(old, senders),
        None => maps.know_exactly(senders),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Error;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::daemon::disk::DiskThread;

    fn sync() -> KnownSenderSync {
        let (watch, fifo) = (unbounded_channel().0, unbounded_channel().0);
        KnownSenderSync::new(DiskThread::new().0, KnownOutputs { watch, fifo })
    }

    fn synced(known: Result<KnownSet>) -> Option<Synced> {
        let known = known.map(|known| (known, KnownNets::default(), Arc::default()));
        let took = Duration::from_secs(1);
        Some(Synced { known, took })
    }

    fn known() -> KnownSet {
        let source: IpAddr = [192, 0, 2, 1].into();
        [source.into()].into_iter().collect()
    }

    #[test]
    fn they_are_read_when_they_have_changed_or_grown_old_but_many_not_at_once() {
        let now = clock::instant();
        let mut sync = sync();
        assert!(sync.is_due(now));
        sync.started = Some(now);
        assert!(!sync.is_due(now + PERIOD - Duration::from_secs(1)));
        assert!(sync.is_due(now + PERIOD));
        sync.mark_changed();
        assert!(sync.is_due(now));
        sync.rest = Some(now + Duration::from_secs(9));
        assert!(!sync.is_due(now + Duration::from_secs(8)));
        assert!(sync.is_due(now + Duration::from_secs(9)));
    }

    #[test]
    fn after_an_error_the_filter_is_told_everything_again() {
        let (status, _reports) = unbounded_channel();
        let health = HealthReporter::new(status);
        let mut sync = sync();
        sync.take(synced(Err(Error::msg("locked"))), GateMode::On, &health);
        assert!(!sync.is_told() && !sync.is_exact, "nobody may be refused");
        sync.take(synced(Ok(known())), GateMode::On, &health);
        assert!(sync.is_told() && sync.is_exact);
        sync.take(synced(Err(Error::msg("full"))), GateMode::On, &health);
        assert!(sync.is_told() && !sync.is_exact);
        assert_eq!(sync.len(), 1);
        assert!(sync.contains([192, 0, 2, 1].into()));
    }
}
