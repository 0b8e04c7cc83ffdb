//! Changes while the daemon runs: the configuration and the allowlist.

use anyhow::{Context as _, Result, ensure};
use tokio::sync::oneshot::channel;

use super::{Supervisor, acquire_soon, open_packet_log, warn_of};
use crate::checks;
use crate::clock;
use crate::config::Config;
use crate::daemon::fifo_control::FifoMessage;
use crate::daemon::gate::GateMessage;
use crate::daemon::health::Subject;
use crate::daemon::history::HistoryMessage;
use crate::daemon::interfaces::AttachRefusals;
use crate::daemon::release::ReleaseMessage;
use crate::daemon::responder::ResponderMessage;
use crate::daemon::service_manager;
use crate::daemon::settings::DaemonSettings;
use crate::daemon::sources::SourceSettings;
use crate::daemon::status::StatusMessage;
use crate::daemon::watch::WatchMessage;
use crate::fifo::Fifo;
use crate::install::{self, Installed};
use crate::lock::WriteLock;
use crate::protect::ReadProtected;
use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::nat64;
use spamdrop_core::reload::{KeyChanges, ReloadState};

/// A new configuration, with the results of every step that could fail.
struct Next {
    config: Config,
    changes: KeyChanges,
    settings: DaemonSettings,
    read: ReadProtected,
    /// The new FIFO, if its path has changed.
    fifo: Option<Fifo>,
    /// The new log sources, if they have changed.
    sources: Option<SourceSettings>,
    installed: Installed,
    steered: Result<()>,
}

impl Supervisor {
    /// SIGHUP: rereads the configuration. After an error the old one stays in
    /// force. `spamdrop reload` waits for the result in the state file.
    pub(super) async fn reload(&mut self) {
        let begun = clock::monotonic_ns();
        service_manager::reloading();
        let result = match self.prepare().await {
            Ok(next) => Ok(self.take_over(next).await),
            // Hide keys: the name of a zone may hold one.
            Err(error) => Err(mask(&format!("{error:#}")).into_owned()),
        };
        let level = match &result {
            Ok(keys) if keys.failed.is_empty() => log::Level::Info,
            Ok(_) => log::Level::Warn,
            Err(_) => log::Level::Error,
        };
        let state = ReloadState::new(begun, result);
        log::log!(target: "spamdrop::run", level, "{state}");
        service_manager::ready(&state.to_string());
        self.tasks.tell_status(StatusMessage::Reloaded(state));
    }

    async fn prepare(&mut self) -> Result<Next> {
        let (config, changes) = (self.options.reread)()?.reloaded(&self.config);
        config
            .check()
            .context("with the current values of the keys that only a restart changes")?;
        let settings = DaemonSettings::new(&config)?;
        checks::ensure_no_overlap(&config)?;
        warn_of(checks::answer(&config).await?);
        let read = self.read_protected(&settings.filter.allow_file)?;
        let fifo = match &settings.fifo.path {
            Some(path) if Some(path) != self.settings.fifo.path.as_ref() => Some(Fifo::open(path)?),
            _ => None,
        };
        let sources = self.other_sources(&config, &settings.sources)?;
        let filter = &settings.filter;
        let lock = acquire_soon(&filter.run_dir).await?;
        let installed =
            install::reconfigure(&lock, filter, &read.protected, self.options.log_level);
        let mut installed = match installed {
            Ok(installed) => installed,
            Err(error) => {
                self.take_back(&lock);
                return Err(error);
            }
        };
        let answers = settings.responder.is_some();
        let steered = install::steer(&lock, filter, answers, &mut installed.filter);
        if let Err(error) = install::release_others(&lock, filter) {
            log::warn!("{error:#}");
        }
        Ok(Next {
            config,
            changes,
            settings,
            read,
            fifo,
            sources,
            installed,
            steered,
        })
    }

    /// The sources, if they differ from the current ones.
    fn other_sources(
        &self,
        config: &Config,
        sources: &SourceSettings,
    ) -> Result<Option<SourceSettings>> {
        if *sources == self.settings.sources {
            return Ok(None);
        }
        // If standard input is read, a change of the keys that name the sources waits
        // for a restart, and only the id of a user in `journal_match` can differ here.
        ensure!(
            !config.reads_stdin(),
            "the log sources have changed, and standard input is one of them; restart the daemon \
             to apply the change"
        );
        Ok(Some(sources.clone()))
    }

    /// Writes the settings in force to the filter again, because the reload that
    /// failed may have written the new ones.
    fn take_back(&mut self, lock: &WriteLock) {
        let filter = &self.settings.filter;
        let blocklist = &mut self.blocklist;
        let told = install::tell_addresses(lock, filter, &self.protected, blocklist)
            .and_then(|()| blocklist.configure(lock, filter.settings));
        self.rereads_allowlist |= told.is_err();
        let failed = "the filter has the settings of the configuration that was refused; \
                      correct it and run `spamdrop reload`";
        self.health.report(Subject::Settings, failed, told);
    }

    /// Applies the new configuration, and returns its changed keys and what could
    /// not be applied, which is logged and shown in `status`, too.
    async fn take_over(&mut self, next: Next) -> KeyChanges {
        let Next {
            settings,
            installed,
            ..
        } = next;
        let mut changes = next.changes;
        self.config = next.config;
        self.health.set(Subject::PendingChanges, changes.warning());
        nat64::configure(&settings.filter.nat64);
        self.blocklist = installed.blocklist;
        self.health.clear(Subject::Settings);
        self.tasks
            .tell_gate(GateMessage::Reconfigure(Box::new(settings.gate.clone())));
        self.tasks.tell_watch(WatchMessage::Reconfigure {
            settings: Box::new(settings.watch.clone()),
            sources: next.sources,
        });
        self.tasks
            .tell_release(ReleaseMessage::Reconfigure(settings.release.clone()));
        self.tasks
            .tell_history(HistoryMessage::Reconfigure(Box::new(
                settings.history.clone(),
            )));
        self.tasks.tell_fifo(FifoMessage::Reconfigure {
            settings: settings.fifo.clone(),
            fifo: next.fifo,
        });
        for name in &self.settings.filter.interfaces {
            self.health.clear(Subject::Interface(name.clone()));
            self.health.clear(Subject::Impaired(name.clone()));
        }
        self.settings = settings;
        self.refusals = AttachRefusals::default();
        self.note_refusals(installed.refused);
        self.keep_attached();
        self.tell_protected(next.read.protected);
        self.note_allowlist(&next.read.allowlist);
        self.rereads_allowlist = false;
        if let Err(text) = self.arrange_responder(next.steered).await {
            changes.fail(&["answer", "syslog"], &text);
        }
        match open_packet_log(installed.filter, self.options.log_level) {
            Ok(packets) => {
                self.packets = packets;
                self.health.clear(Subject::PacketLog);
            }
            Err(error) => {
                let text = format!(
                    "packets are no longer logged; restart the daemon to log them again: {error:#}"
                );
                self.health.raise(Subject::PacketLog, text);
            }
        }
        changes
    }

    /// Starts, replaces or ends the responder, as configured. Returns whether
    /// it runs, or why it does not. Without it the mail server answers every
    /// sender, so an error does not stop the daemon.
    pub(super) async fn arrange_responder(&mut self, steered: Result<()>) -> Result<bool, String> {
        let settings = match &steered {
            Ok(()) => self.settings.responder.clone(),
            Err(_) => None,
        };
        let (done, answers) = channel();
        self.tasks
            .tell_responder(ResponderMessage::Reconfigure(settings, done));
        // The task replies unless it has died, which ends the daemon.
        let answers = answers.await.unwrap_or(Ok(false));
        if let Err(error) = steered {
            let text = format!(
                "the responder cannot run, so the mail server answers listed senders: {error:#}"
            );
            self.health.raise(Subject::Responder, &*text);
            return Err(text);
        }
        answers
    }

    /// SIGUSR1: rereads the allowlist, the known senders and the pending
    /// releases.
    pub(super) fn refresh(&mut self) {
        self.rereads_allowlist = true;
        self.protect();
        self.tasks.tell_gate(GateMessage::SendersChanged);
        self.tasks.tell_release(ReleaseMessage::Adopt);
    }
}
