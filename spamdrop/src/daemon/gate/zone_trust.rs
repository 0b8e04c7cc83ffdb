//! Keeps the watch task from trusting zones that their tests have shown to be broken.

use spamdrop_core::dnsbl::named_zone::ZoneNames;
use spamdrop_core::dnsbl::zone::Distrust;
use tokio::sync::mpsc::UnboundedSender;

use crate::daemon::watch::WatchMessage;
use crate::dnsbl::Lookups;

/// Follows which zones are broken, and tells the watch task.
pub(super) struct ZoneTrust {
    watch: UnboundedSender<WatchMessage>,
    /// Whether each zone was broken at the last call.
    broken: Vec<bool>,
    /// The zones as last sent to the watch task.
    told: ZoneNames,
}

impl ZoneTrust {
    pub fn new(watch: UnboundedSender<WatchMessage>) -> Self {
        Self {
            watch,
            broken: Vec::new(),
            told: ZoneNames::default(),
        }
    }

    /// Takes the results of the tests. Returns whether the set of broken zones has
    /// changed, so that the verdicts are no longer valid. Verdicts of a zone that is
    /// only untested stay valid until they expire.
    pub fn update(&mut self, lookups: &Lookups, distrusts: &[Option<Distrust>]) -> bool {
        let is_broken = |distrust: &Option<Distrust>| *distrust == Some(Distrust::Broken);
        let broken: Vec<bool> = distrusts.iter().map(is_broken).collect();
        let zones = ZoneNames::new(lookups.rules(), &broken);
        if zones != self.told {
            let _ = self.watch.send(WatchMessage::Zones(zones.clone()));
            self.told = zones;
        }
        let has_changed = broken != self.broken;
        self.broken = broken;
        has_changed
    }
}
