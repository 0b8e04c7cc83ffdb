//! Links whose packets a program carries: PPP, tun and tap.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use spamdrop_lab::tun::{self, Kind};
use spamdrop_lab::wait::until;
use spamdrop_lab::{Daemon, Host};

use super::card::Card;
use super::link::Link;

const LINKED_WITHIN: Duration = Duration::from_secs(30);
const NOTHING: [(&str, &str); 0] = [];
/// Both ends' options: no modem, no password, and IPv6.
const PPPD: &str = "nodetach noauth local nodefaultroute +ipv6";

/// A pppd on each host, joined by a pseudo-terminal.
pub fn ppp() -> Link {
    let link = Link::new("ppp0");
    let net = link.world.tid();
    let peer = format!("nsenter --net=/proc/{net}/ns/net pppd notty {PPPD} unit 0");
    let mut args: Vec<_> = PPPD.split(' ').collect();
    args.extend(["198.51.100.25:198.51.100.1", "pty", &peer]);
    let pppd = Daemon::start(&link.server, "pppd", args, NOTHING).unwrap();
    linked(link, vec![pppd])
}

/// A pppd on each host, joined by PPPoE without discovery: both know the
/// session.
pub fn pppoe(interface: &'static str) -> Link {
    let link = Link::plugged(Card::Virtio, 1500, interface);
    link.both("link set eth0 up");
    let start = |host: &Host, peer: Card, addresses: &str| {
        let session = format!("7:{}", peer.address());
        let mut args: Vec<_> = PPPD.split(' ').collect();
        args.extend([
            "plugin",
            "rp-pppoe.so",
            "nic-eth0",
            "rp_pppoe_sess",
            &session,
        ]);
        args.push(addresses);
        Daemon::start(host, "pppd", args, NOTHING).unwrap()
    };
    let ours = start(&link.server, Card::World, "198.51.100.25:198.51.100.1");
    let theirs = start(&link.world, Card::Virtio, "198.51.100.1:198.51.100.25");
    linked(link, vec![ours, theirs])
}

/// Waits until each pppd has negotiated both protocols.
fn linked(mut link: Link, pppds: Vec<Daemon>) -> Link {
    for pppd in &pppds {
        for protocol in ["remote IP address", "remote LL address"] {
            let found = pppd.wait_for(|line| line.contains(protocol), LINKED_WITHIN);
            found.unwrap_or_else(|error| panic!("{protocol}: {error}"));
        }
    }
    let has_route = || {
        let shown = link
            .world
            .exec(["ip", "-6", "route", "show", "dev", "ppp0"])?;
        Ok((!shown.is_empty()).then_some(()))
    };
    until("the other end of ppp0", LINKED_WITHIN, has_route).unwrap();
    link.carriers = pppds;
    link.tunnelled("ppp0")
}

/// A device on each host, and a thread that carries packets both ways.
pub fn tun(kind: Kind) -> Link {
    let link = Link::new("tun0");
    let files = [&link.server, &link.world].map(|host| tun::open(host, "tun0", kind).unwrap());
    // Nobody waits for the thread: it ends when the hosts, and with them the devices, are
    // gone.
    std::thread::spawn(move || carry(&files));
    link.tunnelled("tun0")
}

/// Copies each packet from one file to the other, until a device is gone.
fn carry(files: &[File; 2]) {
    let mut packet = [0; 2048];
    loop {
        let mut wanted = files
            .each_ref()
            .map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN));
        poll(&mut wanted, None).unwrap();
        for (from, to) in [(0, 1), (1, 0)] {
            let (mut from, mut to) = (&files[from], &files[to]);
            match from.read(&mut packet) {
                // A device that is not up yet takes no packet.
                Ok(length) => drop(to.write(&packet[..length])),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}
