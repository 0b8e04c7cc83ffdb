//! The release task: ends the connections that blocked peers still hold, and
//! seals their entries.

mod pause;

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use spamdrop_common::action::is_live;
use spamdrop_common::entry::SEALED;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::history::{HistoryEvent, HistoryKind};
use spamdrop_core::listeners::ListenerWatch;
use spamdrop_core::policy::Protected;
use spamdrop_core::release::{ReleaseMode, Releases, Steps};
use spamdrop_core::target::Target;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::gate::GateMessage;
use super::health::Subject;
use super::history::HistoryLog;
use super::status::{HealthReporter, StatusMessage};
use super::ticks::period;
use crate::clock;
use crate::kernel::blocklist::Blocklist;
use crate::kernel::owner;
use crate::kernel::sockets::{self, Socket};
use crate::lock::WriteLock;
use pause::PauseState;

/// How often the sockets of blocked peers are checked, while there are any.
const PERIOD: Duration = Duration::from_millis(100);
/// How often `status` is updated.
const SECOND: Duration = Duration::from_secs(1);

/// Messages to the task.
pub(super) enum ReleaseMessage {
    /// An address was blocked. Its connections end at `due`; `open`: its entry,
    /// if that is still to be sealed.
    Add {
        addr: IpAddr,
        due: MonotonicNs,
        open: Option<Target>,
    },
    /// Adopt the open entries and pending releases that an earlier daemon,
    /// `spamdrop add` or the split of a /64 left in the maps.
    Adopt,
    /// The configuration has changed.
    Reconfigure(ReleaseSettings),
    /// The set of protected addresses has changed.
    Protect(Protected),
    /// End when no release is pending.
    Finish,
    /// End at once.
    Stop,
}

/// The task's part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReleaseSettings {
    pub mode: ReleaseMode,
    pub grace: Duration,
    pub ports: Vec<u16>,
    /// Whether entries are sealed at once, so that no pause opens one again.
    pub seals_at_once: bool,
}

pub(super) struct ReleaseTask {
    settings: ReleaseSettings,
    releases: Releases,
    blocklist: Blocklist,
    protected: Protected,
    pauses: PauseState,
    listeners: ListenerWatch,
    run_dir: PathBuf,
    gate: UnboundedSender<GateMessage>,
    status: UnboundedSender<StatusMessage>,
    health: HealthReporter,
    history: HistoryLog,
    /// Number of connections that were ended.
    ended: u64,
    is_finishing: bool,
}

impl ReleaseTask {
    pub fn new(
        settings: ReleaseSettings,
        blocklist: Blocklist,
        protected: Protected,
        run_dir: PathBuf,
        gate: UnboundedSender<GateMessage>,
        status: UnboundedSender<StatusMessage>,
        history: HistoryLog,
    ) -> Self {
        Self {
            settings,
            releases: Releases::default(),
            blocklist,
            protected,
            pauses: PauseState::default(),
            listeners: ListenerWatch::default(),
            run_dir,
            gate,
            health: HealthReporter::new(status.clone()),
            history,
            status,
            ended: 0,
            is_finishing: false,
        }
    }

    /// Runs until it is told to stop, or until nothing is pending after
    /// [`Finish`](ReleaseMessage::Finish).
    pub async fn run(mut self, mut inbox: UnboundedReceiver<ReleaseMessage>) {
        let mut look = period(PERIOD);
        let mut second = period(SECOND);
        self.check_rights();
        while !(self.is_finishing && self.releases.is_empty()) {
            tokio::select! {
                biased;
                message = inbox.recv() => match message {
                    None | Some(ReleaseMessage::Stop) => break,
                    Some(message) => self.take(message),
                },
                _ = look.tick(), if !self.releases.is_empty() => {
                    self.release();
                    self.publish_status();
                }
                _ = second.tick() => {
                    self.watch_pauses();
                    self.publish_status();
                }
            }
        }
        self.publish_status();
    }

    fn take(&mut self, message: ReleaseMessage) {
        match message {
            ReleaseMessage::Add { addr, due, open } => self.releases.add(addr, due, open),
            ReleaseMessage::Adopt => {
                let failed = "cannot read the pending releases";
                let adopted = self.adopt();
                self.health
                    .report(Subject::PendingReleases, failed, adopted);
            }
            ReleaseMessage::Reconfigure(settings) => {
                self.settings = settings;
                self.check_rights();
            }
            ReleaseMessage::Protect(protected) => self.protected = protected,
            ReleaseMessage::Finish => self.is_finishing = true,
            ReleaseMessage::Stop => {}
        }
    }

    /// Reports missing rights for `release = "terminate"`.
    fn check_rights(&self) {
        let trouble = match self.settings.mode {
            ReleaseMode::Terminate => terminate_trouble(owner::missing_capabilities()),
            ReleaseMode::Destroy | ReleaseMode::Off => None,
        };
        self.health.set(Subject::Terminate, trouble);
    }

    fn publish_status(&self) {
        let _ = self.status.send(StatusMessage::Release {
            pending: self.releases.len() as u64,
            ended: self.ended,
        });
        let _ = self.gate.send(GateMessage::Released(self.ended));
    }

    fn adopt(&mut self) -> Result<()> {
        let now = clock::monotonic_ns();
        let Self {
            blocklist,
            releases,
            settings,
            ..
        } = self;
        blocklist.for_each(|found| {
            if found.entry.flags & SEALED == 0 && is_live(found.entry.expires, now) {
                releases.add_open(found.target);
            }
        })?;
        let mut pending = Vec::new();
        blocklist.for_each_origin(|addr, origin| {
            if origin.release_pending != 0 {
                pending.push((addr, origin.last_offence.plus(settings.grace)));
            }
        })?;
        for (addr, due) in pending {
            if blocklist.is_address_blocked(addr, now)? {
                releases.add(addr, due, None);
            }
        }
        Ok(())
    }

    /// Checks the sockets once. Ends the connections whose grace is over. Where no
    /// connection is left, seals the entry and records the release as done.
    fn release(&mut self) {
        match self.try_release() {
            Ok(()) => self.health.clear(Subject::Release),
            Err(error) => self.health.raise(Subject::Release, format!("{error:#}")),
        }
    }

    fn try_release(&mut self) -> Result<()> {
        let ports = &self.settings.ports;
        let is_served = is_served(ports).context("cannot list the listening sockets")?;
        self.listeners.sample(is_served, clock::instant());
        if !is_served {
            // The server's connections are then not visible here either, and a
            // sealed entry would cut them off.
            ensure!(
                !self.listeners.is_missing(clock::instant()),
                "nothing listens on the watched ports in this network namespace; \
                 blocked peers keep the connections they have"
            );
            return Ok(());
        }
        let connections = sockets::connections(ports).context("cannot list the sockets")?;
        let now = clock::monotonic_ns();
        let is_paused = self.is_paused(&self.blocklist.settings()?, now);
        let ends = self.settings.mode != ReleaseMode::Off && !is_paused;
        let peers = connections.iter().map(|connection| connection.peer);
        let steps = self.releases.steps(peers, now, ends);
        let ended = self.end(&self.still_blocked(&connections, &steps, now));
        let noted = self.note(&steps);
        if !matches!(noted, Ok(true)) {
            self.releases.put_back(&steps, now);
        }
        ended.and(noted.map(drop))
    }

    /// The connections to end, except those of peers that were unblocked or
    /// allowed during the grace.
    fn still_blocked(
        &self,
        connections: &[Socket],
        steps: &Steps,
        now: MonotonicNs,
    ) -> Vec<Socket> {
        let is_blocked = |peer: IpAddr| {
            steps.end.contains(&peer)
                && self.protected.why(peer).is_none()
                && self
                    .blocklist
                    .is_address_blocked(peer, now)
                    .unwrap_or(false)
        };
        let connections = connections.iter();
        let still = connections.filter(|connection| is_blocked(connection.peer));
        still.cloned().collect()
    }

    /// Ends connections. A failure does not prevent the others from being
    /// ended.
    fn end(&mut self, connections: &[Socket]) -> Result<()> {
        let mut result = Ok(());
        // A process is found by its sockets, so signal it before they are
        // destroyed.
        if self.settings.mode == ReleaseMode::Terminate && !connections.is_empty() {
            result = terminate_owners(connections)
                .context("cannot find the processes that own the sockets");
        }
        for connection in connections {
            let peer = connection.peer;
            match sockets::destroy(connection).map_err(explain) {
                Ok(()) => {
                    self.ended += 1;
                    let net = Target::alone(peer).net();
                    let at = clock::unix_seconds();
                    self.history
                        .add(HistoryEvent::new(HistoryKind::Released, Some(net), at));
                    log::debug!(target: "spamdrop::release", "ended a connection that {peer} still held");
                }
                Err(error) => {
                    result =
                        Err(error).with_context(|| format!("cannot end the connection of {peer}"));
                }
            }
        }
        result
    }

    /// Seals entries and records releases as done, in the maps. Returns whether the write
    /// lock was free.
    fn note(&mut self, steps: &Steps) -> Result<bool> {
        if steps.released.is_empty() && steps.seal.is_empty() {
            return Ok(true);
        }
        let Some(lock) = WriteLock::try_acquire(&self.run_dir, Duration::ZERO)? else {
            return Ok(false);
        };
        for &target in &steps.seal {
            self.blocklist.seal(&lock, target)?;
        }
        for &addr in &steps.released {
            self.blocklist.released(&lock, addr)?;
        }
        Ok(true)
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

fn terminate_trouble(missing: io::Result<Vec<&str>>) -> Option<String> {
    let missing = match missing {
        Ok(missing) if missing.is_empty() => return None,
        Ok(missing) => missing.join(", "),
        Err(error) => return Some(format!("the daemon's capabilities cannot be read: {error}")),
    };
    Some(format!(
        "`release = \"terminate\"` ends no process: the daemon lacks {missing}; grant that, or set \
         `release = \"destroy\"`"
    ))
}

fn explain(error: io::Error) -> anyhow::Error {
    if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) {
        return anyhow::anyhow!(
            "this kernel cannot destroy sockets (CONFIG_INET_DIAG_DESTROY); set `release = \"off\"`"
        );
    }
    error.into()
}

fn terminate_owners(connections: &[Socket]) -> io::Result<()> {
    let inodes: HashSet<u64> = connections
        .iter()
        .map(|connection| connection.inode.into())
        .filter(|inode| *inode != 0)
        .collect();
    for owner in owner::find_owners(&inodes)? {
        match owner.terminate() {
            Ok(()) => log::debug!(target: "spamdrop::release", "sent SIGTERM to {owner}"),
            Err(error) => {
                log::debug!(target: "spamdrop::release", "sent no SIGTERM to {owner}: {error}")
            }
        }
    }
    Ok(())
}
