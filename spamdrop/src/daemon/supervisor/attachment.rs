//! Keeps the filter on every interface of the configuration.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{Supervisor, open_packet_log};
use crate::clock;
use crate::daemon::health::Subject;
use crate::daemon::interfaces;
use crate::install;
use crate::kernel::attach;
use crate::kernel::network;
use crate::lock::WriteLock;
use crate::protect;

impl Supervisor {
    /// Puts the filter on interfaces that lack it, as on one that was made
    /// anew.
    pub(super) fn keep_attached(&mut self) {
        match self.try_keep_attached() {
            Ok(reasons) if reasons.is_empty() => self.health.clear(Subject::Interfaces),
            Ok(reasons) => self.health.raise(Subject::Interfaces, reasons.join("; ")),
            Err(error) => self.health.raise(Subject::Interfaces, format!("{error:#}")),
        }
    }

    /// Why interfaces still lack the filter.
    fn try_keep_attached(&mut self) -> Result<Vec<String>> {
        let filter = &self.settings.filter;
        let linked = attach::linked(&filter.pin_dir)?;
        let present = network::interfaces()?;
        let missing = interfaces::missing(&filter.interfaces, &linked, &present);
        let mut reasons = missing.reasons;
        if missing.ready.is_empty() {
            return Ok(reasons);
        }
        let now = clock::instant();
        if !self.interfaces.is_due(now) {
            bail!(
                "{} without the filter; trying again",
                missing.ready.join(", ")
            );
        }
        let reinstalled = self.reinstall(missing.ready);
        self.interfaces.tried(&reinstalled, now);
        if let Err(error) = reinstalled {
            reasons.push(format!("{error:#}"));
        }
        Ok(reasons)
    }

    fn reinstall(&mut self, names: Vec<String>) -> Result<()> {
        let filter = &self.settings.filter;
        let Some(lock) = WriteLock::try_acquire(&filter.run_dir, Duration::ZERO)? else {
            bail!(
                "{} without the filter, until the write lock is free",
                names.join(", ")
            );
        };
        let protected = protect::protected(&filter.allow_file)?;
        // All programs log to one ring, that of the newest.
        let all = match self.options.log_level {
            0 => names.clone(),
            _ => filter.present_interfaces()?,
        };
        let installed =
            install::reinstall(&lock, filter, &all, &protected, self.options.log_level)?;
        self.blocklist = installed.blocklist;
        self.packets = open_packet_log(installed.filter, self.options.log_level)?;
        log::info!("attached to {} again", names.join(", "));
        Ok(())
    }
}
