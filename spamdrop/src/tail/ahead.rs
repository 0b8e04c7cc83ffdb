//! Reads a stream without blocking.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use log::warn;
use tokio::sync::Notify;

use super::CHUNK;

/// Maximum number of chunks that are read ahead.
const AHEAD: usize = 4;

/// A stream that is read by a thread. The thread pauses while [`AHEAD`] chunks
/// are unread.
pub(super) struct ReadAhead {
    chunks: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    taken: usize,
}

/// The result of a read.
pub(super) enum Taken<'a> {
    Bytes(&'a [u8]),
    /// No bytes are available yet.
    Nothing,
    /// The stream has ended.
    End,
}

impl ReadAhead {
    /// Starts the thread, which notifies `wake` after each read.
    pub fn spawn(
        name: &'static str,
        input: impl Read + Send + 'static,
        wake: Arc<Notify>,
    ) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(AHEAD);
        thread::Builder::new().name(name.into()).spawn(move || {
            if let Err(error) = forward(input, &sender, &wake) {
                warn!(target: "spamdrop::tail", "{name} cannot be read any more: {error}");
            }
            drop(sender);
            wake.notify_one();
        })?;
        Ok(Self {
            chunks,
            chunk: Vec::new(),
            taken: 0,
        })
    }

    /// Takes at most `budget` bytes.
    pub fn take(&mut self, budget: usize) -> Taken<'_> {
        if self.taken == self.chunk.len() {
            match self.chunks.try_recv() {
                Ok(chunk) => (self.chunk, self.taken) = (chunk, 0),
                Err(TryRecvError::Empty) => return Taken::Nothing,
                Err(TryRecvError::Disconnected) => return Taken::End,
            }
        }
        let rest = &self.chunk[self.taken..];
        let bytes = &rest[..rest.len().min(budget)];
        self.taken += bytes.len();
        Taken::Bytes(bytes)
    }

    /// Bytes of the current chunk that are not taken yet.
    pub fn left(&self) -> u64 {
        (self.chunk.len() - self.taken) as u64
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
