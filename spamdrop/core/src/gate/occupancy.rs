//! The number of slots of the mail server in use.

/// One sample of the sockets of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Connections that a server process holds or that wait for a process.
    pub open: u32,
    /// The part of `open` that waits to be accepted.
    pub waiting: u32,
    /// The part of `open` that did not exist in the sample before, without the
    /// responder's connections.
    pub opened: u32,
    /// Handshakes that began a moment ago and may still be completed.
    pub pending: u32,
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
            opened: self.opened.max(other.opened),
            pending: self.pending.max(other.pending),
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
            opened: 2,
            pending: 1,
            listeners: 1,
        };
        assert_eq!(seen.without(2), Occupancy { open: 1, ..seen });
        assert_eq!(seen.without(4).open, 0);
    }

    #[test]
    fn the_maximum_is_that_of_each_field() {
        let first = Occupancy {
            open: 9,
            waiting: 0,
            opened: 7,
            pending: 0,
            listeners: 2,
        };
        let second = Occupancy {
            open: 3,
            waiting: 4,
            opened: 2,
            pending: 8,
            listeners: 1,
        };
        let expected = Occupancy {
            waiting: 4,
            pending: 8,
            ..first
        };
        assert_eq!(first.max(second), expected);
        assert_eq!(second.max(first), expected);
    }
}
