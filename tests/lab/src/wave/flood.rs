//! A flood of SYNs with forged sources.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use fastrand::Rng;

use crate::forger::{ADDRESSES, Forger, Syn};
use crate::site::Site;

/// Time between two bursts.
const INTERVAL: Duration = Duration::from_millis(10);
/// Number of SYNs after which the sender yields the CPU to the receiver. Packets that do
/// not fit into the ring of a veth interface are lost, those of strangers as well.
const BATCH: u64 = 64;
/// Time after which a SYN is sent again, as a kernel does.
const REPETITION: Duration = Duration::from_secs(1);

/// The kind of a flood.
#[derive(Clone, Copy, Debug)]
pub struct FloodSpec {
    /// Number of new SYNs per second.
    pub per_second: u32,
    /// The sources.
    pub sources: FloodSources,
    /// The fraction of SYNs that are sent again after a second.
    pub repeated: f64,
    /// Whether the TCP checksums are wrong.
    pub has_wrong_checksums: bool,
}

/// The sources of a flood.
#[derive(Clone, Copy, Debug)]
pub enum FloodSources {
    /// Random IPv4 addresses out of 131,072.
    Many,
    /// Random IPv6 addresses out of 65,536, each in a /64 of its own.
    ManyV6,
    /// Random IPv4 addresses among the first ones of `Many`; the number is how many of
    /// these.
    First(u32),
}

impl FloodSpec {
    /// SYNs from random addresses, none of which is repeated.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second,
            sources: FloodSources::Many,
            repeated: 0.0,
            has_wrong_checksums: false,
        }
    }

    fn syn(&self, random: &mut Rng) -> Syn {
        let number = |range: u32, random: &mut Rng| random.u32(..range);
        let source = match self.sources {
            FloodSources::Many => IpAddr::from(Forger::address(number(ADDRESSES, random))),
            FloodSources::First(range) => Forger::address(number(range, random)).into(),
            FloodSources::ManyV6 => Forger::address6(number(ADDRESSES, random)).into(),
        };
        Syn {
            port: random.u16(1024..),
            sequence: random.u32(..),
            ttl: if random.bool() { 64 } else { 128 },
            has_wrong_checksum: self.has_wrong_checksums,
            ..Syn::new(source)
        }
    }
}

/// Sends SYNs to port 25 until it is dropped.
pub struct Flood {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<io::Result<u64>>>,
}

impl Flood {
    /// Starts a flood.
    ///
    /// # Errors
    ///
    /// A route or the socket could not be created.
    pub fn start<S>(site: &Site<S>, spec: FloodSpec) -> Result<Self> {
        let forger = Forger::with_v6(site)?;
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut random = Rng::with_seed(spec.per_second.into());
            let start = Instant::now();
            let (mut sent, mut repeated) = (0_u64, 0);
            let mut later: VecDeque<(Instant, Syn)> = VecDeque::new();
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let due = start.elapsed().as_secs_f64() * f64::from(spec.per_second);
                // A burst is limited, so that a machine that is too slow for the rate still
                // ends the flood when it should.
                let burst = sent + u64::from(spec.per_second / 10);
                while (sent as f64) < due && sent < burst {
                    if sent.is_multiple_of(BATCH) {
                        thread::yield_now();
                    }
                    let syn = spec.syn(&mut random);
                    forger.send(&syn)?;
                    sent += 1;
                    if random.f64() < spec.repeated {
                        later.push_back((Instant::now() + REPETITION, syn));
                    }
                }
                while let Some((_, syn)) = later.pop_front_if(|(at, _)| *at <= Instant::now()) {
                    forger.send(&syn)?;
                    repeated += 1;
                }
            }
            Ok(sent + repeated)
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
