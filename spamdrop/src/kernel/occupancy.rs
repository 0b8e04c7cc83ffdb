//! Counts the connections that occupy the mail server's slots.

use std::fs;
use std::io;
use std::net::IpAddr;

use netlink_packet_sock_diag::constants::{
    TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_RECV,
};
use netlink_packet_sock_diag::inet::{InetResponseHeader, StateFlags, Timer};

use spamdrop_core::gate::Occupancy;

use super::sockets;
use spamdrop_core::nat64::canonical;

/// Counts the connections to a local port. `is_answered`: whether a peer's
/// connections that are not yet established belong to the responder, and so
/// take no slot.
pub fn count(port: u16, is_answered: impl Fn(IpAddr) -> bool) -> io::Result<Occupancy> {
    let states = StateFlags::LISTEN
        | StateFlags::SYN_RECV
        | StateFlags::ESTABLISHED
        | StateFlags::CLOSE_WAIT;
    let mut seen = Occupancy::default();
    for socket in sockets::dump(port, &states)? {
        let opening = socket.state == TCP_SYN_RECV;
        if !(opening && is_answered(canonical(socket.socket_id.destination_address))) {
            add(&mut seen, &socket);
        }
    }
    Ok(seen)
}

/// Number of connections that this network namespace has accepted, on any port.
pub fn accepted() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/snmp")?;
    passive_opens(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// `PassiveOpens` of the line `Tcp:` with numbers, which follows that with
/// names.
fn passive_opens(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let mut fields = lines.next()?.split(' ').zip(lines.next()?.split(' '));
    let (_, number) = fields.find(|(name, _)| *name == "PassiveOpens")?;
    number.parse().ok()
}

/// Adds a socket to the counts. A connection that the peer has closed still
/// holds its slot until the process notices. One that the process has closed
/// itself holds none.
fn add(seen: &mut Occupancy, socket: &InetResponseHeader) {
    match socket.state {
        TCP_LISTEN => {
            seen.waiting += socket.recv_queue;
            seen.listeners += 1;
        }
        TCP_ESTABLISHED | TCP_CLOSE_WAIT => seen.open += 1,
        TCP_SYN_RECV => match socket.timer {
            Some(Timer::Retransmit(_, sent_again)) if sent_again > 0 => seen.unanswered += 1,
            _ => seen.open += 1,
        },
        _ => {}
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
            add(
                &mut seen,
                &InetResponseHeader {
                    family: AF_INET,
                    state,
                    timer,
                    socket_id: SocketId::new_v4(),
                    recv_queue,
                    send_queue: 0,
                    uid: 0,
                    inode: 0,
                },
            );
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
    fn what_takes_a_slot() {
        let answer = |again| Some(Timer::Retransmit(std::time::Duration::ZERO, again));
        let all = seen(&[
            (TCP_LISTEN, None, 7),
            (TCP_LISTEN, None, 2),
            (TCP_ESTABLISHED, None, 100),
            (TCP_CLOSE_WAIT, None, 0),
            (TCP_SYN_RECV, answer(0), 0),
            (TCP_SYN_RECV, answer(1), 0),
            // FIN_WAIT2 stands for the states that take no slot.
            (5, None, 0),
        ]);
        let expected = Occupancy {
            open: 3,
            waiting: 9,
            unanswered: 1,
            listeners: 2,
        };
        assert_eq!(all, expected);
    }
}
