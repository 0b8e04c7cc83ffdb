//! The number of taken slots of the mail server.

/// One sample of the sockets of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Connections that a server process holds, that wait for a process, or
    /// that are being established.
    pub open: u32,
    /// The part of `open` that waits to be accepted.
    pub waiting: u32,
    /// SYNs whose SYN-ACK was sent again because no ACK came back. Most are
    /// forged.
    pub unanswered: u32,
    /// Sockets that listen on the port.
    pub listeners: u32,
}

impl Occupancy {
    /// The maximum of each field.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            open: self.open.max(other.open),
            waiting: self.waiting.max(other.waiting),
            unanswered: self.unanswered.max(other.unanswered),
            listeners: self.listeners.max(other.listeners),
        }
    }

    /// Subtracts the connections that the responder holds or that wait for it,
    /// because they take no slot. Connections of the responder that are still
    /// being established were not counted in the first place.
    #[must_use]
    pub fn without(self, connections: usize) -> Self {
        let connections = u32::try_from(connections).unwrap_or(u32::MAX);
        Self {
            open: self.open.saturating_sub(connections),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_responders_connections_take_no_slot() {
        let seen = Occupancy {
            open: 3,
            waiting: 9,
            unanswered: 1,
            listeners: 1,
        };
        assert_eq!(seen.without(2), Occupancy { open: 1, ..seen });
        assert_eq!(seen.without(4).open, 0);
    }
}
