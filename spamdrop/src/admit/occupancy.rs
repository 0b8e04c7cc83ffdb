//! The connections that take the mail server's slots.

use std::io;
use std::net::IpAddr;

use netlink_packet_sock_diag::constants::{
    TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_RECV,
};
use netlink_packet_sock_diag::inet::{InetResponseHeader, StateFlags, Timer};

use crate::release::sockets;

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

/// Counts the connections to a local port. `is_answered`: whether those of a
/// peer that are still being made are the responder's, and take no slot.
///
/// # Errors
///
/// The kernel does not answer.
pub fn count(port: u16, is_answered: impl Fn(IpAddr) -> bool) -> io::Result<Occupancy> {
    let states = StateFlags::LISTEN
        | StateFlags::SYN_RECV
        | StateFlags::ESTABLISHED
        | StateFlags::CLOSE_WAIT;
    let mut seen = Occupancy::default();
    for socket in sockets::dump(port, &states)? {
        let opening = socket.state == TCP_SYN_RECV;
        if !(opening && is_answered(socket.socket_id.destination_address.to_canonical())) {
            seen.add(&socket);
        }
    }
    Ok(seen)
}

impl Occupancy {
    /// A process whose peer has closed still has to find out; one that has
    /// closed itself is free.
    fn add(&mut self, socket: &InetResponseHeader) {
        match socket.state {
            TCP_LISTEN => self.waiting += socket.recv_queue,
            TCP_ESTABLISHED | TCP_CLOSE_WAIT => self.open += 1,
            TCP_SYN_RECV => match socket.timer {
                Some(Timer::Retransmit(_, sent_again)) if sent_again > 0 => self.unanswered += 1,
                _ => self.open += 1,
            },
            _ => {}
        }
    }

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
    /// it: they take no slot. Those that are still being made are told by
    /// [`count`].
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
    use netlink_packet_sock_diag::constants::AF_INET;
    use netlink_packet_sock_diag::inet::SocketId;

    use super::*;

    fn seen(sockets: &[(u8, Option<Timer>, u32)]) -> Occupancy {
        let mut seen = Occupancy::default();
        for (state, timer, recv_queue) in sockets.iter().cloned() {
            seen.add(&InetResponseHeader {
                family: AF_INET,
                state,
                timer,
                socket_id: SocketId::new_v4(),
                recv_queue,
                send_queue: 0,
                uid: 0,
                inode: 0,
            });
        }
        seen
    }

    #[test]
    fn what_takes_a_slot() {
        let answer = |again| Some(Timer::Retransmit(std::time::Duration::ZERO, again));
        let all = seen(&[
            (TCP_LISTEN, None, 7),
            (TCP_LISTEN, None, 2),
            (TCP_ESTABLISHED, None, 100),
            (TCP_CLOSE_WAIT, None, 0),
            (TCP_SYN_RECV, answer(0), 0),
            (TCP_SYN_RECV, answer(1), 0),
            // FIN_WAIT2, as an example of those that do not.
            (5, None, 0),
        ]);
        let expected = Occupancy {
            open: 3,
            waiting: 9,
            unanswered: 1,
        };
        assert_eq!(all, expected);
        assert_eq!(
            all.without(2),
            Occupancy {
                open: 1,
                ..expected
            }
        );
        assert_eq!(all.without(4).open, 0);
    }
}
