//! SYNs with forged source addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::frame::{FrameSpec, tcp_frame};
use crate::site::{SERVER4, Site, dest};

/// No host has these addresses, so the server's answers are lost.
const NOWHERE: &str = "198.18.0.0/15";
const NOWHERE6: &str = "2001:db8:bad::/48";
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const FIRST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 1);
/// The number of unused IPv4 addresses. There are half as many IPv6 addresses.
pub const ADDRESSES: u32 = 1 << 17;
/// IPPROTO_RAW: a sent packet begins with its IP header.
const RAW: i32 = 255;
/// Length of the header before the IP header.
const ETHERNET: usize = 14;
/// Offset of the checksum in a TCP header, from the end of a segment without
/// data.
const CHECKSUM_FROM_END: usize = 4;

/// A forged SYN to port 25.
#[derive(Clone, Copy, Debug)]
pub struct Syn {
    /// The source address.
    pub source: IpAddr,
    /// The destination address, of the same family.
    pub dest: IpAddr,
    /// The source port.
    pub port: u16,
    /// The sequence number.
    pub sequence: u32,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Whether the TCP checksum is wrong, so that the server's kernel discards
    /// the SYN.
    pub has_wrong_checksum: bool,
}

impl Syn {
    /// A SYN to the site's server.
    #[must_use]
    pub fn new(source: IpAddr) -> Self {
        Self {
            source,
            dest: dest(source).ip(),
            port: 40_000,
            sequence: 1,
            ttl: 64,
            has_wrong_checksum: false,
        }
    }

    fn packet(&self) -> Vec<u8> {
        let mut packet = tcp_frame(&FrameSpec {
            sport: self.port,
            sequence: self.sequence,
            ttl: self.ttl,
            ..FrameSpec::syn(self.source, self.dest)
        })
        .split_off(ETHERNET);
        let checksum = packet.len().checked_sub(CHECKSUM_FROM_END);
        if let Some(byte) = checksum.and_then(|at| packet.get_mut(at))
            && self.has_wrong_checksum
        {
            *byte ^= 0x55;
        }
        packet
    }
}

/// Sends SYNs to port 25 of a site's server.
#[derive(Debug)]
pub struct Forger {
    v4: Socket,
    v6: Socket,
}

impl Forger {
    /// Creates the sockets, and on the server the route to the unused IPv4 addresses.
    ///
    /// # Errors
    ///
    /// The route or a socket could not be created.
    pub fn new<S>(site: &Site<S>) -> Result<Self> {
        route(site, NOWHERE, "198.51.100.1")?;
        let raw = |domain| {
            let raw = move || Socket::new(domain, Type::RAW, Some(Protocol::from(RAW)));
            site.world.run(raw).context("a raw socket")
        };
        Ok(Self {
            v4: raw(Domain::IPV4)?,
            v6: raw(Domain::IPV6)?,
        })
    }

    /// As [`Forger::new`], also with the route to the unused IPv6 addresses.
    ///
    /// # Errors
    ///
    /// As [`Forger::new`].
    pub fn with_v6<S>(site: &Site<S>) -> Result<Self> {
        route(site, NOWHERE6, "2001:db8:25::1")?;
        Self::new(site)
    }

    /// The unused IPv4 address with this number, modulo [`ADDRESSES`].
    #[must_use]
    pub fn address(number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(FIRST.to_bits() + number % ADDRESSES)
    }

    /// The unused IPv6 address with this number, modulo 65,536. Each has a /64 of its own.
    #[must_use]
    pub fn address6(number: u32) -> Ipv6Addr {
        let net = u128::from(number % ADDRESSES % (1 << 16)) << 64;
        Ipv6Addr::from_bits(FIRST6.to_bits() + net)
    }

    /// Sends a SYN.
    ///
    /// # Errors
    ///
    /// The kernel refuses the packet.
    pub fn send(&self, syn: &Syn) -> io::Result<()> {
        let socket = if syn.source.is_ipv4() {
            &self.v4
        } else {
            &self.v6
        };
        let dest = SocketAddr::from((syn.dest, 0));
        socket.send_to(&syn.packet(), &dest.into()).map(drop)
    }

    /// Sends a SYN to [`SERVER4`].
    ///
    /// # Errors
    ///
    /// As [`Forger::send`].
    pub fn syn(&self, source: Ipv4Addr, port: u16, ttl: u8) -> io::Result<()> {
        self.syn_to(SERVER4, source, port, ttl)
    }

    /// Sends a SYN to `dest`.
    ///
    /// # Errors
    ///
    /// As [`Forger::send`].
    pub fn syn_to(&self, dest: Ipv4Addr, source: Ipv4Addr, port: u16, ttl: u8) -> io::Result<()> {
        self.send(&Syn {
            dest: dest.into(),
            port,
            ttl,
            ..Syn::new(source.into())
        })
    }
}

fn route<S>(site: &Site<S>, nowhere: &str, via: &str) -> Result<()> {
    let route = ["ip", "route", "replace", nowhere, "via", via];
    site.server.exec(route).map(drop)
}
