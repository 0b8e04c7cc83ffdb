//! Searches a log for the lines to parse, in a thread of its own: reading,
//! decompressing and searching a log takes about as long as parsing its lines, so
//! two processors share the work.

use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use spamdrop_core::log::Needles;

use crate::tail::{Piece, Splitter};

/// Bytes per read: large enough for few system calls, and small enough for the
/// processor's cache.
pub(super) const CHUNK: usize = 256 << 10;
/// Maximum number of batches that wait for the parser.
const WAITING: usize = 8;

/// Delivers the lines that contain a needle, and counts the others. If no
/// thread can be started, the caller's thread does everything.
///
/// # Errors
///
/// The text cannot be read to its end. The last line is then incomplete and is
/// discarded.
pub(super) fn each_piece(
    text: &mut (impl Read + Send),
    needles: &Needles,
    on_piece: &mut dyn FnMut(Piece<'_>),
) -> io::Result<()> {
    let mut search = NeedleSearch {
        text,
        needles,
        lines: Splitter::from_offset(0),
        buffer: vec![0; CHUNK],
    };
    let searched = thread::scope(|scope| {
        let (sender, batches) = sync_channel::<PieceBatch>(WAITING);
        let (give_back, empty) = channel::<PieceBatch>();
        let search = &mut search;
        let search = move || search.send(&sender, &empty);
        let thread = thread::Builder::new().spawn_scoped(scope, search).ok()?;
        for mut batch in batches {
            batch.deliver(on_piece);
            batch.clear();
            // The last batches find nobody who receives them.
            drop(give_back.send(batch));
        }
        Some(thread.join())
    });
    match searched {
        Some(Ok(ended)) => ended,
        Some(Err(panic)) => resume_unwind(panic),
        None => search.run(on_piece),
    }
}

struct NeedleSearch<'a, R> {
    text: &'a mut R,
    needles: &'a Needles,
    lines: Splitter,
    buffer: Vec<u8>,
}

impl<R: Read> NeedleSearch<'_, R> {
    fn run(&mut self, on_piece: &mut dyn FnMut(Piece<'_>)) -> io::Result<()> {
        while self.step(on_piece)? {}
        Ok(())
    }

    /// Sends a batch for each read, until the log ends or nobody receives the batches.
    /// Uses the memory of the `empty` batches again, because the kernel takes time to clear
    /// new memory.
    fn send(
        &mut self,
        batches: &SyncSender<PieceBatch>,
        empty: &Receiver<PieceBatch>,
    ) -> io::Result<()> {
        loop {
            let mut batch = empty.try_recv().unwrap_or_default();
            let goes_on = self.step(&mut |piece| batch.add(&piece));
            if batches.send(batch).is_err() || !goes_on? {
                return Ok(());
            }
        }
    }

    /// Calls the function [`step`] with the fields of this search.
    fn step(&mut self, on_piece: &mut dyn FnMut(Piece<'_>)) -> io::Result<bool> {
        let (lines, buffer) = (&mut self.lines, &mut self.buffer);
        step(self.text, lines, buffer, self.needles, on_piece)
    }
}

/// Reads a chunk of a log and searches it. Returns whether there may be another.
///
/// # Errors
///
/// The text cannot be read.
pub(super) fn step(
    text: &mut impl Read,
    lines: &mut Splitter,
    buffer: &mut [u8],
    needles: &Needles,
    on_piece: &mut dyn FnMut(Piece<'_>),
) -> io::Result<bool> {
    match text.read(buffer) {
        Ok(0) => {
            lines.finish(on_piece);
            Ok(false)
        }
        Ok(count) => {
            let bytes = buffer.get(..count).unwrap_or_default();
            lines.feed_wanted(bytes, &mut |at| needles.find(bytes, at), on_piece);
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
        Err(error) => Err(error),
    }
}

/// The pieces of one chunk.
#[derive(Default)]
struct PieceBatch {
    /// The wanted lines, one after the other.
    bytes: Vec<u8>,
    pieces: Vec<Stored>,
}

/// A [`Piece`] whose bytes are in [`PieceBatch::bytes`].
enum Stored {
    Line {
        bytes: Range<usize>,
        start: u64,
        end: u64,
    },
    Overlong,
    Skipped {
        lines: u64,
    },
}

impl PieceBatch {
    fn clear(&mut self) {
        self.bytes.clear();
        self.pieces.clear();
    }

    fn add(&mut self, piece: &Piece<'_>) {
        let stored = match *piece {
            Piece::Line { bytes, start, end } => {
                let from = self.bytes.len();
                self.bytes.extend_from_slice(bytes);
                let bytes = from..self.bytes.len();
                Stored::Line { bytes, start, end }
            }
            Piece::Overlong => Stored::Overlong,
            Piece::Skipped { lines } => Stored::Skipped { lines },
        };
        self.pieces.push(stored);
    }

    fn deliver(&self, on_piece: &mut dyn FnMut(Piece<'_>)) {
        for stored in &self.pieces {
            on_piece(match stored {
                Stored::Line { bytes, start, end } => Piece::Line {
                    bytes: self.bytes.get(bytes.clone()).unwrap_or_default(),
                    start: *start,
                    end: *end,
                },
                Stored::Overlong => Piece::Overlong,
                Stored::Skipped { lines } => Piece::Skipped { lines: *lines },
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use spamdrop_core::log::{Parser, ParserSettings};

    /// The pieces of a log, as text. The log is searched in a second thread or in the
    /// caller's.
    fn pieces(log: &str, in_two_threads: bool) -> Vec<String> {
        let needles = Parser::new(ParserSettings::default()).needles();
        let mut found = Vec::new();
        let mut on_piece = |piece: Piece<'_>| {
            found.push(match piece {
                Piece::Line { bytes, start, end } => {
                    format!("{start}-{end} {}", String::from_utf8_lossy(bytes))
                }
                Piece::Overlong => "overlong".into(),
                Piece::Skipped { lines } => format!("{lines} skipped"),
            });
        };
        let mut text = log.as_bytes();
        let ended = if in_two_threads {
            each_piece(&mut text, &needles, &mut on_piece)
        } else {
            let mut search = NeedleSearch {
                text: &mut text,
                needles: &needles,
                lines: Splitter::from_offset(0),
                buffer: vec![0; CHUNK],
            };
            search.run(&mut on_piece)
        };
        ended.unwrap();
        found
    }

    #[test]
    fn a_log_of_several_chunks_is_the_same_with_and_without_a_thread() {
        let line = "mx1 courieresmtpd: error,relay=192.0.2.1: 511 no\nnoise\nnoise\n";
        let log = format!(
            "{}{}\n{line}the end",
            line.repeat(3 * CHUNK / line.len()),
            "x".repeat(9000)
        );
        let expected = pieces(&log, false);
        assert_eq!(pieces(&log, true), expected);
        assert!(expected.iter().any(|piece| piece == "overlong"));
        assert!(expected.iter().any(|piece| piece == "2 skipped"));
        assert!(expected.last().unwrap().ends_with(" the end"));
    }
}
