//! All clients of a wave, on one thread.

use std::io;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use fastrand::Rng;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::population::Chain;
use super::scale::Scale;
use super::session::{self, Clock, Session};
use crate::host::Host;

/// Limit of open files: each of the simultaneous connections needs one.
const SOCKETS: u64 = 16_384;

/// A wave that has started.
pub struct Crowd {
    thread: JoinHandle<Result<Vec<Session>>>,
}

impl Crowd {
    /// Starts all clients, which connect from `world`.
    ///
    /// # Errors
    ///
    /// The limit of open files or threads is too low.
    pub fn start(world: &Host, chains: Vec<Chain>, scale: &Scale) -> Result<Self> {
        allow_sockets()?;
        let scale = scale.clone();
        let run = move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(everybody(chains, &scale))?)
        };
        // A thread that the host's thread starts is in the host's namespaces.
        let thread = world.run(|| thread::Builder::new().name("crowd".into()).spawn(run));
        Ok(Self { thread: thread? })
    }

    /// Waits for the end and returns all sessions.
    ///
    /// # Errors
    ///
    /// As [`session::run`].
    pub fn join(self) -> Result<Vec<Session>> {
        let ended = self.thread.join();
        ended.map_err(|_| anyhow!("the senders' thread panicked"))?
    }
}

fn allow_sockets() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = SOCKETS.min(hard);
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
            .with_context(|| format!("allow {wanted} open files"))?;
    }
    Ok(())
}

async fn everybody(chains: Vec<Chain>, scale: &Scale) -> io::Result<Vec<Session>> {
    let clock = Clock::new(scale);
    let over = clock.start + scale.length;
    let mut tasks = JoinSet::new();
    for chain in chains {
        tasks.spawn(one_after_another(chain, clock.clone(), over));
    }
    let mut sessions = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        sessions.extend(ended.map_err(io::Error::other)??);
    }
    Ok(sessions)
}

/// Runs the sessions of a chain. None starts after the wave.
async fn one_after_another(chain: Chain, clock: Clock, over: Instant) -> io::Result<Vec<Session>> {
    let mut random = Rng::with_seed(chain.seed);
    let mut sessions = Vec::new();
    sleep_until(clock.start + chain.start).await;
    sessions.push(session::run(&chain.sender, &clock, &mut random).await?);
    for pause in chain.pauses {
        if Instant::now() + pause >= over {
            break;
        }
        sleep(pause).await;
        sessions.push(session::run(&chain.sender, &clock, &mut random).await?);
    }
    Ok(sessions)
}
