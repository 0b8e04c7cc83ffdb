//! Reads the content of the filter's maps about one source.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use aya::maps::lpm_trie::Key;
use spamdrop_common::gate::{net_key, source_key};

use super::known::key;
use super::{Blocklist, GateMaps, optional, pins};
use spamdrop_core::nat64::canonical;
use spamdrop_core::next_syn::SourceFacts;
use spamdrop_core::target::Target;

/// Reads the content of the maps about a source, from `blocklist` and from the
/// pinned maps of the gate.
///
/// # Errors
///
/// Nothing is pinned ([`Exit::NotAttached`]), or a map has another version or
/// layout.
///
/// [`Exit::NotAttached`]: crate::exit::Exit::NotAttached
pub fn read_source_facts(
    blocklist: &Blocklist,
    pin_dir: &Path,
    addr: IpAddr,
) -> Result<SourceFacts> {
    let _acting = pins::act_as_daemon(pin_dir)?;
    blocklist.source_facts(&GateMaps::open(pin_dir)?, addr)
}

impl Blocklist {
    /// The content of the maps about a source.
    ///
    /// # Errors
    ///
    /// A map operation fails.
    pub fn source_facts(&self, gate: &GateMaps, addr: IpAddr) -> Result<SourceFacts> {
        let addr = canonical(addr);
        let source = source_of(addr);
        let (address, whole) = (Target::alone(addr), Target::from(addr));
        let known = optional(gate.known.get(&source, 0))?;
        let is_known_alone = match address {
            Target::V6Address(key) => optional(gate.known_addresses.get(&key, 0))?.is_some(),
            _ => false,
        };
        let near = net_key(addr.is_ipv6(), source);
        Ok(SourceFacts {
            addr,
            settings: self.settings()?,
            address: self.host_now(address)?,
            net: match whole == address {
                true => None,
                false => self.host_now(whole)?,
            },
            prefix: self.prefix_around(addr.into())?,
            is_allowed: self.is_allowed(addr)?,
            gate: gate.gate()?,
            admitted: gate.stats()?.admitted,
            known,
            is_known_alone,
            is_near_known: optional(gate.nets.get(&near, 0))?.is_some(),
            verdict: gate.verdict(whole)?.unwrap_or_default(),
            next_admit: optional(gate.next_admits.get(&source, 0))?.unwrap_or_default(),
        })
    }

    /// Whether the filter's allowlist covers an address.
    fn is_allowed(&self, addr: IpAddr) -> Result<bool> {
        let found = match addr {
            IpAddr::V4(addr) => self.allow4.get(&Key::new(32, addr.octets())),
            IpAddr::V6(addr) => self.allow6.get(&Key::new(128, addr.octets()), 0),
        };
        Ok(optional(found)?.is_some())
    }
}

/// The key of a source at the gate.
fn source_of(addr: IpAddr) -> [u8; 8] {
    match key(addr.into()) {
        Some((_, key)) => key,
        // Unreachable, because an address is not a prefix.
        None => source_key(true, [0; 16]),
    }
}
