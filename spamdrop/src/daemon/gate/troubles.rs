//! Problems that the gate task reports to the status task.

use spamdrop_common::gate::GateMode;
use spamdrop_core::status::SettingsState;
use spamdrop_core::zones::Zones;
use tokio::sync::mpsc::UnboundedSender;

use super::{GateSettings, GateTask};
use crate::clock;
use crate::daemon::health::Subject;
use crate::daemon::status::{HealthReporter, StatusMessage};
use crate::dnsbl::Resolver;
use crate::server_settings::{self, HOW_TO_WRITE};

/// The warning that the daily budget of look-ups is spent, as by a flood of forged
/// addresses.
const BUDGET_SPENT: &str = "the budget of `max_lookups_per_day` is spent, so only a few refused senders are looked up until the budget has recovered; `spamdrop report` shows the sources; raise it only as far as your blocklists allow";

/// The warning that the responder has no zone.
const ANSWERS_NOBODY: &str = "the responder answers nobody: no DNS blocklist is known whose listing makes the mail server reject for certain; name one in `zones`";

impl GateTask {
    /// Reports problems of the look-ups, the zones, the mail server's settings and the
    /// visibility of its connections; clears those that are over. Call it once a second.
    pub(super) fn report_troubles(&mut self) {
        let spent = self.lookups.is_spent().then(|| BUDGET_SPENT.into());
        self.health.set(Subject::Lookups, spent);
        self.test_zones();
        let figures = self.lookups.zone_figures();
        // The status task ends last; a message that is not sent does not matter.
        let _ = self.status.send(StatusMessage::Zones(figures));
        let invisible = self.visibility.trouble(clock::instant());
        self.health
            .set(Subject::Visibility, invisible.filter(|_| self.is_on()));
        let trouble = self.settings.server_trouble();
        self.health.set(Subject::ServerSettings, trouble);
        let answers_nobody = self.responder.is_some() && !self.lookups.can_list();
        self.health.set(
            Subject::ResponderZones,
            answers_nobody.then(|| ANSWERS_NOBODY.into()),
        );
        let refused = self.lookups.refusals().trouble();
        self.health.set(Subject::Zones, refused);
    }

    /// Tests the zones, also while the gate is off: a rejection by a broken zone
    /// must not block.
    fn test_zones(&mut self) {
        let is_on = self.is_on();
        let tests = self.lookups.test_zones();
        let silence = tests.silence(clock::instant()).filter(|_| is_on);
        let (broken, untested) = (tests.broken(), tests.untested());
        let distrusts = tests.distrusts();
        self.health.set(Subject::BrokenZones, broken);
        self.health.set(Subject::UntestedZones, untested);
        self.health.set(Subject::NameServers, silence);
        if self.zone_trust.update(&self.lookups, &distrusts) {
            // Verdicts may come from a zone that has only now proved broken.
            self.lookups.forget();
            self.has_old_verdicts = true;
            self.clear_verdicts();
        }
    }
}

impl GateSettings {
    /// A change of the mail server's files since root read them, or why the settings that
    /// root read are unknown.
    pub(in crate::daemon) fn server_trouble(&self) -> Option<String> {
        match &self.server {
            Ok(file) => {
                let path = file.as_ref().and_then(server_settings::changed)?;
                Some(format!(
                    "{path} was changed after the mail server's settings were read; \
                     {HOW_TO_WRITE}, then reload"
                ))
            }
            // The report about the look-ups names the error.
            Err(_) if self.mode != GateMode::Off && self.lookups.is_err() => None,
            Err(error) => Some(format!("the mail server's settings are unknown: {error}")),
        }
    }
}

/// Reports for which mail servers the settings that root has read are in force, and when
/// root read them.
pub(super) fn report_server(settings: &GateSettings, status: &UnboundedSender<StatusMessage>) {
    let file = settings.server.as_ref().ok().and_then(Option::as_ref);
    let state = file.map(|file| SettingsState {
        servers: file
            .servers
            .iter()
            .map(|it| it.server.name().to_owned())
            .collect(),
        read_unix_s: file.read_unix_s,
    });
    // The status task ends last; a message that is not sent does not matter.
    let _ = status.send(StatusMessage::ServerSettings(state));
}

pub(super) fn report_slots(settings: &GateSettings, health: &HealthReporter) {
    let is_on = settings.mode != GateMode::Off;
    let trouble = settings.slots.trouble.clone().filter(|_| is_on);
    health.set(Subject::Slots, trouble);
}

/// The zones and the resolver. If they are unavailable, the gate works without
/// verdicts.
pub(super) fn lookups(settings: &GateSettings, health: &HealthReporter) -> (Zones, Resolver) {
    match &settings.lookups {
        Ok((zones, servers)) => {
            health.clear(Subject::Resolver);
            (zones.clone(), Resolver::new(servers))
        }
        Err(error) => {
            if settings.mode != GateMode::Off {
                let text = format!("refused senders are not looked up: {error}");
                health.raise(Subject::Resolver, text);
            }
            (Zones::default(), Resolver::new(&[]))
        }
    }
}
