//! Carries out what `release` decides.

use std::collections::HashSet;
use std::io;

use anyhow::{Context as _, Result};
use spamdrop_common::entry::SEALED;
use spamdrop_common::verdict::is_live;

use super::Daemon;
use crate::clock;
use crate::config::Release;
use crate::lock::Turn;
use crate::release::sockets::{self, Socket};
use crate::release::{Steps, owner};

impl Daemon {
    /// Takes up what an earlier controller, or `spamdrop add`, left to do.
    pub(super) fn adopt(&mut self) -> Result<()> {
        let now = clock::monotonic_ns();
        let Self {
            blocklist,
            releases,
            config,
            ..
        } = self;
        let grace = grace_ns(config.grace);
        blocklist.for_each(|found| {
            if found.entry.flags & SEALED == 0 && is_live(found.entry.expires, now) {
                releases.add_open(found.target);
            }
        })?;
        blocklist.for_each_origin(|addr, origin| {
            if origin.release_pending != 0 {
                releases.add(addr, origin.offence + grace, false);
            }
        })
    }

    /// Looks at the sockets once, and ends, seals and notes what is due.
    pub(super) fn release(&mut self) {
        match self.try_release() {
            Ok(()) => self.upkeep.fine("release"),
            Err(error) => self.upkeep.warn("release", format!("{error:#}")),
        }
    }

    fn try_release(&mut self) -> Result<()> {
        let connections =
            sockets::connections(&self.config.ports).context("cannot list the sockets")?;
        let ends = self.config.release != Release::Off;
        let steps = self
            .releases
            .steps(&connections, clock::monotonic_ns(), ends);
        self.note(&steps)?;
        self.end(&steps.end)
    }

    /// One that cannot be ended does not keep the others.
    fn end(&mut self, sockets: &[Socket]) -> Result<()> {
        // Owners are found by their sockets, so before these are gone.
        if self.config.release == Release::Terminate && !sockets.is_empty() {
            terminate_owners(sockets).context("cannot find the owners of sockets")?;
        }
        let mut result = Ok(());
        for socket in sockets {
            let peer = socket.peer;
            match sockets::destroy(socket).map_err(explain) {
                Ok(()) => {
                    self.upkeep.released += 1;
                    log::info!(target: "spamdrop::release", "ended a connection that {peer} still held");
                }
                Err(error) => {
                    result = Err(error).with_context(|| format!("the connection of {peer} stays"));
                }
            }
        }
        result
    }

    fn note(&mut self, steps: &Steps) -> Result<()> {
        if steps.released.is_empty() && steps.seal.is_empty() {
            return Ok(());
        }
        let turn = Turn::take(&self.config.run_dir)?;
        for &target in &steps.seal {
            self.blocklist.seal(&turn, target)?;
        }
        for &addr in &steps.released {
            self.blocklist.released(&turn, addr)?;
        }
        Ok(())
    }
}

fn terminate_owners(sockets: &[Socket]) -> io::Result<()> {
    let inodes: HashSet<u64> = sockets
        .iter()
        .map(|socket| socket.inode.into())
        .filter(|inode| *inode != 0)
        .collect();
    for owner in owner::of(&inodes)? {
        match owner.terminate() {
            Ok(()) => log::info!(target: "spamdrop::release", "sent SIGTERM to {owner}"),
            Err(error) => log::debug!(target: "spamdrop::release", "left {owner} alone: {error}"),
        }
    }
    Ok(())
}

fn explain(error: io::Error) -> anyhow::Error {
    if error.raw_os_error() == Some(libc::EOPNOTSUPP) {
        return anyhow::anyhow!(
            "this kernel cannot destroy sockets (CONFIG_INET_DIAG_DESTROY); set `release = \"off\"`"
        );
    }
    error.into()
}

pub(super) fn grace_ns(grace: std::time::Duration) -> u64 {
    u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX)
}
