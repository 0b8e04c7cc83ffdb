//! The kernel interface: programs, maps, netlink. No other module uses aya,
//! netlink, libc or unsafe code.

#![allow(unsafe_code, reason = "the rest of the crate denies it")]

pub mod attach;
pub mod blocklist;
mod bpf;
pub mod cpus;
pub mod files;
pub mod inotify;
mod mapped_array;
mod netlink;
pub mod network;
pub mod occupancy;
pub mod owner;
pub mod packet_log;
pub mod privileges;
pub mod sockets;
pub mod syscalls;
mod ticks;
