//! Several logs as one: their lines in the order of time, as a daemon that
//! follows all of them reads them.

use std::collections::VecDeque;
use std::io;
use std::time::SystemTime;

use super::reading::Recognized;
use super::search::{CHUNK, step};
use crate::tail::{Piece, Splitter};
use spamdrop_core::log::Needles;

/// An open log, whose beginning has been read.
pub(super) struct Log {
    /// The name as it was given, escaped.
    pub name: String,
    text: Recognized,
    lines: Splitter,
    /// The lines that were read and not yet delivered. Each has the latest stamp of
    /// this log up to that line.
    queue: VecDeque<(Option<SystemTime>, Vec<u8>)>,
    latest: Option<SystemTime>,
    has_ended: bool,
    /// Why the log could not be read to its end. `None`: no read has failed.
    pub error: Option<io::Error>,
}

/// The number of lines that were read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MergedCounts {
    /// All lines.
    pub lines: u64,
    /// Lines that are too long to be parsed.
    pub overlong: u64,
}

impl Log {
    pub(super) fn new(name: String, text: Recognized) -> Self {
        Self {
            name,
            text,
            lines: Splitter::from_offset(0),
            queue: VecDeque::new(),
            latest: None,
            has_ended: false,
            error: None,
        }
    }

    /// The servers that were recognized by the beginning of the log.
    pub(super) fn recognized(&self) -> &Recognized {
        &self.text
    }

    /// Reads until the queue has a line, or the log ends.
    fn fill(
        &mut self,
        buffer: &mut [u8],
        needles: &Needles,
        time: &dyn Fn(&[u8]) -> Option<SystemTime>,
        counts: &mut MergedCounts,
    ) {
        while self.queue.is_empty() && !self.has_ended {
            let Self { queue, latest, .. } = self;
            let mut take = |piece: Piece<'_>| match piece {
                Piece::Line { bytes, .. } => {
                    counts.lines += 1;
                    *latest = (*latest).max(time(bytes));
                    queue.push_back((*latest, bytes.to_owned()));
                }
                Piece::Overlong => {
                    counts.lines += 1;
                    counts.overlong += 1;
                }
                Piece::Skipped { lines } => counts.lines += lines,
            };
            match step(&mut self.text, &mut self.lines, buffer, needles, &mut take) {
                Ok(goes_on) => self.has_ended = !goes_on,
                Err(error) => (self.error, self.has_ended) = (Some(error), true),
            }
        }
    }
}

/// Delivers the lines that contain a needle, from all logs, in the order of time, each
/// with the index of its log. `time` returns the time of a line. A read error ends its
/// log, and is in [`Log::error`] afterwards.
pub(super) fn each_line(
    logs: &mut [Log],
    needles: &Needles,
    time: &dyn Fn(&[u8]) -> Option<SystemTime>,
    on_line: &mut dyn FnMut(usize, &[u8]),
) -> MergedCounts {
    let mut counts = MergedCounts::default();
    let mut buffer = vec![0; CHUNK];
    // The lines of a single log keep their order, so their times are not needed.
    let is_one = logs.len() == 1;
    let time: &dyn Fn(&[u8]) -> Option<SystemTime> = if is_one { &|_| None } else { time };
    loop {
        for log in logs.iter_mut() {
            log.fill(&mut buffer, needles, time, &mut counts);
        }
        let heads = logs.iter().enumerate();
        let heads = heads.filter_map(|(index, log)| Some((log.queue.front()?.0, index)));
        let Some((_, index)) = heads.min() else {
            return counts;
        };
        if let Some((_, line)) = logs[index].queue.pop_front() {
            on_line(index, &line);
        }
    }
}
