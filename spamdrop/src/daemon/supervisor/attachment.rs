//! Keeps the filter on every interface of the configuration.

use std::time::Duration;

use anyhow::Result;

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
    /// Attaches the filter to interfaces that lack it, such as one that was
    /// created anew.
    pub(super) fn keep_attached(&mut self) {
        match self.try_keep_attached() {
            Ok(reasons) if reasons.is_empty() => self.health.clear(Subject::Interfaces),
            Ok(reasons) => self.health.raise(Subject::Interfaces, reasons.join("; ")),
            Err(error) => self.health.raise(Subject::Interfaces, format!("{error:#}")),
        }
    }

    /// Returns the reasons why interfaces still lack the filter.
    fn try_keep_attached(&mut self) -> Result<Vec<String>> {
        let filter = &self.settings.filter;
        let linked = attach::linked(&filter.pin_dir)?;
        let present = network::interfaces()?;
        let missing = interfaces::missing(&filter.interfaces, &linked, &present);
        let mut reasons = missing.reasons;
        for name in missing.ready {
            let now = clock::instant();
            if let Some(reason) = self.interfaces.refusal(&name, now) {
                reasons.push(reason);
                continue;
            }
            match self.reinstall(&name) {
                Ok(true) => self.interfaces.attached_again(&name),
                Ok(false) => {
                    reasons.push(format!("{name} waits for the write lock to get the filter"));
                }
                Err(error) => {
                    let reason = format!("{error:#}");
                    self.interfaces.refused(&name, reason.clone(), now);
                    reasons.push(reason);
                }
            }
        }
        Ok(reasons)
    }

    /// Attaches to one more interface; whether the write lock was free.
    fn reinstall(&mut self, name: &str) -> Result<bool> {
        let filter = &self.settings.filter;
        let Some(lock) = WriteLock::try_acquire(&filter.run_dir, Duration::ZERO)? else {
            return Ok(false);
        };
        let protected = protect::protected(&filter.allow_file)?;
        let mut all = vec![name.to_owned()];
        if self.options.log_level != 0 {
            // All programs log to one ring buffer, that of the newest program,
            // so those that are attached are replaced.
            let linked = attach::linked(&filter.pin_dir)?.into_iter();
            let linked = linked.filter(|link| link.interface.is_some());
            all.extend(linked.map(|link| link.name).filter(|other| *other != *name));
        }
        let installed =
            install::reinstall(&lock, filter, &all, &protected, self.options.log_level)?;
        self.blocklist = installed.blocklist;
        self.packets = open_packet_log(installed.filter, self.options.log_level)?;
        log::info!("attached to {name} again");
        Ok(true)
    }
}
