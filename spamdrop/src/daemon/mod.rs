//! `spamdrop run`: a supervisor and its tasks.
//!
//! | task | reads | writes |
//! |---|---|---|
//! | watch | logs | blocks |
//! | fifo | the FIFO | blocks |
//! | release | sockets of blocked peers | seals; ends connections |
//! | gate | look-up requests of the filter, sockets of the server, zones | the gate, verdicts, known senders |
//! | responder | connections of listed senders | 5xx replies to them, and log lines |
//! | history | events of the others | the history in the database |
//! | status | reports of all others | the daemon's state file |
//!
//! Each task owns its state and has one inbox; decisions come from
//! `spamdrop_core`. All tasks run on one thread, and share their [`ticks`]; the
//! thread of [`disk`] does the work that may wait for a disk.

mod block;
mod database;
mod disk;
mod dry_run;
mod fifo_control;
mod gate;
mod health;
mod history;
mod hold_log;
mod interfaces;
mod release;
mod responder;
mod responder_view;
mod rights;
mod saved_blocks;
mod service_manager;
mod settings;
mod sources;
mod status;
mod supervisor;
mod ticks;
mod watch;

use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

use crate::config::Config;
use crate::lock::DaemonMark;
pub use dry_run::{DryRunResult, dry_run};
pub use rights::prepare_directories;
use spamdrop_core::warning::Warning;
use supervisor::Supervisor;

/// The parameters of `run` beside the configuration.
pub struct RunOptions {
    /// The level of `--log-packets`; 0: off.
    pub log_level: u8,
    /// The configuration file, if the command line names one.
    pub path: Option<PathBuf>,
    /// Reads the configuration and applies the flags; called at the start and
    /// on SIGHUP.
    pub reread: Box<dyn Fn() -> Result<Config>>,
}

/// Attaches the filter if needed, then follows the logs and blocks until
/// SIGTERM or SIGINT; the filter stays. SIGHUP rereads the configuration;
/// SIGUSR1 rereads the allowlist, the known senders and the pending releases;
/// SIGUSR2 ends a pause of the ceiling.
///
/// # Errors
///
/// The filter cannot be attached, another daemon runs, or the filter was
/// detached while the daemon ran. Problems with logs, sockets or single
/// addresses are logged and counted, and the daemon continues.
pub fn run(options: RunOptions) -> Result<()> {
    // Read the file before root is given up, because the daemon's account may not be able
    // to read it.
    let config = (options.reread)()?;
    rights::give_up(&config, options.path.as_deref())?;
    // The mark outlives the tasks, so that `detach` cannot run while a task is
    // alive.
    let mut mark: Option<Rc<DaemonMark>> = None;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        // Handlers are installed before the pid is published: from then on
        // other processes send SIGUSR1.
        let mut signals = Signals::new()?;
        let mut supervisor = tokio::select! {
            biased;
            () = signals.end.recv() => return Ok(()),
            started = Supervisor::start(options, config, &mut mark) => started?,
        };
        let result = supervisor.supervise(&mut signals).await;
        supervisor.stop().await;
        result
    })
}

struct Signals {
    end: EndSignals,
    hangup: Signal,
    user: Signal,
    resume: Signal,
}

/// The signals that end the daemon.
struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            end: EndSignals::new()?,
            hangup: listen(SignalKind::hangup())?,
            user: listen(SignalKind::user_defined1())?,
            resume: listen(SignalKind::user_defined2())?,
        })
    }
}

impl EndSignals {
    fn new() -> Result<Self> {
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).context("cannot listen for signals")
}

fn warn_of(warnings: Vec<Warning>) {
    for Warning { about, text } in warnings {
        log::warn!(target: "spamdrop::check", "{about}: {text}");
    }
}
