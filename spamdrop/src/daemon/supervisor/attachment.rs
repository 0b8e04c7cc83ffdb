//! Keeps the filter on every interface of the configuration.

use std::time::Duration;

use anyhow::Result;

use super::{Supervisor, open_packet_log};
use crate::clock;
use crate::daemon::health::Subject;
use crate::daemon::interfaces::{InterfaceState, standing};
use crate::install;
use crate::kernel::attach::{self, Linked, Refused};
use crate::kernel::network;
use crate::lock::WriteLock;

/// The trouble with an interface of the configuration, if there is any.
struct InterfaceTrouble {
    name: String,
    /// Why it does not have the filter.
    lost: Option<String>,
    /// Why the filter on it is not as configured.
    impaired: Option<String>,
}

impl Supervisor {
    /// Attaches the filter to interfaces that lack it, such as one that was
    /// created anew, and detaches it from those that were renamed.
    pub(super) fn keep_attached(&mut self) {
        match self.try_keep_attached() {
            Ok(troubles) => {
                self.health.clear(Subject::Interfaces);
                for InterfaceTrouble {
                    name,
                    lost,
                    impaired,
                } in troubles
                {
                    self.health.set(Subject::Interface(name.clone()), lost);
                    self.health.set(Subject::Impaired(name), impaired);
                }
            }
            Err(error) => self.health.raise(Subject::Interfaces, format!("{error:#}")),
        }
    }

    /// Returns the trouble with each interface of the configuration.
    fn try_keep_attached(&mut self) -> Result<Vec<InterfaceTrouble>> {
        let pin_dir = &self.settings.filter.pin_dir;
        let (mut linked, mut present) = attach::read_links(pin_dir)?;
        if linked.iter().any(Linked::is_astray) {
            self.release_astray()?;
            (linked, present) = attach::read_links(&self.settings.filter.pin_dir)?;
        }
        let wanted = self.settings.filter.interfaces.clone();
        let mode = self.settings.filter.plan.mode;
        let troubles = wanted.iter().map(|name| {
            let mut impaired = None;
            let lost = match standing(name, &wanted, mode, &linked, &present) {
                InterfaceState::Protected => None,
                InterfaceState::Ready(index) => self.try_attach(name, index),
                InterfaceState::Impaired(reason) => {
                    impaired = Some(reason);
                    None
                }
                InterfaceState::Excluded(reason) => Some(reason),
                InterfaceState::Foreign(interface) => Some(attach::foreign(&interface)),
                InterfaceState::Absent => Some(format!(
                    "there is no interface `{name}`; `ip link` lists them"
                )),
            };
            if lost.is_none() {
                self.refusals.forget(name);
            }
            InterfaceTrouble {
                name: name.clone(),
                lost,
                impaired,
            }
        });
        let troubles = troubles.collect();
        self.watch_traffic(&linked);
        Ok(troubles)
    }

    /// Detaches links whose interface has another name now, or is in another
    /// namespace.
    fn release_astray(&self) -> Result<()> {
        let filter = &self.settings.filter;
        match WriteLock::try_acquire(&filter.run_dir, Duration::ZERO)? {
            Some(lock) => attach::release_others(&lock, &filter.pin_dir, |_| true),
            None => Ok(()),
        }
    }

    /// Notes the interfaces that refused the filter at the start or a reload.
    pub(super) fn note_refusals(&mut self, refused: Vec<Refused>) {
        let now = clock::instant();
        for Refused { name, error } in refused {
            if let Ok(Some(interface)) = network::find(&name) {
                let reason = format!("{error:#}");
                self.refusals.add(&name, interface.index, reason, now);
            }
        }
    }

    /// Attaches to an interface, unless it refused the filter a short time ago.
    /// Returns why it does not have the filter; `None` if it has.
    fn try_attach(&mut self, name: &str, index: u32) -> Option<String> {
        let now = clock::instant();
        if let Some(reason) = self.refusals.reason(name, index, now) {
            return Some(reason);
        }
        match self.reinstall(name) {
            Ok(true) => None,
            Ok(false) => Some(format!(
                "{name} does not have the filter yet: the write lock is not free"
            )),
            Err(error) => {
                let reason = format!("{error:#}");
                self.refusals.add(name, index, reason.clone(), now);
                Some(reason)
            }
        }
    }

    /// Attaches to one more interface. Returns `false` if the write lock was not free.
    fn reinstall(&mut self, name: &str) -> Result<bool> {
        let filter = &self.settings.filter;
        let Some(lock) = WriteLock::try_acquire(&filter.run_dir, Duration::ZERO)? else {
            return Ok(false);
        };
        let mut all = vec![name.to_owned()];
        if self.options.log_level != 0 {
            // Only the ring buffer of the newest program is read for the packet log,
            // so the new program also replaces those that are attached.
            let linked = attach::linked(&filter.pin_dir)?.into_iter();
            let linked = linked.filter(|link| link.interface().is_some());
            all.extend(linked.map(|link| link.name).filter(|other| *other != *name));
        }
        let installed =
            install::reinstall(&lock, filter, &all, &self.protected, self.options.log_level)?;
        let mut refused = installed.refused.into_iter();
        if let Some(refused) = refused.find(|refused| refused.name == name) {
            return Err(refused.error);
        }
        self.blocklist = installed.blocklist;
        self.packets = open_packet_log(installed.filter, self.options.log_level)?;
        log::info!("attached to {name}");
        Ok(true)
    }
}
