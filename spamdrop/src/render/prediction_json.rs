//! `replay --json` and `run --dry-run --json`.

use std::io::{self, Write};

use serde::Serialize;
use spamdrop_common::gate::GateStats;

use super::json::object;
use super::prediction::Predicted;
use super::recommendation::recommendation;
use spamdrop_core::engine::{HitSender, PredictedBlock, Prediction};

/// The objects of `replay --json` and `run --dry-run --json`, one a line. `run` is
/// `"configured"` or `"changed"`. The object of the kind `prediction` follows those of its lists.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum PredictionRecord<'a> {
    /// A block.
    Block {
        run: &'a str,
        #[serde(flatten)]
        block: &'a PredictedBlock,
    },
    /// A known sender that would have been blocked.
    KnownHit {
        run: &'a str,
        #[serde(flatten)]
        hit: &'a HitSender,
    },
    /// A message that was accepted from a blocked address.
    AcceptedHit {
        run: &'a str,
        #[serde(flatten)]
        hit: &'a HitSender,
    },
    /// The figures and the shorter lists of a prediction.
    Prediction {
        run: &'a str,
        files: &'a [String],
        lines: u64,
        overlong: u64,
        changes: &'a [String],
        #[serde(flatten)]
        prediction: &'a Prediction,
        recommendation: [String; 2],
        gate: Option<MeanwhileGate>,
    },
}

/// Writes JSON.
pub fn json(out: &mut impl Write, predicted: &Predicted) -> io::Result<()> {
    for (prediction, run) in predicted.predictions.iter().zip(["configured", "changed"]) {
        for block in &prediction.blocks {
            object(out, &PredictionRecord::Block { run, block })?;
        }
        for hit in &prediction.known_hits {
            object(out, &PredictionRecord::KnownHit { run, hit })?;
        }
        for hit in &prediction.accepted_hits {
            object(out, &PredictionRecord::AcceptedHit { run, hit })?;
        }
        let record = PredictionRecord::Prediction {
            run,
            files: &predicted.files,
            lines: predicted.lines,
            overlong: predicted.overlong,
            changes: match run {
                "changed" => &predicted.changes,
                _ => &[],
            },
            prediction,
            recommendation: recommendation(prediction),
            gate: predicted.gate.as_ref().map(MeanwhileGate::new),
        };
        object(out, &record)?;
    }
    Ok(())
}

/// The counts of the attached filter's gate during a dry run.
#[derive(Clone, Copy, Debug, Serialize)]
struct MeanwhileGate {
    /// SYNs that were admitted.
    admitted: u64,
    /// SYNs that were refused, or only counted with `admit = "observe"`: of classes 0,
    /// 1 and 2.
    refused: [u64; 3],
}

impl MeanwhileGate {
    fn new(gate: &GateStats) -> Self {
        Self {
            admitted: gate.admitted,
            refused: gate.refused,
        }
    }
}
