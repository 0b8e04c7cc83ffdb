//! The machine's interfaces, addresses and gateways, from rtnetlink.

use std::io;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteVia};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};
use rustix::io::Errno;

use crate::kernel::netlink;

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The interface's index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether it is a virtio device.
    pub is_virtio: bool,
    /// The XDP program on it, if any.
    pub xdp: Option<Xdp>,
}

/// An attached XDP program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xdp {
    /// Its id, as bpftool shows it.
    pub program_id: u32,
    /// Whether it runs in the driver.
    pub native: bool,
}

/// All interfaces of this network namespace.
pub fn interfaces() -> Result<Vec<Interface>> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let answers = dump(request).context("cannot list the interfaces")?;
    let links = answers.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(interface(&link)),
        _ => None,
    });
    Ok(links.collect())
}

/// The interface with this name, if it exists.
pub fn find(name: &str) -> Result<Option<Interface>> {
    Ok(interfaces()?
        .into_iter()
        .find(|interface| interface.name == name))
}

fn interface(link: &LinkMessage) -> Interface {
    let mut found = Interface {
        index: link.header.index,
        ..Interface::default()
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => found.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => found.mtu = *mtu,
            LinkAttribute::ParentDevBusName(bus) => found.is_virtio = bus == "virtio",
            LinkAttribute::Xdp(xdp) => found.xdp = attached(xdp),
            _ => {}
        }
    }
    found
}

/// The program that sees the packets. A card may have a program in hardware
/// beside it, which is reported as well.
fn attached(attributes: &[LinkXdp]) -> Option<Xdp> {
    let id = |native| {
        move |attribute: &LinkXdp| match (native, attribute) {
            (true, LinkXdp::DrvProgId(id) | LinkXdp::HwProgId(id))
            | (false, LinkXdp::SkbProgId(id)) => Some(*id),
            _ => None,
        }
    };
    [false, true].into_iter().find_map(|native| {
        let program_id = attributes.iter().find_map(id(native))?;
        Some(Xdp { program_id, native })
    })
}

/// The addresses that must never be blocked: the machine's own and its
/// gateways'.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Addresses of any interface.
    pub own: Vec<IpAddr>,
    /// Next hops of any route.
    pub gateways: Vec<IpAddr>,
}

/// The own addresses and gateways of this network namespace, sorted.
pub fn addresses() -> Result<Addresses> {
    let own = dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()));
    let routes = dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()));
    let mut found = Addresses::default();
    for message in own.context("cannot list the machine's addresses")? {
        if let RouteNetlinkMessage::NewAddress(address) = message {
            found.own.extend(own_address(&address));
        }
    }
    for message in routes.context("cannot list the machine's routes")? {
        if let RouteNetlinkMessage::NewRoute(route) = message {
            found.gateways.extend(gateways(&route.attributes));
        }
    }
    for list in [&mut found.own, &mut found.gateways] {
        list.sort_unstable();
        list.dedup();
    }
    Ok(found)
}

/// The machine's own address. `Local` is the own side of a point-to-point link,
/// where `Address` is the peer; IPv6 has only `Address`.
fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let local = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(addr) => Some(*addr),
            _ => None,
        });
    local.or_else(|| {
        message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Address(addr) => Some(*addr),
                _ => None,
            })
    })
}

fn gateways(attributes: &[RouteAttribute]) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for attribute in attributes {
        match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(addr))
            | RouteAttribute::Via(RouteVia::Inet(addr)) => {
                found.push((*addr).into());
            }
            RouteAttribute::Gateway(RouteAddress::Inet6(addr))
            | RouteAttribute::Via(RouteVia::Inet6(addr)) => {
                found.push((*addr).into());
            }
            RouteAttribute::MultiPath(hops) => {
                found.extend(hops.iter().flat_map(|hop| gateways(&hop.attributes)));
            }
            _ => {}
        }
    }
    found
}

fn dump(request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    netlink::dump(NETLINK_ROUTE, request)
}

/// Notifications of changes to interfaces, addresses and routes.
pub struct Changes(TokioSocket);

// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR and
// RTMGRP_IPV6_ROUTE of linux/rtnetlink.h.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

impl Changes {
    /// Subscribes to changes. Changes before this call are not reported.
    pub fn subscribe() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        socket.socket_mut().bind(&SocketAddr::new(0, GROUPS))?;
        Ok(Self(socket))
    }

    /// Waits for a change. Several changes may be reported as one.
    ///
    /// # Errors
    ///
    /// The socket fails. An overflow is not an error but counts as a change.
    pub async fn next(&mut self) -> io::Result<()> {
        match self.0.recv_from_full().await {
            Err(error) if Errno::from_io_error(&error) != Some(Errno::NOBUFS) => Err(error),
            _ => Ok(()),
        }
    }
}
