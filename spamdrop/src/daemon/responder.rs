//! The responder task: runs the server that rejects listed senders.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use spamdrop_common::gate::{RESPONDER_IPV4, RESPONDER_IPV6};
use spamdrop_core::status::ResponderState;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::gate::GateMessage;
use super::health::Subject;
use super::responder_view::ResponderView;
use super::status::{HealthReporter, StatusMessage};
use super::ticks::period;
use crate::kernel::blocklist::Responder;
use crate::responder::{Limits, Server, Setting, Texts, listen, make_room};

/// How long sessions have for their last reply when the daemon ends.
const FAREWELL: Duration = Duration::from_millis(500);
/// Minimum number of connections. With room for fewer the responder does not
/// start: a sender that finds no room gets a 421, comes again, and never gets
/// its 5xx.
const LEAST_ROOM: usize = 100;
/// How often `status` is updated.
const SECOND: Duration = Duration::from_secs(1);

/// Messages to the task.
pub(super) enum ResponderMessage {
    /// Start, replace or end the server, as configured; then reply whether it
    /// runs, or why it could not be started.
    Reconfigure(
        Option<ResponderSettings>,
        oneshot::Sender<Result<bool, String>>,
    ),
    /// End the server, then the task.
    Stop,
}

/// The task's part of the configuration. The server is replaced if any value
/// changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResponderSettings {
    /// The host name in the responder's replies.
    pub host: String,
    pub syslog: PathBuf,
    /// The program name in the responder's log lines: that of Courier's SMTP server.
    pub program: String,
    pub pin_dir: PathBuf,
}

pub(super) struct ResponderTask {
    texts: Texts,
    running: Option<Running>,
    gate: UnboundedSender<GateMessage>,
    status: UnboundedSender<StatusMessage>,
    health: HealthReporter,
}

struct Running {
    server: Server,
    view: ResponderView,
    settings: ResponderSettings,
}

impl ResponderTask {
    /// `texts` gives the reply text for a listed sender.
    pub fn new(
        texts: Texts,
        gate: UnboundedSender<GateMessage>,
        status: UnboundedSender<StatusMessage>,
    ) -> Self {
        Self {
            texts,
            running: None,
            gate,
            health: HealthReporter::new(status.clone()),
            status,
        }
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self, mut inbox: UnboundedReceiver<ResponderMessage>) {
        let mut second = period(SECOND);
        loop {
            tokio::select! {
                biased;
                message = inbox.recv() => match message {
                    None | Some(ResponderMessage::Stop) => break,
                    Some(ResponderMessage::Reconfigure(settings, done)) => {
                        let _ = done.send(self.reconfigure(settings));
                    }
                },
                _ = second.tick() => self.publish_status(),
            }
        }
        if let Some(Running { server, .. }) = self.running.take() {
            server.end(FAREWELL).await;
        }
    }

    fn reconfigure(&mut self, settings: Option<ResponderSettings>) -> Result<bool, String> {
        let mut result = Ok(());
        let old = self.running.as_ref().map(|running| &running.settings);
        if old != settings.as_ref() {
            let started = settings.map(|settings| Running::start(settings, &self.texts));
            // End the old server even if the new one failed, because its
            // sockets may already have been replaced in the filter's map.
            self.running = None;
            match started.transpose() {
                Ok(running) => {
                    self.running = running;
                    self.health.clear(Subject::Responder);
                }
                Err(error) => {
                    let text = format!(
                        "the responder cannot run, so the mail server answers listed senders: \
                         {error:#}"
                    );
                    self.health.raise(Subject::Responder, &*text);
                    result = Err(text);
                }
            }
        } else {
            self.health.clear(Subject::Responder);
        }
        let view = self.running.as_ref().map(|running| running.view.clone());
        let _ = self.gate.send(GateMessage::Responder(view));
        result.map(|()| self.running.is_some())
    }

    fn publish_status(&self) {
        let state = self.running.as_ref().map(|running| {
            let counts = running.server.counts();
            ResponderState {
                connections: running.view.connections(),
                peak: counts.peak,
                answered: counts.answered,
                limited: counts.limited,
                lost_lines: counts.lost_lines,
            }
        });
        let _ = self.status.send(StatusMessage::Responder(state));
    }
}

impl Running {
    fn start(settings: ResponderSettings, texts: &Texts) -> Result<Self> {
        let limits = Limits::default();
        let room = make_room(limits.connections);
        anyhow::ensure!(
            room >= LEAST_ROOM,
            "the limit of open files leaves room for {room} connections only; raise it (LimitNOFILE= in systemd, ulimit -n)"
        );
        let listeners = listen().context("cannot listen on the loopback interface")?;
        let mut responder = Responder::open(&settings.pin_dir)?;
        for listener in &listeners {
            responder.set(listener)?;
        }
        let families = listeners.iter().map(family).fold(0, |all, one| all | one);
        let setting = Setting {
            host: settings.host.clone(),
            limits: Limits {
                connections: room,
                ..limits
            },
            texts: Texts::clone(texts),
            syslog: settings.syslog.clone(),
            program: settings.program.clone(),
            direct: false,
        };
        let server =
            Server::start(listeners, setting).context("cannot serve the responder's sockets")?;
        let view = ResponderView::new(families, server.meter());
        Ok(Self {
            server,
            view,
            settings,
        })
    }
}

fn family(listener: &TcpListener) -> u32 {
    match listener.local_addr() {
        Ok(SocketAddr::V4(_)) => RESPONDER_IPV4,
        Ok(SocketAddr::V6(_)) => RESPONDER_IPV6,
        Err(_) => 0,
    }
}
