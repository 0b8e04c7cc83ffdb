//! The machine's interfaces, addresses and gateways, from rtnetlink.

mod overlap;

pub use overlap::{Overlap, overlaps};

use std::io;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use netlink_packet_core::NetlinkBuffer;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, Prop,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
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
    /// Its alternative names.
    pub altnames: Vec<String>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// The first header of its packets.
    pub framing: Framing,
    /// The index of the interface that it is a part of: a bridge, a bond.
    pub controller: Option<u32>,
    /// The index of the interface that receives its packets first, such as a
    /// VLAN's parent.
    pub parent: Option<u32>,
    /// Whether it is a virtio device.
    pub is_virtio: bool,
    /// The packets that it received.
    pub received: u64,
    /// The XDP program on it, if any.
    pub xdp: Option<Xdp>,
}

/// The first header of an interface's packets, by its link type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// An Ethernet header.
    #[default]
    Ethernet,
    /// The IP header.
    Ip,
    /// A header that the filter cannot parse; the name of the link type.
    Unknown(String),
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

/// The interface with this name or alternative name, if it exists.
pub fn find(name: &str) -> Result<Option<Interface>> {
    Ok(named(&interfaces()?, name).cloned())
}

/// The interface with this name, or else with this alternative name.
#[must_use]
pub fn named<'list>(interfaces: &'list [Interface], name: &str) -> Option<&'list Interface> {
    let by_name = interfaces.iter().find(|interface| interface.name == name);
    by_name.or_else(|| {
        let mut interfaces = interfaces.iter();
        interfaces.find(|interface| interface.altnames.iter().any(|other| other == name))
    })
}

fn interface(link: &LinkMessage) -> Interface {
    let mut found = Interface {
        index: link.header.index,
        framing: framing(link.header.link_layer_type),
        parent: parent(&link.attributes),
        ..Interface::default()
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => found.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => found.mtu = *mtu,
            LinkAttribute::Stats64(stats) => found.received = stats.rx_packets,
            LinkAttribute::ParentDevBusName(bus) => found.is_virtio = bus == "virtio",
            LinkAttribute::Controller(index) => found.controller = Some(*index),
            LinkAttribute::PropList(list) => found.altnames = altnames(list),
            LinkAttribute::Xdp(xdp) => found.xdp = attached(xdp),
            _ => {}
        }
    }
    found
}

fn altnames(list: &[Prop]) -> Vec<String> {
    let name = |prop: &Prop| match prop {
        Prop::AltIfName(name) => Some(name.clone()),
        _ => None,
    };
    list.iter().filter_map(name).collect()
}

/// The framing of a link type (`ARPHRD_*`). A loopback packet has an Ethernet header.
fn framing(link_type: LinkLayerType) -> Framing {
    match link_type {
        LinkLayerType::Ether | LinkLayerType::Loopback => Framing::Ethernet,
        LinkLayerType::Ppp
        | LinkLayerType::None
        | LinkLayerType::Rawip
        | LinkLayerType::Tunnel
        | LinkLayerType::Tunnel6
        | LinkLayerType::Sit
        | LinkLayerType::Ipgre
        | LinkLayerType::Ip6gre => Framing::Ip,
        other => Framing::Unknown(other.to_string()),
    }
}

/// The index of the interface below, which receives this one's packets first.
/// `None` for a tunnel, whose packets are inside of others, and for a veth.
fn parent(attributes: &[LinkAttribute]) -> Option<u32> {
    let is_part = attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.iter().any(|info| match info {
            LinkInfo::Kind(kind) => matches!(
                kind,
                InfoKind::Vlan
                    | InfoKind::MacVlan
                    | InfoKind::MacVtap
                    | InfoKind::IpVlan
                    | InfoKind::IpVtap
            ),
            _ => false,
        }),
        _ => false,
    });
    let is_in_other_namespace = attributes
        .iter()
        .any(|attribute| matches!(attribute, LinkAttribute::LinkNetNsId(_)));
    let index = attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Link(index) => Some(*index),
        _ => None,
    });
    index.filter(|_| is_part && !is_in_other_namespace)
}

/// The generic or driver program, or else the one in the card's hardware. The
/// kernel reports them in this order, and a card can have two.
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
pub struct MachineAddresses {
    /// Addresses of any interface.
    pub own: Vec<IpAddr>,
    /// Next hops of any route.
    pub gateways: Vec<IpAddr>,
}

/// The own addresses and gateways of this network namespace, sorted.
pub fn addresses() -> Result<MachineAddresses> {
    let own = dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()));
    let routes = dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()));
    let mut found = MachineAddresses::default();
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

/// The names of the interfaces of default routes, sorted.
pub fn default_interfaces() -> Result<Vec<String>> {
    let routes = dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()));
    let routes = routes.context("cannot list the machine's routes")?;
    let existing = interfaces()?;
    let mut names: Vec<String> = routes
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewRoute(route) => default_interface(route),
            _ => None,
        })
        .filter_map(|index| existing.iter().find(|interface| interface.index == index))
        .filter(|interface| interface.name != "lo")
        .map(|interface| interface.name.clone())
        .collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// The index of the interface of a default route.
fn default_interface(route: &RouteMessage) -> Option<u32> {
    let is_default =
        route.header.destination_prefix_length == 0 && route.header.kind == RouteType::Unicast;
    let mut attributes = route.attributes.iter().filter(|_| is_default);
    attributes.find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
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
pub struct NetworkMonitor(TokioSocket);

// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR and
// RTMGRP_IPV6_ROUTE of linux/rtnetlink.h.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

impl NetworkMonitor {
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
    /// The socket fails. An overflow is not an error but counts as a change of
    /// everything.
    pub async fn next(&mut self) -> io::Result<NetworkChange> {
        match self.0.recv_from_full().await {
            Ok((datagram, _)) => Ok(change(&datagram)),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {
                Ok(NetworkChange::Interfaces)
            }
            Err(error) => Err(error),
        }
    }
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkChange {
    /// An interface, and possibly addresses and routes.
    Interfaces,
    /// Addresses or routes.
    Addresses,
}

/// A datagram of notifications has one message, whose type is in its header.
fn change(datagram: &[u8]) -> NetworkChange {
    // RTM_NEWLINK and RTM_DELLINK of linux/rtnetlink.h.
    match NetlinkBuffer::new_checked(&datagram).map(|message| message.message_type()) {
        Ok(16 | 17) | Err(_) => NetworkChange::Interfaces,
        Ok(_) => NetworkChange::Addresses,
    }
}

#[cfg(test)]
mod tests;
