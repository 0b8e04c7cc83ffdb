//! The TCP sockets of this network namespace, by sock_diag.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;

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
