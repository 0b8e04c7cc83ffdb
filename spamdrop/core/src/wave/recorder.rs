//! Samples and events → waves.

use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use super::points::{Point, Points};
use super::record::Wave;
use super::sample::{Sample, Totals};
use super::sources::{self, Heard, Sources};
use crate::target::Target;

/// A wave is over when for so long nobody was refused and the server had slots
/// to spare.
const QUIET: Duration = Duration::from_secs(60);
/// A wave that was shorter, and in which nobody was refused, is not worth
/// keeping: a few senders came at once.
const SHORTEST: Duration = Duration::from_secs(5);
/// For how long after a wave its sources may turn up in the log: MTAs try
/// again within minutes.
const AFTERMATH: Duration = Duration::from_secs(3600);
/// When somebody was refused for so long, without a quiet minute, a person
/// should look: some mail servers give up after half an hour.
const ALARM: Duration = Duration::from_secs(600);

/// Takes what is seen and heard, and tells waves apart. Its times are the
/// caller's, by `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub struct Recorder {
    next_id: i64,
    capacity: usize,
    last: Option<Sample>,
    now: Option<Course>,
    /// The last one that is over.
    past: Option<Course>,
    news: Vec<News>,
}

/// What an administrator should know at once, with the wave so far.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// The first sender in it is refused, or would be.
    Begins(Wave),
    /// It goes on, and for ten minutes senders have been refused.
    Lasts(Wave),
    /// It is over, and somebody was refused, or would have been.
    IsOver(Wave),
}

/// What is to be written of a wave.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its number by the recorder.
    pub id: i64,
    /// All about it.
    pub wave: Wave,
    /// Its newest points, which replace those from the first of them on.
    pub points: Vec<Point>,
}

/// A wave, and what is needed to go on with it.
#[derive(Debug)]
struct Course {
    id: i64,
    wave: Wave,
    sources: Sources,
    points: Points,
    start: Duration,
    /// When the server was last short of slots.
    busy: Duration,
    refusals: Option<Refusals>,
    /// Whether there is anything to write.
    changed: bool,
}

/// When somebody was refused, by samples.
#[derive(Clone, Copy, Debug)]
struct Refusals {
    /// The first time after a quiet minute.
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
    /// One that has seen nothing. It numbers its waves from 1.
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

    /// A source came while its class had to wait; `known` if it was one that
    /// never has to.
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

    /// A source was heard of.
    pub fn heard(&mut self, source: IpAddr, heard: Heard, at: Duration) {
        let source = Target::from(source);
        let waited = |course: &&mut Course| course.sources.was_delayed(source);
        // Who waited in the wave before belongs there, unless to both.
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

    /// A look at the server, once a second.
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
        let is_old = |past: &mut Course| sample.at.saturating_sub(past.busy) >= AFTERMATH;
        self.past.take_if(is_old);
    }

    /// Ends the wave, if there is one: nothing more will be seen of it.
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

    /// What has happened since this was last called.
    pub fn take_news(&mut self) -> Vec<News> {
        mem::take(&mut self.news)
    }

    /// What has changed since this was last called, older waves first.
    pub fn take(&mut self) -> Vec<Snapshot> {
        let both = self.past.iter_mut().chain(&mut self.now);
        both.filter(|course| course.changed && course.is_worth_keeping())
            .map(Course::snapshot)
            .collect()
    }

    fn course(&mut self, at: Duration, unix_s: u64) -> &mut Course {
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
            Course {
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

impl Course {
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
            // Samples may come a little early or late.
            at_s: whole((sample.at.saturating_sub(self.start)).as_secs_f64().round() as u64),
            open: sample.open,
            waiting: sample.waiting,
            admitted: whole(step.admitted),
            refused: whole(step.all_refused()),
            answered: whole(step.answered),
        });
        self.changed = true;
    }

    /// Somebody was refused, or would have been; what there is to tell of it.
    fn refuses(&mut self, at: Duration) -> Option<News> {
        let Some(refusals) = &mut self.refusals else {
            self.refusals = Some(Refusals {
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

    /// The wave as far as it is known.
    fn figures(&mut self) -> Wave {
        let (wave, sources) = (&mut self.wave, &self.sources);
        wave.length_s = seconds(self.busy.saturating_sub(self.start));
        wave.who = sources.counts;
        wave.longest_wait_s = sources.longest_wait.map(seconds);
        wave.longest_listed_wait_s = sources.longest_listed_wait.map(seconds);
        // Each of the delayed had one SYN that was its first.
        let delayed = wave.totals.all_refused() + wave.totals.starvation_admits;
        wave.repeats = delayed.saturating_sub(sources.counts.delayed);
        wave.clone()
    }
}

/// With milliseconds.
fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests;
