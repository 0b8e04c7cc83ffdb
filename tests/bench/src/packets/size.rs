//! The size of the filter, as the verifier measured it.

use anyhow::{Context as _, Result};
use spamdrop_lab::program::{RECORDED, stack};

use super::Bench;
use super::sink::Sink;
use super::subject::Subject;
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};

/// Compares the filter with the recorded figures.
///
/// # Errors
///
/// The kernel does not report them.
pub fn measure(bench: &Bench) -> Result<Vec<Case>> {
    let sink = Sink::new(&bench.source, "size")?;
    let subject = Subject::attach(&sink, None, false)?;
    let info = subject.filter()?.info()?;
    let instructions = info
        .verified_instruction_count()
        .context("this kernel does not count verified instructions")?;
    let case = |name: &str, unit, found: u32, most: u32| {
        let sample = Sample(vec![found.into()]);
        Case::new(name, unit, "spamdrop", sample).with_bar(Bar::AtMost(most.into()))
    };
    Ok(vec![
        case(
            "verified instructions",
            Unit::Instructions,
            instructions,
            RECORDED.most().instructions,
        ),
        case(
            "stack",
            Unit::Bytes,
            stack(info.id())?,
            RECORDED.most().stack,
        ),
    ])
}
