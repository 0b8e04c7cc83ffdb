//! The occupancy of the server.

use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::host::Host;
use crate::smtpd::Smtpd;

/// Time between two samples.
const INTERVAL: Duration = Duration::from_millis(100);
/// Port 25, as `/proc/net/tcp` writes it.
const PORT: &str = ":0019";
/// States of sockets, as `/proc/net/tcp` writes them.
const LISTEN: &str = "0A";
const ESTABLISHED: &str = "01";
const CLOSE_WAIT: &str = "08";

/// A sample of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Time since the first sample.
    pub at: Duration,
    /// Sessions that the server runs, even if their connections have ended.
    pub slots: usize,
    /// Connections that wait to be accepted.
    pub queue: usize,
    /// Connections in the kernel's tables that are open, or that only the peer has
    /// closed.
    pub connections: usize,
}

impl Occupancy {
    /// Sessions and waiting connections of the server.
    #[must_use]
    pub fn open(&self) -> usize {
        self.slots + self.queue
    }

    /// A lower bound of the connections that the server does not hold, because
    /// the responder has them.
    #[must_use]
    pub fn aside(&self) -> usize {
        self.connections.saturating_sub(self.open())
    }
}

/// Takes ten samples a second until the other end of `stop` is dropped.
///
/// # Errors
///
/// `/proc` cannot be read, or there is no listener on port 25.
pub fn watch(server: &Host, smtpd: &Smtpd, stop: &Receiver<()>) -> Result<Vec<Occupancy>> {
    // The IPv4 connections of a dual-stack listener are in the IPv6 table.
    let table = |name| {
        let path = format!("/proc/{}/net/{name}", server.tid());
        fs::read_to_string(&path).context(path)
    };
    let start = Instant::now();
    let mut seen = Vec::new();
    loop {
        let (queue, connections) = sockets(&(table("tcp6")? + &table("tcp")?))?;
        seen.push(Occupancy {
            at: start.elapsed(),
            slots: smtpd.sessions()?,
            queue,
            connections,
        });
        let looks = u32::try_from(seen.len())?;
        let pause = (INTERVAL * looks).saturating_sub(start.elapsed());
        if stop.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return Ok(seen);
        }
    }
}

/// Counts the connections of port 25: those that wait to be accepted, and all that are
/// open or that only the peer has closed.
fn sockets(table: &str) -> Result<(usize, usize)> {
    let mut queue = None;
    let mut connections = 0;
    for line in table.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (local, state) = (fields.nth(1), fields.nth(1));
        if !local.is_some_and(|local| local.ends_with(PORT)) {
            continue;
        }
        match state {
            Some(LISTEN) => {
                let queues = fields.next().and_then(|queues| queues.split_once(':'));
                let (_, receive) = queues.context("no queues in /proc/net/tcp")?;
                queue = Some(usize::from_str_radix(receive, 16)?);
            }
            Some(ESTABLISHED | CLOSE_WAIT) => connections += 1,
            _ => {}
        }
    }
    match queue {
        Some(queue) => Ok((queue, connections)),
        None => bail!("nobody listens on port 25"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_and_the_connections_are_read() {
        let table = "  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt\n   \
            0: 00000000:0016 00000000:0000 0A 00000000:00000007 00:00000000 00000000\n   \
            1: 00000000:0019 00000000:0000 0A 00000000:00000081 00:00000000 00000000\n   \
            2: 0000FFFF:0019 0000FFFF:8001 01 00000000:00000000 00:00000000 00000000\n   \
            3: 0000FFFF:0019 0000FFFF:8002 08 00000000:00000000 00:00000000 00000000\n   \
            4: 0000FFFF:0019 0000FFFF:8003 06 00000000:00000000 00:00000000 00000000\n   \
            5: 0000FFFF:8001 0000FFFF:0019 01 00000000:00000000 00:00000000 00000000\n";
        assert_eq!(sockets(table).ok(), Some((129, 2)));
        assert!(sockets("").is_err());
    }
}
