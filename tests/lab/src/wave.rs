//! A botnet's wave against a small mail server: real sockets from thousands of
//! addresses, a server with as few slots as Courier, and spamdrop between them.
//!
//! Data flows one way: [`Scale`] and a seed → [`Population`] → [`Crowd`] →
//! [`Session`]s and [`Occupancy`] → [`Outcome`].

mod block_times;
mod blocklist;
mod crowd;
mod flood;
mod mode;
mod occupancy;
mod outcome;
mod population;
mod prediction;
mod retransmissions;
mod scale;
mod session;
pub mod table;
mod unprotected_log;
pub mod week;

pub use block_times::{BlockTimes, TimeDifference};
pub use flood::{Flood, FloodSources, FloodSpec};
pub use mode::Mode;
pub use outcome::{Load, Outcome, Share, Times};
pub use population::{Class, Population, is_listed};
pub use prediction::{PredictionError, ReplayedLog};
pub use scale::Scale;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::dns::DnsStub;
use crate::site::Site;
use crate::syslog::Syslog;
use crate::wait::until;
use crowd::Crowd;
use population::LISTED;

const READY_WITHIN: Duration = Duration::from_secs(10);

/// A site, and the clients that will connect to it.
pub struct Wave {
    /// The server, the clients' host, and spamdrop's files.
    pub site: Site,
    /// The daemon, if the mode runs spamdrop.
    pub daemon: Option<Daemon>,
    _services: (Syslog, DnsStub),
    population: Population,
    scale: Scale,
}

impl Wave {
    /// Prepares a wave: starts the server, imports the known senders, and starts the
    /// daemon. `spamdrop` is the path of the program.
    ///
    /// # Errors
    ///
    /// The site could not be built, or spamdrop did not start.
    pub fn new(spamdrop: &Path, mode: Mode, scale: Scale, seed: u64) -> Result<Self> {
        let site = Site::new(spamdrop, |options| {
            options.slots = scale.slots;
            options.backlog = scale.backlog;
            options.lookup = scale.lookup;
            options.tarpit = scale.tarpit;
        })?;
        site.blacklist(&LISTED.to_string())?;
        let population = Population::new(seed, &scale);
        let syslog = Syslog::start(&site.path(mode::SYSLOG), &site.path("mail.log"))?;
        let services = (syslog, blocklist::start(&site)?);
        let daemon = match mode.config(&site, &scale) {
            None => None,
            Some(config) => {
                site.configure(&config)?;
                import_known(&site, &population)?;
                // Each block is logged, for the comparison with a replay.
                let daemon = site.run_logging("info,spamdrop::block=debug", &[])?;
                if mode.has_gate() {
                    wait_for_known(&site, population.known.len())?;
                }
                Some(daemon)
            }
        };
        Ok(Self {
            site,
            daemon,
            _services: services,
            population,
            scale,
        })
    }

    /// The known senders.
    pub fn known(&self) -> impl Iterator<Item = String> {
        self.population.known.iter().map(ToString::to_string)
    }

    /// Runs the wave. Returns when every client has gone, or at the end of the
    /// scale's drain time.
    ///
    /// # Errors
    ///
    /// A socket could not be created, or the server could not be observed.
    pub fn run(&self) -> Result<Outcome> {
        let (site, chains) = (&self.site, self.population.chains.clone());
        let (stop, stopped) = mpsc::channel();
        let (sessions, seen) = thread::scope(|scope| {
            let watch = move || occupancy::watch(&site.server, &site.smtpd, &stopped);
            let sampler = scope.spawn(watch);
            let crowd = Crowd::start(&site.world, chains, &self.scale);
            let sessions = crowd.and_then(Crowd::join);
            drop(stop);
            (sessions, sampler.join())
        });
        let seen = seen.map_err(|_| anyhow!("the sampler of the server panicked"))?;
        let seen = seen.context("watch the server")?;
        Ok(Outcome::new(&self.scale, &seen, &sessions?))
    }
}

fn import_known(site: &Site, population: &Population) -> Result<()> {
    let mut list = String::new();
    for addr in &population.known {
        writeln!(list, "{addr}")?;
    }
    let path = site.path("known");
    fs::write(&path, list)?;
    let path = path.to_str().context("a path that is not UTF-8")?;
    site.spamdrop(&["known", "import", path]).map(drop)
}

/// Waits until the filter contains the known senders. The daemon writes them a
/// moment after it is ready.
fn wait_for_known(site: &Site, number: usize) -> Result<()> {
    until("the filter to have the known senders", READY_WITHIN, || {
        let status: Value = serde_json::from_str(&site.status(&["--json"])?)?;
        let known = status.pointer("/daemon/state/gate/known");
        Ok((known == Some(&number.into())).then_some(()))
    })
}
