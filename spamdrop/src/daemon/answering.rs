//! The responder, while `answer` is on.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use spamdrop_common::gate::{ANSWERS4, ANSWERS6};

use super::Daemon;
use crate::config::Answer;
use crate::config::Config;
use crate::kernel::attach::{self, Filter};
use crate::kernel::blocklist::Responder;
use crate::kernel::sockets;
use crate::lock::WriteLock;
use crate::render::watcher;
use crate::responder::{Limits, Server, Setting, Texts, host_name, listen, make_room};

/// How long sessions have for their last reply.
const FAREWELL: Duration = Duration::from_secs(1);
/// Room for fewer connections is none: who finds it taken is told to come
/// again, and never hears its 5xx.
const LEAST: usize = 100;

pub(super) struct Answering {
    texts: Texts,
    running: Option<Running>,
}

struct Running {
    server: Server,
    /// As [`Answering::families`].
    families: u32,
    basis: Basis,
}

/// What another responder is needed for if it changes.
#[derive(PartialEq, Eq)]
struct Basis {
    host: String,
    syslog: PathBuf,
    program: String,
}

impl Answering {
    pub fn new(texts: Texts) -> Self {
        Self {
            texts,
            running: None,
        }
    }

    /// Whether the responder runs.
    pub fn is_on(&self) -> bool {
        self.running.is_some()
    }

    /// The families in which it has a socket, as the gate's `answers` says it.
    pub fn families(&self) -> u32 {
        self.running.as_ref().map_or(0, |running| running.families)
    }

    /// Its connections, which sockets of the watched ports are, too: accepted
    /// and not closed yet, or waiting for that.
    pub fn connections(&self) -> usize {
        let Some(Running { server, .. }) = &self.running else {
            return 0;
        };
        let waiting = server.ports().iter().map(|port| sockets::waiting(*port));
        let waiting = waiting.sum::<io::Result<usize>>().unwrap_or_else(|error| {
            log::debug!(target: "spamdrop::answer", "cannot list the listening sockets: {error}");
            0
        });
        let counts = server.counts();
        counts.connections - counts.leaving + waiting
    }

    /// What `status` is told.
    pub fn state(&self) -> Option<watcher::Answer> {
        let counts = self.running.as_ref()?.server.counts();
        Some(watcher::Answer {
            connections: self.connections(),
            peak: counts.peak,
            answered: counts.answered,
            limited: counts.limited,
            lost_lines: counts.lost_lines,
        })
    }

    /// Ends the sessions; the program stays, and without a socket it steers
    /// nobody.
    pub async fn end(&mut self) {
        if let Some(Running { server, .. }) = self.running.take() {
            server.end(FAREWELL).await;
        }
    }

    /// Starts, replaces or ends it, as configured. `filter` is the one
    /// in place.
    fn arrange(&mut self, config: &Config, filter: &mut Filter) -> Result<()> {
        if config.answer == Answer::Off {
            self.running = None;
            if attach::is_steering(&config.pin_dir) {
                attach::unsteer(&WriteLock::acquire(&config.run_dir)?, &config.pin_dir)?;
            }
            return Ok(());
        }
        attach::steer(
            &WriteLock::acquire(&config.run_dir)?,
            &config.pin_dir,
            filter,
        )?;
        let basis = Basis::of(config);
        if self.running.as_ref().map(|running| &running.basis) == Some(&basis) {
            return Ok(());
        }
        let running = Running::start(config, basis, &self.texts);
        // Whatever went wrong, its sockets may have been replaced.
        self.running = None;
        self.running = Some(running?);
        Ok(())
    }
}

impl Running {
    fn start(config: &Config, basis: Basis, texts: &Texts) -> Result<Self> {
        let setting = basis.setting(texts);
        let room = setting.limits.connections;
        anyhow::ensure!(
            room >= LEAST,
            "{room} connections are all that its limit of open files leaves room for; raise it (LimitNOFILE= in systemd, ulimit -n)"
        );
        let listeners = listen().context("cannot listen on the loopback interface")?;
        let mut responder = Responder::open(&config.pin_dir)?;
        for listener in &listeners {
            responder.set(listener)?;
        }
        let families = listeners.iter().map(family).fold(0, |all, one| all | one);
        let server =
            Server::start(listeners, setting).context("cannot serve the responder's sockets")?;
        Ok(Self {
            server,
            families,
            basis,
        })
    }
}

fn family(listener: &TcpListener) -> u32 {
    match listener.local_addr() {
        Ok(SocketAddr::V4(_)) => ANSWERS4,
        Ok(SocketAddr::V6(_)) => ANSWERS6,
        Err(_) => 0,
    }
}

impl Basis {
    fn of(config: &Config) -> Self {
        Self {
            host: host_name(&config.courier_dir),
            syslog: config.syslog.clone(),
            program: config.program.clone(),
        }
    }

    fn setting(&self, texts: &Texts) -> Setting {
        let limits = Limits::default();
        Setting {
            host: self.host.clone(),
            limits: Limits {
                connections: make_room(limits.connections),
                ..limits
            },
            texts: Texts::clone(texts),
            syslog: self.syslog.clone(),
            program: self.program.clone(),
            direct: false,
        }
    }
}

impl Daemon {
    /// Arranges the responder. Without it the mail server answers everybody,
    /// so trouble is told and the watch goes on.
    pub(super) fn arrange_answering(&mut self, filter: &mut Filter) {
        match self.answering.arrange(&self.config, filter) {
            Ok(()) => self.upkeep.fine("answer"),
            Err(error) => {
                let text = format!("listed senders are not answered here: {error:#}");
                self.upkeep.warn("answer", text);
            }
        }
    }
}
