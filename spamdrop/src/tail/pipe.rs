//! Reads standard input.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Notify;

use super::LogLine;
use super::ahead::{ReadAhead, Taken};
use super::split::Splitter;
use super::status::{FileStatus, ReadState};

/// A stream that is read from its start to its end.
pub(super) struct Pipe {
    input: ReadAhead,
    lines: Splitter,
    status: FileStatus,
}

impl Pipe {
    /// Starts a thread that reads `input` and notifies `wake`.
    pub fn spawn(
        path: &Path,
        input: impl Read + Send + 'static,
        wake: Arc<Notify>,
    ) -> io::Result<Self> {
        Ok(Self {
            input: ReadAhead::spawn("stdin", input, wake)?,
            lines: Splitter::from_offset(0),
            status: FileStatus::new(path),
        })
    }

    pub fn status(&self) -> &FileStatus {
        &self.status
    }

    /// Reads at most `budget` bytes; returns the number of bytes, 0 if there
    /// are none.
    pub fn read(&mut self, budget: usize, on_line: &mut dyn FnMut(LogLine<'_>)) -> usize {
        let count = match self.input.take(budget) {
            Taken::Bytes(bytes) => {
                self.lines.feed(bytes, &mut self.status.deliver(0, on_line));
                bytes.len()
            }
            Taken::Nothing => 0,
            Taken::End => {
                self.lines.finish(&mut self.status.deliver(0, on_line));
                self.status.set(ReadState::Ended);
                0
            }
        };
        self.status.bytes += count as u64;
        self.status.lag = self.input.left();
        count
    }
}

#[cfg(test)]
mod tests;
