//! `why`: everything that decides about an address.

use std::io::Write;
use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use spamdrop_common::gate::GateMode;
use spamdrop_common::time::MonotonicNs;

use super::{history, lookup, show, status};
use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::kernel::attach;
use crate::kernel::blocklist::{Blocklist, pins, read_source_facts};
use crate::lock;
use crate::protect;
use crate::render::known::KnownSender;
use crate::render::lookup::LookedUp;
use crate::render::show::AddressDetail;
use crate::render::why::{self, AllowedBy, Explanation, FilterPresence, GatePlace, NextConnection};
use crate::render::{json, table::Style};
use crate::store::{HistoryQuery, Store, VERB_WAIT};
use spamdrop_core::history::HistoryKind;
use spamdrop_core::next_syn::{Circumstances, Fate, SourceFacts, changes};
use spamdrop_core::policy::Protected;
use spamdrop_core::status::FILE as STATE_FILE;
use spamdrop_core::target::Target;
use spamdrop_core::time::UnixSeconds;
use spamdrop_core::zones::Zones;

/// The TTL (hop limit) of a SYN from a system that is not Windows, some hops away.
const UNIX_TTL: u8 = 56;
/// The same for Windows.
const WINDOWS_TTL: u8 = 120;

/// Runs the verb. A part that cannot be read is named under `unknown`.
///
/// # Errors
///
/// A word is not an address ([`Exit::Usage`]), or the filter cannot be read for
/// want of rights.
///
/// [`Exit::Usage`]: crate::exit::Exit::Usage
pub fn run(config: &Config, args: &cli::Why, out: &mut impl Write, style: Style) -> Result<()> {
    let addrs = lookup::addresses(&args.addrs)?;
    let place = Place::read(config)?;
    let mut unasked = Vec::new();
    let zones = match args.no_lookup {
        true => Zones::default(),
        false => noted(config.asked_zones(), "what the zones say", &mut unasked),
    };
    let findings = match zones.rules().is_empty() {
        true => Vec::new(),
        false => {
            let asked = lookup::ask(config, &zones, &addrs);
            noted(asked, "what the zones say", &mut unasked)
        }
    };
    let mut all = Vec::new();
    for (index, addr) in addrs.into_iter().enumerate() {
        let mut one = place.explain(config, addr)?;
        let found = findings.get(index);
        one.lookup = found.map(|(addr, found)| LookedUp::new(*addr, zones.rules(), found));
        one.unknown.extend(unasked.iter().cloned());
        all.push(one);
    }
    match args.output.json {
        true => json::array(out, &all)?,
        false => why::text(out, style, &all, &TimeZone::system())?,
    }
    Ok(())
}

/// The value, or the default and a note that it is unknown.
fn noted<T: Default>(read: Result<T>, what: &str, unknown: &mut Vec<String>) -> T {
    read.unwrap_or_else(|error| {
        unknown.push(format!("{what}: {error:#}"));
        T::default()
    })
}

/// The parts that all addresses share.
struct Place {
    filter: FilterPresence,
    blocklist: Option<Blocklist>,
    protected: Protected,
    store: Option<Store>,
    slots: u32,
    unknown: Vec<String>,
}

impl Place {
    fn read(config: &Config) -> Result<Self> {
        let mut unknown = Vec::new();
        let is_pinned = pins::exist(&config.pin_dir)?;
        let blocklist = match is_pinned {
            true => {
                let opened = Blocklist::open(&config.pin_dir).map(Some);
                noted(opened, "what the filter holds", &mut unknown)
            }
            false => None,
        };
        let filter = match (&blocklist, is_pinned) {
            (None, false) => FilterPresence::Absent,
            (None, true) => FilterPresence::Unreadable,
            (Some(_), _) => {
                let linked = attach::linked(&config.pin_dir)?;
                match linked.iter().any(|link| link.interface().is_some()) {
                    true => FilterPresence::Attached,
                    false => FilterPresence::Detached,
                }
            }
        };
        let allowlist = protect::protected(&config.allow_file);
        let store = Store::open_existing(&config.store_file(), VERB_WAIT);
        Ok(Self {
            filter,
            blocklist,
            protected: noted(allowlist, "what the allowlist has", &mut unknown),
            store: noted(
                store,
                "what is known of senders, and the past",
                &mut unknown,
            ),
            slots: slots(config),
            unknown,
        })
    }

    fn explain(&self, config: &Config, addr: IpAddr) -> Result<Explanation<'static>> {
        let mut unknown = self.unknown.clone();
        let now = clock::monotonic_ns();
        let (mut block, mut facts) = (None, None);
        if let Some(blocklist) = &self.blocklist {
            block = Some(show::detail(blocklist, addr.into())?);
            facts = Some(read_source_facts(&config.pin_dir, addr)?);
        }
        let known = match &self.store {
            Some(store) => noted(
                known(store, addr),
                "whether it is a known sender",
                &mut unknown,
            ),
            None => None,
        };
        let query = HistoryQuery {
            addr: Some(addr),
            since: UnixSeconds::default(),
            until: clock::unix_seconds(),
        };
        let rows = match &self.store {
            Some(_) => noted(history::rows(config, &query), "the past", &mut unknown),
            None => Vec::new(),
        };
        let allowed = self.allowed(addr, block.as_ref());
        let circumstances = circumstances(block.as_ref(), allowed, known.as_ref());
        let reason = facts.as_ref().map(|facts| facts.next_syn(UNIX_TTL, now));
        let is_refused = |kind: &str| kind == HistoryKind::Refused.name();
        let refused = rows.iter().filter(|row| is_refused(row.event));
        let refused = refused.map(|row| row.count).sum();
        Ok(Explanation {
            addr,
            filter: self.filter,
            next: self.next(facts.as_ref(), now),
            changes: match (self.filter, reason) {
                (FilterPresence::Attached, Some(reason)) => changes(addr, reason, &circumstances),
                _ => Vec::new(),
            },
            block,
            allowed,
            known,
            gate: facts.map(|facts| self.gate(&facts, refused, now)),
            lookup: None,
            history: rows,
            unknown,
        })
    }

    fn next(&self, facts: Option<&SourceFacts>, now: MonotonicNs) -> Option<NextConnection> {
        let accepted = NextConnection {
            fate: Fate::Accepted,
            reason: None,
            fate_of_windows: Fate::Accepted,
        };
        match (self.filter, facts) {
            (FilterPresence::Attached, Some(facts)) => {
                let reason = facts.next_syn(UNIX_TTL, now);
                Some(NextConnection {
                    fate: Fate::of(reason),
                    reason: Some(reason),
                    fate_of_windows: Fate::of(facts.next_syn(WINDOWS_TTL, now)),
                })
            }
            (FilterPresence::Absent | FilterPresence::Detached, _) => Some(accepted),
            _ => None,
        }
    }

    /// The longest prefix that is allowed and contains the address.
    fn allowed(&self, addr: IpAddr, block: Option<&AddressDetail>) -> Option<AllowedBy> {
        let protected = self.protected.nets();
        let around = protected.filter(|(net, _)| net.contains(&addr));
        let longest = around.max_by_key(|(net, _)| net.prefix_len());
        let by_filter = || {
            let net = block?.allowed_by.as_deref()?.parse::<Target>().ok()?;
            let by = "filter";
            Some(AllowedBy { net: net.net(), by })
        };
        let named = longest.map(|(net, why)| AllowedBy {
            net,
            by: protect::name(why),
        });
        named.or_else(by_filter)
    }

    fn gate(&self, facts: &SourceFacts, refused: u64, now: MonotonicNs) -> GatePlace {
        let windows = facts.stranger(WINDOWS_TTL, now);
        GatePlace {
            mode: match facts.gate.mode(now) {
                GateMode::Off => "off",
                GateMode::On if !facts.settings.is_gate_paused(now) => "on",
                GateMode::Observe | GateMode::On => "observe",
            },
            held: facts.held(now).unwrap_or_default(),
            slots: self.slots,
            passes: facts.is_known(now) || facts.is_allowed,
            class: facts.stranger(UNIX_TTL, now),
            waits_from_of_windows: windows.waits_from,
            has_verdict: facts.standing(now).is_some(),
            refused,
        }
    }
}

/// The slots as the daemon knows them; without a daemon, as the configuration or
/// the mail server has them.
fn slots(config: &Config) -> u32 {
    let running = lock::daemon_pid(&config.run_dir);
    let state = running.and_then(|_| status::read_state(&config.run_dir.join(STATE_FILE)).ok()?);
    let gate = state.and_then(|state| state.gate);
    gate.map_or_else(|| config.server_slots().count, |gate| gate.slots)
}

/// The evidence for a sender: of the address itself, or else of its IPv6 /64.
fn known(store: &Store, addr: IpAddr) -> Result<Option<KnownSender>> {
    let now = clock::unix_seconds();
    let mut found: Option<KnownSender> = None;
    for source in Target::covering(addr) {
        let record = store.known_sender(source)?;
        let sender = record.and_then(|record| KnownSender::new(source, &record, now));
        let is_better = |other: &KnownSender| !other.state.is_known();
        if found.as_ref().is_none_or(is_better) {
            found = sender.or(found);
        }
    }
    Ok(found)
}

fn circumstances(
    block: Option<&AddressDetail>,
    allowed: Option<AllowedBy>,
    known: Option<&KnownSender>,
) -> Circumstances {
    let entries = block.map(|block| block.entries.iter().map(|entry| entry.target));
    let by_hand =
        |allowed: AllowedBy| -> Option<IpNet> { (allowed.by == "file").then_some(allowed.net) };
    Circumstances {
        blocked_by: entries.into_iter().flatten().collect(),
        is_allowed: allowed.is_some(),
        allowed_by: allowed.and_then(by_hand),
        known: known
            .filter(|known| known.state.is_known())
            .map(|known| known.source),
    }
}
