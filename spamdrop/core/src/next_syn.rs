//! Predicts the fate of the next new connection of a source, and names the
//! commands that change it.
//!
//! The rules are those of `spamdrop_common`, which the filter uses as well; this
//! module applies them in the filter's order to what was read from its maps. A
//! test sends real SYNs and compares.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;
use spamdrop_common::action::{blocked_action, decides, is_cidr_live, is_live};
use spamdrop_common::counter::Reason;
use spamdrop_common::entry::{CidrEntry, Entry};
use spamdrop_common::gate::{
    CLASSES, Gate, GateMode, KnownSender, NextAdmit, SMTP_PORT, Standing, Verdict, stranger_class,
};
use spamdrop_common::settings::Settings;
use spamdrop_common::time::MonotonicNs;

use crate::target::{ShownNet, Target};

/// The content of the filter's maps about a source, and about all sources.
#[derive(Clone, Copy, Debug)]
pub struct SourceFacts {
    /// The source; behind NAT64, its IPv4 address.
    pub addr: IpAddr,
    /// The filter's settings.
    pub settings: Settings,
    /// The entry of the address itself, live or not.
    pub address: Option<Entry>,
    /// The entry of its IPv6 /64, live or not.
    pub net: Option<Entry>,
    /// The longest blocked prefix around it, live or not.
    pub prefix: Option<CidrEntry>,
    /// Whether the filter's allowlist covers it.
    pub is_allowed: bool,
    /// The gate, as the daemon last set it.
    pub gate: Gate,
    /// Number of SYNs that the gate has admitted.
    pub admitted: u64,
    /// The known sender: the address, or the IPv6 /64.
    pub known: Option<KnownSender>,
    /// Whether the IPv6 address itself is known.
    pub is_known_alone: bool,
    /// Whether its network holds a known sender.
    pub is_near_known: bool,
    /// The verdict of the zones. An expired one counts as none.
    pub verdict: Verdict,
    /// A promise to admit its next SYN.
    pub next_admit: NextAdmit,
}

/// The fate of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// The mail server gets it.
    Accepted,
    /// It is dropped, because the source is blocked.
    Dropped,
    /// It is dropped, because slots run short; the sender's kernel repeats it.
    Refused,
    /// The responder takes it and rejects the sender.
    Answered,
}

impl Fate {
    /// The fate that follows from the reason under which the filter counts a SYN.
    #[must_use]
    pub const fn from_reason(reason: Reason) -> Self {
        match reason {
            Reason::GateAnswered => Self::Answered,
            Reason::GateRefused => Self::Refused,
            _ if reason.is_drop() => Self::Dropped,
            _ => Self::Accepted,
        }
    }
}

/// The place of a stranger at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StrangerClass {
    /// Its class, 0 to 2; class 0 waits last.
    pub class: usize,
    /// The class waits while at least this many slots are in use.
    pub waits_from: u32,
}

impl SourceFacts {
    /// The reason under which the filter would count a SYN of the source to port
    /// 25, with this TTL (hop limit), to an address that the filter protects.
    #[must_use]
    pub fn next_syn(&self, ttl: u8, now: MonotonicNs) -> Reason {
        if !self.settings.watches(SMTP_PORT) {
            return Reason::OtherPort;
        }
        let mut found = self.blocked(now);
        if found.is_drop() {
            if !self.settings.is_drop_paused(now) {
                return found;
            }
            found = Reason::Paused;
        }
        match found {
            Reason::NotBlocked | Reason::Expired | Reason::Paused => self.gate(found, ttl, now),
            _ => found,
        }
    }

    /// The reason why a SYN of the source is dropped, or else passes, before the
    /// gate.
    fn blocked(&self, now: MonotonicNs) -> Reason {
        let entry = match (&self.address, &self.net) {
            (Some(address), Some(net)) if !decides(address, net, now) => Some(net),
            (address, net) => address.as_ref().or(net.as_ref()),
        };
        let found = match entry {
            None => Reason::NotBlocked,
            Some(entry) if !is_live(entry.expires, now) => Reason::Expired,
            Some(_) if self.is_allowed => Reason::Allowed,
            Some(entry) => blocked_action(entry.flags, true),
        };
        match &self.prefix {
            _ if found.is_drop() || found == Reason::Allowed => found,
            None => found,
            Some(prefix) if !is_cidr_live(prefix, now) => Reason::Expired,
            Some(_) if self.is_allowed => Reason::Allowed,
            Some(_) => Reason::CidrDropped,
        }
    }

    fn gate(&self, otherwise: Reason, ttl: u8, now: MonotonicNs) -> Reason {
        let (gate, mode) = (&self.gate, self.gate.mode(now));
        if mode == GateMode::Off {
            return otherwise;
        }
        let passes = self.passes_gate(now);
        if self.is_for_responder(now) && !passes {
            return Reason::GateAnswered;
        }
        let held = gate.held(self.admitted);
        if gate.admits(CLASSES - 1, held) {
            return otherwise;
        }
        if passes {
            return Reason::GateKnownOrAllowed;
        }
        let class = self.stranger(ttl, now).class;
        let is_promised = self.next_admit.until >= now;
        let is_paused = mode != GateMode::On || self.settings.is_gate_paused(now);
        if gate.admits(class, held) || is_promised || is_paused {
            return otherwise;
        }
        Reason::GateRefused
    }

    /// Whether the gate admits the source however many slots are in use.
    #[must_use]
    pub fn passes_gate(&self, now: MonotonicNs) -> bool {
        self.is_known(now) || self.is_allowed
    }

    /// Whether the responder takes the source's connections, unless it is known
    /// or allowed.
    fn is_for_responder(&self, now: MonotonicNs) -> bool {
        self.gate.has_responder(self.addr.is_ipv6())
            && self.is_listed(now)
            && !self.settings.is_responder_paused(now)
    }

    /// Whether this exact address is listed.
    fn is_listed(&self, now: MonotonicNs) -> bool {
        match self.addr {
            IpAddr::V4(_) => self.verdict.rejects(false, [0; 16], now),
            IpAddr::V6(addr) => self.verdict.rejects(true, addr.octets(), now),
        }
    }

    /// Whether the gate takes the source for a known sender.
    #[must_use]
    pub fn is_known(&self, now: MonotonicNs) -> bool {
        match self.known {
            None => false,
            Some(_) if self.addr.is_ipv4() => true,
            Some(known) if known.is_whole() && !self.is_listed(now) => true,
            Some(_) => self.is_known_alone,
        }
    }

    /// The verdict that the filter holds, if it is still valid.
    #[must_use]
    pub fn standing(&self, now: MonotonicNs) -> Option<Standing> {
        self.verdict.standing(now)
    }

    /// The number of connections that the server holds, as the gate estimates it; `None`:
    /// the gate is off.
    #[must_use]
    pub fn held(&self, now: MonotonicNs) -> Option<u64> {
        (self.gate.mode(now) != GateMode::Off).then(|| self.gate.held(self.admitted))
    }

    /// The class of the source as a stranger.
    #[must_use]
    pub fn stranger(&self, ttl: u8, now: MonotonicNs) -> StrangerClass {
        let class = stranger_class(self.is_near_known, self.standing(now), ttl) % CLASSES;
        StrangerClass {
            class,
            waits_from: self.gate.limits.get(class).copied().unwrap_or_default(),
        }
    }
}

/// A command, and its effect on the next connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandEffect {
    /// The command.
    pub command: String,
    /// A clause that begins with a verb: `unblocks it`.
    pub effect: &'static str,
}

/// Other facts that the commands depend on.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// The live entries and prefixes that cover the source.
    pub blocked_by: Vec<Target>,
    /// Whether `add` refuses the source for a reason that no command here removes: it is
    /// protected without the allowlist, or the filter's allowlist differs from the file.
    pub is_protected: bool,
    /// The allowlisted prefixes that cover it.
    pub allowed_by: Vec<IpNet>,
    /// Whether the gate takes it for a known sender.
    pub is_known: bool,
    /// The known senders that cover it: the address, its IPv6 /64, or both.
    pub known: Vec<Target>,
}

impl Circumstances {
    /// The command that removes the source from the allowlist; `None`: the allowlist is
    /// not the reason why the source is never blocked.
    fn disallow(&self) -> Option<String> {
        let is_by_file = !self.allowed_by.is_empty() && !self.is_protected;
        let nets = self.allowed_by.iter().copied().map(ShownNet);
        is_by_file.then(|| with_targets("spamdrop allow remove", nets))
    }

    /// The command that removes the source from the known senders; `None`: the source is
    /// not known.
    fn unknow(&self) -> Option<String> {
        let is_by_record = self.is_known && !self.known.is_empty();
        let known = self.known.iter().copied();
        is_by_record.then(|| with_targets("spamdrop known remove", known))
    }
}

/// A command with targets as arguments.
fn with_targets(command: &str, targets: impl Iterator<Item = impl fmt::Display>) -> String {
    targets.fold(command.to_owned(), |line, target| {
        format!("{line} {target}")
    })
}

/// The commands that change the fate of the next SYN of `addr`, which the filter
/// would count under `reason`. Empty if no command does: the address is protected, or the
/// configuration decides.
#[must_use]
pub fn changes(addr: IpAddr, reason: Reason, circumstances: &Circumstances) -> Vec<CommandEffect> {
    let change = |command: String, effect| CommandEffect { command, effect };
    let allow = || change(format!("spamdrop allow add {addr}"), "lets it pass always");
    let know = || {
        change(
            format!("spamdrop known add {addr}"),
            "makes it a known sender",
        )
    };
    match reason {
        Reason::OpenDropped | Reason::SealedDropped | Reason::CidrDropped => {
            // `remove` of an address takes out its entry and that of its /64.
            let prefix = |target: &Target| matches!(target, Target::Net(_));
            let (prefixes, hosts): (Vec<&Target>, Vec<&Target>) = circumstances
                .blocked_by
                .iter()
                .partition(|target| prefix(target));
            let mut words: Vec<String> = Vec::new();
            words.extend((!hosts.is_empty()).then(|| addr.to_string()));
            words.extend(prefixes.iter().map(|target| target.to_string()));
            let unblock = format!("spamdrop remove {}", words.join(" "));
            let unblock = (!words.is_empty()).then(|| change(unblock, "unblocks it"));
            unblock.into_iter().chain([allow()]).collect()
        }
        Reason::Paused => vec![change("spamdrop resume".into(), "drops it again")],
        Reason::GateRefused => vec![know(), allow()],
        Reason::GateAnswered => vec![
            change(
                format!("spamdrop known add {addr}"),
                "lets the mail server answer it",
            ),
            allow(),
        ],
        Reason::OtherPort => Vec::new(),
        Reason::Allowed => {
            let disallow = circumstances.disallow();
            let disallow = disallow.map(|it| change(it, "lets its block drop it"));
            disallow.into_iter().collect()
        }
        _ if circumstances.is_protected => Vec::new(),
        _ => {
            let both = [circumstances.disallow(), circumstances.unknow()];
            let commands: Vec<String> = both.into_iter().flatten().collect();
            match commands.is_empty() {
                true => vec![change(format!("spamdrop add {addr}"), "blocks it")],
                // A source that is known and allowed needs both commands to be a stranger.
                false => vec![change(commands.join(" && "), "makes it a stranger")],
            }
        }
    }
}

#[cfg(test)]
mod tests;
