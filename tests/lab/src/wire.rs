//! Cables and routes between hosts.

use std::fs;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::host::Host;
use crate::wait::until;

const READY_WITHIN: Duration = Duration::from_secs(15);

/// The interface index of the next veth end. An end whose index equals that of
/// its peer, which is usual between two new namespaces, takes up to 1 s to
/// become usable.
static NEXT_INDEX: AtomicU32 = AtomicU32::new(1000);

/// One end of a cable.
#[derive(Clone, Copy)]
pub struct End<'a> {
    /// The host of this end.
    pub host: &'a Host,
    /// The name of its interface, at most 15 bytes.
    pub interface: &'a str,
    /// The interface's addresses with their prefix length, such as
    /// `192.0.2.1/24` and `2001:db8::1/64`.
    pub addresses: &'a [&'a str],
}

/// Connects two hosts with a veth pair. Returns when both ends are usable.
/// `mtu` is in bytes, at least 1280 for IPv6.
///
/// # Errors
///
/// `ip` refused a name, an address or the MTU, or an end did not come up in 15
/// s.
pub fn wire(a: &End, b: &End, mtu: u16) -> Result<()> {
    let tid = b.host.tid().to_string();
    let mtu = mtu.to_string();
    let index = NEXT_INDEX.fetch_add(1, Ordering::Relaxed).to_string();
    let mut add = vec!["ip", "link", "add", a.interface, "index", &index];
    add.extend(["mtu", &mtu, "type", "veth", "peer", "name", b.interface]);
    add.extend(["mtu", &mtu, "netns", &tid]);
    a.host.exec(add)?;
    configure(a, b)
}

/// Gives both ends of a cable their addresses and sets them up. Returns when
/// both are usable.
///
/// # Errors
///
/// `ip` refused an address, or an end did not come up in 15 s.
pub fn configure(a: &End, b: &End) -> Result<()> {
    for end in [a, b] {
        end.set_up()?;
    }
    for end in [a, b] {
        let what = format!("{} on {} to come up", end.interface, end.host.name());
        until(&what, READY_WITHIN, || Ok(end.usable()?.then_some(())))?;
    }
    Ok(())
}

impl End<'_> {
    /// Adds the addresses and sets the interface up, without waiting for its
    /// carrier.
    ///
    /// # Errors
    ///
    /// `ip` refused an address.
    pub fn set_up(&self) -> Result<()> {
        for address in self.addresses {
            let mut add = vec!["ip", "address", "add", address, "dev", self.interface];
            if address.contains(':') {
                add.push("nodad");
            }
            self.host.exec(add)?;
        }
        self.host
            .exec(["ip", "link", "set", self.interface, "up"])?;
        Ok(())
    }

    fn usable(&self) -> Result<bool> {
        let operstate = format!("/sys/class/net/{}/operstate", self.interface);
        let state = self
            .host
            .run(move || fs::read_to_string(&operstate).context(operstate))?;
        let tentative = ["ip", "-6", "address", "show", "dev", self.interface];
        Ok(state.trim_end() == "up"
            && self
                .host
                .exec(tentative.into_iter().chain(["tentative"]))?
                .is_empty())
    }
}

/// Gives `client` every address of `prefix`, such as `100.64.0.0/10` or
/// `2001:db8:64::/48`. Gives `server` the route back via `gateway`, the
/// client's address on their wire.
///
/// [`Client::connect`](crate::Client::connect) can then use any of these
/// addresses as its source.
///
/// # Errors
///
/// `ip` refused a route.
pub fn many_sources(client: &Host, server: &Host, prefix: &str, gateway: IpAddr) -> Result<()> {
    client.exec(["ip", "route", "add", "local", prefix, "dev", "lo"])?;
    let gateway = gateway.to_string();
    server.exec(["ip", "route", "add", prefix, "via", &gateway])?;
    Ok(())
}
