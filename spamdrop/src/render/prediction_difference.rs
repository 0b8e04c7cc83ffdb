//! The sources that only one of two configurations would have blocked.

use std::collections::HashSet;
use std::io::{self, Write};

use super::noun;
use super::prediction_blocks::{SHOWN, Shown, block_columns, block_row, more};
use super::table;
use spamdrop_core::engine::{PredictedBlock, Prediction};
use spamdrop_core::target::Target;

/// Writes the sources that only one of the two predictions blocks.
pub(super) fn write_text(
    out: &mut impl Write,
    configured: &Prediction,
    changed: &Prediction,
    shown: &Shown,
) -> io::Result<()> {
    if configured == changed {
        return writeln!(out, "the changes make no difference in this log");
    }
    let lost = only_in(configured, changed);
    let gained = only_in(changed, configured);
    for (blocks, words) in [
        (gained, "have been blocked only with the changes"),
        (lost, "no longer have been blocked with the changes"),
    ] {
        let sources = noun::count(blocks.len(), "source", "sources");
        writeln!(out, "{sources} would {words}")?;
        if blocks.is_empty() {
            continue;
        }
        let most = if shown.all { usize::MAX } else { SHOWN };
        let rows = blocks.iter().take(most);
        let rows: Vec<_> = rows.map(|block| block_row(block, &shown.zone)).collect();
        table::write(out, shown.style, &block_columns(), &rows)?;
        more(out, [blocks.len(), most], "sources", shown)?;
    }
    Ok(())
}

/// The first block of each source that the other prediction does not block.
fn only_in<'a>(one: &'a Prediction, other: &Prediction) -> Vec<&'a PredictedBlock> {
    let others: HashSet<Target> = other.blocks.iter().map(|block| block.target).collect();
    let mut seen = HashSet::new();
    let blocks = one.blocks.iter();
    blocks
        .filter(|block| !others.contains(&block.target) && seen.insert(block.target))
        .collect()
}
