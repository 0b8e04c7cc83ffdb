//! The listening sockets to which the kernel steers connections of listed
//! senders.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Maximum number of connections that wait to be accepted; the kernel's own
/// limit (`net.core.somaxconn`) may be lower.
const BACKLOG: i32 = 4096;
/// Socket buffer size in bytes. It is small because a session transfers little,
/// and its peer may be slow or hostile.
const BUFFER: usize = 16 * 1024;
/// Descriptors that the rest of the process needs: up to 768 for look-ups, and
/// those for logs and databases.
const OTHERS: u64 = 1_280;

/// Opens sockets on the loopback interface: one for IPv4, and one for IPv6 if
/// the machine has it. The kernel chooses the ports; a steered connection keeps
/// its original port.
///
/// # Errors
///
/// The kernel refuses the IPv4 socket.
pub fn listen() -> io::Result<Vec<TcpListener>> {
    let mut listeners = vec![bind((Ipv4Addr::LOCALHOST, 0).into())?];
    match bind((Ipv6Addr::LOCALHOST, 0).into()) {
        Ok(listener) => listeners.push(listener),
        Err(error) => {
            log::info!(target: "spamdrop::answer", "no IPv6 on the loopback interface ({error}), so the mail server answers listed IPv6 senders")
        }
    }
    Ok(listeners)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Accepted sockets inherit these options. Theirs is the mail server's port: without
    // SO_REUSEADDR, the server could not bind to it again while one of them exists or is
    // in TIME-WAIT.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_recv_buffer_size(&socket, BUFFER)?;
    sockopt::set_socket_send_buffer_size(&socket, BUFFER)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Raises the process's limit of open files, so that it suffices for `connections`
/// beside the other descriptors. Returns the number of connections for which the limit
/// suffices.
#[must_use]
pub fn make_room(connections: usize) -> usize {
    let wanted = OTHERS + connections as u64;
    let old = getrlimit(Resource::Nofile);
    if old.current.is_some_and(|current| current < wanted) {
        let hard = old.maximum.map(|hard| hard.max(wanted));
        // Raising the hard limit needs a privilege.
        for maximum in [hard, old.maximum] {
            let current = Some(maximum.map_or(wanted, |hard| hard.min(wanted)));
            if setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok() {
                break;
            }
        }
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = allowed.saturating_sub(OTHERS);
    usize::try_from(room).unwrap_or(usize::MAX).min(connections)
}
