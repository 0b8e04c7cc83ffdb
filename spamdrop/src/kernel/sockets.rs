//! The TCP sockets of this network namespace, by sock_diag.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NetlinkSerializable,
    Parseable as _,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags,
};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use rustix::io::Errno;

use crate::kernel::netlink;
use spamdrop_core::nat64::canonical;

/// A connection to one of the watched ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The peer's address; IPv4 if it is IPv4-mapped or behind NAT64.
    pub peer: IpAddr,
    /// The socket's inode, by which its owners are found. It is 0 while the
    /// connection waits to be accepted, and after its owner has closed it.
    pub inode: u32,
    family: u8,
    id: SocketId,
}

/// The connections to these local ports, in any state in which a packet of the
/// peer or an action of a process still has an effect (not listening, not in
/// TIME_WAIT).
pub fn connections(ports: &[u16]) -> io::Result<Vec<Socket>> {
    let states = StateFlags::all() - StateFlags::LISTEN - StateFlags::TIME_WAIT - StateFlags::CLOSE;
    let mut found = Vec::new();
    for &port in ports {
        for header in dump(port, &states)? {
            found.push(Socket {
                peer: canonical(header.socket_id.destination_address),
                inode: header.inode,
                family: header.family,
                id: header.socket_id,
            });
        }
    }
    Ok(found)
}

/// The inodes of all listening sockets.
pub fn listeners() -> io::Result<HashSet<u64>> {
    Ok(listening(0)?
        .iter()
        .map(|header| header.inode.into())
        .collect())
}

/// Whether any socket listens on this port.
pub fn is_listening(port: u16) -> io::Result<bool> {
    Ok(!listening(port)?.is_empty())
}

/// The number of connections that wait to be accepted on this port.
pub fn waiting(port: u16) -> io::Result<usize> {
    let listeners = listening(port)?;
    Ok(listeners
        .iter()
        .map(|header| header.recv_queue as usize)
        .sum())
}

fn listening(port: u16) -> io::Result<Vec<InetResponseHeader>> {
    dump(port, &StateFlags::LISTEN)
}

/// The sockets of a local port in the given states, in both families; port 0
/// means any port. A dual-stack listener's IPv4 peers appear only among the
/// IPv6 sockets.
pub fn dump(port: u16, states: &StateFlags) -> io::Result<Vec<InetResponseHeader>> {
    dump_at_once(port, states).or_else(|error| {
        // A kernel may refuse the older request that lists both families.
        log::debug!("cannot list the sockets of both families at once: {error}");
        dump_each_family(port, states)
    })
}

/// As [`dump`]. The kernel walks its table of connections once.
fn dump_at_once(port: u16, states: &StateFlags) -> io::Result<Vec<InetResponseHeader>> {
    let request = BothFamilies::Request {
        port,
        states: states.bits(),
    };
    let answers = netlink::dump(NETLINK_SOCK_DIAG, request)?.into_iter();
    let sockets = answers.filter_map(|answer| match answer {
        BothFamilies::Socket(header) => Some(header),
        BothFamilies::Request { .. } => None,
    });
    Ok(sockets.collect())
}

/// As [`dump`]. The kernel walks its table of connections once for each family.
fn dump_each_family(port: u16, states: &StateFlags) -> io::Result<Vec<InetResponseHeader>> {
    let mut found = Vec::new();
    for (family, any) in [
        (AF_INET, SocketId::new_v4()),
        (AF_INET6, SocketId::new_v6()),
    ] {
        let id = SocketId {
            source_port: port,
            ..any
        };
        let request = request(family, states.clone(), id);
        for answer in netlink::dump(NETLINK_SOCK_DIAG, request)? {
            if let SockDiagMessage::InetResponse(response) = answer {
                found.push(response.header);
            }
        }
    }
    Ok(found)
}

/// A message of the request that `SOCK_DIAG_BY_FAMILY` has superseded. The request lists
/// the sockets of both families.
enum BothFamilies {
    Request { port: u16, states: u32 },
    Socket(InetResponseHeader),
}

/// The type of the request, in linux/inet_diag.h.
const TCPDIAG_GETSOCK: u16 = 18;
/// The size of `struct inet_diag_req`.
const REQUEST_LEN: usize = 60;
/// The offset of the local port, in network byte order.
const PORT_AT: usize = 4;
/// The offset of the states.
const STATES_AT: usize = 52;

impl NetlinkSerializable for BothFamilies {
    fn message_type(&self) -> u16 {
        TCPDIAG_GETSOCK
    }

    fn buffer_len(&self) -> usize {
        REQUEST_LEN
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.fill(0);
        if let Self::Request { port, states } = self {
            buffer[PORT_AT..][..2].copy_from_slice(&port.to_be_bytes());
            buffer[STATES_AT..][..4].copy_from_slice(&states.to_ne_bytes());
        }
    }
}

impl NetlinkDeserializable for BothFamilies {
    type Error = DecodeError;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        InetResponseHeader::parse(payload).map(Self::Socket)
    }
}

impl From<BothFamilies> for NetlinkPayload<BothFamilies> {
    fn from(message: BothFamilies) -> Self {
        Self::InnerMessage(message)
    }
}

/// Destroys a connection: the owner's next call fails with ECONNABORTED, and
/// the peer receives a reset. A connection that is already gone is not an
/// error. The socket's cookie protects a later socket with the same addresses.
///
/// # Errors
///
/// [`Errno::OPNOTSUPP`] if the kernel was built without
/// `CONFIG_INET_DIAG_DESTROY`.
pub fn destroy(socket: &Socket) -> io::Result<()> {
    let request = request(socket.family, StateFlags::all(), socket.id.clone());
    match netlink::command(NETLINK_SOCK_DIAG, SockDiagDestroy::new(request)) {
        Err(refusal) if Errno::from_io_error(&refusal.error) == Some(Errno::NOENT) => Ok(()),
        result => result.map_err(|refusal| refusal.error),
    }
}

fn request(family: u8, states: StateFlags, socket_id: SocketId) -> SockDiagMessage {
    SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states,
        socket_id,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    use netlink_packet_sock_diag::constants::{TCP_ESTABLISHED, TCP_SYN_RECV};

    use super::*;

    /// Listens at a port of both families, with a connection in each.
    fn server() -> (u16, Vec<TcpListener>, Vec<TcpStream>) {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let second = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).unwrap();
        let connect = |listener: &TcpListener| {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            [client, listener.accept().unwrap().0]
        };
        let listeners = vec![first, second];
        let connections = listeners.iter().flat_map(connect).collect();
        (port, listeners, connections)
    }

    /// Lets connections of this listener wait in SYN_RECV until the peer sends
    /// data.
    fn defer_accept(listener: &TcpListener) {
        let seconds: libc::c_int = 60;
        // SAFETY: the value is an `int` that outlives the call.
        let result = unsafe {
            libc::setsockopt(
                listener.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_DEFER_ACCEPT,
                (&raw const seconds).cast(),
                size_of_val(&seconds) as libc::socklen_t,
            )
        };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }

    fn sorted(found: Vec<InetResponseHeader>) -> Vec<(u8, u8, SocketAddr, [u8; 8])> {
        let mut found: Vec<_> = found
            .into_iter()
            .map(|header| {
                let id = header.socket_id;
                let peer = SocketAddr::new(id.destination_address, id.destination_port);
                (header.family, header.state, peer, id.cookie)
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn both_requests_find_the_same_sockets() {
        let (port, _listeners, connections) = server();
        let states = StateFlags::LISTEN | StateFlags::ESTABLISHED;
        let at_once = sorted(dump_at_once(port, &states).unwrap());
        assert_eq!(at_once.len(), 4);
        let clients = connections.iter().step_by(2);
        for client in clients.map(|client| client.local_addr().unwrap()) {
            assert!(at_once.iter().any(|(_, _, peer, _)| *peer == client));
        }
        let each = dump_each_family(port, &states).unwrap();
        assert_eq!(sorted(each), at_once);
        let listening = dump_at_once(port, &StateFlags::LISTEN).unwrap();
        assert_eq!(listening.len(), 2);
    }

    #[test]
    fn both_requests_find_ipv4_peers_and_handshakes_of_a_dual_stack_listener() {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let (first, _accepted) = (connect(), listener.accept().unwrap());
        defer_accept(&listener);
        let second = connect();
        let states = StateFlags::SYN_RECV | StateFlags::ESTABLISHED;
        let at_once = sorted(dump_at_once(port, &states).unwrap());
        let mut found: Vec<_> = at_once
            .iter()
            .map(|(_, state, peer, _)| (*state, canonical(peer.ip()), peer.port()))
            .collect();
        let expected =
            [(TCP_ESTABLISHED, &first), (TCP_SYN_RECV, &second)].map(|(state, client)| {
                let client = client.local_addr().unwrap();
                (state, client.ip(), client.port())
            });
        found.sort();
        assert_eq!(found, expected);
        let each = dump_each_family(port, &states).unwrap();
        assert_eq!(sorted(each), at_once);
    }
}
