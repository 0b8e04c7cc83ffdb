//! The number of packets that the kernel retransmitted.

#![expect(unsafe_code, reason = "no crate offers TCP_INFO")]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd};

/// Reads the number of packets that a TCP socket has retransmitted. Before any
/// data was sent, they are SYNs.
///
/// # Errors
///
/// The socket is not a TCP socket.
pub fn retransmissions(socket: impl AsFd) -> io::Result<u32> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).unwrap_or(0);
    // SAFETY: the kernel writes at most `length` bytes, the size of `info`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the type consists of integers, and the value was zeroed before.
    Ok(unsafe { info.assume_init() }.tcpi_total_retrans)
}
