//! The addresses that must never be blocked: this machine's addresses and
//! gateways, and the administrator's allowlist. And the destinations to which
//! blocks apply.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use ipnet::IpNet;

use crate::allowlist;
use crate::config::Destinations;
use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::pins::PREFIXES as MAX_PREFIXES;
use crate::kernel::network;
use spamdrop_core::allowlist::Allowlist;
use spamdrop_core::policy::{Protected, Protection};

/// The prefixes that must not be blocked now.
///
/// # Errors
///
/// The kernel does not return the addresses, or the allowlist's file is invalid
/// or too long.
pub fn protected(allow_file: &Path) -> Result<Protected> {
    read(allow_file).map(|read| read.protected)
}

/// The prefixes that must not be blocked now, and the allowlist's file.
#[derive(Debug, Default)]
pub struct ReadProtected {
    /// The prefixes.
    pub protected: Protected,
    /// The file.
    pub allowlist: Allowlist,
}

/// As [`protected`], with the allowlist's file.
///
/// # Errors
///
/// As [`protected`].
pub fn read(allow_file: &Path) -> Result<ReadProtected> {
    let allowlist = allowlist::read(allow_file)?;
    let protected = combine(&network::addresses()?, &allowlist);
    ensure_fits(allow_file, &protected, MAX_PREFIXES)?;
    Ok(ReadProtected {
        protected,
        allowlist,
    })
}

/// Fails if the filter cannot hold the allowlist. Callers check this before
/// they change anything.
///
/// # Errors
///
/// More than `most` prefixes of one family ([`Exit::Config`]).
pub fn ensure_fits(allow_file: &Path, protected: &Protected, most: u32) -> Result<()> {
    let allowed = allowed(protected);
    let v4 = allowed.iter().filter(|(net, _)| net.addr().is_ipv4());
    let v4 = v4.count();
    for (family, number) in [("IPv4", v4), ("IPv6", allowed.len() - v4)] {
        if number > most as usize {
            let message = format!(
                "{}: {number} {family} prefixes, with the machine's own, exceed the filter's capacity of {most}; merge or remove some",
                allow_file.display()
            );
            return Err(Failure::new(Exit::Config, message));
        }
    }
    Ok(())
}

/// The destinations to which blocks and the gate apply; `None`: all.
///
/// # Errors
///
/// The kernel does not return the machine's own addresses.
pub fn destinations(addresses: &Destinations) -> Result<Option<Vec<IpNet>>> {
    match addresses {
        Destinations::Any => Ok(None),
        Destinations::Own => network::local_prefixes().map(Some),
        Destinations::These(nets) => Ok(Some(nets.clone())),
    }
}

/// The prefixes that must not be blocked, given the machine's addresses and the
/// allowlist. If both have a prefix, the reason is that of the machine's address.
#[must_use]
pub fn combine(addresses: &network::MachineAddresses, allowlist: &Allowlist) -> Protected {
    let allowed = allowlist.nets().iter();
    let allowed = allowed.map(|&net| (net, Protection::Allowlist(net)));
    Protected::new(of_machine(addresses).chain(allowed))
}

/// The prefixes of `earlier`, with this machine's present addresses in place of the
/// machine's addresses in `earlier`. The allowlist's file is not read again. `proxy`: the
/// address of a proxy, which is protected as well.
///
/// # Errors
///
/// The kernel does not return the addresses.
pub fn with_present_addresses(earlier: &Protected, proxy: Option<IpAddr>) -> Result<Protected> {
    let proxy = proxy.map(|addr| (addr.into(), Protection::Proxy));
    let addresses = network::addresses()?;
    Ok(earlier.with_machine(of_machine(&addresses).chain(proxy)))
}

fn of_machine(addresses: &network::MachineAddresses) -> impl Iterator<Item = (IpNet, Protection)> {
    // The loopback addresses have a reason of their own.
    let because = |addrs: &[IpAddr], reason| -> Vec<(IpNet, Protection)> {
        let addrs = addrs.iter().filter(|addr| !addr.is_loopback());
        addrs.map(|addr| ((*addr).into(), reason)).collect()
    };
    let own = because(&addresses.own, Protection::OwnAddress);
    let gateways = because(&addresses.gateways, Protection::Gateway);
    own.into_iter().chain(gateways)
}

/// The prefixes that the filter allows, and whether each was added
/// automatically: the argument of [`allow_exactly`].
///
/// [`allow_exactly`]: crate::kernel::blocklist::Blocklist::allow_exactly
#[must_use]
pub fn allowed(protected: &Protected) -> Vec<(IpNet, bool)> {
    let automatic = |reason| !matches!(reason, Protection::Allowlist(_));
    protected
        .nets()
        .map(|(net, reason)| (net, automatic(reason)))
        .collect()
}

/// The name of a reason in `allow list`.
#[must_use]
pub fn name(reason: Protection) -> &'static str {
    match reason {
        Protection::Loopback => "loopback",
        Protection::Unspecified => "unspecified",
        Protection::LinkLocal => "link-local",
        Protection::Multicast => "multicast",
        Protection::Broadcast => "broadcast",
        Protection::OwnAddress => "own",
        Protection::Gateway => "gateway",
        Protection::Proxy => "proxy",
        Protection::Allowlist(_) => "file",
        Protection::TooWide(_) => "too-wide",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use spamdrop_core::allowlist::AllowTerm;
    use spamdrop_core::time::UnixSeconds;

    #[test]
    fn the_machine_and_the_allowlist_are_protected() {
        let mut allowlist = Allowlist::default();
        let net = "203.0.113.0/24".parse().unwrap();
        allowlist.add(&[net], AllowTerm::default());
        let addresses = network::MachineAddresses {
            own: vec!["127.0.0.1".parse().unwrap(), "192.0.2.25".parse().unwrap()],
            gateways: vec!["192.0.2.1".parse().unwrap()],
        };
        let protected = combine(&addresses, &allowlist);
        for (addr, why) in [
            ("127.0.0.1", Some("loopback")),
            ("192.0.2.25", Some("own")),
            ("192.0.2.1", Some("gateway")),
            ("203.0.113.9", Some("file")),
            ("192.0.2.2", None),
        ] {
            assert_eq!(
                protected.why(addr.parse().unwrap()).map(name),
                why,
                "{addr}"
            );
        }
        let allowed = allowed(&protected);
        assert!(allowed.contains(&("203.0.113.0/24".parse().unwrap(), false)));
        assert!(allowed.contains(&("192.0.2.25/32".parse().unwrap(), true)));
        assert!(allowed.contains(&("127.0.0.0/8".parse().unwrap(), true)));
        assert!(!allowed.contains(&("127.0.0.1/32".parse().unwrap(), true)));
    }

    #[test]
    fn a_list_that_the_filter_cannot_hold_is_refused_with_its_size() {
        let text = "192.0.2.1\n192.0.2.2\n2001:db8::1\n";
        let allowlist = Allowlist::parse("allow", text, UnixSeconds::default()).unwrap();
        let protected = combine(&network::MachineAddresses::default(), &allowlist);
        let v4 = allowed(&protected).into_iter();
        let v4 = v4.filter(|(net, _)| net.addr().is_ipv4()).count();
        let path = Path::new("/etc/spamdrop/allow");
        let most = |fewer: usize| u32::try_from(v4 - fewer).unwrap();
        ensure_fits(path, &protected, most(0)).unwrap();
        let error = ensure_fits(path, &protected, most(1)).unwrap_err();
        let expected = format!("/etc/spamdrop/allow: {v4} IPv4 prefixes, with the machine's own,");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}
