//! What changes while the watcher runs: the configuration, the allowlist, the
//! network.

use anyhow::Result;

use super::Daemon;
use crate::answer::Answer;
use crate::bring_up::bring_up_again;
use crate::checks;
use crate::config::Config;
use crate::lock::Turn;
use crate::protect;

impl Daemon {
    /// SIGHUP: reads the configuration again. On an error the old one holds.
    pub(super) fn reload(&mut self) {
        match self.try_reload() {
            Ok(()) => log::info!(target: "spamdrop::run", "configuration read again"),
            Err(error) => {
                log::error!(target: "spamdrop::run", "the configuration is unchanged: {error:#}")
            }
        }
    }

    fn try_reload(&mut self) -> Result<()> {
        let new = (self.options.reread)()?;
        let fixed = |config: &Config| {
            let dirs = [&config.pin_dir, &config.run_dir, &config.state_dir].map(Clone::clone);
            (dirs, config.plan().capacity)
        };
        if fixed(&new) != fixed(&self.config) {
            anyhow::bail!(
                "capacities and directories change only with `spamdrop detach` and a new start"
            );
        }
        super::ensure_complete(&new)?;
        // What can fail comes first.
        super::warn_of(checks::answer(&new)?);
        let policy = new.policy()?;
        let protected = protect::protected(&new)?;
        let inlet = self.inlet.reopened(&new.fifo)?;
        let sources = |config: &Config| {
            let logs = config.logs.clone();
            let own = config.journal && config.answer == Answer::On;
            (logs, config.journal, config.journal_match.clone(), own)
        };
        let tail = if sources(&new) == sources(&self.config) {
            None
        } else {
            // Its thread has read ahead, and another could not give it back.
            if self
                .config
                .logs
                .iter()
                .chain(&new.logs)
                .any(|log| log.as_os_str() == "-")
            {
                anyhow::bail!("sources beside standard input change only with a new start");
            }
            self.tail.save()?;
            Some(super::open_tail(&new)?)
        };
        let level = self.options.log_level;
        let mut up = bring_up_again(&new, &new.interfaces, level)?;
        self.blocklist = up.blocklist;
        self.upkeep.attached = up.attached;
        self.admitting.reconfigure(&new)?;
        self.judging.reconfigure(&new);
        self.intake
            .reconfigure(&self.config, &new, policy, protected);
        if let Some(tail) = tail {
            self.tail = tail;
        }
        if let Some(inlet) = inlet {
            self.inlet = inlet;
        }
        self.config = new;
        self.admitting.senders_changed();
        self.arrange_answering(&mut up.object);
        self.packets = super::packet_log(up.object, level)?;
        Ok(())
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
        let protected = protect::protected(&self.config)?;
        let turn = Turn::take(&self.config.run_dir)?;
        self.blocklist
            .allow_exactly(&turn, &protect::allowed(&protected))?;
        self.intake.protected = protected;
        Ok(())
    }
}
