//! The table: one Markdown line for each measured figure.

use std::fmt;
use std::io::{self, Write};

use crate::sample::Sample;

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Packets per second.
    PacketsPerSecond,
    /// Nanoseconds per packet.
    Nanoseconds,
    /// Milliseconds; the figures themselves are in seconds.
    Milliseconds,
    /// Bytes per second.
    BytesPerSecond,
    /// Bytes.
    Bytes,
    /// Bytes per entry.
    BytesPerEntry,
    /// MiB.
    Mebibytes,
    /// Instructions.
    Instructions,
    /// Percent.
    Percent,
    /// Events per second.
    PerSecond,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::PacketsPerSecond => format!("{:.3} M/s", value / 1e6),
            Self::BytesPerSecond => format!("{:.1} MB/s", value / 1e6),
            Self::Nanoseconds => format!("{value:.1} ns"),
            Self::Milliseconds => format!("{:.2} ms", value * 1e3),
            Self::Bytes => format!("{value:.0} B"),
            Self::BytesPerEntry => format!("{value:.1} B"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Instructions => format!("{value:.0} insns"),
            Self::Percent => format!("{value:.2} %"),
            Self::PerSecond => format!("{value:.1} /s"),
        }
    }
}

/// The requirement for a line's ratio, or for its median if it has no ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    /// At least this figure.
    AtLeast(f64),
    /// At most this figure.
    AtMost(f64),
}

impl Bar {
    fn judge(self, value: f64) -> &'static str {
        let holds = match self {
            Self::AtLeast(bar) => value >= bar,
            Self::AtMost(bar) => value <= bar,
        };
        if holds { "holds" } else { "**misses**" }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bar) => write!(f, "≥ {bar}"),
            Self::AtMost(bar) => write!(f, "≤ {bar}"),
        }
    }
}

/// Figures measured under the same conditions: those of a subject and of its
/// peers.
pub struct Case {
    name: String,
    unit: Unit,
    lines: Vec<Line>,
}

struct Line {
    subject: String,
    /// The figures, or the reason why there are none.
    outcome: Result<Sample, String>,
    ratio: Option<Sample>,
    bar: Option<Bar>,
}

impl Case {
    /// Creates a case with the subject's figures.
    pub fn new(name: impl Into<String>, unit: Unit, subject: &str, sample: Sample) -> Self {
        let mut case = Self {
            name: name.into(),
            unit,
            lines: Vec::new(),
        };
        case.push(subject, Ok(sample), None, None);
        case
    }

    /// Sets the bar for the subject's own figure.
    pub fn with_bar(mut self, bar: Bar) -> Self {
        if let Some(subject) = self.lines.first_mut() {
            subject.bar = Some(bar);
        }
        self
    }

    /// Adds a peer; the ratio is the subject's figure divided by the peer's.
    pub fn beside(&mut self, subject: &str, sample: Sample, bar: Option<Bar>) {
        let first = self.lines.first();
        let ratio = first.and_then(|line| Some(line.outcome.as_ref().ok()?.over(&sample)));
        self.push(subject, Ok(sample), ratio, bar);
    }

    /// Adds another figure without a comparison.
    pub fn also(&mut self, subject: &str, sample: Sample, bar: Option<Bar>) {
        self.push(subject, Ok(sample), None, bar);
    }

    /// Adds a peer that could not be measured, and the reason.
    pub fn without(&mut self, subject: &str, why: impl Into<String>, bar: Option<Bar>) {
        self.push(subject, Err(why.into()), None, bar);
    }

    fn push(
        &mut self,
        subject: &str,
        outcome: Result<Sample, String>,
        ratio: Option<Sample>,
        bar: Option<Bar>,
    ) {
        self.lines.push(Line {
            subject: subject.into(),
            outcome,
            ratio,
            bar,
        });
    }

    fn cells(&self) -> impl Iterator<Item = [String; 7]> {
        self.lines.iter().enumerate().map(|(at, line)| {
            let name = if at == 0 {
                self.name.clone()
            } else {
                String::new()
            };
            let (median, range) = match &line.outcome {
                Ok(sample) => (self.unit.show(sample.median()), self.range(sample)),
                Err(why) => (format!("not measured: {why}"), String::new()),
            };
            let [ratio, bar, verdict] = line.judged(self.unit);
            [
                name,
                line.subject.clone(),
                median,
                range,
                ratio,
                bar,
                verdict,
            ]
        })
    }

    fn range(&self, sample: &Sample) -> String {
        if sample.min() == sample.max() {
            return String::new();
        }
        let [min, max] = [sample.min(), sample.max()].map(|value| self.unit.show(value));
        format!("{min} - {max}")
    }
}

impl Line {
    fn judged(&self, unit: Unit) -> [String; 3] {
        let bar = match (self.bar, &self.ratio) {
            (None, _) => String::new(),
            (Some(Bar::AtLeast(bar)), None) if self.outcome.is_ok() => {
                format!("≥ {}", unit.show(bar))
            }
            (Some(Bar::AtMost(bar)), None) if self.outcome.is_ok() => {
                format!("≤ {}", unit.show(bar))
            }
            (Some(bar), _) => bar.to_string(),
        };
        let judge = |value| self.bar.map_or("", |bar| bar.judge(value)).to_owned();
        match (&self.ratio, &self.outcome) {
            (Some(ratio), _) if !ratio.is_steady() => {
                let refused = format!("too noisy: {:.2} - {:.2}", ratio.min(), ratio.max());
                // With an unsteady ratio, the bar counts as met or missed only
                // if every round is on the same side.
                let (least, most) = (judge(ratio.min()), judge(ratio.max()));
                let verdict = match self.bar {
                    Some(_) if least == most => least,
                    Some(_) => "unknown".into(),
                    None => String::new(),
                };
                [refused, bar, verdict]
            }
            (Some(ratio), _) => [format!("{:.2}", ratio.median()), bar, judge(ratio.median())],
            (None, Ok(sample)) => [String::new(), bar, judge(sample.median())],
            (None, Err(_)) => {
                let verdict = self.bar.map_or("", |_| "unknown");
                [String::new(), bar, verdict.into()]
            }
        }
    }
}

const HEAD: [&str; 7] = [
    "case",
    "subject",
    "median",
    "min - max",
    "ratio",
    "bar",
    "verdict",
];

/// Writes the cases as one table.
///
/// # Errors
///
/// The writer fails.
pub fn write(cases: &[Case], out: &mut impl Write) -> io::Result<()> {
    let head = HEAD.map(String::from);
    let rows: Vec<_> = cases.iter().flat_map(Case::cells).collect();
    let mut widths = [0; 7];
    for row in rows.iter().chain([&head]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    write_row(&head, &widths, out)?;
    write_row(&widths.map(|width| "-".repeat(width)), &widths, out)?;
    rows.iter().try_for_each(|row| write_row(row, &widths, out))
}

fn write_row(cells: &[String; 7], widths: &[usize; 7], out: &mut impl Write) -> io::Result<()> {
    for (cell, width) in cells.iter().zip(widths) {
        write!(out, "| {cell:<width$} ")?;
    }
    writeln!(out, "|")
}

#[cfg(test)]
mod tests;
