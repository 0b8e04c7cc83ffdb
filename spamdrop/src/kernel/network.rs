//! The machine's interfaces, addresses and gateways, from rtnetlink.

use std::io;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};
use rustix::io::Errno;

use crate::kernel::netlink;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The interface's index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its MTU in bytes.
    pub mtu: u32,
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
        name: String::new(),
        mtu: 0,
        xdp: None,
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => found.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => found.mtu = *mtu,
            LinkAttribute::Xdp(xdp) => found.xdp = attached(xdp),
            _ => {}
        }
    }
    found
}

fn attached(attributes: &[LinkXdp]) -> Option<Xdp> {
    let program_id = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id)
        | LinkXdp::DrvProgId(id)
        | LinkXdp::SkbProgId(id)
        | LinkXdp::HwProgId(id) => Some(*id),
        _ => None,
    })?;
    let generic = attributes.contains(&LinkXdp::Attached(XdpAttached::SocketBuffer));
    Some(Xdp {
        program_id,
        native: !generic,
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

/// The prefixes of all routes of type `local`: the addresses at which this
/// network namespace receives, including those that no interface has (AnyIP).
/// Sorted.
pub fn local_prefixes() -> Result<Vec<IpNet>> {
    let routes = dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()));
    let routes = routes.context("cannot list the machine's routes")?;
    let mut found: Vec<IpNet> = routes
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewRoute(route) => local_prefix(route),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The table of the kernel's own `local` routes, RT_TABLE_LOCAL of
/// linux/rtnetlink.h.
const LOCAL_TABLE: u8 = 255;

fn local_prefix(route: &RouteMessage) -> Option<IpNet> {
    let header = &route.header;
    let length = header.destination_prefix_length;
    // `local default` in another table is for TPROXY: firewall marks choose
    // which of its packets are this machine's.
    if header.kind != RouteType::Local || (length == 0 && header.table != LOCAL_TABLE) {
        return None;
    }
    let destination = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(addr)) => Some((*addr).into()),
            RouteAttribute::Destination(RouteAddress::Inet6(addr)) => Some((*addr).into()),
            _ => None,
        });
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let net = IpNet::new(destination.unwrap_or(unspecified), length).ok()?;
    Some(net.trunc())
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn route(kind: RouteType, table: u8, net: &str) -> RouteMessage {
        let net: IpNet = net.parse().unwrap();
        let mut route = RouteMessage::default();
        route.header.kind = kind;
        route.header.table = table;
        route.header.destination_prefix_length = net.prefix_len();
        route.header.address_family = match net {
            IpNet::V4(_) => AddressFamily::Inet,
            IpNet::V6(_) => AddressFamily::Inet6,
        };
        // The kernel sends no destination for a default route.
        if net.prefix_len() != 0 {
            let destination = RouteAttribute::Destination(net.addr().into());
            route.attributes.push(destination);
        }
        route
    }

    #[test]
    fn local_routes_of_every_table_count_but_not_those_of_tproxy() {
        for (kind, table, net, counts) in [
            (RouteType::Local, 255, "192.0.2.1/32", true),
            (RouteType::Local, 255, "10.9.0.0/16", true),
            (RouteType::Local, 10, "198.51.100.1/32", true),
            (RouteType::Local, 255, "2001:db8::25/128", true),
            (RouteType::Local, 255, "0.0.0.0/0", true),
            (RouteType::Local, 100, "0.0.0.0/0", false),
            (RouteType::Local, 100, "::/0", false),
            (RouteType::Unicast, 254, "192.0.2.0/24", false),
            (RouteType::Broadcast, 255, "192.0.2.255/32", false),
            (RouteType::Anycast, 255, "2001:db8::/128", false),
        ] {
            let found = local_prefix(&route(kind, table, net));
            let expected = counts.then(|| net.parse().unwrap());
            assert_eq!(found, expected, "{kind:?} {net} in {table}");
        }
    }
}
