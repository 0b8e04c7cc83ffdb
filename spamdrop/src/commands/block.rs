//! Parts that `add` and `import` share.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ipnet::IpNet;
use spamdrop_common::entry::Origin;
use spamdrop_common::time::MonotonicNs;

use super::{count, notify_daemon, owners};
use crate::clock;
use crate::config::{Config, Seal};
use crate::kernel::blocklist::{Blocklist, CHUNK, pins};
use crate::kernel::sockets;
use crate::lock::{self, WriteLock};
use crate::owned_blocks;
use crate::protect;
use crate::store::{Store, VERB_WAIT};
use spamdrop_core::owners::OwnerMask;
use spamdrop_core::policy::{KnownNets, Protected, Scope};
use spamdrop_core::target::Target;
use spamdrop_core::term::Term;

/// The term of a block by hand that begins now, from `--for` and `--fixed`.
pub(super) fn term(config: &Config, length: Option<Duration>, fixed: bool) -> Term {
    let whole_seconds = |length: Duration| u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
    Term {
        start: clock::monotonic_ns(),
        ttl_s: length.map_or(config.ttl_s(), whole_seconds),
        slides: !fixed,
        hard_limit_s: 0,
    }
}

/// Ensures that these targets, each given once, do not exceed the capacity of
/// the maps. Existing prefixes count, too. Existing hosts do not, because their
/// maps evict the least recently used entries. `done` is the participle for the
/// error message, such as `added`.
pub(super) fn ensure_fit(
    targets: impl IntoIterator<Item = Target>,
    blocklist: &Blocklist,
    done: &str,
) -> Result<()> {
    let mut prefixes: HashSet<_> = blocklist
        .blocked_prefixes(MonotonicNs::default())?
        .into_iter()
        .collect();
    let (mut v4, mut v6, mut v6_addresses) = (0, 0, 0);
    for target in targets {
        match target {
            Target::V4(_) => v4 += 1,
            Target::V6(_) => v6 += 1,
            Target::V6Address(_) => v6_addresses += 1,
            Target::Net(net) => {
                prefixes.insert(net);
            }
        }
    }
    let capacity = blocklist.capacity();
    let v4_prefixes = prefixes.iter().filter(|net| net.addr().is_ipv4());
    let prefixes4 = v4_prefixes.count();
    let prefixes6 = prefixes.len() - prefixes4;
    for (what, number, fit) in [
        ("IPv4 addresses (`capacity4`)", v4, capacity.v4),
        ("IPv6 /64s (`capacity6`)", v6, capacity.v6),
        (
            "IPv6 addresses without their /64 (a quarter of `capacity6`)",
            v6_addresses,
            blocklist.address_capacity(),
        ),
        ("IPv4 prefixes", prefixes4, pins::PREFIXES),
        ("IPv6 prefixes", prefixes6, pins::PREFIXES),
    ] {
        ensure!(
            number <= fit as usize,
            "nothing was {done}: {number} {what} exceed the capacity of {fit}"
        );
    }
    Ok(())
}

/// The peers with a connection to a watched port. Their entries must start
/// open, so that these connections can end properly.
pub(super) fn peers(config: &Config, blocklist: &Blocklist) -> Result<HashSet<IpAddr>> {
    if config.seal == Seal::AtOnce {
        return Ok(HashSet::new());
    }
    let mut ports = blocklist.settings()?.ports.to_vec();
    ports.retain(|port| *port != 0);
    let sockets = sockets::connections(&ports).context("cannot list the connections")?;
    Ok(sockets.into_iter().map(|socket| socket.peer).collect())
}

/// The origin of a block by hand that begins now.
pub(super) fn origin(reason: &str, now: MonotonicNs) -> Origin {
    let mut origin = Origin {
        first_blocked: clock::unix_seconds(),
        last_offence: now,
        ..Origin::default()
    };
    origin.set_text(reason.as_bytes());
    origin
}

/// The peers whose connections are to be released when `nets`, addresses and IPv6
/// /64s, are blocked, with their origins.
pub(super) fn pending(
    nets: impl IntoIterator<Item = IpNet>,
    peers: &HashSet<IpAddr>,
    origin: Origin,
) -> HashMap<IpAddr, Origin> {
    let origin = Origin {
        release_pending: 1,
        ..origin
    };
    let mut pending = HashMap::new();
    if peers.is_empty() {
        return pending;
    }
    for net in nets {
        if net.prefix_len() == net.max_prefix_len() {
            let addr = net.addr();
            pending.extend(peers.contains(&addr).then_some((addr, origin)));
        } else {
            let inside = peers.iter().filter(|peer| net.contains(*peer));
            pending.extend(inside.map(|peer| (*peer, origin)));
        }
    }
    pending
}

/// The addresses with a stored origin for which `is_new` returns true of a target that
/// covers the address.
pub(super) fn noted(blocklist: &Blocklist, is_new: impl Fn(Target) -> bool) -> Result<Vec<IpAddr>> {
    let mut noted = Vec::new();
    blocklist.for_each_origin(|addr, _| {
        if Target::of_origin(addr).any(&is_new) {
            noted.push(addr);
        }
    })?;
    Ok(noted)
}

/// Returns the addresses whose reasons may be replaced. An address is left out if an
/// owner outside `own` holds the entry of the address, of its /64 or of its prefix,
/// because that owner may have given the reason. `own` returns, for a target, the
/// owners that replace reasons.
pub(super) fn without_others(
    blocklist: &Blocklist,
    mut addrs: Vec<IpAddr>,
    own: impl Fn(Target) -> OwnerMask,
) -> Result<Vec<IpAddr>> {
    let of_origins = addrs.iter().copied().flat_map(Target::of_origin);
    let mut targets: Vec<Target> = of_origins.collect();
    targets.sort_unstable();
    targets.dedup();
    let live = blocklist.live_among(&targets, clock::monotonic_ns())?;
    let has_others = |target: Target| {
        let owners = live.get(&target).map(OwnerMask::from_entry);
        owners.is_some_and(|owners| !owners.without(own(target)).is_empty())
    };
    addrs.retain(|addr| !Target::of_origin(*addr).any(has_others));
    Ok(addrs)
}

/// Writes `origins`, those of new entries, and removes the origins of the other addresses
/// in `older`. Call it after the entries are written: a sweep removes origins that have
/// no entry.
pub(super) fn note(
    config: &Config,
    blocklist: &mut Blocklist,
    origins: &HashMap<IpAddr, Origin>,
    mut older: Vec<IpAddr>,
) -> Result<()> {
    older.retain(|addr| !origins.contains_key(addr));
    for chunk in older.chunks(CHUNK) {
        let lock = WriteLock::acquire(&config.run_dir)?;
        chunk
            .iter()
            .try_for_each(|addr| blocklist.forget(&lock, *addr))?;
    }
    let origins: Vec<_> = origins.iter().collect();
    for chunk in origins.chunks(CHUNK) {
        let lock = WriteLock::acquire(&config.run_dir)?;
        chunk
            .iter()
            .try_for_each(|(addr, origin)| blocklist.note(&lock, **addr, origin))?;
    }
    Ok(())
}

/// The targets that cover one of `peers`, which hold connections.
pub(super) fn held(peers: &HashSet<IpAddr>) -> HashSet<Target> {
    let peers = peers.iter().copied();
    peers.flat_map(Target::covering).collect()
}

/// The protected addresses, which must not be blocked, and the known senders, whose /64s
/// must not be blocked as a whole. The known senders are read only for IPv6.
///
/// # Errors
///
/// The protected addresses cannot be read.
pub(super) fn scope(config: &Config, has_ipv6: bool) -> Result<Scope> {
    Ok(Scope {
        protected: protect::protected(&config.allow_file)?,
        known: match has_ipv6 {
            true => known_nets(config),
            false => KnownNets::default(),
        },
    })
}

fn known_nets(config: &Config) -> KnownNets {
    let store = Store::open_existing(&config.store_file(), VERB_WAIT);
    let known = store.and_then(|store| match store {
        Some(store) => store.known_at(clock::unix_seconds()),
        None => Ok(Vec::new()),
    });
    match known {
        Ok(known) => known.into_iter().collect(),
        Err(error) => {
            log::warn!(
                "the known senders cannot be read, so IPv6 addresses are blocked without their /64s: {error:#}"
            );
            KnownNets::Unread
        }
    }
}

/// If an address in one of the blocked /64s has become protected or known, replaces the
/// entry of that /64 with entries of the single offenders. Prints the result.
///
/// # Errors
///
/// A map operation fails.
pub(super) fn split(
    config: &Config,
    blocklist: &mut Blocklist,
    nets: impl IntoIterator<Item = [u8; 8]>,
    protected: &Protected,
    out: &mut impl Write,
) -> Result<()> {
    let may_be_blocked = |addr| protected.why(addr).is_none();
    let lock = || WriteLock::acquire(&config.run_dir);
    let mut store = owners::store(config);
    for split in owned_blocks::split(blocklist, &mut store, nets, may_be_blocked, lock)? {
        writeln!(out, "{split}")?;
    }
    Ok(())
}

/// Notifies the daemon, which seals the entries that were left open; warns if
/// no daemon runs.
pub(super) fn tell_if_open(config: &Config, open: usize) {
    if open == 0 {
        return;
    }
    notify_daemon(&config.run_dir);
    if lock::daemon_pid(&config.run_dir).is_none() {
        let blocks = count(open, "block drops", "blocks drop");
        log::warn!(
            "{blocks} only new connections, because their peers still hold connections; `spamdrop run` ends such connections"
        );
    }
}
