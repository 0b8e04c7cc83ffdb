//! A lane: a sink with a program that drops packets, and the traffic for it.

use std::hint;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use spamdrop_lab::Host;
use spamdrop_lab::wait::until;

use super::sink::{Receiver, Sink};
use super::traffic::{Generator, Sources};
use crate::machine::{Cores, bind};

const SMTP: u16 = 25;
const OTHER_PORT: u16 = 26;
/// Frames per burst. They fit into a veth's queue of 256, so that none is lost.
const BURST: u32 = 128;
/// Number of bursts from blocked sources that must be dropped before the
/// measurement.
const BURSTS: u32 = 32;
const SOON: Duration = Duration::from_secs(5);

/// Reads the number of dropped packets on the sink's host.
pub type Drops = Box<dyn Fn(&Host) -> Result<u64>>;

/// The packets that a lane drops besides TCP/25 from blocked sources.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// TCP/25 from other sources.
    pub clean: bool,
    /// Another port from blocked sources.
    pub other_port: bool,
}

/// A sink with an attached program that drops packets.
pub struct Lane {
    sink: Sink,
    drops: Drops,
    listed: Generator,
    receiver: Receiver,
}

/// The outcome of saturating a lane.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// Drops per second of the receiver's CPU time.
    pub rate: f64,
    /// The share of the frames that found the queue full.
    pub overflow: f64,
    /// The share of its core that the receiver got.
    pub share: f64,
}

impl Lane {
    /// Sets up a lane and checks that it drops exactly the expected packets.
    ///
    /// # Errors
    ///
    /// The program drops other packets, or a system call failed.
    pub fn new(
        source: &Host,
        sink: Sink,
        sources: Sources,
        scope: Scope,
        drops: Drops,
        cores: Cores,
    ) -> Result<Self> {
        let lane = Self {
            receiver: sink.receive_on(cores.receiver)?,
            listed: Generator::new(sources, SMTP, sink.sender)?,
            sink,
            drops,
        };
        for _ in 0..BURSTS {
            lane.expect(source, &lane.listed, true)
                .context("a listed source")?;
        }
        let clean = Generator::new(Sources::clean(), SMTP, lane.sink.sender)?;
        lane.expect(source, &clean, scope.clean)
            .context("a source that is not listed")?;
        let other = Generator::new(sources, OTHER_PORT, lane.sink.sender)?;
        lane.expect(source, &other, scope.other_port)
            .context("another port")?;
        Ok(lane)
    }

    /// Sends a burst, waits until it has arrived, and checks that all of its
    /// packets were dropped, or that all passed.
    fn expect(&self, source: &Host, generator: &Generator, dropped: bool) -> Result<()> {
        let before = self.counts()?;
        generator.send(source, BURST)?;
        let burst = u64::from(BURST);
        let now = until("a burst to arrive", SOON, || {
            let (drops, passes) = self.counts()?;
            let (drops, passes) = (drops - before.0, passes - before.1);
            Ok((drops + passes >= burst).then_some((drops, passes)))
        })?;
        let wanted = if dropped { (burst, 0) } else { (0, burst) };
        ensure!(
            now == wanted,
            "of {BURST} packets {} were dropped and {} passed",
            now.0,
            now.1
        );
        Ok(())
    }

    /// Numbers of packets dropped and passed so far.
    fn counts(&self) -> Result<(u64, u64)> {
        Ok(((self.drops)(&self.sink.host)?, self.sink.segments()?))
    }

    /// Saturates the lane for `length` before the measurement.
    ///
    /// # Errors
    ///
    /// A system call failed.
    pub fn warm_up(&self, source: &Host, cores: Cores, length: Duration) -> Result<()> {
        self.listed
            .saturate(source, cores.generator, length)
            .map(drop)
    }

    /// Saturates the lane for `length`, and measures the drops. The receiver shares its core
    /// with a busy loop, so that the generator is faster than the receiver.
    ///
    /// # Errors
    ///
    /// A packet passed, or a system call failed.
    pub fn shoot(&self, source: &Host, cores: Cores, length: Duration) -> Result<Shot> {
        let (before, start) = (self.counts()?, self.receiver.cpu_time()?);
        let clock = Instant::now();
        let frames = beside_a_rival(cores.receiver, || {
            self.listed.saturate(source, cores.generator, length)
        })?;
        let wall = clock.elapsed().as_secs_f64();
        let busy = self.receiver.cpu_time()? - start;
        let after = self.counts()?;
        let (dropped, passed) = (after.0 - before.0, after.1 - before.1);
        ensure!(passed == 0, "{passed} of {dropped} packets passed");
        Ok(Shot {
            rate: dropped as f64 / busy,
            overflow: 1.0 - dropped as f64 / frames as f64,
            share: busy / wall,
        })
    }
}

/// Does a job while a busy loop takes most of a core.
fn beside_a_rival<T>(cpu: usize, job: impl FnOnce() -> Result<T>) -> Result<T> {
    let is_over = AtomicBool::new(false);
    let rival = || {
        bind(None, cpu)?;
        while !is_over.load(Relaxed) {
            hint::spin_loop();
        }
        Ok(())
    };
    thread::scope(|scope| {
        let rival = thread::Builder::new()
            .spawn_scoped(scope, rival)
            .context("cannot start a thread")?;
        let done = job();
        is_over.store(true, Relaxed);
        let ended: Result<()> = rival.join().unwrap_or(Ok(()));
        ended.and(done)
    })
}
