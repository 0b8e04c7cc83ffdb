//! The bots of a week, and the log that a server without spamdrop would have written
//! of them.
//!
//! Time is compressed: a second of the test stands for [`TIME_FACTOR`] seconds of the week,
//! also in the configuration. The nights, in which all blocks expire, are left out, and the
//! seven days pass at the same time, each at a site of its own.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use super::crowd::Crowd;
use super::population::{Chain, Class, LISTED, Manners, Sender};
use super::scale::Scale;
use super::session::{End, Session};
use super::unprotected_log::UnprotectedLog;
use crate::daemon::Daemon;
use crate::site::Site;

/// Days of the week.
pub const DAYS: u32 = 7;
/// Seconds of the week for which a second of the test stands.
pub const TIME_FACTOR: u32 = 30;
/// `ttl`, in seconds of the week: the default.
pub const TTL_S: u32 = 600;
/// `hard_limit`, in seconds of the week.
pub const HARD_LIMIT_S: u32 = 1_200;
/// Time of the test in which the bots of a day come.
const BUSY: Duration = Duration::from_secs(40);
/// Number of bots on each day.
const BOTS: u32 = 80;
/// Number of addresses of the botnet; some of them come on several days.
const ADDRESSES: u32 = 300;
/// The timeout of a connection: so short that the kernel repeats no SYN. It would do so
/// after 1 and 3 s, and these are 30 and 90 s of the week.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A day: a site, the daemon that protects it, and the bots to come.
pub struct WeekDay {
    /// The site.
    pub site: Site,
    number: u32,
    chains: Vec<Chain>,
    scale: Scale,
    _daemon: Daemon,
}

/// A day that is over.
pub struct PastDay {
    number: u32,
    log: String,
    sessions: Vec<Session>,
}

/// The clock of the week, which begins a week and a day ago.
#[derive(Clone, Copy, Debug)]
pub struct WeekClock {
    begin: Timestamp,
    live: Timestamp,
}

impl WeekDay {
    /// Starts the site and the daemon of a day.
    ///
    /// # Errors
    ///
    /// As [`Site::new`] and [`Site::run`].
    pub fn new(spamdrop: &Path, number: u32) -> Result<Self> {
        let scale = Scale {
            length: BUSY,
            drain: Duration::from_secs(5),
            slots: 200,
            lookup: Duration::from_millis(20),
            tarpit: Duration::ZERO,
            think: 0.01..0.05,
            ..Scale::small()
        };
        let site = Site::new(spamdrop, |options| {
            options.slots = scale.slots;
            options.lookup = scale.lookup;
        })?;
        site.blacklist(&LISTED.to_string())?;
        let (ttl, hard_limit) = (TTL_S / TIME_FACTOR, HARD_LIMIT_S / TIME_FACTOR);
        site.configure(&format!(
            "ttl = {ttl}\nhard_limit = {hard_limit}\ncapacity4 = 16384\n"
        ))?;
        let daemon = site.run_logging("info", &[])?;
        Ok(Self {
            site,
            number,
            chains: chains(number),
            scale,
            _daemon: daemon,
        })
    }

    /// Runs the connections of the day's bots. Returns when the last bot has gone.
    ///
    /// # Errors
    ///
    /// A socket could not be created, or the log could not be read.
    pub fn pass(&self) -> Result<PastDay> {
        let crowd = Crowd::start(&self.site.world, self.chains.clone(), &self.scale)?;
        Ok(PastDay {
            number: self.number,
            sessions: crowd.join()?,
            log: fs::read_to_string(self.site.path("mail.log"))?,
        })
    }
}

/// The visits of a day. Half of the bots come back one to three times, at random times.
/// One of twenty comes every two seconds of the test, so that its block lasts until the
/// hard limit. One of ten bots is not listed.
fn chains(day: u32) -> Vec<Chain> {
    let mut random = Rng::with_seed(day.into());
    let mut chains = Vec::new();
    for _ in 0..BOTS {
        let number = random.u32(..ADDRESSES);
        let is_listed = random.u32(..10) > 0;
        let first = if is_listed { [100, 96] } else { [100, 72] };
        let [_, _, high, low] = number.to_be_bytes();
        let sender = Sender {
            class: Class::Bot,
            addr: [first[0], first[1], high, low].into(),
            ttl: 128,
            connect_timeout: CONNECT_TIMEOUT,
            boredom: Duration::from_secs(5),
            manners: Manners::Polite,
        };
        let busy = BUSY.as_secs_f64() - 2.0;
        let start = busy * random.f64();
        let visits: Vec<f64> = match random.u32(..20) {
            0 => (0..20).map(|n| 2.0 * f64::from(n)).collect(),
            1..=10 => {
                let more = random.usize(1..4);
                let mut visits = vec![start];
                visits.extend((0..more).map(|_| start + (busy - start) * random.f64()));
                visits
            }
            _ => vec![start],
        };
        chains.extend(visits.into_iter().map(|start| Chain {
            sender: sender.clone(),
            start: Duration::from_secs_f64(start),
            pauses: Vec::new(),
            seed: random.u64(..),
        }));
    }
    chains
}

impl WeekClock {
    /// The clock of days that begin now.
    #[must_use]
    pub fn new() -> Self {
        let live = Timestamp::now();
        Self {
            begin: live - DAY * 8,
            live,
        }
    }

    /// Converts a time of the test to a time of the week, on this day.
    #[must_use]
    pub fn week_time(&self, day: u32, live: Timestamp) -> Timestamp {
        let passed =
            live.duration_since(self.live) * i32::try_from(TIME_FACTOR).unwrap_or(i32::MAX);
        self.begin + DAY * i32::try_from(day).unwrap_or(i32::MAX) + passed
    }
}

impl Default for WeekClock {
    fn default() -> Self {
        Self::new()
    }
}

impl PastDay {
    /// The day's lines with the stamps of the week. The filter has dropped some
    /// connections; without it, the server would have logged them and rejected those of
    /// listed senders, so these lines are added.
    ///
    /// # Errors
    ///
    /// A line of the log has no stamp.
    pub fn unprotected_log(&self, clock: &WeekClock) -> Result<String> {
        let mut log = UnprotectedLog::new(&self.log)?;
        for session in self.dropped() {
            log.add_start(session);
            log.add_rejection(session);
        }
        Ok(log.into_text(|at| clock.week_time(self.number, at)))
    }

    /// The number of visits, and of those that the filter dropped.
    #[must_use]
    pub fn visits(&self) -> [usize; 2] {
        [self.sessions.len(), self.dropped().count()]
    }

    fn dropped(&self) -> impl Iterator<Item = &Session> {
        let sessions = self.sessions.iter();
        sessions.filter(|session| session.end == End::Unconnected)
    }
}
