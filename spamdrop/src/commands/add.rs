//! `add`: block by hand.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use spamdrop_common::entry::{Origin, TEXT_LEN};

use super::addresses::{self, Addresses, Given};
use super::{count, tell_watcher};
use crate::blocklist::{Blocklist, CHUNK, Term, pins};
use crate::cli;
use crate::clock;
use crate::config::{Config, Seal};
use crate::exit::{Exit, Failure};
use crate::lock::{self, Turn};
use crate::policy::Protected;
use crate::protect;
use crate::release::sockets;
use crate::report::{allowed::shown, duration::human};
use crate::target::Target;

/// Runs the verb.
///
/// # Errors
///
/// Nothing is attached, a word is not an address, one must not be blocked or
/// more are given than fit ([`Exit::Failed`], nothing is added), or the kernel
/// refuses.
pub fn run(config: &Config, args: &cli::Add, out: &mut impl Write) -> Result<()> {
    let addresses = addresses::read(&args.addrs)?;
    let reason = args.reason.as_deref().unwrap_or_default();
    ensure_reason_fits(reason)?;
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    ensure_may_be_blocked(&addresses.all, &protect::protected(config)?)?;
    let targets = addresses.targets();
    ensure_fit(&targets, &blocklist)?;

    let peers = match config.seal {
        Seal::AfterClose => peers(&blocklist)?,
        Seal::AtOnce => HashSet::new(),
    };
    let held: HashSet<Target> = peers.iter().copied().map(Target::from).collect();
    let entries: Vec<(Target, bool)> = targets
        .iter()
        .map(|target| (*target, !held.contains(target)))
        .collect();
    let term = Term {
        start: clock::monotonic_ns(),
        ttl_s: args.term.map_or(config.ttl_s(), whole_seconds),
        slides: !args.fixed,
        hard_limit_s: 0,
    };
    for chunk in entries.chunks(CHUNK) {
        blocklist.add(&Turn::take(&config.run_dir)?, chunk, term)?;
    }
    let origins = origins(&addresses.all, &peers, reason, term.start);
    note(config, &mut blocklist, &targets, &origins)?;
    tell(config, &entries, &origins);
    write(out, &addresses, &targets, term.ttl_s)
}

fn ensure_reason_fits(reason: &str) -> Result<()> {
    if reason.len() > TEXT_LEN {
        let message = format!(
            "the reason has {} bytes; at most {TEXT_LEN} are kept",
            reason.len()
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(())
}

fn ensure_may_be_blocked(all: &[Given], protected: &Protected) -> Result<()> {
    let refused: Vec<String> = all
        .iter()
        .filter_map(|given| {
            let host = given.net.prefix_len() == given.net.max_prefix_len();
            let why = if host {
                protected.why(given.net.addr())
            } else {
                protected.why_net(given.net)
            };
            why.map(|why| format!("{}: {why}", shown(given.net)))
        })
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!(
        "nothing was added, for these must not be blocked:\n  {}",
        refused.join("\n  ")
    );
    Err(Failure::new(Exit::Failed, message))
}

fn ensure_fit(targets: &[Target], blocklist: &Blocklist) -> Result<()> {
    let mut prefixes: HashSet<_> = blocklist.blocked_prefixes(0)?.into_iter().collect();
    let (mut v4, mut v6) = (0, 0);
    for target in targets {
        match target {
            Target::V4(_) => v4 += 1,
            Target::V6(_) => v6 += 1,
            Target::Net(net) => {
                prefixes.insert(*net);
            }
        }
    }
    let count = |v4: bool| {
        prefixes
            .iter()
            .filter(|net| net.addr().is_ipv4() == v4)
            .count()
    };
    let capacity = blocklist.capacity();
    let (prefixes4, prefixes6) = (count(true), count(false));
    for (what, number, fit) in [
        ("IPv4 addresses (`capacity4`)", v4, capacity.v4),
        ("IPv6 /64s (`capacity6`)", v6, capacity.v6),
        ("IPv4 prefixes", prefixes4, pins::PREFIXES),
        ("IPv6 prefixes", prefixes6, pins::PREFIXES),
    ] {
        if number > fit as usize {
            let message =
                format!("nothing was added: {number} {what} are more than the {fit} that fit");
            return Err(Failure::new(Exit::Failed, message));
        }
    }
    Ok(())
}

/// The peers that hold a connection to a port that the filter watches.
fn peers(blocklist: &Blocklist) -> Result<HashSet<IpAddr>> {
    let mut ports = blocklist.settings()?.ports.to_vec();
    ports.retain(|port| *port != 0);
    let sockets = sockets::connections(&ports).context("cannot list the connections")?;
    Ok(sockets.into_iter().map(|socket| socket.peer).collect())
}

/// What is worth noting: reasons, and connections to be released. Neither is
/// noted of prefixes, which are sealed at once.
fn origins(
    all: &[Given],
    peers: &HashSet<IpAddr>,
    reason: &str,
    now: u64,
) -> HashMap<IpAddr, Origin> {
    let first = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut origin = Origin {
        first_unix_s: first.as_secs(),
        offence: now,
        ..Origin::default()
    };
    origin.set_text(reason.as_bytes());
    let hosts = || {
        all.iter()
            .filter(|given| !matches!(given.target, Target::Net(_)))
    };
    let mut origins = HashMap::new();
    if !reason.is_empty() {
        origins.extend(hosts().map(|given| (given.net.addr(), origin)));
    }
    origin.release_pending = 1;
    for given in hosts().filter(|_| !peers.is_empty()) {
        if given.net.prefix_len() == given.net.max_prefix_len() {
            let addr = given.net.addr();
            origins.extend(peers.contains(&addr).then_some((addr, origin)));
        } else {
            let held = peers.iter().filter(|peer| given.net.contains(*peer));
            origins.extend(held.map(|peer| (*peer, origin)));
        }
    }
    origins
}

/// Writes the origins, and forgets older ones of the same entries. They come
/// after the entries: a sweep removes origins without an entry.
fn note(
    config: &Config,
    blocklist: &mut Blocklist,
    targets: &[Target],
    origins: &HashMap<IpAddr, Origin>,
) -> Result<()> {
    let mut older = Vec::new();
    blocklist.for_each_origin(|addr, _| {
        if !origins.contains_key(&addr) && targets.binary_search(&addr.into()).is_ok() {
            older.push(addr);
        }
    })?;
    for chunk in older.chunks(CHUNK) {
        let turn = Turn::take(&config.run_dir)?;
        chunk
            .iter()
            .try_for_each(|addr| blocklist.forget(&turn, *addr))?;
    }
    let origins: Vec<_> = origins.iter().collect();
    for chunk in origins.chunks(CHUNK) {
        let turn = Turn::take(&config.run_dir)?;
        chunk
            .iter()
            .try_for_each(|(addr, origin)| blocklist.note(&turn, **addr, origin))?;
    }
    Ok(())
}

fn tell(config: &Config, entries: &[(Target, bool)], origins: &HashMap<IpAddr, Origin>) {
    let open = entries.iter().filter(|(_, sealed)| !sealed).count();
    if open == 0 {
        return;
    }
    tell_watcher(&config.run_dir);
    if lock::watcher_pid(&config.run_dir).is_none() {
        let held = count(open, "block drops", "blocks drop");
        log::warn!(
            "{held} only new connections, for their peers hold some; `spamdrop run` ends those"
        );
    }
    log::debug!("{} addresses noted", origins.len());
}

fn write(
    out: &mut impl Write,
    addresses: &Addresses,
    targets: &[Target],
    ttl_s: u32,
) -> Result<()> {
    for (word, target) in &addresses.widened {
        writeln!(out, "{word} acts on {target}")?;
    }
    let number = count(targets.len(), "entry", "entries");
    let time = human(Duration::from_secs(ttl_s.into()));
    writeln!(out, "added {number} for {time}")?;
    Ok(())
}

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
