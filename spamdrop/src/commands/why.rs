//! `why`: everything that decides about an address.

use std::io::Write;
use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use spamdrop_common::gate::{Gate, GateMode};
use spamdrop_common::settings::{Refresh, Settings};
use spamdrop_common::time::MonotonicNs;

use super::owners::OwnerReader;
use super::{lookup, show, status};
use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::kernel::attach;
use crate::kernel::blocklist::{Blocklist, pins, read_source_facts};
use crate::lock;
use crate::protect::{self, ReadProtected};
use crate::render::allowed::comment;
use crate::render::history::HistoryRow;
use crate::render::known::SenderRow;
use crate::render::lookup::LookedUp;
use crate::render::show::AddressDetail;
use crate::render::why::{
    self, AllowedBy, Explanation, FilterPresence, GatePlace, NextConnection, Unread,
};
use crate::render::{json, table::Style};
use crate::store::{HistoryQuery, Store, VERB_WAIT};
use spamdrop_core::history::{EndedBlock, HistoryEvent, HistoryKind};
use spamdrop_core::next_syn::{Circumstances, Fate, SourceFacts, changes};
use spamdrop_core::policy::Protection;
use spamdrop_core::status::FILE as STATE_FILE;
use spamdrop_core::target::Target;
use spamdrop_core::time::UnixSeconds;
use spamdrop_core::zones::Zones;

/// The TTL (hop limit) of a SYN from a system that is not Windows, some hops away.
const UNIX_TTL: u8 = 56;
/// The TTL (hop limit) of a SYN from Windows, some hops away.
const WINDOWS_TTL: u8 = 120;

/// Runs the verb. A part that cannot be read is named under `unknown`.
///
/// # Errors
///
/// A word is not an address ([`Exit::Usage`]), or the caller may not read the filter.
///
/// [`Exit::Usage`]: crate::exit::Exit::Usage
pub fn run(
    config: &Config,
    args: &cli::WhyOptions,
    out: &mut impl Write,
    style: Style,
) -> Result<()> {
    let addrs = lookup::addresses(&args.addrs)?;
    let shared = SharedFacts::read(config)?;
    let mut unasked = Vec::new();
    let zones = match args.no_lookup {
        true => Zones::default(),
        false => noted(
            config.asked_zones(),
            "the answers of the zones",
            &mut unasked,
        ),
    };
    let findings = match zones.rules().is_empty() {
        true => Vec::new(),
        false => {
            let asked = lookup::ask(config, &zones, &addrs);
            noted(asked, "the answers of the zones", &mut unasked)
        }
    };
    let mut all = Vec::new();
    for (index, addr) in addrs.into_iter().enumerate() {
        let mut one = shared.explain(config, addr)?;
        let found = findings.get(index);
        one.lookup = found.map(|(addr, found)| LookedUp::new(*addr, zones.rules(), found));
        one.unknown.extend(unasked.iter().cloned());
        all.push(one);
    }
    match args.output.json {
        true => json::array(out, &all)?,
        false => why::write_text(out, style, &all, &TimeZone::system())?,
    }
    Ok(())
}

/// Returns the value that was read. After an error, returns the default, and adds the
/// error to `unknown`.
fn noted<T: Default>(read: Result<T>, what: &str, unknown: &mut Vec<String>) -> T {
    read.unwrap_or_else(|error| {
        unknown.push(format!("{what}: {error:#}"));
        T::default()
    })
}

/// The data that is read once for all addresses.
struct SharedFacts {
    filter: FilterPresence,
    blocklist: Option<Blocklist>,
    allowlist: ReadProtected,
    store: Option<Store>,
    /// The database, if its history can be read.
    past: Option<Store>,
    owners: OwnerReader,
    slots: u32,
    unknown: Vec<String>,
    unread: Unread,
}

impl SharedFacts {
    fn read(config: &Config) -> Result<Self> {
        let mut unknown = Vec::new();
        let is_pinned = pins::exist(&config.pin_dir)?;
        let blocklist = match is_pinned {
            true => {
                let opened = Blocklist::open(&config.pin_dir).map(Some);
                noted(opened, "the entries of the filter", &mut unknown)
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
        let allowlist = protect::read(&config.allow_file);
        let store = Store::open_existing(&config.store_file(), VERB_WAIT);
        let unread = Unread {
            is_allowlist: allowlist.is_err(),
            is_known: store.is_err(),
        };
        Ok(Self {
            filter,
            blocklist,
            allowlist: noted(allowlist, "the allowlist", &mut unknown),
            store: noted(store, "the known senders", &mut unknown),
            past: noted(past(config), "the history", &mut unknown),
            owners: OwnerReader::open(config),
            slots: slots(config),
            unknown,
            unread,
        })
    }

    fn explain(&self, config: &Config, addr: IpAddr) -> Result<Explanation<'static>> {
        let mut unknown = self.unknown.clone();
        let now = clock::monotonic_ns();
        let (mut block, mut facts) = (None, None);
        if let Some(blocklist) = &self.blocklist {
            block = Some(show::detail(blocklist, &self.owners, addr.into())?);
            facts = Some(read_source_facts(blocklist, &config.pin_dir, addr)?);
        }
        let mut unread = self.unread;
        let known = self.known(addr);
        unread.is_known |= known.is_err();
        let known = noted(known, "its evidence as a sender", &mut unknown);
        let events = noted(self.history(addr), "the history", &mut unknown);
        let is_absent = self.filter == FilterPresence::Absent;
        let is_free = block.as_ref().map_or(is_absent, |it| it.entries.is_empty());
        let ended = match is_free {
            true => self.ended(config, &events),
            false => Ok(None),
        };
        let ended = noted(ended, "the end of its last block", &mut unknown);
        let rows: Vec<HistoryRow> = events.into_iter().map(HistoryRow::new).collect();
        let past = self.past.as_ref();
        let others = past.map_or(Ok(0), Store::refusals_without_source);
        let others = noted(others, "the refusals without a source", &mut unknown);
        let allowed = self.allowed(addr, facts.as_ref(), block.as_ref());
        let next = self.next(facts.as_ref(), now);
        let reason = next.as_ref().and_then(|next| next.reason);
        let is_refused = |kind: &str| kind == HistoryKind::Refused.name();
        let refused = rows.iter().filter(|row| is_refused(row.event));
        let refused = refused.map(|row| row.count).sum();
        let changes = match (&facts, reason) {
            (Some(facts), Some(reason)) => {
                let circumstances = self.circumstances(facts, block.as_ref(), &known, now);
                changes(addr, reason, &circumstances)
            }
            _ => Vec::new(),
        };
        Ok(Explanation {
            addr,
            filter: self.filter,
            next,
            changes,
            block,
            allowed,
            unread,
            known: best(known),
            refresh: facts
                .map(|facts| Refresh::from_number(facts.settings.refresh))
                .unwrap_or_default(),
            gate: facts.map(|facts| self.gate(&facts, [refused, others], now)),
            ended,
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
                    fate: Fate::from_reason(reason),
                    reason: Some(reason),
                    fate_of_windows: Fate::from_reason(facts.next_syn(WINDOWS_TTL, now)),
                })
            }
            (FilterPresence::Absent | FilterPresence::Detached, _) => Some(accepted),
            _ => None,
        }
    }

    /// The prefixes that are allowed and contain the address.
    fn around(&self, addr: IpAddr) -> impl Iterator<Item = (IpNet, Protection)> {
        let protected = self.allowlist.protected.nets();
        protected.filter(move |(net, _)| net.contains(&addr))
    }

    /// When the allowlist's entry of a prefix ends. `None`: never, or the prefix is
    /// protected automatically.
    fn allow_end(&self, net: IpNet, why: Protection) -> Option<UnixSeconds> {
        let item = self.allowlist.allowlist.item(net);
        item.filter(|_| matches!(why, Protection::Allowlist(_)))?
            .end
            .time()
    }

    /// The allowed prefix that contains the address and ends last; if several end at the
    /// same time, the longest of them. If only the filter allows the address, the prefix
    /// in the filter.
    fn allowed(
        &self,
        addr: IpAddr,
        facts: Option<&SourceFacts>,
        block: Option<&AddressDetail>,
    ) -> Option<AllowedBy> {
        let last = self.around(addr).max_by_key(|(net, why)| {
            let end = self.allow_end(*net, *why);
            // A prefix that is protected automatically has no end, either.
            (end.is_none(), end, net.prefix_len())
        });
        let by_filter = || {
            let net = block?.allowed_by.as_deref()?.parse::<Target>().ok()?;
            Some((net.net(), "filter"))
        };
        let named = last.map(|(net, why)| (net, protect::name(why)));
        let (net, by) = named.or_else(by_filter)?;
        let item = self.allowlist.allowlist.item(net);
        let item = item.filter(|_| by == protect::name(Protection::Allowlist(net)));
        Some(AllowedBy {
            net,
            by,
            until_unix_s: item.and_then(|item| item.end.time()).map(UnixSeconds::get),
            comment: item.and_then(|item| comment(item.comment)),
            is_in_effect: facts.is_none_or(|facts| facts.is_allowed),
        })
    }

    fn circumstances(
        &self,
        facts: &SourceFacts,
        block: Option<&AddressDetail>,
        known: &[SenderRow],
        now: MonotonicNs,
    ) -> Circumstances {
        let entries = block.map(|block| block.entries.iter().map(|entry| entry.target));
        let is_by_file = |why: &Protection| matches!(why, Protection::Allowlist(_));
        let (by_file, otherwise): (Vec<_>, Vec<_>) = self
            .around(facts.addr)
            .partition(|(_, why)| is_by_file(why));
        Circumstances {
            blocked_by: entries.into_iter().flatten().collect(),
            is_protected: !otherwise.is_empty() || by_file.is_empty() == facts.is_allowed,
            allowed_by: by_file.into_iter().map(|(net, _)| net).collect(),
            is_known: facts.is_known(now),
            known: known
                .iter()
                .filter(|known| known.state.is_known())
                .map(|known| known.source)
                .collect(),
        }
    }

    /// The evidence for a sender: of the address itself, and of its IPv6 /64.
    fn known(&self, addr: IpAddr) -> Result<Vec<SenderRow>> {
        let now = clock::unix_seconds();
        let mut found = Vec::new();
        for source in Target::covering(addr) {
            let record = self.store.as_ref().map(|store| store.known_sender(source));
            let record = record.transpose()?.flatten();
            found.extend(record.and_then(|record| SenderRow::new(source, &record, now)));
        }
        Ok(found)
    }

    fn history(&self, addr: IpAddr) -> Result<Vec<HistoryEvent>> {
        let query = HistoryQuery {
            addr: Some(addr),
            since: UnixSeconds::default(),
            until: None,
        };
        let past = self.past.as_ref();
        past.map_or(Ok(Vec::new()), |past| past.history(&query))
    }

    /// The end of the last block among the events of an address.
    fn ended(&self, config: &Config, events: &[HistoryEvent]) -> Result<Option<EndedBlock>> {
        let past = self.past.as_ref();
        let unnamed = past.map_or(Ok(Vec::new()), Store::commands_without_address)?;
        let all = [events, &unnamed].concat();
        let now = clock::unix_seconds();
        Ok(EndedBlock::find(&all, config.hard_limit, now))
    }

    /// `refused`: the number of refused SYNs of this source, and the number of refused SYNs
    /// whose source was not recorded.
    fn gate(&self, facts: &SourceFacts, refused: [u64; 2], now: MonotonicNs) -> GatePlace {
        let [refused, refused_without_source] = refused;
        let windows = facts.stranger(WINDOWS_TTL, now);
        GatePlace {
            mode: gate_mode(&facts.gate, &facts.settings, now),
            held: facts.held(now).unwrap_or_default(),
            slots: self.slots,
            passes: facts.passes_gate(now),
            class: facts.stranger(UNIX_TTL, now),
            waits_from_of_windows: windows.waits_from,
            has_verdict: facts.standing(now).is_some(),
            refused,
            refused_without_source,
        }
    }
}

/// The mode of the gate, as the filter has it now.
pub(super) fn gate_mode(gate: &Gate, settings: &Settings, now: MonotonicNs) -> &'static str {
    match gate.mode(now) {
        GateMode::Off => "off",
        GateMode::On if !settings.is_gate_paused(now) => "on",
        GateMode::Observe | GateMode::On => "observe",
    }
}

/// The number of slots, from the daemon's state; without a daemon, from the
/// configuration or the mail server's settings.
fn slots(config: &Config) -> u32 {
    let running = lock::daemon_pid(&config.run_dir);
    let state = running.and_then(|_| status::read_state(&config.run_dir.join(STATE_FILE)).ok()?);
    let gate = state.and_then(|state| state.gate);
    gate.map_or_else(|| config.server_slots().count, |gate| gate.slots)
}

/// The database, after a check of the history for damage.
fn past(config: &Config) -> Result<Option<Store>> {
    let store = Store::open_existing(&config.store_file(), VERB_WAIT)?;
    store.as_ref().map_or(Ok(()), Store::check_history)?;
    Ok(store)
}

/// The record that makes an address known, or else the first.
fn best(mut all: Vec<SenderRow>) -> Option<SenderRow> {
    all.sort_by_key(|sender| !sender.state.is_known());
    all.into_iter().next()
}
