//! Standard input.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use log::warn;
use tokio::sync::Notify;

use super::split::Splitter;
use super::status::{FileStatus, State};
use super::{CHUNK, Line};

/// Chunks that are read ahead.
const AHEAD: usize = 4;

/// Reads a stream without blocking its caller: a thread does, and waits while
/// what it has read is not wanted yet.
pub(super) struct Pipe {
    chunks: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    taken: usize,
    lines: Splitter,
    status: FileStatus,
}

impl Pipe {
    /// Starts the thread, which notifies `wake` of what it has read.
    pub fn spawn(
        path: &Path,
        input: impl Read + Send + 'static,
        wake: Arc<Notify>,
    ) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(AHEAD);
        thread::Builder::new().name("stdin".into()).spawn(move || {
            if let Err(error) = forward(input, &sender, &wake) {
                warn!(target: "spamdrop::tail", "standard input ends: {error}");
            }
            drop(sender);
            wake.notify_one();
        })?;
        Ok(Self {
            chunks,
            chunk: Vec::new(),
            taken: 0,
            lines: Splitter::at(0),
            status: FileStatus::new(path),
        })
    }

    pub fn status(&self) -> &FileStatus {
        &self.status
    }

    /// Takes at most `budget` bytes; returns how many, 0 if there are none.
    pub fn read(&mut self, budget: usize, on_line: &mut dyn FnMut(Line<'_>)) -> usize {
        if self.taken == self.chunk.len() {
            match self.chunks.try_recv() {
                Ok(chunk) => (self.chunk, self.taken) = (chunk, 0),
                Err(TryRecvError::Empty) => return 0,
                Err(TryRecvError::Disconnected) => {
                    self.lines.finish(&mut self.status.deliver(0, on_line));
                    self.status.set(State::Ended);
                    return 0;
                }
            }
        }
        let rest = &self.chunk[self.taken..];
        let bytes = &rest[..rest.len().min(budget)];
        self.lines.feed(bytes, &mut self.status.deliver(0, on_line));
        self.taken += bytes.len();
        self.status.bytes += bytes.len() as u64;
        self.status.lag = (self.chunk.len() - self.taken) as u64;
        bytes.len()
    }
}

fn forward(mut input: impl Read, sender: &SyncSender<Vec<u8>>, wake: &Notify) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return Ok(());
                }
                wake.notify_one();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
