#![expect(clippy::unwrap_used, reason = "a test may panic")]

use regex::Regex;
use roxmltree::{Document, Node};
use spamdrop_core::duration;
use spamdrop_core::gate::limits;
use spamdrop_core::wave::{CourseColumns, Totals, WantedWait, Wave};

use super::canvas::CHARACTER;
use super::*;

/// 2026-11-23, 0:00 UTC.
const START: u64 = 1_795_392_000;
const ON: Switches = Switches {
    gate: true,
    responder: true,
};
const WIDTHS: [Width; 2] = [Width::Wide, Width::Narrow];

fn point(at_s: u32, open: u32, refused: u32, answered: u32) -> Point {
    Point {
        at_s,
        open,
        refused,
        answered,
        ..Point::default()
    }
}

fn numbered(number: i64, wave: Wave) -> NumberedWave {
    NumberedWave { number, wave }
}

/// A wave of `length_s` seconds at random, with its course.
fn random(rng: &mut fastrand::Rng, number: i64, length_s: u32) -> (NumberedWave, Vec<Point>) {
    let slots = rng.u32(1..60);
    let most = 1 << rng.u32(0..12);
    let mut at = |at_s| {
        point(
            at_s,
            rng.u32(0..=2 * slots),
            rng.u32(0..most),
            rng.u32(0..9),
        )
    };
    let points: Vec<Point> = (0..=length_s).map(&mut at).collect();
    let wait = |_| WantedWait {
        at_s: rng.f64() * f64::from(length_s),
        wait_s: rng.f64() * 600.0,
    };
    let waits: Vec<_> = (0..5).map(wait).collect();
    let wave = Wave {
        start_unix_s: START + u64::from(rng.u32(0..600_000)),
        length_s: length_s.into(),
        slots,
        peak_open: points.iter().map(|point| point.open).max().unwrap(),
        totals: Totals {
            refused: [
                0,
                0,
                points.iter().map(|point| u64::from(point.refused)).sum(),
            ],
            answered: points.iter().map(|point| u64::from(point.answered)).sum(),
            ..Totals::default()
        },
        longest_wait_s: waits.iter().map(|wait| wait.wait_s).reduce(f64::max),
        waits,
        ..Wave::default()
    };
    (numbered(number, wave), points)
}

fn report(waves: Vec<NumberedWave>) -> WaveReport {
    WaveReport {
        recording: true,
        since_unix_s: START,
        until_unix_s: START + 7 * 86_400,
        has_end: true,
        waves,
    }
}

fn drawn(subject: PictureSubject<'_>, switches: Switches, width: Width) -> String {
    let zone = &TimeZone::UTC;
    let picture = Picture {
        subject,
        switches,
        zone,
    };
    picture.part(width)
}

/// A drawn axis, as its marks tell.
#[derive(Clone, Copy, Debug)]
struct Axis {
    zero: f64,
    top: f64,
    top_value: f64,
}

impl Axis {
    fn value(&self, y: f64) -> f64 {
        (self.zero - y) / (self.zero - self.top) * self.top_value
    }

    /// Asserts that a height shows a value, within a pixel.
    fn assert_shows(&self, y: f64, value: f64) {
        let pixel = self.top_value / (self.zero - self.top);
        let shown = self.value(y);
        assert!((shown - value).abs() <= pixel, "{shown} is not {value}");
    }
}

fn number(node: &Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap().parse().unwrap()
}

fn texts<'a>(document: &'a Document<'a>) -> impl Iterator<Item = Node<'a, 'a>> {
    let is_text = |node: &Node<'_, '_>| node.tag_name().name() == "text";
    document.descendants().filter(is_text)
}

fn value(text: &str) -> f64 {
    match text.parse() {
        Ok(number) => number,
        Err(_) => match text.strip_suffix('k') {
            Some(thousands) => 1_000.0 * value(thousands),
            None => duration::parse(text).unwrap().as_secs_f64(),
        },
    }
}

/// The axis of each panel.
fn axes(document: &Document<'_>) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    for mark in texts(document).filter(|node| node.attribute("text-anchor") == Some("end")) {
        let (y, value) = (number(&mark, "y") - 4.0, value(mark.text().unwrap()));
        match axes.last_mut() {
            Some(axis) if value > 0.0 => {
                (axis.top, axis.top_value) = (y, value);
            }
            _ => axes.push(Axis {
                zero: y,
                top: y,
                top_value: 0.0,
            }),
        }
    }
    axes
}

/// The commands of all paths of a class, legends left out.
fn path(document: &Document<'_>, class: &str) -> Vec<(char, Vec<f64>)> {
    let command = Regex::new("([MLHVhvz])([^MLHVhvz]*)").unwrap();
    let is_it = |node: &Node<'_, '_>| node.attribute("class") == Some(class);
    let d = document.descendants().filter(is_it);
    let d: String = d.filter_map(|node| node.attribute("d")).collect();
    let commands = command.captures_iter(&d).map(|found| {
        let numbers = found[2].split(' ').filter(|number| !number.is_empty());
        let numbers = numbers.map(|number| number.parse().unwrap()).collect();
        (found[1].chars().next().unwrap(), numbers)
    });
    commands.collect()
}

/// The rectangles of a class: left, right, lower and upper end.
fn bars(document: &Document<'_>, class: &str) -> Vec<[f64; 4]> {
    let path = path(document, class);
    let bars = path.chunks(5).map(|bar| match bar {
        [
            ('M', from),
            ('V', above),
            ('h', width),
            ('V', below),
            ('z', _),
        ] => {
            assert_eq!(from[1], below[0]);
            [from[0], from[0] + width[0], from[1], above[0]]
        }
        other => panic!("{other:?}"),
    });
    bars.collect()
}

/// The horizontal lines of a class: left and right end, and the height.
fn steps(document: &Document<'_>, class: &str) -> Vec<[f64; 3]> {
    let mut steps = Vec::new();
    let mut at = (0.0, 0.0);
    for (command, numbers) in path(document, class) {
        match (command, &numbers[..]) {
            ('M' | 'L', [x, y]) => {
                if command == 'L' && at.1 == *y && at.0 < *x {
                    steps.push([at.0, *x, *y]);
                }
                at = (*x, *y);
            }
            ('H', [x]) => {
                steps.push([at.0, *x, at.1]);
                at.0 = *x;
            }
            other => panic!("{other:?}"),
        }
    }
    steps
}

#[test]
fn the_course_that_is_drawn_is_the_one_that_was_recorded() {
    let mut rng = fastrand::Rng::with_seed(17);
    for length_s in [1, 9, 100, 700, 3_599] {
        let (wave, points) = random(&mut rng, 1, length_s);
        for width in WIDTHS {
            assert_course(&wave, &points, width);
        }
    }
}

fn assert_course(numbered: &NumberedWave, points: &[Point], width: Width) {
    let wave = &numbered.wave;
    let text = drawn(PictureSubject::Wave(numbered, points), ON, width);
    let document = Document::parse(&text).unwrap();
    let [open, syns, waits] = axes(&document)[..] else {
        panic!("{text}")
    };
    let lines = steps(&document, "open");
    let room = f64::from(width.pixels()) - 116.0;
    let columns = CourseColumns::at_most(wave, points, (room / 2.0) as u64);
    assert_eq!(lines.len(), columns.all.len());
    let column = room / lines.len() as f64;
    let mut totals = [Vec::new(), Vec::new()];
    for (index, (line, point)) in lines.iter().zip(&columns.all).enumerate() {
        let left = 56.0 + column * index as f64;
        assert!((line[0] - left).abs() < 0.2 && (line[1] - left - column).abs() < 0.2);
        open.assert_shows(line[2], point.unwrap().open.into());
        for (all, syns) in totals
            .iter_mut()
            .zip([point.unwrap().answered, point.unwrap().refused])
        {
            all.extend((syns > 0).then_some((left, f64::from(syns))));
        }
    }
    for (class, expected) in ["answered", "refused"].into_iter().zip(&totals) {
        let bars = bars(&document, class);
        assert_eq!(bars.len(), expected.len(), "{class}");
        for (bar, (left, value)) in bars.iter().zip(expected) {
            assert!((bar[0] - left).abs() < 0.2, "{bar:?} {left}");
            syns.assert_shows(syns.zero - (bar[2] - bar[3]), *value);
        }
    }
    // The time marks must be right, because they show when a wait began.
    let start = time_of_day(wave.start_unix_s);
    let marks = times(&document);
    let span = columns.span_s() as f64;
    for (x, second) in &marks {
        let after = (second + 86_400.0 - start) % 86_400.0;
        assert!(
            (56.0 + room * after / span - x).abs() < 1.0,
            "{x}: {second}"
        );
    }
    assert!((1..=12).contains(&marks.len()) || span < 30.0, "{marks:?}");
    let bars = bars(&document, "wait");
    assert_eq!(bars.len(), wave.waits.len());
    for (bar, wait) in bars.iter().zip(&wave.waits) {
        let x = 56.0 + room * wait.at_s / span;
        assert!((bar[0] + 1.0 - x).abs() < 1.0);
        waits.assert_shows(bar[3], wait.wait_s);
    }
    let level = |class| -> Vec<f64> { steps(&document, class).iter().map(|l| l[2]).collect() };
    for (y, limit) in level("limit").into_iter().zip(limits(wave.slots)) {
        open.assert_shows(y, limit.into());
    }
    open.assert_shows(level("slots")[0], wave.slots.into());
    assert_eq!((level("limit").len(), level("slots").len()), (3, 1));
    assert_fits(&document, &[open, syns, waits]);
}

fn time_of_day(unix_s: u64) -> f64 {
    (unix_s % 86_400) as f64
}

/// The labels of the time axis: place and second of the day.
fn times(document: &Document<'_>) -> Vec<(f64, f64)> {
    let is_time = |node: &Node<'_, '_>| {
        node.attribute("text-anchor") == Some("middle") && node.text().unwrap().contains(':')
    };
    let time = |node: Node<'_, '_>| {
        let text = node.text().unwrap();
        // A date may stand before the time.
        let text = text.rsplit(' ').next().unwrap();
        let mut parts = text.split(':').map(|part| part.parse::<f64>().unwrap());
        let mut part = || parts.next().unwrap_or(0.0);
        (
            number(&node, "x"),
            part() * 3_600.0 + part() * 60.0 + part(),
        )
    };
    texts(document).filter(is_time).map(time).collect()
}

/// Asserts that no axis is much longer than what it shows.
fn assert_fits(document: &Document<'_>, axes: &[Axis]) {
    let all: Vec<Vec<f64>> = vec![
        [steps(document, "open"), steps(document, "slots")]
            .concat()
            .iter()
            .map(|line| line[2])
            .chain(bars(document, "peak").iter().map(|bar| bar[3]))
            .collect(),
        ["refused", "counted", "answered"]
            .iter()
            .flat_map(|class| bars(document, class))
            .map(|bar| bar[3])
            .collect(),
        bars(document, "wait").iter().map(|bar| bar[3]).collect(),
    ];
    for (axis, heights) in axes.iter().zip(all) {
        if let Some(highest) = heights.into_iter().reduce(f64::min) {
            let used = axis.value(highest) / axis.top_value;
            assert!(used > 0.49, "{used} of {axis:?}");
        }
    }
}

#[test]
fn the_bars_of_a_period_are_the_figures_of_its_waves() {
    let mut rng = fastrand::Rng::with_seed(18);
    for number in [2, 3, 30, 80] {
        let mut waves: Vec<NumberedWave> =
            (1..=number).map(|n| random(&mut rng, n, 60).0).collect();
        waves.sort_by_key(|numbered| numbered.wave.start_unix_s);
        for (index, numbered) in waves.iter_mut().enumerate() {
            numbered.wave.observed = index % 3 == 0;
        }
        let report = report(waves);
        for width in WIDTHS {
            assert_bars(&report, width);
        }
    }
}

fn assert_bars(report: &WaveReport, width: Width) {
    let text = drawn(PictureSubject::Period(report), ON, width);
    let document = Document::parse(&text).unwrap();
    let axes = axes(&document);
    let [open, syns, waits] = axes[..] else {
        panic!("{text}")
    };
    let waves = report.waves.iter().map(|numbered| &numbered.wave);
    let peaks = bars(&document, "peak");
    let with_peak: Vec<_> = waves.clone().filter(|wave| wave.peak_open > 0).collect();
    assert_eq!(peaks.len(), with_peak.len());
    for (bar, wave) in peaks.iter().zip(with_peak) {
        open.assert_shows(bar[3], wave.peak_open.into());
    }
    assert!(
        peaks.windows(2).all(|two| two[0][1] < two[1][0]),
        "bars touch"
    );
    for (class, observed) in [("refused", false), ("counted", true)] {
        let bars = bars(&document, class);
        let refused = waves.clone().filter(|wave| wave.observed == observed);
        let refused = refused
            .map(|wave| wave.totals.all_refused())
            .filter(|n| *n > 0);
        let refused: Vec<u64> = refused.collect();
        assert_eq!(bars.len(), refused.len(), "{class}");
        for (bar, value) in bars.iter().zip(refused) {
            syns.assert_shows(syns.zero - (bar[2] - bar[3]), value as f64);
        }
    }
    let drawn_waits = bars(&document, "wait");
    let longest = waves.clone().filter(|wave| !wave.observed);
    let longest: Vec<f64> = longest.filter_map(|wave| wave.longest_wait_s).collect();
    assert_eq!(drawn_waits.len(), longest.len());
    for (bar, wait) in drawn_waits.iter().zip(longest) {
        waits.assert_shows(bar[3], wait);
    }
    let slots = steps(&document, "slots");
    assert_eq!(slots.len(), report.waves.len());
    for (line, wave) in slots.iter().zip(waves.clone()) {
        open.assert_shows(line[2], wave.slots.into());
    }
    let levels = steps(&document, "limit");
    let expected =
        (0..3).flat_map(|class| waves.clone().map(move |wave| limits(wave.slots)[class]));
    assert_eq!(levels.len(), 3 * report.waves.len());
    for (line, limit) in levels.iter().zip(expected) {
        open.assert_shows(line[2], limit.into());
    }
    assert_fits(&document, &axes);
}

#[test]
fn nothing_touches_anything_whatever_the_numbers_are() {
    let mut rng = fastrand::Rng::with_seed(19);
    let most = u32::MAX;
    let wild = Wave {
        start_unix_s: u64::MAX,
        length_s: f64::MAX,
        slots: 1,
        peak_open: most,
        peak_waiting: most,
        totals: Totals {
            refused: [u64::MAX; 3],
            answered: u64::MAX,
            ..Totals::default()
        },
        longest_wait_s: Some(f64::MAX),
        waits: vec![WantedWait {
            at_s: -1.0,
            wait_s: f64::MAX,
        }],
        ..Wave::default()
    };
    let points = [point(0, most, most, most), point(most, 1, 1, 1)];
    let wild = (numbered(i64::MAX, wild), points.to_vec());
    let nothing = (numbered(0, Wave::default()), vec![Point::default()]);
    let mut courses = vec![wild.clone(), nothing.clone()];
    for length_s in [0, 1, 59, 3_599] {
        courses.push(random(&mut rng, 1, length_s));
    }
    let mut periods = vec![Vec::new(), vec![wild.0], vec![nothing.0]];
    for number in [1, 7, 500] {
        periods.push((0..number).map(|n| random(&mut rng, n, 3).0).collect());
    }
    for width in WIDTHS {
        for (wave, points) in &courses {
            assert_tidy(&drawn(PictureSubject::Wave(wave, points), ON, width), width);
            assert_tidy(&drawn(PictureSubject::Wave(wave, &[]), ON, width), width);
        }
        for waves in &periods {
            let report = report(waves.clone());
            assert_tidy(&drawn(PictureSubject::Period(&report), ON, width), width);
        }
    }
}

/// Asserts that everything is within the picture, and that no text touches another.
fn assert_tidy(text: &str, width: Width) {
    let document = Document::parse(text).unwrap();
    let view = document.root_element().attribute("viewBox").unwrap();
    let size: Vec<f64> = view.split(' ').map(|n| n.parse().unwrap()).collect();
    assert_eq!(size[2], f64::from(width.pixels()));
    let mut boxes: Vec<([f64; 4], &str)> = Vec::new();
    for node in texts(&document) {
        let label = node.text().unwrap_or_default();
        let (x, y) = (number(&node, "x"), number(&node, "y"));
        let long = label.chars().count() as f64 * CHARACTER;
        let left = match node.attribute("text-anchor").unwrap() {
            "start" => x,
            "middle" => x - long / 2.0,
            _ => x - long,
        };
        let place = [left, left + long, y - 10.0, y + 2.5];
        assert!(
            left > -0.1 && place[1] < size[2] + 0.1,
            "{label} at {place:?}: {text}"
        );
        assert!(
            place[2] >= 0.0 && place[3] <= size[3],
            "{label} at {place:?}"
        );
        for (other, name) in &boxes {
            let apart = place[1] <= other[0]
                || other[1] <= place[0]
                || place[3] <= other[2]
                || other[3] <= place[2];
            assert!(apart, "`{label}` touches `{name}`: {text}");
        }
        boxes.push((place, label));
    }
    for class in ["open", "slots", "limit"] {
        for [left, right, y] in steps(&document, class) {
            assert!(left >= 0.0 && right <= size[2] && (0.0..=size[3]).contains(&y));
        }
    }
    for class in ["peak", "refused", "counted", "answered", "wait"] {
        for [left, right, below, above] in bars(&document, class) {
            assert!(left >= 0.0 && right <= size[2], "{class}");
            assert!(
                0.0 <= above && above <= below && below <= size[3],
                "{class}"
            );
        }
    }
}

/// The names in the legends.
fn legend(text: &str) -> Vec<&'static str> {
    let names = [
        "would be refused",
        "refused",
        "answered by the responder",
        "from the first refusal of a sender",
        "the longest",
    ];
    let is_named = |name: &&str| text.contains(&format!(">{name}<"));
    names.into_iter().filter(is_named).collect()
}

#[test]
fn a_legend_names_what_is_switched_on() {
    let mut rng = fastrand::Rng::with_seed(20);
    let (mut wave, points) = random(&mut rng, 1, 60);
    let off = Switches {
        responder: false,
        ..ON
    };
    let course = |wave: &NumberedWave, switches| {
        legend(&drawn(
            PictureSubject::Wave(wave, &points),
            switches,
            Width::Wide,
        ))
    };
    let wait = "from the first refusal of a sender";
    assert_eq!(
        course(&wave, ON),
        ["refused", "answered by the responder", wait]
    );
    assert_eq!(course(&wave, off), ["refused", wait]);
    let refusing = wave.clone();
    wave.wave.observed = true;
    assert_eq!(course(&wave, off), ["would be refused"]);
    let period = |waves: &[&NumberedWave]| {
        let report = report(waves.iter().map(|wave| (*wave).clone()).collect());
        legend(&drawn(PictureSubject::Period(&report), off, Width::Wide))
    };
    assert_eq!(period(&[&wave]), ["would be refused"]);
    assert_eq!(period(&[&refusing]), ["refused", "the longest"]);
    assert_eq!(
        period(&[&wave, &refusing]),
        ["would be refused", "refused", "the longest"]
    );
}

#[test]
fn an_empty_picture_says_why() {
    let empty = report(Vec::new());
    let text = drawn(PictureSubject::Period(&empty), ON, Width::Wide);
    assert!(text.contains(">no waves from 2026-11-23 00:00 to 2026-11-30 00:00<"));
    assert!(
        !text.contains("admit") && !text.contains("Connections"),
        "{text}"
    );
    let text = drawn(
        PictureSubject::Period(&empty),
        Switches::default(),
        Width::Wide,
    );
    assert!(
        text.contains(">nothing is recorded: `admit` is &quot;off&quot;<"),
        "{text}"
    );
    let wave = numbered(3, Wave::default());
    let text = drawn(PictureSubject::Wave(&wave, &[]), ON, Width::Wide);
    assert!(
        text.contains(">its course was deleted; only those of the newest 50 waves are kept<"),
        "{text}"
    );
    let calm = [Point::default()];
    let text = drawn(PictureSubject::Wave(&wave, &calm), ON, Width::Wide);
    assert!(text.contains(">no wanted mail had to wait<"), "{text}");
}

#[test]
fn a_wave_of_an_older_version_has_a_longest_wait_only() {
    let stored = r#"{"start_unix_s":1795392000,"length_s":9.0,"slots":40,"longest_wait_s":48.25}"#;
    let wave = numbered(3, serde_json::from_str(stored).unwrap());
    let points = [point(0, 30, 1, 0), point(9, 20, 0, 0)];
    let subject = PictureSubject::Wave(&wave, &points);
    let text = drawn(subject, ON, Width::Wide);
    let note = ">the longest was 48s; when it began is not recorded<";
    assert!(text.contains(note), "{text}");
    for width in WIDTHS {
        let text = drawn(subject, ON, width);
        assert!(!text.contains("no wanted mail had to wait"), "{text}");
        assert_tidy(&text, width);
    }
}

#[test]
fn times_of_different_days_have_dates() {
    let labels = |start_unix_s, length_s: u32| -> Vec<String> {
        let wave = Wave {
            start_unix_s,
            length_s: length_s.into(),
            slots: 40,
            ..Wave::default()
        };
        let points = [0, 1, length_s].map(|at_s| point(at_s, 30, 1, 0));
        let text = drawn(
            PictureSubject::Wave(&numbered(3, wave), &points),
            ON,
            Width::Wide,
        );
        assert_tidy(&text, Width::Wide);
        let document = Document::parse(&text).unwrap();
        let is_time = |node: &Node<'_, '_>| {
            node.attribute("text-anchor") == Some("middle") && node.text().unwrap().contains(':')
        };
        let times = texts(&document).filter(is_time);
        times.map(|node| node.text().unwrap().to_owned()).collect()
    };
    assert_eq!(labels(START + 3_600, 7_200)[..2], ["01:00", "01:10"]);
    assert_eq!(labels(START - 30, 60)[0], "11-22 23:59:30");
    assert_eq!(labels(START + 3_600, 90_000)[0], "11-23 06:00");
}

#[test]
fn more_waves_than_there_is_room_for_are_left_out() {
    let mut rng = fastrand::Rng::with_seed(21);
    let waves = (1..=500).map(|n| random(&mut rng, n, 3).0).collect();
    let text = drawn(PictureSubject::Period(&report(waves)), ON, Width::Narrow);
    assert!(text.contains(">500 waves from ") && text.contains(">the newest 84 are drawn<"));
    let labels: Vec<String> = (417..=500)
        .filter(|n| text.contains(&format!(">{n}<")))
        .map(|n| n.to_string())
        .collect();
    assert_eq!(labels, ["420", "440", "460", "480", "500"], "{text}");
    assert!(!text.contains(">416<") && !text.contains(">400<"), "{text}");
}

#[test]
fn a_file_has_its_style_and_refers_to_nothing() {
    let empty = report(Vec::new());
    let picture = Picture {
        subject: PictureSubject::Period(&empty),
        switches: ON,
        zone: &TimeZone::UTC,
    };
    let text = picture.file();
    Document::parse(&text).unwrap();
    for word in ["script", "href", "url(", "@import", "onload"] {
        assert!(!text.contains(word), "{word}");
    }
    assert!(text.contains("prefers-color-scheme: dark"));
    assert!(!picture.part(Width::Wide).contains("<style>"));
}
