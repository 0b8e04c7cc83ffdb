//! The prediction of `spamdrop replay` for the wave's log, compared with the daemon's
//! blocks.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::Value;

use super::Wave;

/// A block of the daemon more than this many seconds from the predicted time was not
/// predicted.
const TOLERANCE_S: i64 = 2;

/// The difference between a prediction and the live run.
#[derive(Debug)]
pub struct PredictionError {
    /// Number of sources that either of them blocked.
    pub blocked: usize,
    /// Sources that only one of them blocked, or that were blocked at another
    /// time.
    pub wrong: Vec<String>,
    /// Predicted blocks of known senders.
    pub known_blocked: u64,
}

impl Wave {
    /// Replays the log of a wave that has ended; `None` without spamdrop.
    ///
    /// # Errors
    ///
    /// The log cannot be replayed.
    pub fn prediction_error(&self) -> Result<Option<PredictionError>> {
        let Some(daemon) = &self.daemon else {
            return Ok(None);
        };
        let live = live(&daemon.output());
        let log = self.site.path("mail.log");
        let log = log.to_str().context("a path that is not UTF-8")?;
        let replayed = self.site.spamdrop(&["replay", "--json", log])?;
        let mut predicted = BTreeMap::new();
        let mut known_blocked = None;
        for line in replayed.lines() {
            let object: Value = serde_json::from_str(line)?;
            if let (Some(addr), Some(from)) =
                (object["addr"].as_str(), object["from_unix_s"].as_i64())
            {
                predicted.entry(addr.to_owned()).or_insert(from);
            }
            known_blocked = known_blocked.or(object["known_blocked"].as_u64());
        }
        let all: BTreeSet<&String> = live.keys().chain(predicted.keys()).collect();
        let is_wrong = |addr: &&&String| match (live.get(**addr), predicted.get(**addr)) {
            (Some(live), Some(predicted)) => live.abs_diff(*predicted) > TOLERANCE_S.unsigned_abs(),
            _ => true,
        };
        Ok(Some(PredictionError {
            blocked: all.len(),
            wrong: all
                .iter()
                .filter(is_wrong)
                .map(ToString::to_string)
                .collect(),
            known_blocked: known_blocked.context("there is no prediction")?,
        }))
    }
}

/// The time of the first block of each source, by the lines of the daemon such
/// as `2026-11-23T09:00:00Z spamdrop: blocked 192.0.2.1: …`.
fn live(output: &str) -> BTreeMap<String, i64> {
    let mut blocks = BTreeMap::new();
    for line in output.lines() {
        let Some((stamp, rest)) = line.split_once(" spamdrop: blocked ") else {
            continue;
        };
        let at = stamp.parse().map(|at: Timestamp| at.as_second());
        if let (Ok(at), Some((addr, _))) = (at, rest.split_once(": ")) {
            blocks.entry(addr.to_owned()).or_insert(at);
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_of_each_source_counts() {
        let output = "\
2026-11-23T09:00:00Z spamdrop: ready: x
2026-11-23T09:00:01Z spamdrop: blocked 192.0.2.1: a: b
2026-11-23T09:00:02Z spamdrop: blocked 192.0.2.1: a: b
2026-11-23T09:00:03Z spamdrop: blocked 192.0.2.2: a: b
";
        let blocks = live(output);
        let start = 1_795_424_400;
        let expected = [("192.0.2.1", start + 1), ("192.0.2.2", start + 3)];
        let expected = expected.map(|(addr, at)| (addr.to_owned(), at));
        assert_eq!(blocks, BTreeMap::from(expected));
    }
}
