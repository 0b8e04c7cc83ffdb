//! A server whose host is a container.

use anyhow::Result;

use super::{SERVER4, WORLD4};
use crate::host::Host;
use crate::wire::{End, many_sources, wire};

/// The rule by which docker publishes a port.
const DNAT: &str = "add table ip nat; \
    add chain ip nat prerouting { type nat hook prerouting priority dstnat; }; \
    add rule ip nat prerouting iifname eth0 tcp dport 25 dnat to 172.17.0.2";

/// Connects the hosts as docker does: through a bridge address and DNAT.
pub(super) fn connect_by_nat(server: &Host, world: &Host) -> Result<Host> {
    let router = Host::new("router")?;
    let public = format!("{SERVER4}/24");
    let cable = |ours: &str, theirs: (&Host, &str), interface| {
        let (ours, others) = ([ours], [theirs.1]);
        let end = |host, interface, addresses| End {
            host,
            interface,
            addresses,
        };
        wire(
            &end(&router, interface, &ours),
            &end(theirs.0, "eth0", &others),
            1500,
        )
    };
    cable(&public, (world, "198.51.100.1/24"), "eth0")?;
    cable("172.17.0.1/16", (server, "172.17.0.2/16"), "docker0")?;
    many_sources(world, &router, WORLD4, "198.51.100.1".parse()?)?;
    server.exec(["ip", "route", "add", "default", "via", "172.17.0.1"])?;
    router.exec(["sysctl", "--quiet", "net.ipv4.ip_forward=1"])?;
    router.exec(["nft", DNAT])?;
    Ok(router)
}
