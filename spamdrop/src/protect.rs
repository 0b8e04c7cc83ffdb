//! What must never be blocked here: this machine's addresses and gateways,
//! and the administrator's allowlist.

use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;

use crate::allowlist::Allowlist;
use crate::config::Config;
use crate::network::{self, Addresses};
use crate::policy::{Protected, Reason};

/// Everything that must not be blocked now.
///
/// # Errors
///
/// The kernel does not tell the addresses, or the allowlist's file is wrong.
pub fn protected(config: &Config) -> Result<Protected> {
    let allowlist = Allowlist::read(&config.allow_file)?;
    Ok(of(&network::addresses()?, &allowlist))
}

/// Everything that must not be blocked, given the machine's addresses and the
/// allowlist. A prefix for which there are two reasons keeps the machine's.
#[must_use]
pub fn of(addresses: &Addresses, allowlist: &Allowlist) -> Protected {
    let because = |addrs: &[IpAddr], reason| -> Vec<(IpNet, Reason)> {
        addrs.iter().map(|addr| ((*addr).into(), reason)).collect()
    };
    let own = because(&addresses.own, Reason::OwnAddress);
    let gateways = because(&addresses.gateways, Reason::Gateway);
    let allowed = allowlist.nets().iter();
    let allowed = allowed.map(|&net| (net, Reason::Allowlist(net)));
    Protected::new(own.into_iter().chain(gateways).chain(allowed))
}

/// What the filter is to allow, and whether the administrator did not ask for
/// it: the argument of [`allow_exactly`].
///
/// [`allow_exactly`]: crate::blocklist::Blocklist::allow_exactly
#[must_use]
pub fn allowed(protected: &Protected) -> Vec<(IpNet, bool)> {
    let automatic = |reason| !matches!(reason, Reason::Allowlist(_));
    protected
        .nets()
        .map(|(net, reason)| (net, automatic(reason)))
        .collect()
}

/// The name of a reason in `allow list`.
#[must_use]
pub fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::Loopback => "loopback",
        Reason::Unspecified => "unspecified",
        Reason::LinkLocal => "link-local",
        Reason::Multicast => "multicast",
        Reason::Broadcast => "broadcast",
        Reason::OwnAddress => "own",
        Reason::Gateway => "gateway",
        Reason::SharedPrefix(_) => "shared-prefix",
        Reason::Allowlist(_) => "file",
        Reason::TooWide(_) => "too-wide",
    }
}
