//! The kernel: programs, maps, netlink. The only module that knows aya, netlink
//! and unsafe code.

pub mod attach;
pub mod blocklist;
mod bpf;
mod netlink;
pub mod network;
pub mod occupancy;
pub mod owner;
pub mod packet_log;
pub mod sockets;
