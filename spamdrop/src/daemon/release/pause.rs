//! Pauses by hand, as far as they concern entries and connections.
//!
//! While the drops are paused, blocked peers can connect. A sealed entry would
//! drop everything of such a connection when the pause ends, and the connection
//! would take its slot until the mail server's timeout. So an entry whose peer holds
//! a connection is opened again. When the pause and then the grace are over, the
//! connection is released, as after an offence.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use spamdrop_common::settings::Settings;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::target::Target;

use super::ReleaseTask;
use crate::clock;
use crate::daemon::health::Subject;
use crate::kernel::sockets;
use crate::lock::WriteLock;

/// The pauses at the last look.
pub(super) struct PauseState {
    /// Whether a connected peer may have a sealed entry because of a pause of the
    /// drops. True at the start, because an earlier daemon may have ended in a pause.
    drops: bool,
    releases: bool,
    /// Peers whose entries were opened again, and when their connections are to
    /// end: after the pause and the grace.
    reopened: HashMap<IpAddr, MonotonicNs>,
}

impl Default for PauseState {
    fn default() -> Self {
        Self {
            drops: true,
            releases: false,
            reopened: HashMap::new(),
        }
    }
}

impl ReleaseTask {
    /// Opens entries again whose peers have connected during a pause, and begins
    /// their grace when the pause has ended. To be called once a second.
    pub(super) fn watch_pauses(&mut self) {
        let watched = self.try_watch_pauses();
        let failed = "cannot open the entries of peers that connected during a pause";
        self.health.report(Subject::PausedPeers, failed, watched);
    }

    /// Whether releases are paused, so that no connection is ended. After the pause,
    /// the grace of each pending release begins again.
    pub(super) fn is_paused(&mut self, settings: &Settings, now: MonotonicNs) -> bool {
        let is_paused = settings.is_release_paused(now);
        if mem::replace(&mut self.pauses.releases, is_paused) && !is_paused {
            self.releases.postpone(now.plus(self.settings.grace));
        }
        is_paused
    }

    fn try_watch_pauses(&mut self) -> Result<()> {
        let (settings, now) = (self.blocklist.settings()?, clock::monotonic_ns());
        self.is_paused(&settings, now);
        let is_paused = settings.is_drop_paused(now);
        self.pauses.drops |= is_paused;
        if !self.pauses.drops || self.settings.seals_at_once {
            return Ok(());
        }
        let due = match is_paused {
            true => settings.drop_paused_until.plus(self.settings.grace),
            false => now.plus(self.settings.grace),
        };
        let is_done = self.reopen(now, due)?;
        // The pause may have a new end. A release with another time than `old` is that
        // of a new offence, and keeps its time.
        for (peer, old) in &mut self.pauses.reopened {
            self.releases.replace_due(*peer, *old, due);
            *old = due;
        }
        if is_done && !is_paused {
            self.pauses.drops = false;
            self.pauses.reopened.clear();
        }
        Ok(())
    }

    /// Opens the sealed entries of peers that hold a connection. Returns `false` if
    /// they stay sealed, because the write lock was not free.
    fn reopen(&mut self, now: MonotonicNs, due: MonotonicNs) -> Result<bool> {
        let connections = sockets::connections(&self.settings.ports);
        let connections = connections.context("cannot list the sockets")?;
        let peers: HashSet<IpAddr> = connections.iter().map(|socket| socket.peer).collect();
        self.pauses.reopened.retain(|peer, _| peers.contains(peer));
        let mut sealed = Vec::new();
        for peer in peers {
            if self.protected.why(peer).is_some() {
                continue;
            }
            for target in Target::covering(peer) {
                if self.blocklist.sealed(target, now)?.is_some() {
                    sealed.push((peer, target));
                }
            }
        }
        if sealed.is_empty() {
            return Ok(true);
        }
        let Some(lock) = WriteLock::try_acquire(&self.run_dir, Duration::ZERO)? else {
            return Ok(false);
        };
        for (peer, target) in sealed {
            if self.blocklist.open_again(&lock, target, now)? {
                self.reopened(&lock, peer, target, due)?;
            }
        }
        Ok(true)
    }

    /// Lets the connections of a peer whose entry was opened again end at `due`. The
    /// addresses of a /64 share its entry, but only the offender's connections end.
    fn reopened(
        &mut self,
        lock: &WriteLock,
        peer: IpAddr,
        target: Target,
        due: MonotonicNs,
    ) -> Result<()> {
        log::debug!(target: "spamdrop::release", "opened {target} again, because {peer} has connected");
        self.releases.add_open(target);
        let origin = self.blocklist.origin(peer)?;
        if origin.is_none() && matches!(target, Target::V6(_)) {
            return Ok(());
        }
        if let Some(mut origin) = origin {
            // After a crash of this daemon, the next one finds the release by the flag.
            origin.release_pending = 1;
            self.blocklist.note(lock, peer, &origin)?;
        }
        self.releases.add(peer, due, None);
        self.pauses.reopened.insert(peer, due);
        Ok(())
    }
}
