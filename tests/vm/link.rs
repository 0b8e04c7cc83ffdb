//! Links between a mail server and the world, of each kind.

use spamdrop_lab::site::{SERVER_ADDRESSES, WORLD_ADDRESSES};
use spamdrop_lab::wire::{End, configure};
use spamdrop_lab::{Daemon, Host, wire};

use super::card::{Card, guest};

/// Two hosts with the addresses of a [`Site`](spamdrop_lab::Site).
pub struct Link {
    pub server: Host,
    pub world: Host,
    /// The server's interface that is to have the filter.
    pub interface: &'static str,
    /// The programs that carry the packets, if the kernel does not.
    pub carriers: Vec<Daemon>,
}

impl Link {
    /// Two hosts without an interface.
    pub fn new(interface: &'static str) -> Self {
        guest();
        Self {
            server: Host::new("server").unwrap(),
            world: Host::new("world").unwrap(),
            interface,
            carriers: Vec::new(),
        }
    }

    /// The server's card and that of the world are `eth0`.
    pub fn plugged(card: Card, mtu: u16, interface: &'static str) -> Self {
        let link = Self::new(interface);
        card.plug(&link.server, "eth0", mtu);
        Card::World.plug(&link.world, "eth0", mtu);
        link
    }

    /// Gives both ends the site's addresses, and waits until they are usable.
    pub fn addressed(self, ours: &str, theirs: &str) -> Self {
        let [ours, theirs] = self.ends(ours, theirs);
        configure(&ours, &theirs).unwrap();
        self
    }

    /// Gives both ends the site's addresses. The ends of a tunnel have no carrier, so
    /// nothing is waited for.
    pub fn tunnelled(self, name: &str) -> Self {
        for end in self.ends(name, name) {
            end.set_up().unwrap();
        }
        self
    }

    fn ends<'link>(&'link self, ours: &'link str, theirs: &'link str) -> [End<'link>; 2] {
        let end = |host, interface, addresses| End {
            host,
            interface,
            addresses,
        };
        [
            end(&self.server, ours, &SERVER_ADDRESSES),
            end(&self.world, theirs, &WORLD_ADDRESSES),
        ]
    }

    /// Runs `ip` on both hosts.
    pub fn both(&self, args: &str) {
        ip(&self.server, args);
        ip(&self.world, args);
    }
}

/// Runs `ip` on a host.
pub fn ip(host: &Host, args: &str) {
    let args = ["ip"].into_iter().chain(args.split_whitespace());
    host.exec(args).unwrap();
}

pub fn card(card: Card, mtu: u16) -> Link {
    Link::plugged(card, mtu, "eth0").addressed("eth0", "eth0")
}

/// The peer has this number of queues to send; the interface has one to
/// receive.
pub fn veth(queues: u8) -> Link {
    let link = Link::new("eth0");
    let (queues, tid) = (queues.to_string(), link.world.tid());
    ip(
        &link.server,
        &format!(
            "link add eth0 numrxqueues 1 numtxqueues 1 type veth \
             peer name eth0 numrxqueues {queues} numtxqueues {queues} netns {tid}"
        ),
    );
    link.addressed("eth0", "eth0")
}

/// A bond of one card. The filter goes to `interface`: the bond or the card.
pub fn bond(card: Card, interface: &'static str) -> Link {
    let link = Link::plugged(card, 1500, interface);
    for args in [
        "link add bond0 type bond mode active-backup miimon 100",
        "link set eth0 master bond0",
    ] {
        ip(&link.server, args);
    }
    link.addressed("bond0", "eth0")
}

pub fn bridge() -> Link {
    let link = Link::plugged(Card::Virtio, 1500, "br0");
    for args in ["link add br0 type bridge", "link set eth0 master br0 up"] {
        ip(&link.server, args);
    }
    link.addressed("br0", "eth0")
}

/// The server is in a VLAN. The filter goes to `interface`: the VLAN's or its parent.
pub fn vlan(card: Card, interface: &'static str) -> Link {
    let link = Link::plugged(card, 1500, interface);
    link.both("link set eth0 up");
    link.both("link add link eth0 name eth0.7 type vlan id 7");
    link.addressed("eth0.7", "eth0.7")
}

/// The server is its own client.
pub fn loopback() -> Link {
    let link = Link::new("lo");
    // The site's routes lead to this interface.
    link.both("link add dummy0 type dummy");
    link.tunnelled("dummy0")
}

pub fn gre() -> Link {
    let link = carried("gre1");
    ip(&link.server, &format!("link add gre1 type gre {OURS}"));
    ip(&link.world, &format!("link add gre1 type gre {THEIRS}"));
    link.tunnelled("gre1")
}

/// A tunnel for IPv6, which also carries IPv4 because of `mode any`.
pub fn sit() -> Link {
    let link = carried("sit1");
    ip(
        &link.server,
        &format!("link add sit1 type sit mode any {OURS}"),
    );
    ip(
        &link.world,
        &format!("link add sit1 type sit mode any {THEIRS}"),
    );
    link.tunnelled("sit1")
}

pub fn wireguard() -> Link {
    let link = carried("wg0");
    link.both("link add wg0 type wireguard");
    let [ours, theirs] = [&link.server, &link.world].map(|host| {
        let script = "wg genkey >/run/key && wg set wg0 private-key /run/key listen-port 51820 && \
                      wg show wg0 public-key";
        host.exec(["sh", "-c", script])
            .unwrap()
            .trim_end()
            .to_owned()
    });
    for (host, peer, address) in [
        (&link.server, &theirs, "192.0.2.2"),
        (&link.world, &ours, "192.0.2.1"),
    ] {
        let args =
            format!("wg set wg0 peer {peer} allowed-ips 0.0.0.0/0,::/0 endpoint {address}:51820");
        host.exec(args.split(' ')).unwrap();
    }
    link.tunnelled("wg0")
}

const OURS: &str = "local 192.0.2.1 remote 192.0.2.2";
const THEIRS: &str = "local 192.0.2.2 remote 192.0.2.1";

/// Two hosts with a cable that can carry a tunnel.
fn carried(interface: &'static str) -> Link {
    let link = Link::new(interface);
    let end = |host, addresses| End {
        host,
        interface: "eth0",
        addresses,
    };
    let (ours, theirs) = (
        end(&link.server, &["192.0.2.1/24"]),
        end(&link.world, &["192.0.2.2/24"]),
    );
    wire(&ours, &theirs, 1500).unwrap();
    link
}
