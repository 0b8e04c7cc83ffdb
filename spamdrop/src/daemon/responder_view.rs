//! The gate's view of the responder.

use std::io;

use crate::kernel::sockets;
use crate::responder::ResponderMeter;

/// The responder's state as far as the gate needs it.
#[derive(Clone)]
pub(super) struct ResponderView {
    /// The address families in which the responder has a socket, as bits of
    /// `Gate::responders`.
    pub families: u32,
    meter: ResponderMeter,
}

impl ResponderView {
    pub fn new(families: u32, meter: ResponderMeter) -> Self {
        Self { families, meter }
    }

    /// Counts the responder's connections that are also sockets of the watched
    /// port: accepted and not closed yet, or waiting to be accepted.
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
