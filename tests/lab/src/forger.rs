//! SYNs with forged source addresses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::frame::{FrameSpec, tcp_frame};
use crate::site::{SERVER4, Site};

/// No host has these addresses, so the server's answers are lost.
const NOWHERE: &str = "198.18.0.0/15";
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// The number of forged addresses.
pub const ADDRESSES: u32 = 1 << 17;
/// IPPROTO_RAW: a sent packet begins with its IP header.
const RAW: i32 = 255;
/// Length of the header before the IP header.
const ETHERNET: usize = 14;
/// Offset of the TTL in the IP header; the kernel corrects the checksum.
const TTL: usize = 8;

/// Sends SYNs to port 25 of a site's server.
#[derive(Debug)]
pub struct Forger(Socket);

impl Forger {
    /// Prepares a route and a socket.
    ///
    /// # Errors
    ///
    /// The route or the socket could not be created.
    pub fn new<S>(site: &Site<S>) -> Result<Self> {
        let route = ["ip", "route", "replace", NOWHERE, "via", "198.51.100.1"];
        site.server.exec(route)?;
        let raw = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)));
        Ok(Self(site.world.run(raw).context("a raw socket")?))
    }

    /// One of the unused addresses.
    #[must_use]
    pub fn address(number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(FIRST.to_bits() + number % ADDRESSES)
    }

    /// Sends one SYN.
    ///
    /// # Errors
    ///
    /// The kernel refuses the packet.
    pub fn syn(&self, source: Ipv4Addr, port: u16, ttl: u8) -> io::Result<()> {
        self.syn_to(SERVER4, source, port, ttl)
    }

    /// Sends one SYN to another address.
    ///
    /// # Errors
    ///
    /// The kernel refuses the packet.
    pub fn syn_to(&self, dest: Ipv4Addr, source: Ipv4Addr, port: u16, ttl: u8) -> io::Result<()> {
        let mut syn = tcp_frame(&FrameSpec {
            sport: port,
            ..FrameSpec::syn(source.into(), dest.into())
        })
        .split_off(ETHERNET);
        if let Some(byte) = syn.get_mut(TTL) {
            *byte = ttl;
        }
        let dest = SocketAddr::from((dest, 0));
        self.0.send_to(&syn, &dest.into()).map(drop)
    }
}
