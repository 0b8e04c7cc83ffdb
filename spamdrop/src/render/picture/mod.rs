//! The pictures of `report`: the course of one wave, or the waves of a period
//! as bars.
//!
//! A picture is SVG without scripts and without references. The colours of
//! the light scheme are attributes, so that a page whose style sheet is refused shows
//! them; those of the dark scheme are a style sheet.

mod bars;
mod canvas;
mod course;
mod scale;

use jiff::tz::TimeZone;
use spamdrop_core::time::UnixSeconds;
use spamdrop_core::wave::Point;

use super::local::minute;
use super::show::local_time;
use super::waves::{NO_COURSE, NumberedWave, WaveReport, count, length};
use canvas::Canvas;

/// The colours of the text, the lines and the background of a page, as variables of
/// its style sheet.
#[must_use]
pub fn variables() -> String {
    canvas::variables()
}

/// The style sheet of the pictures: the dark scheme.
#[must_use]
pub fn style() -> String {
    canvas::style()
}

/// A picture.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// The subject: a wave, or a period.
    pub subject: PictureSubject<'a>,
    /// The parts of spamdrop that are switched on.
    pub switches: Switches,
    /// The time zone of the reader.
    pub zone: &'a TimeZone,
}

/// The subject of a picture.
#[derive(Clone, Copy, Debug)]
pub enum PictureSubject<'a> {
    /// A wave and its course.
    Wave(&'a NumberedWave, &'a [Point]),
    /// The waves of a period.
    Period(&'a WaveReport),
}

/// The parts of spamdrop that are switched on. A legend names only these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// Whether waves are recorded: the gate refuses or counts.
    pub gate: bool,
    /// Whether the responder answers, or has answered in the period.
    pub responder: bool,
}

/// The width of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// For a page, or a file of its own.
    Wide,
    /// For a telephone.
    Narrow,
}

impl Width {
    /// The number of pixels.
    #[must_use]
    pub fn pixels(self) -> u32 {
        match self {
            Self::Wide => 840,
            Self::Narrow => 368,
        }
    }
}

impl Picture<'_> {
    /// The picture as a file of its own.
    #[must_use]
    pub fn file(&self) -> String {
        self.draw(Width::Wide, &style())
    }

    /// The picture as a part of a page that has its [`style`].
    #[must_use]
    pub fn part(&self, width: Width) -> String {
        self.draw(width, "")
    }

    fn draw(&self, width: Width, style: &str) -> String {
        let mut canvas = Canvas::new(width.pixels().into());
        let title = match self.subject {
            PictureSubject::Wave(wave, points) => self.wave(&mut canvas, wave, points),
            PictureSubject::Period(report) => self.period(&mut canvas, report),
        };
        canvas.finish(&title, style)
    }

    fn wave(&self, canvas: &mut Canvas, numbered: &NumberedWave, points: &[Point]) -> String {
        let NumberedWave { number, wave } = numbered;
        let going = if wave.ongoing { " so far" } else { "" };
        let title = format!(
            "Wave {number}, {}, {}{going}",
            local_time(UnixSeconds::new(wave.start_unix_s), self.zone),
            length(wave.length_s)
        );
        canvas.paragraph(&title);
        if wave.observed {
            canvas.paragraph("`admit` was \"observe\": nobody was refused");
        }
        match points {
            [] => canvas.paragraph(NO_COURSE),
            _ => course::draw(canvas, wave, points, self.switches, self.zone),
        }
        title
    }

    fn period(&self, canvas: &mut Canvas, report: &WaveReport) -> String {
        let title = format!(
            "{} from {} to {}",
            count(report.waves.len()),
            minute(report.since_unix_s, self.zone),
            minute(report.until_unix_s, self.zone)
        );
        canvas.paragraph(&title);
        if !self.switches.gate {
            canvas.paragraph("nothing is recorded: `admit` is \"off\"");
        }
        let waves = bars::newest(canvas, &report.waves);
        if waves.len() < report.waves.len() {
            canvas.paragraph(&format!("the newest {} are drawn", waves.len()));
        }
        if !waves.is_empty() {
            bars::draw(canvas, waves, self.switches, self.zone);
        }
        title
    }
}

#[cfg(test)]
mod tests;
