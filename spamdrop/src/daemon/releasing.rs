//! Carries out what `release` decides.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use spamdrop_common::entry::SEALED;
use spamdrop_common::verdict::is_live;

use super::Daemon;
use crate::clock;
use crate::kernel::owner;
use crate::kernel::sockets::{self, Socket};
use crate::lock::WriteLock;
use spamdrop_core::release::ReleaseMode;
use spamdrop_core::release::Steps;

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
        let mut pending = Vec::new();
        blocklist.for_each_origin(|addr, origin| {
            if origin.release_pending != 0 {
                pending.push((addr, origin.offence + grace));
            }
        })?;
        for (addr, due) in pending {
            if blocklist.is_blocked(addr.into(), now)? {
                releases.add(addr, due, false);
            }
        }
        Ok(())
    }

    /// Looks at the sockets once, and ends, seals and notes what is due.
    pub(super) fn release(&mut self) {
        match self.try_release() {
            Ok(()) => self.upkeep.fine("release"),
            Err(error) => self.upkeep.warn("release", format!("{error:#}")),
        }
    }

    fn try_release(&mut self) -> Result<()> {
        let ports = &self.config.ports;
        if !is_served(ports).context("cannot list the listening sockets")? {
            // Then its connections are not to be seen here either, and an
            // entry that was sealed would cut them off.
            anyhow::bail!(
                "nothing listens on the watched ports in this network namespace; \
                 blocked peers keep the connections they have"
            );
        }
        let connections = sockets::connections(ports).context("cannot list the sockets")?;
        let now = clock::monotonic_ns();
        let ends = self.config.release != ReleaseMode::Off;
        let steps = self
            .releases
            .steps(connections.iter().map(|held| held.peer), now, ends);
        let ended = self.end(self.still_blocked(&connections, &steps, now));
        let noted = self.note(&steps);
        if noted.is_err() {
            self.releases.put_back(&steps, now);
        }
        ended.and(noted)
    }

    /// Without those that were unblocked or allowed during their grace.
    fn still_blocked(&self, sockets: &[Socket], steps: &Steps, now: u64) -> Vec<Socket> {
        let blocked = |peer: IpAddr| {
            steps.end.contains(&peer)
                && self.intake.protected.why(peer).is_none()
                && self.blocklist.is_blocked(peer.into(), now).unwrap_or(false)
        };
        let still = sockets.iter().filter(|socket| blocked(socket.peer));
        still.cloned().collect()
    }

    /// One that cannot be ended does not keep the others.
    fn end(&mut self, sockets: Vec<Socket>) -> Result<()> {
        let mut result = Ok(());
        // Owners are found by their sockets, so before these are gone.
        if self.config.release == ReleaseMode::Terminate && !sockets.is_empty() {
            result = terminate_owners(&sockets).context("cannot find the owners of sockets");
        }
        for socket in &sockets {
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
        let lock = WriteLock::acquire(&self.config.run_dir)?;
        for &target in &steps.seal {
            self.blocklist.seal(&lock, target)?;
        }
        for &addr in &steps.released {
            self.blocklist.released(&lock, addr)?;
        }
        Ok(())
    }
}

fn is_served(ports: &[u16]) -> io::Result<bool> {
    for &port in ports {
        if sockets::is_listening(port)? {
            return Ok(true);
        }
    }
    Ok(false)
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
    if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) {
        return anyhow::anyhow!(
            "this kernel cannot destroy sockets (CONFIG_INET_DIAG_DESTROY); set `release = \"off\"`"
        );
    }
    error.into()
}

pub(super) fn grace_ns(grace: std::time::Duration) -> u64 {
    u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX)
}
