//! The course of one wave.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use spamdrop_core::gate::limits;
use spamdrop_core::wave::{CourseColumns, Point, Wave};

use super::super::local;
use super::super::waves::{length, longest_wait_s};
use super::Switches;
use super::canvas::{
    ANSWERED, CHARACTER, COUNTED, Canvas, LIMIT, LegendKey, OPEN, Panel, REFUSED, SLOTS, WAIT,
};
use super::scale::{AxisScale, TimeMarks, time_marks};

/// The least width of a column, in pixels.
const COLUMN: f64 = 2.0;

/// Draws the panels of a wave and its time axis.
pub(super) fn draw(
    canvas: &mut Canvas,
    wave: &Wave,
    points: &[Point],
    switches: Switches,
    zone: &TimeZone,
) {
    let most = (canvas.plot_width() / COLUMN) as u64;
    let columns = CourseColumns::at_most(wave, points, most);
    let times = marks(canvas, wave, &columns, zone);
    let span = columns.span_s() as f64;
    let shares: Vec<f64> = times
        .at
        .iter()
        .map(|at| (at - wave.start_unix_s) as f64 / span)
        .collect();
    connections(canvas, wave, &columns, &shares);
    let mut last = syns(canvas, wave, &columns, switches, &shares);
    if !wave.observed {
        last = waits(canvas, wave, span, &shares);
    }
    let format = format(wave, &columns, times.step_s, zone);
    let label = |at: &u64| local::format(*at, zone, &format);
    let labels = shares.into_iter().zip(times.at.iter().map(label));
    canvas.labels(&last, labels);
}

fn marks(canvas: &Canvas, wave: &Wave, columns: &CourseColumns, zone: &TimeZone) -> TimeMarks {
    let start = wave.start_unix_s;
    let end = start.saturating_add(columns.span_s() - 1);
    let offset = local::time(start, zone).map_or(0, |at| i64::from(at.offset().seconds()));
    let most = |step_s| {
        let format = format(wave, columns, step_s, zone);
        let mark = local::format(start, zone, &format).len();
        // Leave room for two characters between a mark and the next.
        (canvas.plot_width() / ((mark + 2) as f64 * CHARACTER)) as u64
    };
    time_marks(start, end, offset, most)
}

/// The format of time marks.
fn format(wave: &Wave, columns: &CourseColumns, step_s: u64, zone: &TimeZone) -> String {
    let end = wave.start_unix_s.saturating_add(columns.span_s() - 1);
    local::format_within(wave.start_unix_s, end, step_s < 60, zone)
}

fn connections(canvas: &mut Canvas, wave: &Wave, columns: &CourseColumns, marks: &[f64]) {
    let peak = columns.all.iter().flatten().map(|point| point.open).max();
    let scale = AxisScale::numbers(peak.unwrap_or(0).max(wave.slots).into());
    let slots = match wave.slots {
        1 => "1 slot".into(),
        slots => format!("{slots} slots"),
    };
    let keys = [
        (OPEN, "open"),
        (SLOTS, &*slots),
        (LIMIT, "a class of strangers waits from here"),
    ];
    let panel = canvas.panel("Connections", &keys, scale, marks);
    let limits = limits(wave.slots);
    let right = panel.x(1.0);
    for limit in limits {
        let y = panel.y(limit.into());
        canvas.draw_line(LIMIT, [panel.left, y, right, y]);
    }
    let y = panel.y(wave.slots.into());
    canvas.draw_line(SLOTS, [panel.left, y, right, y]);
    name_levels(canvas, &panel, wave.slots);
    let path = steps(&panel, columns);
    canvas.draw_path(OPEN, &path);
}

/// Names the levels of the slots and of the classes at the right of a panel.
pub(super) fn name_levels(canvas: &mut Canvas, panel: &Panel, slots: u32) {
    let [best, middle, worst] = limits(slots).map(f64::from);
    canvas.names(
        panel,
        &[
            (slots.into(), "slots"),
            (worst, "class 2"),
            (best, "class 0"),
            (middle, "class 1"),
        ],
    );
}

/// The open connections as a line of steps, so that a single column is visible.
fn steps(panel: &Panel, columns: &CourseColumns) -> String {
    let mut path = String::new();
    let mut was_open = false;
    for (x, width, column) in places(panel, columns) {
        let Some(point) = column else {
            was_open = false;
            continue;
        };
        let step = if was_open { "L" } else { "M" };
        let y = panel.y(point.open.into());
        // Writing to a String does not fail.
        let _ = write!(path, "{step}{x:.1} {y:.1}H{:.1}", x + width);
        was_open = true;
    }
    path
}

/// The left end of each column, its width, and its values.
fn places<'a>(
    panel: &'a Panel,
    columns: &'a CourseColumns,
) -> impl Iterator<Item = (f64, f64, Option<Point>)> + 'a {
    let width = panel.width / columns.all.len().max(1) as f64;
    let place = move |(index, column): (usize, &Option<Point>)| {
        (panel.left + width * index as f64, width, *column)
    };
    columns.all.iter().enumerate().map(place)
}

fn syns(
    canvas: &mut Canvas,
    wave: &Wave,
    columns: &CourseColumns,
    switches: Switches,
    marks: &[f64],
) -> Panel {
    let values = |point: Point| [point.answered, point.refused].map(u64::from);
    let sums = columns
        .all
        .iter()
        .flatten()
        .map(|point| values(*point).iter().sum());
    let most: u64 = sums.max().unwrap_or(0);
    let title = match columns.every_s {
        1 => "SYNs a second".into(),
        seconds => format!("SYNs in {seconds} s"),
    };
    let refused = if wave.observed { COUNTED } else { REFUSED };
    let keys = keys(wave.observed, !wave.observed, switches.responder);
    let panel = canvas.panel(&title, &keys, AxisScale::numbers(most), marks);
    let mut paths = [String::new(), String::new()];
    for (x, width, column) in places(&panel, columns) {
        if let Some(point) = column {
            stack(&panel, (x, width), values(point), &mut paths);
        }
    }
    let [answered_bars, refused_bars] = paths;
    canvas.draw_path(ANSWERED, &answered_bars);
    canvas.draw_path(refused, &refused_bars);
    if most == 0 {
        canvas.note(&panel, "none");
    }
    panel
}

/// The legend of the SYNs. Each parameter says whether the picture has SYNs of that
/// kind: only counted in observe mode, refused, or answered by the responder.
pub(super) fn keys(counted: bool, refused: bool, responder: bool) -> Vec<LegendKey<'static>> {
    let all = [
        (counted, (COUNTED, "would be refused")),
        (refused, (REFUSED, "refused")),
        (responder, (ANSWERED, "answered by the responder")),
    ];
    all.into_iter()
        .filter(|(is_on, _)| *is_on)
        .map(|(_, key)| key)
        .collect()
}

/// Adds a bar for each value, one on the other, each to its path.
pub(super) fn stack<const N: usize>(
    panel: &Panel,
    (x, width): (f64, f64),
    values: [u64; N],
    paths: &mut [String; N],
) {
    let mut sum = 0_u64;
    for (value, path) in values.into_iter().zip(paths) {
        let below = panel.y(sum as f64);
        sum = sum.saturating_add(value);
        if value > 0 {
            bar(path, (x, width), below, panel.y(sum as f64));
        }
    }
}

/// Adds a rectangle to a path.
pub(super) fn bar(path: &mut String, (x, width): (f64, f64), below: f64, above: f64) {
    // Writing to a String does not fail.
    let _ = write!(path, "M{x:.1} {below:.1}V{above:.1}h{width:.1}V{below:.1}z");
}

/// Draws the waits of wanted mail as bars, each at the time when it began.
fn waits(canvas: &mut Canvas, wave: &Wave, span: f64, marks: &[f64]) -> Panel {
    let waits = &wave.waits;
    let most = waits.iter().map(|wait| wait.wait_s).fold(0.0, f64::max);
    let scale = AxisScale::seconds(most.ceil() as u64);
    let keys: &[LegendKey<'_>] = match waits[..] {
        [] => &[],
        _ => &[(WAIT, "from the first refusal of a sender")],
    };
    let panel = canvas.panel("Wait of wanted mail", keys, scale, marks);
    let mut path = String::new();
    for wait in waits {
        let x = panel.x((wait.at_s / span).clamp(0.0, 1.0)) - 1.0;
        bar(&mut path, (x, 2.0), panel.bottom, panel.y(wait.wait_s));
    }
    canvas.draw_path(WAIT, &path);
    match (&waits[..], longest_wait_s(wave)) {
        ([], None) => canvas.note(&panel, "no wanted mail had to wait"),
        // An older version recorded only the longest wait of a wave.
        ([], Some(wait)) => canvas.note(
            &panel,
            &format!(
                "the longest was {}; when it began is not recorded",
                length(wait)
            ),
        ),
        _ => {}
    }
    panel
}
