//! To whose packets blocks apply: those to this machine, by default.

use spamdrop_lab::client::syn_dropped;
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

/// A host to which the server forwards.
fn vm_behind(site: &Site) -> Host {
    let vm = Host::new("vm").unwrap();
    let end = |host, interface, addresses| End {
        host,
        interface,
        addresses,
    };
    wire(
        &end(&site.server, "vnet0", &["198.51.101.1/24"]),
        &end(&vm, "eth0", &["198.51.101.2/24"]),
        1500,
    )
    .unwrap();
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
        let drops = || Ok(is_dropped_to(&site, dest).then_some(()));
        until(command, 2 * SOON, drops).unwrap();
    }
    let entry = entry(&site, ZOMBIE).unwrap();
    assert!(entry["hits"].as_u64().unwrap() >= 4, "{entry}");
}
