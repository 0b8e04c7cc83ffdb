//! A flood of SYNs whose senders never existed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use fastrand::Rng;
use socket2::{Domain, Protocol, Socket, Type};

use crate::frame::{FrameSpec, tcp_frame};
use crate::host::Host;
use crate::site::{SERVER4, Site};

/// Nobody has these addresses, so the server's answers are lost.
const NOWHERE: &str = "198.18.0.0/15";
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const ADDRESSES: u32 = 1 << 17;
/// IPPROTO_RAW: what is sent begins with its IP header.
const RAW: i32 = 255;
/// Before the IP header.
const ETHERNET: usize = 14;
/// Where the IP header holds the time to live; the kernel corrects the sum.
const TTL: usize = 8;
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
        let route = ["ip", "route", "replace", NOWHERE, "via", "198.51.100.1"];
        site.server.exec(route)?;
        let socket = raw_socket(&site.world).context("a raw socket")?;
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut random = Rng::with_seed(per_second.into());
            let start = Instant::now();
            let mut sent = 0;
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let due = start.elapsed().as_secs_f64() * f64::from(per_second);
                while (sent as f64) < due {
                    send(&socket, &mut random)?;
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

fn raw_socket(world: &Host) -> io::Result<Socket> {
    world.run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW))))
}

fn send(socket: &Socket, random: &mut Rng) -> io::Result<()> {
    let source = Ipv4Addr::from_bits(FIRST.to_bits() + random.u32(..ADDRESSES));
    let mut syn = tcp_frame(&FrameSpec {
        sport: random.u16(1024..),
        ..FrameSpec::syn(source.into(), SERVER4.into())
    })
    .split_off(ETHERNET);
    if let Some(ttl) = syn.get_mut(TTL) {
        *ttl = if random.bool() { 64 } else { 128 };
    }
    let dest = SocketAddr::from((SERVER4, 0));
    socket.send_to(&syn, &dest.into()).map(drop)
}
