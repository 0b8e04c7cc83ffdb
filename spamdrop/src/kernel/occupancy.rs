//! Counts the connections that occupy the mail server's slots.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_sock_diag::constants::{
    TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_RECV,
};
use netlink_packet_sock_diag::inet::{InetResponseHeader, StateFlags, Timer};

use spamdrop_core::gate::Occupancy;

use super::sockets;
use spamdrop_core::nat64::canonical;

/// How long a handshake may take. A handshake that takes longer counts as lost, like
/// that of a forged SYN.
const HANDSHAKE: Duration = Duration::from_millis(400);
/// How long the kernel waits for the answer to its first SYN-ACK.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);

/// Counts the connections of a local port again and again.
#[derive(Debug, Default)]
pub struct ConnectionCounter {
    /// The connections of the last count; `None` before the first count.
    known: Option<HashSet<Cookie>>,
}

/// The kernel's number for a socket, which it never gives to another one.
type Cookie = [u8; 8];

impl ConnectionCounter {
    /// Counts the connections of a local port. `is_answered`: whether the
    /// responder receives a peer's new connections, so that they take no slot.
    /// `is_handed_over`: whether postscreen has handed the connection from a peer's
    /// address and port to `smtpd`, so that it takes no slot any more.
    pub fn count(
        &mut self,
        port: u16,
        is_answered: impl Fn(IpAddr) -> bool,
        mut is_handed_over: impl FnMut(IpAddr, u16) -> bool,
    ) -> io::Result<Occupancy> {
        let states = StateFlags::LISTEN
            | StateFlags::SYN_RECV
            | StateFlags::ESTABLISHED
            | StateFlags::CLOSE_WAIT;
        let mut seen = Occupancy::default();
        let mut cookies = HashSet::new();
        for socket in sockets::dump(port, &states)? {
            add(&mut seen, &socket);
            let id = &socket.socket_id;
            let peer = canonical(id.destination_address);
            if is_connection(&socket) && is_handed_over(peer, id.destination_port) {
                seen.open -= 1;
            }
            let is_new = is_connection(&socket) && {
                let cookie = socket.socket_id.cookie;
                cookies.insert(cookie);
                self.known
                    .as_ref()
                    .is_some_and(|known| !known.contains(&cookie))
            };
            let is_meant = is_new || is_pending(&socket);
            if is_meant && !is_answered(peer) {
                seen.opened += u32::from(is_new);
                seen.pending += u32::from(!is_new);
            }
        }
        self.known = Some(cookies);
        Ok(seen)
    }
}

/// Number of connections that this network namespace has accepted, on any port.
pub fn accepted() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/snmp")?;
    passive_opens(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The value of `PassiveOpens`. The first line `Tcp:` has the names of the
/// fields, the second one their values.
fn passive_opens(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let mut fields = lines.next()?.split(' ').zip(lines.next()?.split(' '));
    let (_, number) = fields.find(|(name, _)| *name == "PassiveOpens")?;
    number.parse().ok()
}

/// Adds a socket to the counts.
fn add(seen: &mut Occupancy, socket: &InetResponseHeader) {
    if socket.state == TCP_LISTEN {
        seen.waiting += socket.recv_queue;
        seen.listeners += 1;
    }
    seen.open += u32::from(is_connection(socket));
}

/// Whether the socket takes a slot. A connection that the peer has closed keeps its
/// slot until the process notices. A connection that the process has closed takes none.
fn is_connection(socket: &InetResponseHeader) -> bool {
    matches!(socket.state, TCP_ESTABLISHED | TCP_CLOSE_WAIT)
}

/// Whether the socket is a handshake that began at most [`HANDSHAKE`] ago.
fn is_pending(socket: &InetResponseHeader) -> bool {
    match socket.timer {
        Some(Timer::Retransmit(left, 0)) if socket.state == TCP_SYN_RECV => {
            left + HANDSHAKE >= FIRST_TIMEOUT
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_sock_diag::constants::AF_INET;
    use netlink_packet_sock_diag::inet::SocketId;

    use super::*;

    fn socket(state: u8, timer: Option<Timer>, recv_queue: u32) -> InetResponseHeader {
        InetResponseHeader {
            family: AF_INET,
            state,
            timer,
            socket_id: SocketId::new_v4(),
            recv_queue,
            send_queue: 0,
            uid: 0,
            inode: 0,
        }
    }

    fn seen(sockets: &[(u8, Option<Timer>, u32)]) -> Occupancy {
        let mut seen = Occupancy::default();
        for (state, timer, recv_queue) in sockets.iter().cloned() {
            add(&mut seen, &socket(state, timer, recv_queue));
        }
        seen
    }

    #[test]
    fn accepted_connections_are_read_by_name() {
        let text = "Ip: Forwarding PassiveOpens\nIp: 1 5\nTcp: RtoMin ActiveOpens PassiveOpens\nTcp: 200 3 42\n";
        assert_eq!(passive_opens(text), Some(42));
        assert_eq!(passive_opens("Tcp: PassiveOpens\n"), None);
        assert!(accepted().is_ok());
    }

    #[test]
    fn established_connections_take_a_slot() {
        let all = seen(&[
            (TCP_LISTEN, None, 7),
            (TCP_LISTEN, None, 2),
            (TCP_ESTABLISHED, None, 100),
            (TCP_CLOSE_WAIT, None, 0),
            (TCP_SYN_RECV, None, 0),
            // FIN_WAIT2 stands for the states that take no slot.
            (5, None, 0),
        ]);
        let expected = Occupancy {
            open: 2,
            waiting: 9,
            listeners: 2,
            ..Occupancy::default()
        };
        assert_eq!(all, expected);
    }

    #[test]
    fn a_handshake_is_pending_for_a_moment() {
        let is_pending = |state, left, again| {
            let timer = Timer::Retransmit(Duration::from_millis(left), again);
            is_pending(&socket(state, Some(timer), 0))
        };
        assert!(is_pending(TCP_SYN_RECV, 1_000, 0));
        assert!(is_pending(TCP_SYN_RECV, 600, 0));
        assert!(!is_pending(TCP_SYN_RECV, 599, 0));
        assert!(!is_pending(TCP_SYN_RECV, 1_000, 1));
        assert!(!is_pending(TCP_ESTABLISHED, 1_000, 0));
    }
}
