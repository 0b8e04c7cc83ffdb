//! `report --svg`: open connections and refused SYNs over time.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use spamdrop_common::time::UnixSeconds;

use super::show::local_time;
use super::svg::Svg;
use spamdrop_core::wave::Point;

mod axis;

use axis::{Scale, TICKS, ticks};

/// The waves to draw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// The start of the period, in seconds since 1970.
    pub start_unix_s: u64,
    /// The last second of the period.
    pub end_unix_s: u64,
    /// Number of connections that the server serves at once.
    pub slots: u32,
    /// Whether refusals were only counted: `admit = "observe"`.
    pub observed: bool,
    /// Waves: the start of each, in seconds since 1970, and its points.
    pub courses: Vec<(u64, Vec<Point>)>,
}

const WIDTH: u32 = 960;
const HEIGHT: u32 = 400;
/// Bounds of the plot area.
const LEFT: f64 = 60.0;
const RIGHT: f64 = 900.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 340.0;
/// Maximum number of columns. Each covers at least one second.
const COLUMNS: u64 = 420;

/// The colours are readable on white and on black.
const STYLE: &str = "
text { font: 12px sans-serif; fill: #333 }
.paper { fill: #fff }
.grid { stroke: #ddd }
.open { stroke: #0b62a4; stroke-width: 2; fill: none }
.slots { stroke: #b00; stroke-dasharray: 6 4 }
.refused { fill: #e08214 }
.answered { fill: #5aae61 }
@media (prefers-color-scheme: dark) {
text { fill: #ccc }
.paper { fill: #16181c }
.grid { stroke: #3a3d42 }
.open { stroke: #6db3f2 }
.slots { stroke: #ff6b6b }
}
";

/// The values of a column.
#[derive(Clone, Copy, Debug, Default)]
struct TimelineColumn {
    open: Option<u32>,
    refused: u64,
    answered: u64,
}

/// Draws the picture, with times in `zone`.
#[must_use]
pub fn svg(timeline: &Timeline, zone: &TimeZone) -> String {
    let local = |unix_s| local_time(UnixSeconds::new(unix_s), zone);
    let title = format!(
        "Open connections from {} to {}",
        local(timeline.start_unix_s),
        local(timeline.end_unix_s)
    );
    let mut svg = Svg::new(WIDTH, HEIGHT, &title, STYLE);
    svg.shape(
        "rect",
        &[("class", &"paper"), ("width", &WIDTH), ("height", &HEIGHT)],
    );
    svg.text("text", &[("x", &LEFT), ("y", &20)], &title);
    let (columns, column_s) = columns(timeline);
    let peak = columns.iter().filter_map(|column| column.open).max();
    let open = Scale::to(peak.unwrap_or(0).max(timeline.slots).into());
    let bars = columns
        .iter()
        .map(|column| column.refused + column.answered);
    let syns = Scale::to(bars.max().unwrap_or(0));
    legend(&mut svg, timeline, column_s);
    values(&mut svg, open, syns);
    times(&mut svg, timeline, zone);
    draw_bars(&mut svg, &columns, syns);
    draw_open(&mut svg, &columns, open);
    let slots = open.y(timeline.slots.into());
    line(&mut svg, "slots", [LEFT, slots, RIGHT, slots]);
    if timeline.courses.iter().all(|(_, points)| points.is_empty()) {
        let place = (LEFT + RIGHT) / 2.0;
        svg.text(
            "text",
            &[("x", &place), ("y", &200), ("text-anchor", &"middle")],
            "no wave is recorded",
        );
    }
    svg.finish()
}

/// Divides the period into columns. Returns them and the number of seconds per
/// column.
fn columns(timeline: &Timeline) -> (Vec<TimelineColumn>, u64) {
    let span = timeline.end_unix_s.saturating_sub(timeline.start_unix_s) + 1;
    let column_s = span.div_ceil(COLUMNS);
    let number = usize::try_from(span.div_ceil(column_s)).unwrap_or(0);
    let mut columns = vec![TimelineColumn::default(); number];
    for (start, points) in &timeline.courses {
        for point in points {
            let at = start.saturating_add(point.at_s.into());
            let Some(after) = at.checked_sub(timeline.start_unix_s) else {
                continue;
            };
            let index = usize::try_from(after / column_s).unwrap_or(usize::MAX);
            if let Some(column) = columns.get_mut(index) {
                column.open = column.open.max(Some(point.open));
                column.refused += u64::from(point.refused);
                column.answered += u64::from(point.answered);
            }
        }
    }
    (columns, column_s)
}

fn legend(svg: &mut Svg, timeline: &Timeline, column_s: u64) {
    let Timeline {
        slots, observed, ..
    } = timeline;
    let refused = if *observed {
        "SYNs to refuse"
    } else {
        "SYNs refused"
    };
    let every = match column_s {
        1 => "a second".into(),
        seconds => format!("in {seconds} s"),
    };
    line(svg, "open", [LEFT, 36.0, LEFT + 20.0, 36.0]);
    label(svg, 86.0, "open connections (left)");
    line(svg, "slots", [250.0, 36.0, 270.0, 36.0]);
    label(svg, 276.0, &format!("{slots} slots"));
    rect(svg, "refused", [380.0, 30.0, 12.0, 12.0]);
    label(svg, 398.0, &format!("{refused} {every} (right)"));
    rect(svg, "answered", [620.0, 30.0, 12.0, 12.0]);
    label(svg, 638.0, &format!("answered {every} (right)"));
}

fn label(svg: &mut Svg, x: f64, text: &str) {
    svg.text("text", &[("x", &x), ("y", &40)], text);
}

fn values(svg: &mut Svg, open: Scale, syns: Scale) {
    for tick in 0..=TICKS {
        let y = open.y(open.tick(tick));
        line(svg, "grid", [LEFT, y, RIGHT, y]);
        for (x, anchor, value) in [
            (LEFT - 8.0, "end", open.tick(tick)),
            (RIGHT + 8.0, "start", syns.tick(tick)),
        ] {
            svg.text(
                "text",
                &[("x", &x), ("y", &(y + 4.0)), ("text-anchor", &anchor)],
                &value.to_string(),
            );
        }
    }
}

fn times(svg: &mut Svg, timeline: &Timeline, zone: &TimeZone) {
    let Timeline {
        start_unix_s: start,
        end_unix_s: end,
        ..
    } = *timeline;
    let local = |unix_s: u64| -> Option<Zoned> {
        let stamp = Timestamp::from_second(i64::try_from(unix_s).ok()?).ok()?;
        Some(stamp.to_zoned(zone.clone()))
    };
    let offset = local(start).map_or(0, |at| i64::from(at.offset().seconds()));
    let span = (end.saturating_sub(start) + 1) as f64;
    let (step_s, all) = ticks(start, end, offset);
    let format = match step_s {
        0..60 => "%H:%M:%S",
        60..43_200 => "%H:%M",
        _ => "%m-%d %H:%M",
    };
    for at in all {
        let x = LEFT + (RIGHT - LEFT) * ((at - start) as f64 / span);
        line(svg, "grid", [x, BOTTOM, x, BOTTOM + 6.0]);
        if let Some(time) = local(at) {
            svg.text(
                "text",
                &[
                    ("x", &tenths(x)),
                    ("y", &(BOTTOM + 22.0)),
                    ("text-anchor", &"middle"),
                ],
                &time.strftime(format).to_string(),
            );
        }
    }
}

fn draw_bars(svg: &mut Svg, columns: &[TimelineColumn], scale: Scale) {
    let width = column_width(columns);
    for (x, column) in places(columns) {
        let total = column.refused + column.answered;
        let (top, middle) = (scale.y(total), scale.y(column.answered));
        if column.refused > 0 {
            rect(svg, "refused", [x, top, width, middle - top]);
        }
        if column.answered > 0 {
            rect(svg, "answered", [x, middle, width, BOTTOM - middle]);
        }
    }
}

/// Draws the open connections as a step line, so that a single column is
/// visible.
fn draw_open(svg: &mut Svg, columns: &[TimelineColumn], scale: Scale) {
    let mut path = String::new();
    let mut was_open = false;
    for (x, column) in places(columns) {
        let Some(open) = column.open else {
            was_open = false;
            continue;
        };
        let (y, right) = (scale.y(open.into()), x + column_width(columns));
        let step = if was_open { "L" } else { "M" };
        // Writing to a String does not fail.
        let _ = write!(path, "{step}{x:.1} {y:.1}L{right:.1} {y:.1}");
        was_open = true;
    }
    if !path.is_empty() {
        svg.shape("path", &[("class", &"open"), ("d", &path)]);
    }
}

fn places(columns: &[TimelineColumn]) -> impl Iterator<Item = (f64, TimelineColumn)> {
    let width = column_width(columns);
    let place =
        move |(index, column): (usize, &TimelineColumn)| (LEFT + width * index as f64, *column);
    columns.iter().enumerate().map(place)
}

fn column_width(columns: &[TimelineColumn]) -> f64 {
    (RIGHT - LEFT) / columns.len().max(1) as f64
}

fn line(svg: &mut Svg, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
    let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(tenths);
    svg.shape(
        "line",
        &[
            ("class", &class),
            ("x1", &x1),
            ("y1", &y1),
            ("x2", &x2),
            ("y2", &y2),
        ],
    );
}

fn rect(svg: &mut Svg, class: &str, [x, y, width, height]: [f64; 4]) {
    let [x, y, width, height] = [x, y, width, height].map(tenths);
    svg.shape(
        "rect",
        &[
            ("class", &class),
            ("x", &x),
            ("y", &y),
            ("width", &width),
            ("height", &height),
        ],
    );
}

fn tenths(number: f64) -> String {
    format!("{number:.1}")
}

#[cfg(test)]
mod tests;
