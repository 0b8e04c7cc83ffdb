//! What the gate sees of the responder.

use std::io;

use crate::kernel::sockets;
use crate::responder::Meter;

/// What the gate has to know of the responder.
#[derive(Clone)]
pub(super) struct ResponderView {
    /// The families in which it has a socket, as the gate's `responders`.
    pub families: u32,
    meter: Meter,
}

impl ResponderView {
    pub fn new(families: u32, meter: Meter) -> Self {
        Self { families, meter }
    }

    /// Its connections, which are sockets of the watched port, too: accepted
    /// and not closed yet, or waiting to be accepted.
    pub fn connections(&self) -> usize {
        let ports = self.meter.ports().iter();
        let waiting: io::Result<usize> = ports.map(|port| sockets::waiting(*port)).sum();
        let waiting = waiting.unwrap_or_else(|error| {
            log::debug!(target: "spamdrop::responder", "cannot list the listening sockets: {error}");
            0
        });
        let counts = self.meter.counts();
        counts.connections - counts.leaving + waiting
    }
}
