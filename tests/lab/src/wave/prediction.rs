//! The prediction of `spamdrop replay` for the wave's log, compared with the daemon's
//! blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::Value;

use super::block_times::{BlockTimes, TimeDifference};
use super::unprotected_log::UnprotectedLog;
use super::{Outcome, Wave};
use crate::site::Site;

/// A source is wrong if its first block live and the predicted one start more than this
/// number of seconds apart.
const TOLERANCE_S: f64 = 2.0;

/// The difference between a prediction and the live run.
#[derive(Debug)]
pub struct PredictionError {
    /// Number of sources that were blocked, live or in the prediction.
    pub blocked: usize,
    /// Sources that were blocked only live or only in the prediction, or at different
    /// times.
    pub wrong: Vec<String>,
    /// The difference between the times for which sources were blocked live and in the
    /// prediction. For the prediction, lines for the dropped connections are added to the log.
    pub time: TimeDifference,
    /// As `time`, but the prediction is for the log without lines for the dropped
    /// connections.
    pub time_without_dropped: TimeDifference,
    /// Predicted blocks of known senders.
    pub known_blocked: u64,
}

/// The prediction of a replay.
#[derive(Debug)]
pub struct ReplayedLog {
    /// The predicted blocks, in Unix seconds.
    pub blocks: BlockTimes,
    /// Predicted blocks of known senders.
    pub known_blocked: u64,
}

impl ReplayedLog {
    /// Replays a log.
    ///
    /// # Errors
    ///
    /// The log cannot be replayed.
    pub fn new<S>(site: &Site<S>, log: &Path) -> Result<Self> {
        let log = log.to_str().context("a path that is not UTF-8")?;
        let replayed = site.spamdrop(&["replay", "--json", log])?;
        let mut blocks = BlockTimes::default();
        let mut known_blocked = None;
        for line in replayed.lines() {
            let object: Value = serde_json::from_str(line)?;
            let [from, until] = ["from_unix_s", "until_unix_s"].map(|key| object[key].as_f64());
            if let (Some(addr), Some(from), Some(until)) = (object["addr"].as_str(), from, until) {
                blocks.add(addr, from, until);
            }
            known_blocked = known_blocked.or(object["known_blocked"].as_u64());
        }
        Ok(Self {
            blocks,
            known_blocked: known_blocked.context("there is no prediction")?,
        })
    }
}

impl Wave {
    /// Replays the log of a wave that has ended, and compares it with the daemon's
    /// blocks and the entries of the filter, none of which has expired yet; `None`
    /// without spamdrop.
    ///
    /// # Errors
    ///
    /// The log cannot be replayed.
    pub fn prediction_error(&self, outcome: &Outcome) -> Result<Option<PredictionError>> {
        let Some(daemon) = &self.daemon else {
            return Ok(None);
        };
        let ends = ends(&self.site)?;
        let mut live = BlockTimes::default();
        for (addr, from) in starts(&daemon.output()) {
            // Without an entry, the block counts as 0 s, which shows as a difference.
            let until = ends.get(&addr).copied().unwrap_or(from);
            live.add(addr, from, until);
        }
        let log = self.site.path("mail.log");
        let replayed = ReplayedLog::new(&self.site, &log)?;
        let predicted = &replayed.blocks;
        let mut all_lines = UnprotectedLog::new(&fs::read_to_string(&log)?)?;
        for session in &outcome.unanswered {
            all_lines.add_start(session);
        }
        let log = self.site.path("all.log");
        fs::write(&log, all_lines.into_text(|at| at))?;
        let with_dropped = ReplayedLog::new(&self.site, &log)?;
        let all: BTreeSet<&str> = live.sources().chain(predicted.sources()).collect();
        let is_wrong = |addr: &&str| match (live.blocks(addr), predicted.blocks(addr)) {
            ([[live, _], ..], [[predicted, _], ..]) => (live - predicted).abs() > TOLERANCE_S,
            _ => true,
        };
        Ok(Some(PredictionError {
            blocked: all.len(),
            time: live.difference(&with_dropped.blocks),
            time_without_dropped: live.difference(predicted),
            wrong: all
                .into_iter()
                .filter(is_wrong)
                .map(str::to_owned)
                .collect(),
            known_blocked: replayed.known_blocked,
        }))
    }
}

/// The end of each live block in Unix seconds, according to the filter's entries.
fn ends(site: &Site) -> Result<BTreeMap<String, f64>> {
    let list = site.spamdrop(&["list", "--json"])?;
    let now = Timestamp::now().as_millisecond() as f64 / 1e3;
    let list: Vec<Value> = serde_json::from_str(&list)?;
    let ends = list.iter().map(|entry| {
        let addr = entry["addr"].as_str().context("an entry without address")?;
        let rest = entry["expires_in_s"].as_f64();
        let rest = rest.context("an entry without end")?;
        Ok((addr.to_owned(), now + rest))
    });
    ends.collect()
}

/// The time of the first block of each source in Unix seconds, from lines of the daemon
/// such as `2026-11-23T09:00:00Z spamdrop: blocked 192.0.2.1: …`.
fn starts(output: &str) -> BTreeMap<String, f64> {
    let mut blocks = BTreeMap::new();
    for line in output.lines() {
        let Some((stamp, rest)) = line.split_once(" spamdrop: blocked ") else {
            continue;
        };
        let at = stamp.parse().map(|at: Timestamp| at.as_second() as f64);
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
        let blocks = starts(output);
        let start = 1_795_424_400.0;
        let expected = [("192.0.2.1", start + 1.0), ("192.0.2.2", start + 3.0)];
        let expected = expected.map(|(addr, at)| (addr.to_owned(), at));
        assert_eq!(blocks, BTreeMap::from(expected));
    }
}
