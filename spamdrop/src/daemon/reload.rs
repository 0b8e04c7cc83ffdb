//! What changes while the watcher runs: the configuration, the allowlist, the
//! network.

use anyhow::{Result, bail, ensure};

use super::Daemon;
use super::inlet::Inlet;
use super::sources;
use crate::checks;
use crate::config::Config;
use crate::install::{Installed, Setup, reconfigure};
use crate::lock::WriteLock;
use crate::protect;
use crate::tail::Tail;
use spamdrop_core::policy::{PolicyConfig, Protected};

/// A configuration that was read again, and all of it that could fail.
struct Next {
    config: Config,
    policy: PolicyConfig,
    protected: Protected,
    /// `None`: the old one stays, here and below.
    inlet: Option<Inlet>,
    tail: Option<Tail>,
    up: Installed,
}

impl Daemon {
    /// SIGHUP: reads the configuration again. On an error the old one holds.
    pub(super) fn reload(&mut self) {
        match self.prepare() {
            Ok(next) => {
                self.take_over(next);
                log::info!(target: "spamdrop::run", "configuration read again");
            }
            Err(error) => {
                log::error!(target: "spamdrop::run", "the configuration is unchanged: {error:#}")
            }
        }
    }

    fn prepare(&mut self) -> Result<Next> {
        let config = (self.options.reread)()?;
        ensure!(
            fixed(&config) == fixed(&self.config),
            "capacities and directories change only with `spamdrop detach` and a new start"
        );
        sources::ensure_complete(&config)?;
        super::warn_of(checks::answer(&config)?);
        let policy = config.policy()?;
        let protected = protect::protected(&config.allow_file)?;
        let inlet = self.inlet.reopened(&config.fifo)?;
        let tail = self.other_tail(&config)?;
        // Who is still listed is found out again.
        self.admitting.forget_verdicts()?;
        let setup = Setup::new(&config, self.options.log_level);
        let up = WriteLock::acquire(&config.run_dir)
            .and_then(|lock| reconfigure(&lock, &setup, &config.interfaces));
        Ok(Next {
            up: up.inspect_err(|_| self.take_back())?,
            config,
            policy,
            protected,
            inlet,
            tail,
        })
    }

    fn other_tail(&mut self, config: &Config) -> Result<Option<Tail>> {
        if sources::are_same(config, &self.config) {
            return Ok(None);
        }
        // Its thread has read ahead, and another could not give it back.
        let mut logs = self.config.logs.iter().chain(&config.logs);
        if logs.any(|log| log.as_os_str() == "-") {
            bail!("sources beside standard input change only with a new start");
        }
        self.tail.save()?;
        sources::open_tail(config).map(Some)
    }

    /// The filter may have been told of another configuration than ours.
    fn take_back(&mut self) {
        let lock = WriteLock::acquire(&self.config.run_dir);
        let told = lock.and_then(|lock| self.blocklist.configure(&lock, self.config.settings()));
        match told {
            Ok(()) => self.upkeep.fine("settings"),
            Err(error) => {
                let text = format!(
                    "the filter has the settings of the configuration that was refused, \
                     correct it and send SIGHUP again: {error:#}"
                );
                self.upkeep.warn("settings", text);
            }
        }
        self.protect();
    }

    /// Nothing here fails for good: what does not work is told, also in
    /// `status`.
    fn take_over(&mut self, next: Next) {
        let Next { config, mut up, .. } = next;
        self.blocklist = up.blocklist;
        self.upkeep.attached = up.attached;
        self.upkeep.fine("settings");
        self.admitting.reconfigure(&config);
        if !self.admitting.is_on() {
            self.leave_gate();
        }
        self.judging.reconfigure(&config);
        self.intake
            .reconfigure(&self.config, &config, next.policy, next.protected);
        if let Some(tail) = next.tail {
            self.tail = tail;
        }
        if let Some(inlet) = next.inlet {
            self.inlet = inlet;
        }
        self.config = config;
        self.admitting.senders_changed();
        self.arrange_answering(&mut up.filter);
        match super::packet_log(&mut up.filter, self.options.log_level) {
            Ok(packets) => {
                self.packets = packets;
                self.upkeep.fine("packets");
            }
            Err(error) => {
                let text = format!("packets are no longer logged, start anew for it: {error:#}");
                self.upkeep.warn("packets", text);
            }
        }
    }

    /// SIGUSR1: reads the allowlist, the known senders and the pending releases
    /// again.
    pub(super) fn refresh(&mut self) {
        self.protect();
        self.admitting.senders_changed();
        match self.adopt() {
            Ok(()) => self.upkeep.fine("releases"),
            Err(error) => {
                let text = format!("cannot read the pending releases: {error:#}");
                self.upkeep.warn("releases", text);
            }
        }
    }

    /// Reads the allowlist and the machine's own addresses again.
    pub(super) fn protect(&mut self) {
        match self.try_protect() {
            Ok(()) => {
                log::debug!("allowlist read again");
                self.upkeep.fine("allowlist");
            }
            Err(error) => self.upkeep.warn("allowlist", format!("{error:#}")),
        }
    }

    fn try_protect(&mut self) -> Result<()> {
        let protected = protect::protected(&self.config.allow_file)?;
        let lock = WriteLock::acquire(&self.config.run_dir)?;
        self.blocklist
            .allow_exactly(&lock, &protect::allowed(&protected))?;
        self.intake.protected = protected;
        Ok(())
    }
}

/// What must stay while the maps are pinned and the files open.
fn fixed(config: &Config) -> impl PartialEq + use<> {
    let dirs = [&config.pin_dir, &config.run_dir, &config.state_dir].map(Clone::clone);
    (dirs, config.plan().capacity)
}
