//! Derives waves from samples and events.

use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use super::points::{Point, Points};
use super::record::{WantedWait, Wave};
use super::sample::{Sample, Totals};
use super::sources::{self, Sources, WaveEvidence};
use crate::target::Target;
use crate::time::UnixSeconds;

/// A wave ends after this time without a refusal or a shortage of slots.
const QUIET: Duration = Duration::from_secs(60);
/// A shorter wave without a refusal is not recorded: only a few senders came at
/// the same time.
const SHORTEST: Duration = Duration::from_secs(5);
/// How long after a wave the log lines of its sources still count for it,
/// because MTAs retry within minutes.
const AFTERMATH: Duration = Duration::from_secs(3600);
/// After this time of refusals without a quiet minute, the administrator is
/// warned, because some mail servers give up after half an hour.
const ALARM: Duration = Duration::from_secs(600);

/// Converts samples and evidence into waves. All times are `CLOCK_MONOTONIC`,
/// read by the caller.
#[derive(Debug)]
pub struct Recorder {
    next_id: i64,
    capacity: usize,
    last: Option<Sample>,
    now: Option<WaveCourse>,
    /// The last wave that ended.
    past: Option<WaveCourse>,
    news: Vec<News>,
}

/// An event for the daemon's log, with the wave so far.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// The first source was refused, or would have been.
    Begins(Wave),
    /// Sources have been refused for ten minutes.
    Lasts(Wave),
    /// A wave with refusals has ended.
    IsOver(Wave),
}

/// The data of a wave that must be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The number of the wave; the recorder counts from 1.
    pub id: i64,
    /// The wave's totals so far; they replace the stored ones.
    pub wave: Wave,
    /// The new points. They replace all stored points from the first of them
    /// on.
    pub points: Vec<Point>,
}

/// A wave, and the state that is needed to continue it.
#[derive(Debug)]
struct WaveCourse {
    id: i64,
    wave: Wave,
    sources: Sources,
    points: Points,
    start: Duration,
    /// The time of the last shortage of slots or refusal.
    busy: Duration,
    refusals: Option<RefusalTimes>,
    /// Whether there are changes to store.
    changed: bool,
}

/// The times of refusals, from the samples.
#[derive(Clone, Copy, Debug)]
struct RefusalTimes {
    /// The first refusal after a quiet minute.
    since: Duration,
    last: Duration,
    told: bool,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// A recorder without a wave.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(sources::MAX)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self {
            next_id: 1,
            capacity,
            last: None,
            now: None,
            past: None,
            news: Vec::new(),
        }
    }

    /// Records a source that came while its class had to wait. `known`: it is a
    /// known sender, which never has to wait.
    pub fn delayed(&mut self, source: IpAddr, known: bool, at: Duration) {
        let Some(last) = self.last else {
            return;
        };
        let since = at.saturating_sub(last.at).as_secs();
        let unix_s = last.unix_s.saturating_add(since);
        let course = self.course(at, unix_s);
        let after = at.saturating_sub(course.start);
        course.sources.delayed(source.into(), after);
        course.wave.known_delayed += u64::from(known);
        course.is_busy(at);
    }

    /// The start of the current wave, if there is one.
    #[must_use]
    pub fn current_start(&self) -> Option<UnixSeconds> {
        let course = self.now.as_ref();
        course.map(|course| UnixSeconds::new(course.wave.start_unix_s))
    }

    /// Records the evidence of a log line about a source.
    pub fn heard(&mut self, source: IpAddr, heard: WaveEvidence, at: Duration) {
        let source = Target::from(source);
        let waited = |course: &&mut WaveCourse| course.sources.was_delayed(source);
        // A source that waited in the last wave counts there, unless it also
        // waits in the current one.
        let course = match (&mut self.now, self.past.as_mut().filter(waited)) {
            (Some(now), Some(_)) if now.sources.was_delayed(source) => now,
            (_, Some(past)) => past,
            (Some(now), None) => now,
            (None, None) => return,
        };
        let after = at.saturating_sub(course.start);
        course.sources.heard(source, heard, after);
        course.changed = true;
    }

    /// Records a sample. Must be called once a second.
    pub fn sample(&mut self, sample: Sample) {
        let last = self.last.replace(sample).unwrap_or(sample);
        if sample.observed != last.observed {
            self.end();
        }
        let step = sample.totals.since(&last.totals);
        let refused = step.all_refused() > 0;
        if refused || sample.open >= sample.limit {
            self.course(sample.at, sample.unix_s).is_busy(sample.at);
        }
        if let Some(now) = &mut self.now {
            now.add(&sample, &step);
            if refused {
                self.news.extend(now.refuses(sample.at));
            }
            if sample.at.saturating_sub(now.busy) >= QUIET {
                self.end();
            }
        }
        let is_old = |past: &mut WaveCourse| sample.at.saturating_sub(past.busy) >= AFTERMATH;
        self.past.take_if(is_old);
    }

    /// Ends the current wave, if there is one.
    pub fn end(&mut self) {
        if let Some(mut now) = self.now.take() {
            now.wave.ongoing = false;
            now.changed = true;
            if now.refusals.is_some() {
                self.news.push(News::IsOver(now.figures()));
            }
            if now.is_worth_keeping() {
                self.past = Some(now);
            }
        }
    }

    /// The events since the last call.
    pub fn take_news(&mut self) -> Vec<News> {
        mem::take(&mut self.news)
    }

    /// The waves that changed since the last call, oldest first.
    pub fn take(&mut self) -> Vec<Snapshot> {
        let both = self.past.iter_mut().chain(&mut self.now);
        both.filter(|course| course.changed && course.is_worth_keeping())
            .map(WaveCourse::snapshot)
            .collect()
    }

    fn course(&mut self, at: Duration, unix_s: u64) -> &mut WaveCourse {
        let Self {
            now,
            next_id,
            last,
            capacity,
            ..
        } = self;
        now.get_or_insert_with(|| {
            let id = *next_id;
            *next_id += 1;
            let wave = Wave {
                start_unix_s: unix_s,
                ongoing: true,
                observed: last.is_some_and(|last| last.observed),
                ..Wave::default()
            };
            WaveCourse {
                id,
                wave,
                sources: Sources::new(*capacity),
                points: Points::default(),
                start: at,
                busy: at,
                refusals: None,
                changed: true,
            }
        })
    }
}

impl WaveCourse {
    fn is_busy(&mut self, at: Duration) {
        self.busy = self.busy.max(at);
        self.changed = true;
    }

    fn add(&mut self, sample: &Sample, step: &Totals) {
        let wave = &mut self.wave;
        wave.slots = sample.slots;
        wave.peak_open = wave.peak_open.max(sample.open);
        wave.peak_waiting = wave.peak_waiting.max(sample.waiting);
        wave.totals = wave.totals.plus(step);
        let whole = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        self.points.push(Point {
            // Samples may come slightly early or late.
            at_s: whole((sample.at.saturating_sub(self.start)).as_secs_f64().round() as u64),
            open: sample.open,
            waiting: sample.waiting,
            admitted: whole(step.admitted),
            refused: whole(step.all_refused()),
            answered: whole(step.answered),
        });
        self.changed = true;
    }

    /// Records that a source was refused, or would have been.
    fn refuses(&mut self, at: Duration) -> Option<News> {
        let Some(refusals) = &mut self.refusals else {
            self.refusals = Some(RefusalTimes {
                since: at,
                last: at,
                told: false,
            });
            return Some(News::Begins(self.figures()));
        };
        if at.saturating_sub(refusals.last) >= QUIET {
            refusals.since = at;
        }
        refusals.last = at;
        let lasts = at.saturating_sub(refusals.since) >= ALARM;
        if refusals.told || !lasts || self.wave.observed {
            return None;
        }
        refusals.told = true;
        Some(News::Lasts(self.figures()))
    }

    fn is_worth_keeping(&self) -> bool {
        let refused = self.wave.totals.all_refused() > 0 || self.sources.counts.delayed > 0;
        refused || self.busy.saturating_sub(self.start) >= SHORTEST
    }

    fn snapshot(&mut self) -> Snapshot {
        self.changed = false;
        Snapshot {
            id: self.id,
            wave: self.figures(),
            points: self.points.take_fresh(),
        }
    }

    /// Updates the totals of the wave so far, and returns them.
    fn figures(&mut self) -> Wave {
        let (wave, sources) = (&mut self.wave, &self.sources);
        wave.length_s = seconds(self.busy.saturating_sub(self.start));
        wave.who = sources.counts;
        wave.longest_wait_s = sources.longest_wait.map(seconds);
        wave.longest_listed_wait_s = sources.longest_listed_wait.map(seconds);
        let waits = sources.waits().into_iter();
        let wait = |(at, wait)| WantedWait {
            at_s: seconds(at),
            wait_s: seconds(wait),
        };
        wave.waits = waits.map(wait).collect();
        // One SYN of each delayed source was its first; all others were
        // repeated.
        let delayed = wave.totals.all_refused() + wave.totals.starvation_admits;
        wave.repeats = delayed.saturating_sub(sources.counts.delayed);
        wave.clone()
    }
}

/// Converts to seconds, rounded down to milliseconds.
fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests;
