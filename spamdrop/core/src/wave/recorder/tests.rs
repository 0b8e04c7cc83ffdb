#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

const START: u64 = 1_795_392_000;

/// Feeds a recorder with one sample a second.
struct Clock {
    recorder: Recorder,
    sample: Sample,
}

impl Clock {
    fn new() -> Self {
        let sample = Sample {
            at: Duration::from_secs(1_000),
            unix_s: START,
            slots: 40,
            limit: 24,
            totals: Totals {
                admitted: 500,
                refused: [1, 2, 3],
                ..Totals::default()
            },
            ..Sample::default()
        };
        let mut clock = Self {
            recorder: Recorder::with_capacity(1_000),
            sample,
        };
        clock.recorder.sample(sample);
        clock
    }

    fn second(&mut self, change: impl FnOnce(&mut Sample)) {
        self.sample.at += Duration::from_secs(1);
        self.sample.unix_s += 1;
        change(&mut self.sample);
        self.recorder.sample(self.sample);
    }

    /// Passes `number` seconds with `open` connections.
    fn seconds(&mut self, number: u32, open: u32) {
        for _ in 0..number {
            self.second(|sample| sample.open = open);
        }
    }

    fn delayed(&mut self, source: &str) {
        let at = self.sample.at;
        self.recorder.delayed(source.parse().unwrap(), false, at);
    }

    fn heard(&mut self, source: &str, heard: WaveEvidence) {
        let at = self.sample.at;
        self.recorder.heard(source.parse().unwrap(), heard, at);
    }

    /// The waves that changed.
    fn waves(&mut self) -> Vec<(i64, Wave)> {
        let snapshots = self.recorder.take().into_iter();
        snapshots
            .map(|snapshot| (snapshot.id, snapshot.wave))
            .collect()
    }

    fn wave(&mut self) -> Wave {
        let mut waves = self.waves();
        assert_eq!(waves.len(), 1, "{waves:?}");
        waves.remove(0).1
    }
}

#[test]
fn no_wave_without_reason() {
    let mut clock = Clock::new();
    clock.seconds(100, 23);
    clock.heard("192.0.2.1", WaveEvidence::Accepted);
    assert_eq!(clock.waves(), []);
}

#[test]
fn a_wave_begins_at_the_lowest_limit_and_ends_after_a_quiet_minute() {
    let mut clock = Clock::new();
    clock.seconds(10, 5);
    assert_eq!(clock.recorder.current_start(), None);
    clock.seconds(1, 24);
    let start = UnixSeconds::new(START + 11);
    assert_eq!(clock.recorder.current_start(), Some(start));
    clock.seconds(59, 5);
    clock.seconds(1, 169);
    let wave = clock.wave();
    assert_eq!((wave.start_unix_s, wave.length_s), (START + 11, 60.0));
    assert_eq!((wave.peak_open, wave.slots, wave.ongoing), (169, 40, true));
    clock.seconds(59, 5);
    assert!(clock.wave().ongoing);
    clock.seconds(1, 5);
    let wave = clock.wave();
    assert_eq!((wave.length_s, wave.ongoing), (60.0, false));
    assert_eq!(wave.end_unix_s(), START + 71);
    assert_eq!(clock.recorder.current_start(), None);
    clock.seconds(99, 5);
    assert_eq!(clock.waves(), []);
    clock.seconds(6, 30);
    let waves = clock.waves();
    assert_eq!((waves[0].0, waves[0].1.start_unix_s), (2, START + 231));
}

#[test]
fn a_refusal_makes_a_wave_too() {
    let mut clock = Clock::new();
    clock.second(|sample| sample.totals.refused[2] += 4);
    let wave = clock.wave();
    assert_eq!((wave.totals.refused, wave.length_s), ([0, 0, 4], 0.0));
    clock.seconds(60, 0);
    assert!(!clock.wave().ongoing);
    // A refusal also starts a wave if its report comes before the counter shows
    // it.
    clock.delayed("192.0.2.1");
    clock.second(|sample| sample.totals.refused[0] += 1);
    let wave = clock.wave();
    assert_eq!((wave.totals.refused, wave.who.delayed), ([1, 0, 0], 1));
    assert_eq!(wave.start_unix_s, START + 61);
}

#[test]
fn a_moment_without_a_refusal_is_not_kept() {
    let mut clock = Clock::new();
    clock.seconds(5, 30);
    clock.seconds(60, 0);
    assert_eq!(clock.waves(), []);
    clock.seconds(6, 30);
    assert_eq!(clock.wave().length_s, 5.0);
}

#[test]
fn what_is_counted_is_what_came_meanwhile() {
    let mut clock = Clock::new();
    clock.second(|sample| sample.totals.admitted += 100);
    let step = Totals {
        admitted: 10,
        known_or_allowed: 2,
        starvation_admits: 1,
        refused: [1, 2, 3],
        answered: 6,
        dropped: 7,
        blocked: 8,
        released: 9,
    };
    for _ in 0..3 {
        clock.second(|sample| sample.totals = sample.totals.plus(&step));
    }
    // The filter was attached again, so its counts restart at 0.
    clock.second(|sample| sample.totals.admitted = 1);
    for source in ["192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8::1"] {
        clock.delayed(source);
    }
    clock.delayed("2001:db8::2");
    let wave = clock.wave();
    let expected = Totals {
        admitted: 31,
        ..step.plus(&step).plus(&step)
    };
    assert_eq!(wave.totals, expected);
    assert_eq!((wave.who.delayed, wave.repeats), (3, 3 * (6 + 1) - 3));
}

#[test]
fn known_senders_that_wait_are_told() {
    let mut clock = Clock::new();
    let at = clock.sample.at;
    clock
        .recorder
        .delayed("192.0.2.1".parse().unwrap(), true, at);
    clock.delayed("192.0.2.2");
    assert_eq!(clock.wave().known_delayed, 1);
}

#[test]
fn who_waited_is_counted_in_its_wave_even_after_it() {
    let mut clock = Clock::new();
    clock.delayed("192.0.2.1");
    clock.delayed("192.0.2.2");
    clock.seconds(60, 0);
    assert_eq!(clock.wave().who.delayed, 2);
    clock.heard("192.0.2.1", WaveEvidence::Accepted);
    // This source did not wait, and no wave is in progress.
    clock.heard("192.0.2.3", WaveEvidence::Accepted);
    let wave = clock.wave();
    assert_eq!((wave.who.sources, wave.who.delayed_accepted), (2, 1));
    assert_eq!(wave.longest_wait_s, Some(60.0));
    let wait = WantedWait {
        at_s: 0.0,
        wait_s: 60.0,
    };
    assert_eq!(wave.waits, [wait]);
    clock.delayed("192.0.2.4");
    for source in ["192.0.2.2", "192.0.2.3", "192.0.2.4"] {
        clock.heard(source, WaveEvidence::Listed);
    }
    let waves = clock.waves();
    let listed = |wave: &Wave| (wave.who.listed, wave.who.delayed_listed);
    assert_eq!((waves[0].0, listed(&waves[0].1)), (1, (1, 1)));
    assert_eq!((waves[1].0, listed(&waves[1].1)), (2, (2, 1)));
    // The wave stops counting log lines after the aftermath.
    clock.seconds(61, 0);
    clock.waves();
    clock.seconds(3_600, 0);
    clock.heard("192.0.2.4", WaveEvidence::Accepted);
    assert_eq!(clock.waves(), []);
}

#[test]
fn a_wave_is_of_one_mode() {
    let mut clock = Clock::new();
    clock.seconds(6, 30);
    clock.second(|sample| sample.observed = true);
    clock.seconds(6, 30);
    let waves = clock.waves();
    let modes: Vec<_> = waves
        .iter()
        .map(|(id, wave)| (*id, wave.observed, wave.ongoing))
        .collect();
    assert_eq!(modes, [(1, false, false), (2, true, true)]);
}

#[test]
fn the_wall_clock_may_jump() {
    let mut clock = Clock::new();
    clock.seconds(3, 30);
    clock.second(|sample| sample.unix_s -= 86_400);
    clock.second(|sample| sample.unix_s += 2 * 86_400);
    clock.seconds(5, 30);
    let wave = clock.wave();
    assert_eq!((wave.start_unix_s, wave.length_s), (START + 1, 9.0));
}

#[test]
fn its_course_has_a_point_a_second() {
    let mut clock = Clock::new();
    let mut points = Vec::new();
    for early in [0, 40, 0, 20] {
        clock.sample.at -= Duration::from_millis(early);
        clock.second(|sample| {
            sample.open = 30;
            sample.totals.refused[1] += 2;
            sample.totals.refused[2] += 1;
        });
        clock.sample.at += Duration::from_millis(early);
        points.extend(clock.recorder.take().remove(0).points);
    }
    let seen: Vec<_> = points
        .iter()
        .map(|point| (point.at_s, point.open, point.refused))
        .collect();
    assert_eq!(seen, [(0, 30, 3), (1, 30, 3), (2, 30, 3), (3, 30, 3)]);
}

#[test]
fn sources_are_bounded() {
    let mut clock = Clock::new();
    for n in 0..1_500 {
        clock.delayed(&format!("10.0.{}.{}", n / 256, n % 256));
    }
    let wave = clock.wave();
    assert_eq!((wave.who.sources, wave.who.more_sources), (1_000, true));
}

/// Passes a second with a refusal.
fn refuse(clock: &mut Clock) {
    clock.second(|sample| sample.totals.refused[2] += 1);
}

fn told(clock: &mut Clock) -> Vec<&'static str> {
    let name = |news: &News| match news {
        News::Begins(_) => "begins",
        News::Lasts(_) => "lasts",
        News::IsOver(_) => "is over",
    };
    clock.recorder.take_news().iter().map(name).collect()
}

#[test]
fn a_wave_that_refuses_is_told_once_when_it_begins_and_when_it_is_over() {
    let mut clock = Clock::new();
    clock.seconds(6, 30);
    assert_eq!(clock.recorder.take_news(), []);
    for _ in 0..3 {
        refuse(&mut clock);
        clock.seconds(50, 31);
    }
    let news = clock.recorder.take_news();
    let [News::Begins(wave)] = &news[..] else {
        panic!("{news:?}");
    };
    assert_eq!((wave.peak_open, wave.totals.refused[2]), (30, 1));
    clock.seconds(60, 0);
    let news = clock.recorder.take_news();
    let [News::IsOver(wave)] = &news[..] else {
        panic!("{news:?}");
    };
    assert_eq!((wave.peak_open, wave.totals.refused[2]), (31, 3));
    assert_eq!((wave.length_s, wave.ongoing), (158.0, false));
    clock.seconds(99, 0);
    assert_eq!(clock.recorder.take_news(), []);
    refuse(&mut clock);
    assert_eq!(told(&mut clock), ["begins"]);
    // The end is also reported when the gate is switched off.
    clock.recorder.end();
    assert_eq!(told(&mut clock), ["is over"]);
}

#[test]
fn full_slots_alone_are_no_news() {
    let mut clock = Clock::new();
    clock.seconds(1_000, 39);
    clock.delayed("192.0.2.1");
    clock.seconds(60, 0);
    assert_eq!(clock.recorder.take_news(), []);
    assert_eq!(clock.waves().len(), 1);
}

#[test]
fn ten_minutes_of_refusals_are_told_once() {
    let mut clock = Clock::new();
    // After a quiet minute, the ten minutes start again.
    for _ in 0..599 {
        refuse(&mut clock);
    }
    clock.seconds(59, 39);
    refuse(&mut clock);
    for _ in 0..599 {
        refuse(&mut clock);
    }
    assert_eq!(told(&mut clock), ["begins"]);
    refuse(&mut clock);
    assert_eq!(told(&mut clock), ["lasts"]);
    for _ in 0..1_000 {
        refuse(&mut clock);
    }
    assert_eq!(told(&mut clock), [""; 0]);
    // In observe mode no sender waits.
    clock.sample.observed = true;
    for _ in 0..1_000 {
        refuse(&mut clock);
    }
    assert_eq!(told(&mut clock), ["is over", "begins"]);
}
