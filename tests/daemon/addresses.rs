//! By default, blocks apply only to packets for this machine.

use std::net::Ipv4Addr;

use spamdrop::kernel::blocklist::Blocklist;
use spamdrop::lock::WriteLock;
use spamdrop_core::policy::ProtectionChanges;
use spamdrop_lab::client::syn_dropped;
use spamdrop_lab::dns::{Reply, Rtype};
use spamdrop_lab::forger::Forger;
use spamdrop_lab::wire::{End, wire};
use spamdrop_lab::{Host, Site};

use super::*;

/// A virtual machine behind the server.
const VM: &str = "198.51.101.2:25";
const SERVER: &str = "198.51.100.25:25";

fn is_dropped_to(site: &Site, dest: &str) -> bool {
    let source = Some(ZOMBIE.parse().unwrap());
    syn_dropped(&site.world, source, dest.parse().unwrap(), SILENCE).unwrap()
}

/// A virtual machine on the server's interface `vnet0`, with the addresses of
/// both ends.
fn vm_on(site: &Site, servers: &[&str], vms: &[&str]) -> Host {
    let vm = Host::new("vm").unwrap();
    let end = |host, interface, addresses| End {
        host,
        interface,
        addresses,
    };
    let (ours, theirs) = (end(&site.server, "vnet0", servers), end(&vm, "eth0", vms));
    wire(&ours, &theirs, 1500).unwrap();
    vm
}

/// A host to which the server forwards.
fn vm_behind(site: &Site) -> Host {
    let vm = vm_on(site, &["198.51.101.1/24"], &["198.51.101.2/24"]);
    let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
    site.server.exec(["sh", "-c", forward]).unwrap();
    ip(&vm, "route add default via 198.51.101.1");
    ip(&site.world, "route add 198.51.101.0/24 via 198.51.100.25");
    vm
}

fn ip(host: &Host, command: &str) {
    host.exec(["ip"].into_iter().chain(command.split(' ')))
        .unwrap();
}

#[test]
fn packets_to_another_host_pass_unless_configured() {
    let site = site(|_| {});
    let _vm = vm_behind(&site);
    let mut daemon = site.run().unwrap();
    site.spamdrop(&["add", ZOMBIE]).unwrap();
    let dropped = |site: &Site| [SERVER, VM].map(|dest| is_dropped_to(site, dest));
    assert_eq!(dropped(&site), [true, false]);
    for (addresses, expected) in [
        ("addresses = \"any\"", [true, true]),
        ("addresses = [\"198.51.101.0/24\"]", [false, true]),
        ("addresses = \"own\"", [true, false]),
    ] {
        site.configure(addresses).unwrap();
        daemon.signal(Signal::SIGHUP).unwrap();
        daemon
            .wait_for(|line| line.contains("configuration read again"), SOON)
            .unwrap();
        assert_eq!(dropped(&site), expected, "{addresses}");
    }
}

#[test]
fn an_address_that_appears_is_protected_within_two_seconds() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    site.spamdrop(&["add", ZOMBIE]).unwrap();
    assert!(is_dropped_to(&site, SERVER));
    ip(&site.world, "route add 198.51.102.0/24 via 198.51.100.25");
    for (command, dest) in [
        ("address add 198.51.100.77/32 dev lo", "198.51.100.77:25"),
        // AnyIP: no interface has the address.
        ("route add local 198.51.102.0/25 dev lo", "198.51.102.9:25"),
        (
            "route add local 198.51.102.128/25 dev lo table 77",
            "198.51.102.129:25",
        ),
    ] {
        ip(&site.server, command);
        if command.contains("table 77") {
            ip(&site.server, "rule add to 198.51.102.128/25 lookup 77");
        }
        let drops = || {
            let (dropped, passed) = (count(&site, "sealed_dropped"), count(&site, "other_host"));
            let is_silent = is_dropped_to(&site, dest);
            // The kernel sends no RST from an address that only a route of another
            // table makes local, so silence alone shows no drop. Packets of an earlier
            // connection may raise the count of drops, so the count alone shows none.
            let is_dropped =
                count(&site, "sealed_dropped") > dropped && count(&site, "other_host") == passed;
            Ok((is_silent && is_dropped).then_some(()))
        };
        until(command, 2 * SOON, drops).unwrap();
    }
    let entry = entry(&site, ZOMBIE).unwrap();
    assert!(entry["hits"].as_u64().unwrap() >= 4, "{entry}");
}

/// The number of packets that the filter has counted under this reason.
fn count(site: &Site, reason: &str) -> u64 {
    let stats: Value = serde_json::from_str(&site.spamdrop(&["stats", "--json"]).unwrap()).unwrap();
    stats[reason].as_u64().unwrap()
}

/// The counts of the gate, and the number of packets for other hosts.
fn gate_figures(site: &Site) -> (Value, u64) {
    let status: Value = serde_json::from_str(&site.status(&["--json"]).unwrap()).unwrap();
    let gate = &status["daemon"]["state"]["gate"];
    let figures = [
        "admitted",
        "known_or_allowed",
        "starvation_admits",
        "refused",
    ];
    let figures = figures.map(|name| gate[name].clone());
    (figures.into(), count(site, "other_host"))
}

/// The filter is on the port of the bridge, as on a host of virtual machines.
#[test]
fn the_crowd_of_a_vm_behind_the_bridge_does_not_move_the_gate() {
    const CROWD: u32 = 2_000;
    let site = site(|_| {});
    ip(&site.server, "link add br0 type bridge");
    ip(&site.server, "address flush dev eth0");
    ip(&site.server, "link set eth0 master br0");
    ip(&site.server, "address add 198.51.100.25/24 dev br0");
    ip(&site.server, "link set br0 up");
    let vm = vm_on(&site, &[], &["198.51.100.77/24"]);
    ip(&site.server, "link set vnet0 master br0");
    for host in [&site.server, &vm] {
        ip(host, "route replace 100.64.0.0/10 via 198.51.100.1");
    }
    ip(&vm, "route add 198.18.0.0/15 via 198.51.100.1");
    let (stub, zones) = blocklist(&site, |_, _| Reply::Absent(300));
    // One slot: any stranger that counted would fill it.
    site.configure(&format!("admit = \"on\"\nslots = 1\n{zones}"))
        .unwrap();
    let _daemon = site.run().unwrap();
    let _vms_server = vm.run(|| TcpListener::bind("198.51.100.77:25")).unwrap();
    until_status(&site, "/daemon/state/gate/mode", "on");
    let forger = Forger::new(&site).unwrap();
    let vms = Ipv4Addr::new(198, 51, 100, 77);
    // A first SYN fills the neighbour table, so that no packet of the flood waits for the
    // virtual machine's Ethernet address.
    let source = Some("100.64.9.9".parse().unwrap());
    assert!(
        !syn_dropped(
            &site.world,
            source,
            "198.51.100.77:25".parse().unwrap(),
            SILENCE
        )
        .unwrap()
    );
    let (before, others) = gate_figures(&site);
    for number in 0..CROWD {
        forger
            .syn_to(vms, Forger::address(number), 4000, 128)
            .unwrap();
    }
    until("the crowd to pass", SOON, || {
        Ok((gate_figures(&site).1 >= others + u64::from(CROWD)).then_some(()))
    })
    .unwrap();
    let (after, _) = gate_figures(&site);
    assert_eq!(after, before);
    let looked_up = (0..CROWD).map(|number| {
        let [a, b, c, d] = Forger::address(number).octets();
        stub.asked(&format!("{d}.{c}.{b}.{a}.b.example"), Rtype::A)
    });
    assert_eq!(looked_up.sum::<usize>(), 0);
    // Strangers that connect to the server itself do count.
    assert!(!is_dropped(&site, "100.64.5.5"));
    until("the gate to move", SOON, || {
        Ok((gate_figures(&site).0 != before).then_some(()))
    })
    .unwrap();
}

/// The allowlist in the filter, with whether each prefix is automatic.
fn in_filter(site: &Site) -> Vec<String> {
    site.server.run(|| {
        let blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap();
        let allowed = blocklist.allowed().unwrap().into_iter();
        allowed
            .map(|(net, automatic)| format!("{net} {automatic}"))
            .collect()
    })
}

/// When an address of the machine changes, the daemon neither reads nor compares the
/// whole allowlist, which may be long.
#[test]
fn an_address_that_changes_touches_nothing_else_of_the_allowlist() {
    let site = site(|_| {});
    let (listed, own) = ("100.64.7.7/32", "198.51.100.77/32");
    site.spamdrop(&["allow", "add", listed, own]).unwrap();
    let daemon = site.run().unwrap();
    let is_in_filter = |wanted: &str| in_filter(&site).iter().any(|it| it == wanted);
    let until_in_filter = |wanted: &str| {
        let found = || Ok(is_in_filter(wanted).then_some(()));
        until(wanted, 2 * SOON, found).unwrap();
    };
    // An update of the whole list would remove `foreign` from the filter.
    let foreign = "192.0.2.77/32";
    site.server.run(move || {
        let mut blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap();
        let changes = ProtectionChanges {
            set: vec![(foreign.parse().unwrap(), false)],
            ..ProtectionChanges::default()
        };
        let lock = WriteLock::acquire(Path::new("/run/spamdrop")).unwrap();
        blocklist.change_allowed(&lock, &changes).unwrap();
    });
    for addr in [own, "198.51.100.78/32"] {
        ip(&site.server, &format!("address add {addr} dev lo"));
        until_in_filter(&format!("{addr} true"));
    }
    ip(&site.server, &format!("address del {own} dev lo"));
    until_in_filter(&format!("{own} false"));
    ip(&site.server, "address del 198.51.100.78/32 dev lo");
    until("the address to go", 2 * SOON, || {
        Ok((!is_in_filter("198.51.100.78/32 true")).then_some(()))
    })
    .unwrap();
    for kept in [listed, foreign] {
        assert!(is_in_filter(&format!("{kept} false")), "{kept}");
    }
    let is_complaint = |line: &str| line.contains("`no address` is not an address");
    std::fs::write(site.path("allow"), "no address\n").unwrap();
    daemon.wait_for(is_complaint, SOON).unwrap();
    // A list that cannot be read keeps no address unprotected.
    ip(&site.server, "address add 198.51.100.79/32 dev lo");
    until_in_filter("198.51.100.79/32 true");
    std::fs::write(site.path("allow"), format!("{listed}\n")).unwrap();
    until("the whole list to be compared", 2 * SOON, || {
        Ok((!is_in_filter(&format!("{foreign} false"))).then_some(()))
    })
    .unwrap();
    assert!(is_in_filter(&format!("{listed} false")));
}
