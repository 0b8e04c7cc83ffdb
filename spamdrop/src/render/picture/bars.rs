//! The waves of a period, as bars.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use spamdrop_core::gate::limits;

use super::super::local::day;
use super::super::waves::{NumberedWave, longest_wait_s};
use super::Switches;
use super::canvas::{
    ANSWERED, CHARACTER, COUNTED, Canvas, LIMIT, LegendKey, PEAK, Panel, REFUSED, SLOTS, WAIT,
};
use super::course::{bar, keys, name_levels, stack};
use super::scale::AxisScale;

/// The least width of a bar with the gap behind it, in pixels.
const BAR: f64 = 3.0;
/// The greatest width of a bar without its gap, in pixels.
const WIDEST: f64 = 40.0;

/// The newest waves for whose bars there is room.
pub(super) fn newest<'a>(canvas: &Canvas, waves: &'a [NumberedWave]) -> &'a [NumberedWave] {
    let room = (canvas.plot_width() / BAR) as usize;
    waves
        .get(waves.len().saturating_sub(room)..)
        .unwrap_or_default()
}

/// Draws the panels of several waves, and the number of each.
pub(super) fn draw(
    canvas: &mut Canvas,
    waves: &[NumberedWave],
    switches: Switches,
    zone: &TimeZone,
) {
    let days = days(waves, zone);
    let marks: Vec<f64> = days.iter().map(|(share, _)| *share).collect();
    connections(canvas, waves, &marks);
    let mut last = syns(canvas, waves, switches, &marks);
    if waves.iter().any(|numbered| !numbered.wave.observed) {
        last = waits(canvas, waves, &marks);
    }
    canvas.labels(&last, numbers(waves, &last));
    // A date stands to the right of the line at which its day begins.
    let half = 2.5 * CHARACTER / last.width;
    canvas.labels(
        &last,
        days.into_iter().map(|(share, day)| (share + half, day)),
    );
}

/// The numbers of the waves below their bars: all, or every second, fifth, tenth
/// and so on, as there is room.
fn numbers(waves: &[NumberedWave], panel: &Panel) -> Vec<(f64, String)> {
    let room = panel.width / waves.len() as f64;
    let longest = waves.iter().map(|wave| wave.number.to_string().len());
    let wanted = (longest.max().unwrap_or(0) + 1) as f64 * CHARACTER / room;
    let step = [1, 2, 5, 10, 20, 50, 100, 200, 500]
        .into_iter()
        .find(|step| f64::from(*step) >= wanted);
    let step = i64::from(step.unwrap_or(1_000));
    let label = |(index, numbered): (usize, &NumberedWave)| {
        let middle = (index as f64 + 0.5) / waves.len() as f64;
        (numbered.number % step == 0).then(|| (middle, numbered.number.to_string()))
    };
    waves.iter().enumerate().filter_map(label).collect()
}

/// Where each day begins, as a share of the width, and its date.
fn days(waves: &[NumberedWave], zone: &TimeZone) -> Vec<(f64, String)> {
    let mut days: Vec<(f64, String)> = Vec::new();
    for (index, numbered) in waves.iter().enumerate() {
        let day = day(numbered.wave.start_unix_s, zone);
        if days.last().is_none_or(|(_, last)| *last != day) {
            days.push((index as f64 / waves.len() as f64, day));
        }
    }
    days
}

/// The left end and the width of each bar.
fn places<'a>(
    panel: &'a Panel,
    waves: &'a [NumberedWave],
) -> impl Iterator<Item = ((f64, f64), &'a NumberedWave)> {
    let room = panel.width / waves.len().max(1) as f64;
    let width = (room * 0.7).min(WIDEST);
    let place = move |(index, wave)| {
        let middle = panel.left + room * (index as f64 + 0.5);
        ((middle - width / 2.0, width), wave)
    };
    waves.iter().enumerate().map(place)
}

fn connections(canvas: &mut Canvas, waves: &[NumberedWave], marks: &[f64]) {
    let most = waves
        .iter()
        .map(|numbered| numbered.wave.peak_open.max(numbered.wave.slots));
    let keys = [
        (PEAK, "most at once"),
        (SLOTS, "slots"),
        (LIMIT, "a class of strangers waits from here"),
    ];
    let scale = AxisScale::numbers(most.max().unwrap_or(0).into());
    let panel = canvas.panel("Connections", &keys, scale, marks);
    let mut path = String::new();
    for (place, numbered) in places(&panel, waves) {
        bar(
            &mut path,
            place,
            panel.bottom,
            panel.y(numbered.wave.peak_open.into()),
        );
    }
    canvas.draw_path(PEAK, &path);
    for class in 0..limits(0).len() {
        let limit = |slots| limits(slots).get(class).copied().unwrap_or_default();
        let path = level(&panel, waves, limit);
        canvas.draw_path(LIMIT, &path);
    }
    let path = level(&panel, waves, |slots| slots);
    canvas.draw_path(SLOTS, &path);
    let last = waves.last().map_or(0, |numbered| numbered.wave.slots);
    name_levels(canvas, &panel, last);
}

/// The path of a line that has the height `height(slots)` at each wave, such as the
/// limit of a class.
fn level(panel: &Panel, waves: &[NumberedWave], height: impl Fn(u32) -> u32) -> String {
    let mut path = String::new();
    let mut last = None;
    for (index, numbered) in waves.iter().enumerate() {
        let value = height(numbered.wave.slots);
        if last != Some(value) {
            let step = if last.is_none() { 'M' } else { 'L' };
            let x = panel.x(index as f64 / waves.len() as f64);
            // Writing to a String does not fail.
            let _ = write!(path, "{step}{x:.1} {:.1}", panel.y(value.into()));
            last = Some(value);
        }
        let end = panel.x((index as f64 + 1.0) / waves.len() as f64);
        let _ = write!(path, "H{end:.1}");
    }
    path
}

fn syns(canvas: &mut Canvas, waves: &[NumberedWave], switches: Switches, marks: &[f64]) -> Panel {
    let totals = |numbered: &NumberedWave| {
        let totals = &numbered.wave.totals;
        (totals.answered, totals.all_refused())
    };
    let sums = waves
        .iter()
        .map(totals)
        .map(|(answered, refused)| answered.saturating_add(refused));
    let most = sums.max().unwrap_or(0);
    let counted = waves.iter().any(|numbered| numbered.wave.observed);
    let refused = waves.iter().any(|numbered| !numbered.wave.observed);
    let keys = keys(counted, refused, switches.responder);
    let panel = canvas.panel("SYNs", &keys, AxisScale::numbers(most), marks);
    let mut paths = [String::new(), String::new(), String::new()];
    for (place, numbered) in places(&panel, waves) {
        let (answered, refused) = totals(numbered);
        let values = match numbered.wave.observed {
            true => [answered, 0, refused],
            false => [answered, refused, 0],
        };
        stack(&panel, place, values, &mut paths);
    }
    for (style, path) in [ANSWERED, REFUSED, COUNTED].into_iter().zip(paths) {
        canvas.draw_path(style, &path);
    }
    if most == 0 {
        canvas.note(&panel, "none");
    }
    panel
}

/// Draws the longest wait of wanted mail in each wave. A wave in observe mode has no
/// bar, because nobody waited.
fn waits(canvas: &mut Canvas, waves: &[NumberedWave], marks: &[f64]) -> Panel {
    let longest = |numbered: &NumberedWave| longest_wait_s(&numbered.wave).unwrap_or(0.0);
    let most = waves.iter().map(longest).fold(0.0, f64::max);
    let keys: &[LegendKey<'_>] = match most {
        0.0 => &[],
        _ => &[(WAIT, "the longest")],
    };
    let panel = canvas.panel(
        "Wait of wanted mail",
        keys,
        AxisScale::seconds(most.ceil() as u64),
        marks,
    );
    let mut path = String::new();
    for (place, numbered) in places(&panel, waves) {
        let wait = longest(numbered);
        if wait > 0.0 {
            bar(&mut path, place, panel.bottom, panel.y(wait));
        }
    }
    canvas.draw_path(WAIT, &path);
    if path.is_empty() {
        canvas.note(&panel, "no wanted mail had to wait");
    }
    panel
}
