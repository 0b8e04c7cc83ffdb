//! The driver's own explanation of a refusal, which `bpf(2)` does not return.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::kernel::bpf::{IF_NONE, NATIVE, REPLACE};
use crate::kernel::netlink::{self, NetlinkRefusal};

/// Repeats a refused native attachment by netlink. Returns the driver's
/// explanation of the refusal, if there is one. If netlink attaches the program,
/// it is detached at once, because only an attachment by a link can be pinned.
///
/// # Errors
///
/// The program was attached and cannot be detached.
pub(super) fn explanation(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<Option<String>> {
    let fd = program.as_raw_fd();
    match set(
        ifindex,
        vec![LinkXdp::Fd(fd), LinkXdp::Flags(NATIVE | IF_NONE)],
    ) {
        Err(refusal) => Ok(refusal.words),
        Ok(()) => take_off(fd, ifindex).map(|()| None),
    }
}

/// Detaches this program, and no other that was attached in the meantime.
fn take_off(program: i32, ifindex: u32) -> io::Result<()> {
    let attributes = vec![
        LinkXdp::Fd(-1),
        LinkXdp::Flags(NATIVE | REPLACE),
        LinkXdp::ExpectedFd(program.unsigned_abs()),
    ];
    set(ifindex, attributes).map_err(|refusal| refusal.error)
}

fn set(ifindex: u32, attributes: Vec<LinkXdp>) -> Result<(), NetlinkRefusal> {
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    message.attributes = vec![LinkAttribute::Xdp(attributes)];
    netlink::command(NETLINK_ROUTE, RouteNetlinkMessage::SetLink(message))
}
