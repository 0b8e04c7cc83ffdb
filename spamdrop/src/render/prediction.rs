//! `replay` and `run --dry-run`: what spamdrop would have done.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::SystemTime;

use spamdrop_common::gate::GateStats;

use super::noun;
pub use super::prediction_blocks::Shown;
use super::prediction_blocks::{SHOWN, block_columns, block_row, date, more};
use super::recommendation::recommendation;
use super::table::{self, Column, Style, left, right};
use spamdrop_core::duration::human;
use spamdrop_core::engine::{PredictedBlock, Prediction};
use spamdrop_core::gate::{ASSUMED, ConnectionEnds};

/// Logs, and what each configuration would have done with them.
#[derive(Clone, Debug, Default)]
pub struct Predicted {
    /// The logs, as they were given.
    pub files: Vec<String>,
    /// Number of lines.
    pub lines: u64,
    /// Number of lines that are too long to be parsed.
    pub overlong: u64,
    /// The values of `--set`, as they were given.
    pub changes: Vec<String>,
    /// The prediction by the configuration and, if there are changes, the one by the
    /// changed configuration.
    pub predictions: Vec<Prediction>,
    /// The counts of the attached filter's gate during a dry run; `None`: no filter is
    /// attached, or a log is replayed.
    pub gate: Option<GateStats>,
}

/// Writes the figures, the lists and the notes.
pub fn write_text(out: &mut impl Write, predicted: &Predicted, shown: &Shown) -> io::Result<()> {
    let Some(first) = predicted.predictions.first() else {
        return Ok(());
    };
    heading(out, predicted, first, shown)?;
    figures(out, predicted, shown.style)?;
    writeln!(out)?;
    for (prediction, run) in predicted.predictions.iter().zip(["", " (changed)"]) {
        dangers(out, prediction, run, shown)?;
    }
    blocks(out, first, shown)?;
    if let [configured, changed] = predicted.predictions.as_slice() {
        super::prediction_difference::write_text(out, configured, changed, shown)?;
    }
    notes(out, first, shown)?;
    if let Some(gate) = &predicted.gate {
        let [best, middle, worst] = gate.refused;
        writeln!(
            out,
            "the attached filter's gate meanwhile: {} SYNs admitted; {best}/{middle}/{worst} of class 0/1/2 refused (with `admit = \"observe\"`: only counted)",
            gate.admitted
        )?;
    }
    Ok(())
}

/// Writes the recommendation in two lines.
pub fn recommend(out: &mut impl Write, predicted: &Predicted) -> io::Result<()> {
    let Some(first) = predicted.predictions.first() else {
        return Ok(());
    };
    let [blocks, gate] = recommendation(first);
    writeln!(out, "recommendation: {blocks}\nrecommendation: {gate}")
}

fn heading(
    out: &mut impl Write,
    predicted: &Predicted,
    first: &Prediction,
    shown: &Shown,
) -> io::Result<()> {
    let files = predicted.files.join(", ");
    let lines = noun::count(predicted.lines, "line", "lines");
    write!(out, "{files}: {lines}")?;
    if predicted.overlong > 0 {
        write!(out, ", {} too long to be read", predicted.overlong)?;
    }
    match (first.from, first.until) {
        (Some(from), Some(until)) => {
            let length = until.duration_since(from).unwrap_or_default();
            let [from, until] = [from, until].map(|at| date(at, &shown.zone));
            writeln!(out, ", from {from} to {until} ({})", human(length))?;
        }
        _ => writeln!(out, ", none of which tells of a sender")?,
    }
    if !predicted.changes.is_empty() {
        writeln!(out, "changed: {}", predicted.changes.join(", "))?;
    }
    Ok(())
}

/// A label, and the value of this figure in each prediction.
type Figure = (String, Vec<String>);

const ONE: [Column<Figure>; 2] = [
    right("NUMBER", |row, text| text.write_str(nth(row, 0))),
    left("OF", |row, text| text.write_str(&row.0)),
];

const TWO: [Column<Figure>; 3] = [
    right("CONFIGURED", |row, text| text.write_str(nth(row, 0))),
    right("CHANGED", |row, text| text.write_str(nth(row, 1))),
    left("OF", |row, text| text.write_str(&row.0)),
];

fn nth(row: &Figure, index: usize) -> &str {
    row.1.get(index).map_or("", String::as_str)
}

fn figures(out: &mut impl Write, predicted: &Predicted, style: Style) -> io::Result<()> {
    let mut rows: Vec<Figure> = Vec::new();
    for (index, prediction) in predicted.predictions.iter().enumerate() {
        for (label, value) in super::prediction_figures::figures(prediction) {
            match rows.iter_mut().find(|row| row.0 == label) {
                Some(row) => row.1.resize(index + 1, value),
                None => {
                    let mut values = vec!["0".to_owned(); index];
                    values.push(value);
                    rows.push((label, values));
                }
            }
        }
        for row in &mut rows {
            row.1.resize(index + 1, "0".to_owned());
        }
    }
    // Rows of zeroes are left out, except those in which a zero is a result.
    let is_told = |row: &Figure| {
        super::prediction_figures::MUST_BE_SHOWN.contains(&row.0.as_str())
            || row.1.iter().any(|value| value != "0")
    };
    rows.retain(is_told);
    match predicted.predictions.len() {
        1 => table::write(out, style, &ONE, &rows),
        _ => table::write(out, style, &TWO, &rows),
    }
}

/// Writes what would have gone wrong: outages of blocklists, pauses of blocking,
/// proxies, blocked known senders, and mail accepted from blocked addresses.
fn dangers(
    out: &mut impl Write,
    prediction: &Prediction,
    run: &str,
    shown: &Shown,
) -> io::Result<()> {
    let date = |at| date(at, &shown.zone);
    let until = |until: Option<SystemTime>| match until {
        Some(at) => format!("to {}", date(at)),
        None => "to the end".to_owned(),
    };
    for outage in &prediction.outages {
        writeln!(
            out,
            "warning{run}: a blocklist seems to have listed everybody, from {} {}: {} of the {} senders of several accepted messages were rejected, such as with: {}",
            date(outage.from),
            until(outage.until),
            outage.rejected,
            outage.regulars,
            outage.text
        )?;
    }
    for pause in &prediction.pauses {
        writeln!(
            out,
            "blocking would have paused{run}, from {} {}, for {} rejections: {}",
            date(pause.from),
            until(pause.until),
            pause.rejections,
            pause.why
        )?;
    }
    for proxy in &prediction.proxies {
        writeln!(
            out,
            "{proxy} is private and had most connections of an hour{run}: it hides the senders, as a proxy does, and would not have been blocked"
        )?;
    }
    for hit in &prediction.known_hits {
        writeln!(
            out,
            "known sender {} would have been blocked{run} at {}: {}",
            hit.addr,
            date(hit.at),
            hit.text
        )?;
    }
    let most = if shown.all { usize::MAX } else { SHOWN };
    for hit in prediction.accepted_hits.iter().take(most) {
        writeln!(
            out,
            "{} would have been blocked{run} when its mail was accepted at {}",
            hit.addr,
            date(hit.at)
        )?;
    }
    let numbers = [prediction.accepted_hits.len(), most];
    more(out, numbers, "accepted messages", shown)
}

/// Writes the blocks with the most rejections and dropped connections, or all.
fn blocks(out: &mut impl Write, prediction: &Prediction, shown: &Shown) -> io::Result<()> {
    if prediction.blocks.is_empty() {
        return Ok(());
    }
    let mut blocks: Vec<&PredictedBlock> = prediction.blocks.iter().collect();
    if !shown.all {
        let weight = |block: &&PredictedBlock| u64::from(block.offences) + u64::from(block.dropped);
        blocks.sort_by_key(|block| std::cmp::Reverse(weight(block)));
        blocks.truncate(SHOWN);
    }
    let rows: Vec<_> = blocks
        .iter()
        .map(|block| block_row(block, &shown.zone))
        .collect();
    table::write(out, shown.style, &block_columns(), &rows)?;
    more(out, [prediction.blocks.len(), rows.len()], "blocks", shown)
}

fn notes(out: &mut impl Write, prediction: &Prediction, shown: &Shown) -> io::Result<()> {
    writeln!(
        out,
        "note: each packet of a blocked sender extends its block; a log shows rejections and new connections only, so real blocks last longer"
    )?;
    let gate = "a packet's TTL, host names and repeated SYNs are not in a log, so only `admit = \"observe\"` shows whom the gate would refuse";
    let ends = match prediction.slots.ends {
        Some(ConnectionEnds::Logged) => "the log tells when connections begin and end".to_owned(),
        Some(ConnectionEnds::Counted) => "the log has the server's own count of connections".into(),
        Some(ConnectionEnds::Assumed) => format!(
            "the server logs no end of a connection, so each counts until its rejection or accepted message, otherwise for {}",
            human(ASSUMED)
        ),
        None => {
            "the log has no line of a new connection, so it does not tell how many slots were in use"
                .into()
        }
    };
    writeln!(out, "note: {ends}; {gate}")?;
    if !shown.is_live {
        writeln!(
            out,
            "note: in an old log, only the texts of rejections show whether a blocklist was broken"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
