//! `why`: the fate of an address, in sentences.

mod sentences;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};
use spamdrop_common::counter::Reason;
use spamdrop_common::settings::Refresh;
use spamdrop_core::history::EndedBlock;
use spamdrop_core::next_syn::{CommandEffect, Fate, StrangerClass};

use super::allowed::as_text;
use super::history::HistoryRow;
use super::known::SenderRow;
use super::lookup::LookedUp;
use super::show::AddressDetail;

pub use sentences::write_text;

/// An address and everything that decides about it. `why --json` prints an array
/// of these, in the order of the command line.
#[derive(Debug, Serialize)]
pub struct Explanation<'a> {
    /// The address.
    pub addr: IpAddr,
    /// Whether there is a filter.
    pub filter: FilterPresence,
    /// The fate of its next connection to port 25 now; `null`: unknown.
    pub next: Option<NextConnection>,
    /// Commands that would change this fate, with their effects.
    pub changes: Vec<CommandEffect>,
    /// The entries that cover it, as `show --json` prints them; `null`: unknown, or
    /// there is no filter.
    pub block: Option<AddressDetail>,
    /// The prefix that is never blocked and contains it; `null`: none.
    pub allowed: Option<AllowedBy>,
    /// The evidence for it as a sender, as in `known list --json`; `null`: none.
    pub known: Option<SenderRow>,
    /// Its place at the gate; `null`: unknown, or there is no filter.
    pub gate: Option<GatePlace>,
    /// The answers of the zones, as in `lookup --json`; `null`: they were not
    /// asked.
    pub lookup: Option<LookedUp<'a>>,
    /// Its past, as in `history --json`.
    pub history: Vec<HistoryRow>,
    /// The parts that could not be read, and why.
    pub unknown: Vec<String>,
    /// Whether `allowed` and `known` are `null` because they could not be read.
    #[serde(skip)]
    pub unread: Unread,
    /// Which packets extend a block.
    #[serde(skip)]
    pub refresh: Refresh,
    /// The end of its last block, derived from `history`; `None`: unknown, or an entry
    /// covers the address now.
    #[serde(skip)]
    pub ended: Option<EndedBlock>,
}

/// For each part, whether it could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// The allowlist.
    pub is_allowlist: bool,
    /// The known senders.
    pub is_known: bool,
}

/// The filter, as far as this command can see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FilterPresence {
    /// On an interface.
    Attached,
    /// Its maps exist, but it is on no interface.
    Detached,
    /// Nothing is pinned.
    Absent,
    /// It cannot be read.
    Unreadable,
}

/// The fate of the next connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NextConnection {
    /// `"accepted"`, `"dropped"`, `"refused"` at the gate, or `"answered"` by the
    /// responder.
    pub fate: Fate,
    /// The counter of `stats` that it increases; `null` without a filter.
    #[serde(serialize_with = "reason_name")]
    pub reason: Option<Reason>,
    /// As `fate`, if the sender runs Windows, whose packets have a higher TTL.
    pub fate_of_windows: Fate,
}

/// The reason why an address is never blocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AllowedBy {
    /// The prefix.
    #[serde(serialize_with = "as_text")]
    pub net: IpNet,
    /// As in `allow list --json`; `"filter"`: only the filter's allowlist has it.
    pub by: &'static str,
    /// As in `allow list --json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_unix_s: Option<u64>,
    /// As in `allow list --json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the filter lets the address pass; without a filter, `true`.
    #[serde(skip)]
    pub is_in_effect: bool,
}

/// The place of an address at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GatePlace {
    /// `"off"`, `"observe"` or `"on"`.
    pub mode: &'static str,
    /// The connections that the server holds, as the gate estimates; 0 while it is
    /// off.
    pub held: u64,
    /// The server's slots.
    pub slots: u32,
    /// Whether the gate takes it for a known or allowed sender, which never waits.
    pub passes: bool,
    /// Its class as a stranger.
    #[serde(flatten)]
    pub class: StrangerClass,
    /// The number of slots in use from which the source waits if it runs Windows.
    pub waits_from_of_windows: u32,
    /// Whether the filter has a verdict of the zones on it.
    pub has_verdict: bool,
    /// Number of its SYNs that the gate refused, as far as the history goes back.
    pub refused: u64,
    /// SYNs that the gate refused, in the time of the history, whose sources were not
    /// recorded because there were too many of them.
    pub refused_without_source: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn reason_name<S: Serializer>(reason: &Option<Reason>, serializer: S) -> Result<S::Ok, S::Error> {
    reason.map(Reason::name).serialize(serializer)
}
