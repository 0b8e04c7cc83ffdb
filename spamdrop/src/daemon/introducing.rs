//! Tells the filter of the known senders.
//!
//! Whatever they are, the watch goes on meanwhile: a thread reads them and
//! writes what has changed.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use super::Daemon;
use super::learning::senders;
use crate::clock;
use crate::config::Config;
use crate::kernel::blocklist::{GateMaps, Known};
use spamdrop_core::reputation::Record;
use spamdrop_core::target::Target;

/// Evidence of known senders grows too old without anybody's doing.
const PERIOD: Duration = Duration::from_secs(3600);
/// Who are many are read seldom: this many times as long as it took, nobody
/// reads them again.
const REST: u32 = 10;

/// The known senders, on their way from the store to the filter.
#[derive(Default)]
pub(super) struct Senders {
    telling: Option<JoinHandle<Told>>,
    /// When that began last; `None`: they may have changed since.
    read: Option<Instant>,
    /// Not before.
    rest: Option<Instant>,
    known: Arc<Known>,
    /// Whether the filter knows just these.
    is_told: bool,
    /// Whether it was told, or that failed; before that, nobody is refused.
    pub is_ready: bool,
}

struct Told {
    known: Result<Known>,
    took: Duration,
}

impl Senders {
    /// Has them read again.
    pub fn changed(&mut self) {
        self.read = None;
    }

    /// Whether a source is known to the filter.
    pub fn contains(&self, source: IpAddr) -> bool {
        self.known.contains(source)
    }

    /// How many the filter knows.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    fn is_due(&self, now: Instant) -> bool {
        let is_old = |read| now.saturating_duration_since(read) >= PERIOD;
        self.telling.is_none()
            && self.read.is_none_or(is_old)
            && self.rest.is_none_or(|rest| now >= rest)
    }

    fn tell(&mut self, config: &Config) {
        self.read = Some(clock::instant());
        let config = config.clone();
        let told = self.is_told.then(|| Arc::clone(&self.known));
        self.telling = Some(thread::spawn(move || {
            let start = clock::instant();
            let known = senders(&config.store_file())
                .and_then(|senders| tell(&config, &senders, told.as_deref()));
            let took = start.elapsed();
            Told { known, took }
        }));
    }

    fn told(&mut self, known: Result<Known>) -> Result<()> {
        self.is_told = known.is_ok();
        self.is_ready = true;
        self.known = Arc::new(known?);
        Ok(())
    }
}

impl Daemon {
    /// Tells the filter of the known among all senders, before it refuses
    /// anybody.
    pub(super) fn introduce(&mut self, senders: &[(Target, Record)]) {
        if self.admitting.is_on() {
            self.admitting.senders.read = Some(clock::instant());
            let told = tell(&self.config, senders, None);
            self.note_senders(told);
        }
    }

    /// Tells the filter of the known senders, if they have changed.
    pub(super) fn keep_senders(&mut self) {
        let telling = &mut self.admitting.senders.telling;
        if let Some(telling) = telling.take_if(|telling| telling.is_finished()) {
            let told = telling.join().unwrap_or_else(|_| Told {
                known: Err(Error::msg("the reader panicked")),
                took: Duration::ZERO,
            });
            self.admitting.senders.rest = clock::instant().checked_add(told.took * REST);
            self.note_senders(told.known);
        }
        if self.admitting.is_on() && self.admitting.senders.is_due(clock::instant()) {
            self.admitting.senders.tell(&self.config);
        }
    }

    fn note_senders(&mut self, known: Result<Known>) {
        // Who was refused before was not known then.
        self.read_asks();
        match self.admitting.senders.told(known) {
            Ok(()) => self.upkeep.fine("senders"),
            Err(error) => {
                let text = format!("the filter does not know the known senders: {error:#}");
                self.upkeep.warn("senders", text);
            }
        }
    }
}

/// Tells the filter, which was `told` of others before.
fn tell(config: &Config, senders: &[(Target, Record)], told: Option<&Known>) -> Result<Known> {
    let mut gatehouse = GateMaps::open(&config.pin_dir)?;
    match told {
        Some(told) => gatehouse.know_instead(told, known(senders)),
        None => gatehouse.know_exactly(known(senders)),
    }
}

fn known(senders: &[(Target, Record)]) -> impl Iterator<Item = Target> {
    let now = clock::unix_s32();
    let is_known = move |(_, record): &&(Target, Record)| record.standing(now).is_known();
    senders.iter().filter(is_known).map(|(source, _)| *source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let source: IpAddr = [192, 0, 2, 1].into();
        [source.into()].into_iter().collect()
    }

    #[test]
    fn they_are_read_when_they_have_changed_or_grown_old_but_many_not_at_once() {
        let now = clock::instant();
        let mut senders = Senders::default();
        assert!(senders.is_due(now));
        senders.read = Some(now);
        assert!(!senders.is_due(now + PERIOD - Duration::from_secs(1)));
        assert!(senders.is_due(now + PERIOD));
        senders.changed();
        assert!(senders.is_due(now));
        senders.rest = Some(now + Duration::from_secs(9));
        assert!(!senders.is_due(now + Duration::from_secs(8)));
        assert!(senders.is_due(now + Duration::from_secs(9)));
    }

    #[test]
    fn after_an_error_the_filter_is_not_taken_at_its_word() {
        let mut senders = Senders::default();
        assert!(senders.told(Ok(known())).is_ok() && senders.is_told);
        assert!(senders.told(Err(Error::msg("full"))).is_err() && !senders.is_told);
        assert_eq!(senders.len(), 1);
        assert!(senders.contains([192, 0, 2, 1].into()));
    }
}
