//! `report --html`: the table and the pictures as one page.
//!
//! The page has no script and loads no other file. Its Content-Security-Policy allows
//! only its own style sheet, by hash: even text that is not escaped can do no harm.
//! If a web server's own policy refuses the style sheet, the page is readable
//! without it. The page is also well-formed XML.

use std::fmt;

use jiff::tz::TimeZone;
use spamdrop_core::wave::Point;

use super::local::minute;
use super::markup::Markup;
use super::picture::{self, Picture, PictureSubject, Switches, Width};
use super::table::{Align, Column};
use super::wave_detail::figures;
use super::waves::{LEFT_OUT, NumberedWave, WaveReport, WaveRow, columns, count, rows, summary};

/// A narrow page leaves out this many columns, the first ones of [`LEFT_OUT`].
const MINOR: usize = 7;

/// The style sheet, without the colours. A wide screen shows the pictures of class
/// `wide`, a narrow one those of class `narrow`. The latter also have the attribute
/// `hidden`, so that a browser that refuses the style sheet shows each picture once.
const STYLE: &str = "
:root { color-scheme: light dark }
body { margin: 0 auto; padding: 16px; max-width: 1080px; font: 16px/1.45 sans-serif;
  color: var(--label); background: var(--background); overflow-wrap: break-word }
h1 { font-size: 1.4em; margin: 0 0 .2em }
h2 { font-size: 1.15em; margin: 1.6em 0 .4em }
p { margin: .3em 0 }
table { border-collapse: collapse; margin: 1em 0; font-size: .9em }
th { white-space: nowrap }
th, td { padding: 3px 10px 3px 0; text-align: left; vertical-align: top }
thead th, tbody tr { border-bottom: 1px solid var(--grid) }
.number { text-align: right; font-variant-numeric: tabular-nums }
.scroll { overflow-x: auto }
svg { display: block; width: 100%; height: auto }
@media (min-width: 721px) {
  .scroll td { white-space: nowrap }
}
@media (max-width: 720px) {
  .minor, .wide { display: none }
  table { font-size: .8em }
  th, td { padding-right: 7px }
  .narrow { display: block; max-width: 480px }
}
";

/// The SHA-256 of the style sheet in base64, for the page's policy.
const STYLE_HASH: &str = "J0rLUJtyLMEj9MfUs23HssBCeM+3jNMaxSbqvJwR/Yw=";

/// The content of a page.
#[derive(Debug)]
pub struct ReportPage<'a> {
    /// The name of the machine.
    pub host: &'a str,
    /// The waves of the table.
    pub report: &'a WaveReport,
    /// The waves whose course is drawn.
    pub courses: &'a [(NumberedWave, Vec<Point>)],
    /// The parts of spamdrop that are switched on.
    pub switches: Switches,
    /// The time zone of the reader.
    pub zone: &'a TimeZone,
}

/// The style sheet of a page.
fn style_sheet() -> String {
    [&*picture::variables(), STYLE, &picture::style()].concat()
}

impl ReportPage<'_> {
    /// The page.
    ///
    /// # Errors
    ///
    /// A cell of the table cannot be written.
    pub fn html(&self) -> Result<String, fmt::Error> {
        let mut page = Markup::default();
        page.raw("<!DOCTYPE html>\n");
        page.open("html", &[("lang", &"en")]);
        self.head(&mut page);
        page.open("body", &[]);
        page.add_text("h1", &[], &format!("spamdrop on {}", self.host));
        page.add_text("p", &[], &self.period());
        if !self.report.waves.is_empty() {
            self.table(&mut page)?;
        }
        for line in summary(self.report, self.zone) {
            page.add_text("p", &[], &line);
        }
        if self.report.waves.len() > 1 {
            page.add_text("h2", &[], "The waves of the period");
            self.picture(&mut page, PictureSubject::Period(self.report));
        }
        for (wave, points) in self.courses {
            page.add_text("h2", &[], &format!("Wave {}", wave.number));
            self.figures(&mut page, wave);
            self.picture(&mut page, PictureSubject::Wave(wave, points));
        }
        page.close("body");
        page.close("html");
        Ok(page.finish())
    }

    fn head(&self, page: &mut Markup) {
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'"
        );
        page.open("head", &[]);
        page.empty("meta", &[("charset", &"utf-8")]);
        page.empty(
            "meta",
            &[
                ("http-equiv", &"Content-Security-Policy"),
                ("content", &policy),
            ],
        );
        page.empty(
            "meta",
            &[("name", &"viewport"), ("content", &"width=device-width")],
        );
        let title = format!(
            "spamdrop on {}: {}",
            self.host,
            count(self.report.waves.len())
        );
        page.add_text("title", &[], &title);
        page.open("style", &[]);
        page.raw(&style_sheet());
        page.close("style");
        page.close("head");
    }

    fn period(&self) -> String {
        format!(
            "Waves from {} to {}",
            minute(self.report.since_unix_s, self.zone),
            minute(self.report.until_unix_s, self.zone)
        )
    }

    fn table(&self, page: &mut Markup) -> fmt::Result {
        let rows = rows(&self.report.waves, self.zone, usize::MAX);
        let columns = columns();
        page.open("div", &[("class", &"scroll")]);
        page.open("table", &[]);
        page.open("thead", &[]);
        page.open("tr", &[]);
        for column in &columns {
            page.add_text("th", &[("class", &class(column))], column.heading);
        }
        page.close("tr");
        page.close("thead");
        page.open("tbody", &[]);
        for row in &rows {
            page.open("tr", &[]);
            for column in &columns {
                let mut text = String::new();
                (column.cell)(row, &mut text)?;
                page.add_text("td", &[("class", &class(column))], &text);
            }
            page.close("tr");
        }
        page.close("tbody");
        page.close("table");
        page.close("div");
        Ok(())
    }

    fn figures(&self, page: &mut Markup, wave: &NumberedWave) {
        page.open("table", &[]);
        page.open("tbody", &[]);
        for (name, text) in figures(wave, self.zone).into_iter().skip(1) {
            page.open("tr", &[]);
            page.add_text("th", &[], name);
            page.add_text("td", &[], &text);
            page.close("tr");
        }
        page.close("tbody");
        page.close("table");
    }

    /// Adds a picture twice: one for a wide page, one for a narrow one.
    fn picture(&self, page: &mut Markup, subject: PictureSubject<'_>) {
        let picture = Picture {
            subject,
            switches: self.switches,
            zone: self.zone,
        };
        page.open("div", &[("class", &"wide")]);
        page.raw(&picture.part(Width::Wide));
        page.close("div");
        page.open("div", &[("class", &"narrow"), ("hidden", &"")]);
        page.raw(&picture.part(Width::Narrow));
        page.close("div");
    }
}

/// The CSS classes of a column: `number` for numbers, `minor` if a narrow page leaves
/// the column out.
fn class(column: &Column<WaveRow<'_>>) -> &'static str {
    let is_minor = LEFT_OUT[..MINOR].contains(&column.heading);
    match (column.align, is_minor) {
        (Align::Left, false) => "",
        (Align::Left, true) => "minor",
        (Align::Right, false) => "number",
        (Align::Right, true) => "number minor",
    }
}

#[cfg(test)]
mod tests;
