//! The traffic: TCP SYNs from random sources, as live frames of a test run.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aya::programs::{TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, TestRun as _};
use spamdrop_lab::Host;
use spamdrop_lab::frame::{ACK, FrameSpec, tcp_frame};

#[path = "../../ebpf/src/scatter.rs"]
mod scatter;

use scatter::scatter;

use super::OBJECT;
use crate::machine::pin;

/// The destination of [`syn`] and [`data`].
pub const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The destination's MAC address that [`tcp_frame`] writes.
pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// A source that is not blocked.
pub const CLEAN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The first blocked source. All of them are in 10.0.0.0/8.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 0);
/// The first source of a flood. All of them are in [`FORGED_NETWORK`].
pub const FIRST_FORGED: Ipv4Addr = Ipv4Addr::new(11, 0, 0, 0);
/// The network of the sources of a flood. No host has an address of it.
pub const FORGED_NETWORK: &str = "11.0.0.0/8";

/// Time between two bursts of a stream.
const INTERVAL: Duration = Duration::from_millis(5);
/// Frames per system call while saturating.
const CHUNK: u32 = 1 << 20;
/// Number of frames that the kernel builds before it sends them, as a driver
/// would.
const BATCH: u32 = 64;

/// Source addresses, which [`scatter()`] spreads over the 2^24 addresses from `first`.
#[derive(Clone, Copy, Debug)]
pub struct Sources {
    first: Ipv4Addr,
    number: u32,
}

impl Sources {
    /// The sources to be blocked; `number` is a power of two, at most 2^24.
    #[must_use]
    pub const fn listed(number: u32) -> Self {
        Self {
            first: FIRST,
            number,
        }
    }

    /// The sources of a flood, in [`FORGED_NETWORK`].
    #[must_use]
    pub const fn forged() -> Self {
        Self {
            first: FIRST_FORGED,
            number: 1 << 17,
        }
    }

    /// A single source that is not blocked.
    #[must_use]
    pub const fn clean() -> Self {
        Self {
            first: CLEAN,
            number: 1,
        }
    }

    /// The number of sources.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.number
    }

    /// Iterates over the sources.
    pub fn each(self) -> impl Iterator<Item = Ipv4Addr> {
        let first = u32::from(self.first);
        (0..self.number).map(move |at| Ipv4Addr::from(first + scatter(at)))
    }
}

/// A SYN to `port` of the server.
#[must_use]
pub fn syn(source: Ipv4Addr, port: u16) -> Vec<u8> {
    tcp_frame(&FrameSpec {
        dport: port,
        ..FrameSpec::syn(source.into(), SERVER.into())
    })
}

/// A segment of a connection to `port` of the server.
#[must_use]
pub fn data(source: Ipv4Addr, port: u16) -> Vec<u8> {
    tcp_frame(&FrameSpec {
        dport: port,
        flags: ACK,
        ..FrameSpec::syn(source.into(), SERVER.into())
    })
}

/// Sends frames from random sources to one interface.
pub struct Generator {
    object: Arc<Ebpf>,
    frame: Vec<u8>,
}

impl Generator {
    /// Loads a generator of SYNs to `port`.
    ///
    /// # Errors
    ///
    /// The kernel refuses it.
    pub fn new(sources: Sources, port: u16, interface: u32) -> Result<Self> {
        Self::with_frame(sources, syn(sources.first, port), interface)
    }

    /// Loads a generator of frames like this one, in which only the source
    /// differs.
    ///
    /// # Errors
    ///
    /// The kernel refuses it.
    pub fn with_frame(sources: Sources, frame: Vec<u8>, interface: u32) -> Result<Self> {
        let mut object = EbpfLoader::new()
            .override_global("INTERFACE", &interface, true)
            .override_global("FIRST", &u32::from(sources.first), true)
            .override_global("MASK", &(sources.number - 1), true)
            .load(OBJECT)?;
        let program: &mut Xdp = object
            .program_mut(PROGRAM)
            .context("the object holds no generator")?
            .try_into()?;
        program.load()?;
        Ok(Self {
            object: Arc::new(object),
            frame,
        })
    }

    /// Sends this number of frames.
    ///
    /// # Errors
    ///
    /// A system call failed.
    pub fn send(&self, source: &Host, frames: u32) -> Result<()> {
        let (object, frame) = (Arc::clone(&self.object), self.frame.clone());
        source.run(move || run(&object, &frame, frames))
    }

    /// Sends this number of frames per second, on one core, until `stop`
    /// disconnects. Returns the number of frames.
    ///
    /// # Errors
    ///
    /// A system call failed.
    pub fn stream(
        &self,
        source: &Host,
        cpu: usize,
        per_second: u32,
        stop: &Receiver<()>,
    ) -> Result<u64> {
        source.run(move || pin(None, cpu))?;
        let start = Instant::now();
        let mut frames = 0;
        // Between two bursts, the host's thread is free for clients that connect.
        while stop.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let due = start.elapsed().as_secs_f64() * f64::from(per_second);
            // A burst is limited, so that a machine that is too slow sends less.
            let now = (due as u64).saturating_sub(frames);
            let now = now.min((per_second / 10).into());
            if now > 0 {
                self.send(source, now as u32)?;
                frames += now;
            }
        }
        Ok(frames)
    }

    /// Sends at the maximum rate of one core for about `length`. Returns the
    /// number of frames, including those that found the receiver's queue full.
    ///
    /// # Errors
    ///
    /// A system call failed.
    pub fn saturate(&self, source: &Host, cpu: usize, length: Duration) -> Result<u64> {
        let (object, frame) = (Arc::clone(&self.object), self.frame.clone());
        source.run(move || {
            pin(None, cpu)?;
            let start = Instant::now();
            let mut frames = 0;
            while start.elapsed() < length {
                run(&object, &frame, CHUNK)?;
                frames += u64::from(CHUNK);
            }
            Ok(frames)
        })
    }
}

const PROGRAM: &str = "generate";

fn run(object: &Ebpf, frame: &[u8], frames: u32) -> Result<()> {
    let program = object.program(PROGRAM).context("no generator")?;
    let program: &Xdp = program.try_into()?;
    program.test_run(TestRunOptions {
        data_in: Some(frame),
        repeat: frames,
        attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
        ..TestRunOptions::new()
    })?;
    Ok(())
}
