//! How many of the mail server's slots are taken.

/// One look at the sockets of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Connections that a server process holds or that wait for one, and those
    /// that are about to be.
    pub open: u32,
    /// Connections of these that wait to be accepted.
    pub waiting: u32,
    /// SYNs whose answer was sent again because none came back: mostly false
    /// senders.
    pub unanswered: u32,
}

impl Occupancy {
    /// The most of both.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            open: self.open.max(other.open),
            waiting: self.waiting.max(other.waiting),
            unanswered: self.unanswered.max(other.unanswered),
        }
    }

    /// Without so many connections that the responder holds, or that wait for
    /// it: they take no slot. Those that are still being made were not
    /// counted in the first place.
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
        };
        assert_eq!(seen.without(2), Occupancy { open: 1, ..seen });
        assert_eq!(seen.without(4).open, 0);
    }
}
