#![expect(clippy::unwrap_used, reason = "a test may panic")]

use roxmltree::{Document, Node};

use super::*;

const START: u64 = 1_795_392_000;

fn point(at_s: u32, open: u32, refused: u32, answered: u32) -> Point {
    Point {
        at_s,
        open,
        refused,
        answered,
        ..Point::default()
    }
}

fn timeline(seconds: u64, courses: Vec<(u64, Vec<Point>)>) -> Timeline {
    Timeline {
        start_unix_s: START,
        end_unix_s: START + seconds,
        slots: 40,
        observed: false,
        courses,
    }
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name)
        .map_or(0.0, |text| text.parse().unwrap())
}

fn of_class<'a>(document: &'a Document<'a>, name: &str, class: &str) -> Vec<Node<'a, 'a>> {
    let is_it = |node: &Node<'_, '_>| {
        node.tag_name().name() == name && node.attribute("class") == Some(class)
    };
    document.descendants().filter(is_it).collect()
}

/// Checks that every shape is inside the picture, and every curve inside the
/// plot area.
fn assert_within(document: &Document<'_>) {
    let (width, height) = (f64::from(WIDTH), f64::from(HEIGHT));
    for node in document.descendants() {
        for (name, most) in [("x", width), ("x1", width), ("x2", width)] {
            let x = number(node, name)
                + if name == "x" {
                    number(node, "width")
                } else {
                    0.0
                };
            assert!((0.0..=most).contains(&x), "{node:?}");
        }
        for name in ["y", "y1", "y2"] {
            let y = number(node, name)
                + if name == "y" {
                    number(node, "height")
                } else {
                    0.0
                };
            assert!((0.0..=height).contains(&y), "{node:?}");
        }
        assert!(number(node, "height") >= 0.0, "{node:?}");
    }
    for path in of_class(document, "path", "open") {
        for place in path.attribute("d").unwrap().split(['M', 'L']).skip(1) {
            let (x, y) = place.split_once(' ').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((LEFT..=RIGHT).contains(&x), "{place}");
            assert!((TOP..=BOTTOM).contains(&y), "{place}");
        }
    }
}

#[test]
fn a_wave_is_drawn_to_scale() {
    let points = vec![
        point(0, 24, 0, 0),
        point(1, 50, 8, 2),
        point(2, 40, 5, 0),
        point(9, 10, 0, 1),
    ];
    let text = svg(&timeline(9, vec![(START, points)]), &TimeZone::UTC);
    let document = Document::parse(&text).unwrap();
    assert_within(&document);
    // The maxima are 50 connections and 10 SYNs, which are also the ends of the
    // scales. There are 40 slots.
    let path = of_class(&document, "path", "open")[0]
        .attribute("d")
        .unwrap();
    let expected = "M60.0 205.6L144.0 205.6L144.0 60.0L228.0 60.0L228.0 116.0L312.0 116.0\
                    M816.0 284.0L900.0 284.0";
    assert_eq!(path, expected);
    let slots = of_class(&document, "line", "slots");
    assert_eq!(number(slots[1], "y1"), 116.0);
    let bars = |class| -> Vec<[f64; 4]> {
        let bars = of_class(&document, "rect", class).into_iter().skip(1);
        bars.map(|bar| ["x", "y", "width", "height"].map(|name| number(bar, name)))
            .collect()
    };
    assert_eq!(
        bars("refused"),
        [[144.0, 60.0, 84.0, 224.0], [228.0, 200.0, 84.0, 140.0]]
    );
    assert_eq!(
        bars("answered"),
        [[144.0, 284.0, 84.0, 56.0], [816.0, 312.0, 84.0, 28.0]]
    );
    assert!(
        text.contains("Open connections from 2026-11-23 00:00:00 +00:00 to 2026-11-23 00:00:09")
    );
}

#[test]
fn whatever_the_numbers_are_they_stay_on_the_paper() {
    let nothing = timeline(604_800, Vec::new());
    let week: Vec<_> = (0..50)
        .map(|wave| {
            let points = (0..600).map(|at| point(at, at * 7, at, at));
            (START + wave * 12_000, points.collect())
        })
        .collect();
    let most = u32::MAX;
    let wild = vec![
        (
            START - 5,
            vec![point(0, 9, 9, 9), point(7, most, most, most)],
        ),
        (u64::MAX, vec![point(9, 1, 1, 1)]),
    ];
    for timeline in [
        nothing,
        timeline(604_800, week),
        timeline(0, wild.clone()),
        timeline(3, wild),
    ] {
        let text = svg(&timeline, &TimeZone::UTC);
        let document = Document::parse(&text).unwrap();
        assert_within(&document);
    }
    let backwards = Timeline {
        start_unix_s: START,
        ..Timeline::default()
    };
    assert_within(&Document::parse(&svg(&backwards, &TimeZone::UTC)).unwrap());
}

#[test]
fn what_was_only_counted_is_not_called_refused() {
    let mut observed = timeline(1_000, Vec::new());
    let text = svg(&observed, &TimeZone::UTC);
    assert!(text.contains(">SYNs refused in 3 s (right)<"), "{text}");
    observed.observed = true;
    let text = svg(&observed, &TimeZone::UTC);
    assert!(text.contains(">SYNs to refuse in 3 s (right)<"), "{text}");
}

#[test]
fn an_empty_picture_says_so() {
    let text = svg(&timeline(9, Vec::new()), &TimeZone::UTC);
    assert!(text.contains("no wave is recorded"));
    let text = svg(
        &timeline(9, vec![(START, vec![point(0, 1, 0, 0)])]),
        &TimeZone::UTC,
    );
    assert!(!text.contains("no wave is recorded"));
}

#[test]
fn it_holds_no_scripts_and_nothing_from_elsewhere() {
    let text = svg(&timeline(9, Vec::new()), &TimeZone::UTC);
    for word in ["script", "href", "url(", "@import", "onload"] {
        assert!(!text.contains(word), "{word}");
    }
    assert!(text.contains("prefers-color-scheme: dark"));
}
