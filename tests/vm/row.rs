//! Tests each row of the guide's table of interfaces on the running kernel.

use spamdrop_lab::interfaces::{ensure_true, kernel, rows};
use spamdrop_lab::tun::{self, Kind};

use super::card::Card;
use super::link::Link;
use super::mail::{CLEAN, Mail, program};
use super::{carrier, link};

/// Makes a test for each row, and the list of all rows that have a test. A row may have
/// a check of its own.
macro_rules! rows {
    ($($test:ident: $row:literal => $link:expr $(, $check:expr)?;)+) => {
        $(#[test]
        fn $test() {
            let mut mail = Mail::over($link);
            mail.ensure_row($row);
            $($check(&mail);)?
        })+

        const TESTED: &[&str] = &[OTHER, $($row),+];
    };
}

rows! {
    virtio_net_with_one_queue: "virtio-net with one queue" => link::card(Card::Virtio, 1500);
    virtio_net_with_several_queues: "virtio-net with several queues"
        => link::card(Card::FourQueues, 1500), each_queue_is_filtered;
    virtio_net_with_jumbo_frames: "virtio-net, MTU 9000"
        => link::card(Card::Virtio, 9000), the_log_explains_the_mtu;
    virtio_net_with_fixed_offloads: "virtio-net whose offloads cannot be changed"
        => link::card(Card::FixedOffloads, 1500), the_log_explains_the_offloads;
    vmxnet3: "vmxnet3" => link::card(Card::Vmxnet3, 1500);
    e1000e: "e1000e" => link::card(Card::E1000e, 1500);
    veth: "veth" => link::veth(1);
    veth_whose_peer_has_more_queues: "veth whose peer has more queues"
        => link::veth(2), the_log_explains_the_queues;
    bond_of_virtio_net: "bond of virtio-net" => link::bond(Card::Virtio, "bond0");
    bond_of_e1000e: "bond of e1000e" => link::bond(Card::E1000e, "bond0");
    virtio_net_in_a_bond: "virtio-net in a bond" => link::bond(Card::Virtio, "eth0");
    bridge: "bridge" => link::bridge();
    vlan: "VLAN" => link::vlan(Card::Virtio, "eth0.7");
    virtio_net_with_a_vlan: "virtio-net that carries a VLAN" => link::vlan(Card::Virtio, "eth0");
    e1000e_with_a_vlan: "e1000e that carries a VLAN" => link::vlan(Card::E1000e, "eth0");
    tap: "tap" => carrier::tun(Kind::Tap);
    tun: "tun" => carrier::tun(Kind::Tun);
    ppp: "ppp" => carrier::ppp();
    pppoe: "ppp over Ethernet (PPPoE)" => carrier::pppoe("ppp0");
    virtio_net_with_pppoe: "virtio-net that carries PPPoE"
        => carrier::pppoe("eth0"), pppoe_is_counted;
    wireguard: "WireGuard" => link::wireguard();
    gre: "GRE" => link::gre();
    sit: "SIT" => link::sit();
    loopback: "loopback" => link::loopback();
}

const OTHER: &str = "another link type";
/// Of linux/if_arp.h.
const ARPHRD_INFINIBAND: u8 = 32;

#[test]
fn another_link_type() {
    let link = Link::new("tun0");
    let file = tun::open(&link.server, "tun0", Kind::Tun).unwrap();
    tun::set_link_type(&file, ARPHRD_INFINIBAND.into()).unwrap();
    let program = program();
    let attach = [program.to_str().unwrap(), "attach", "tun0"];
    let said = link.server.exec(attach).unwrap_err().to_string();
    assert!(said.contains("tun0 has the link type INFINIBAND"), "{said}");
    ensure_true(OTHER, "refused", "passed").unwrap();
}

#[test]
fn every_row_has_a_test() {
    let rows = rows().unwrap();
    let mut untested = rows
        .iter()
        .filter(|row| !TESTED.contains(&row.interface.as_str()));
    assert_eq!(untested.next(), None);
}

/// Linux 6.1 has no native XDP for frames of several pages.
fn the_log_explains_the_mtu(mail: &Mail) {
    let is_old = kernel().unwrap().starts_with("6.1.");
    let words = "eth0 refuses native XDP (Invalid argument (os error 22): \
                 virtio_net: MTU too large to enable XDP)";
    assert_eq!(mail.log().contains(words), is_old, "{}", mail.log());
}

fn the_log_explains_the_offloads(mail: &Mail) {
    let log = mail.log();
    for words in [
        "eth0 refuses native XDP (Operation not supported (os error 95): virtio_net: Can't set \
         XDP while host is implementing GRO_HW/CSUM, disable GRO_HW/CSUM first)",
        "`ethtool -K eth0 rx-gro-hw on`",
    ] {
        assert!(log.contains(words), "{log}");
    }
}

fn the_log_explains_the_queues(mail: &Mail) {
    let log = mail.log();
    for words in ["eth0 refuses native XDP", "os error 28", "rx queues"] {
        assert!(log.contains(words), "{log}");
    }
}

/// The card spreads senders over the queues; each queue has a counter such as
/// `rx_queue_1_xdp_packets` or `rx1_xdp_packets`.
fn each_queue_is_filtered(mail: &Mail) {
    mail.knock_from_many();
    let shown = mail.site.server.exec(["ethtool", "-S", "eth0"]).unwrap();
    let used = shown.lines().filter(|line| {
        line.split_once(':').is_some_and(|(name, count)| {
            // Linux 6.12 also has the sum, without a number.
            name.contains(|c: char| c.is_ascii_digit())
                && name.ends_with("_xdp_packets")
                && count.trim() != "0"
        })
    });
    assert!(used.count() > 1, "{shown}");
}

fn pppoe_is_counted(mail: &Mail) {
    let stats = mail.json(&["stats", "--json"]);
    assert!(stats["not_ip"].as_u64().unwrap() > 0, "{stats}");
    assert!(mail.reaches(CLEAN[0]));
}
