//! The ACLs that run before DATA: zones that reject, zones that allow, and hosts
//! that are exempt.

use super::config::{Condition, Configuration, Statement};
use super::dnslists::{self, Item};
use super::list::{HostLists, resolve};
use super::recipients;
use crate::client_table::{ClientEntry, Says};
use crate::dnsbl::rule::{Effect, RejectionText};
use crate::server_settings::{Collector, ReadFile};

/// The options that name the ACLs, in the order in which Exim runs these.
const ACLS: [&str; 4] = [
    "acl_smtp_connect",
    "acl_smtp_helo",
    "acl_smtp_mail",
    "acl_smtp_rcpt",
];
/// Modifiers: words in a statement that are no conditions.
const MODIFIERS: [&str; 14] = [
    "add_header",
    "continue",
    "control",
    "delay",
    "dscp",
    "endpass",
    "log_message",
    "log_reject_target",
    "logwrite",
    "message",
    "queue",
    "remove_header",
    "set",
    "udpsend",
];

/// Reads the ACLs.
pub(super) fn collect(
    configuration: &Configuration,
    read: &ReadFile<'_>,
    collector: &mut Collector,
) {
    let hosts = HostLists {
        configuration,
        read,
    };
    for option in ACLS {
        let Some(name) = configuration.option(option) else {
            continue;
        };
        match configuration.acl(name) {
            Some(statements) => {
                let mut walk = AclWalk {
                    hosts,
                    collector: &mut *collector,
                    acl: name,
                };
                walk.statements(statements);
                collector.end_list();
            }
            None => {
                let text =
                    format!("{name} is not an ACL of the configuration, so its zones are unknown");
                collector.note(option, text);
            }
        }
    }
}

struct AclWalk<'a> {
    hosts: HostLists<'a>,
    collector: &'a mut Collector,
    acl: &'a str,
}

/// The conditions of a statement, sorted by what they are about.
#[derive(Default)]
struct Sorted<'a> {
    dnslists: Vec<&'a Condition>,
    hosts: Vec<&'a Condition>,
    /// `true`: the statement holds only for clients that have logged in; `false`:
    /// only for the others.
    authenticated: Option<bool>,
    /// The conditions about single recipients.
    recipients: Vec<&'a Condition>,
    others: Vec<&'a Condition>,
    /// Whether the statement can never hold, because a list of senders is empty.
    is_never: bool,
}

impl<'a> Sorted<'a> {
    fn new(statement: &'a Statement, read: &ReadFile<'_>) -> Self {
        let mut sorted = Self::default();
        for condition in &statement.conditions {
            match condition.name.as_str() {
                name if MODIFIERS.contains(&name) => {}
                "dnslists" => sorted.dnslists.push(condition),
                "hosts" => sorted.hosts.push(condition),
                "authenticated" => sorted.authenticated = Some(!condition.is_negated),
                name if recipients::OF_SINGLE.contains(&name) => sorted.recipients.push(condition),
                "senders" if is_empty(condition, read) => {
                    sorted.is_never |= !condition.is_negated;
                }
                _ => sorted.others.push(condition),
            }
        }
        sorted
    }

    /// The first of `others` or, if there is none, of `recipients`: a condition that is
    /// neither about hosts nor about zones.
    fn other(&self) -> Option<&'a Condition> {
        self.others.first().or(self.recipients.first()).copied()
    }
}

/// Whether the list has no item. `:` has one: the null sender.
fn is_empty(condition: &Condition, read: &ReadFile<'_>) -> bool {
    resolve(&condition.value, read).is_ok_and(|value| value.trim().is_empty())
}

impl AclWalk<'_> {
    fn statements(&mut self, statements: &[Statement]) {
        for statement in statements {
            let sorted = Sorted::new(statement, self.hosts.read);
            let is_always = statement
                .conditions
                .iter()
                .all(|condition| MODIFIERS.contains(&condition.name.as_str()));
            match statement.verb.as_str() {
                "accept" | "discard" | "deny" | "drop" | "defer" if is_always => return,
                _ if sorted.is_never => {}
                "accept" | "discard" => self.accept(&sorted),
                "deny" | "drop" => self.reject(&sorted, &Effect::Reject(RejectionText::Plain)),
                "defer" => self.reject(&sorted, &Effect::Defer),
                verb => self.warn(verb, &sorted),
            }
        }
    }

    /// `accept` ends the ACL for the clients that it is about.
    fn accept(&mut self, sorted: &Sorted<'_>) {
        if sorted.authenticated == Some(true) {
            return;
        }
        if sorted.recipients.iter().any(|it| recipients::are_few(it)) {
            let text = "accepts mail to some recipients before it asks its zones";
            return self.collector.remark(self.acl, text);
        }
        if !sorted.dnslists.is_empty() {
            return self.accept_listed(sorted);
        }
        // With further conditions, it is not known whether the hosts are accepted.
        let says = match sorted.other() {
            None => Says::Permit,
            Some(_) => Says::Other,
        };
        match sorted.hosts.as_slice() {
            [hosts] => match self.table(hosts, says) {
                Ok(entries) => self.collector.add_table(&source(hosts), entries),
                Err(why) => self.doubt(&why),
            },
            _ => {
                let name = sorted.other().map_or("hosts", |other| &other.name);
                self.doubt(&format!("accept {name}"));
            }
        }
    }

    fn accept_listed(&mut self, sorted: &Sorted<'_>) {
        let [condition] = sorted.dnslists.as_slice() else {
            return self.doubt("accept dnslists");
        };
        if condition.is_negated || sorted.other().is_some() || !sorted.hosts.is_empty() {
            return self.doubt("accept dnslists with other conditions");
        }
        for item in dnslists::parse(&condition.value) {
            match item {
                Item::Zone { zone, only } => {
                    let effect = Effect::Allow { by_text: false };
                    self.collector.add_zone(self.acl, &zone, effect, only);
                }
                Item::Unclear(text) | Item::Keyed(text) => {
                    self.doubt(&format!("accept dnslists = {text}"))
                }
            }
        }
    }

    /// Adds the zones of `deny`, `drop` or `defer`. A statement without zones does
    /// not matter.
    fn reject(&mut self, sorted: &Sorted<'_>, effect: &Effect) {
        let first = self.collector.rules.len();
        let mut doubt = None;
        for condition in &sorted.dnslists {
            if condition.is_negated {
                doubt = Some("!dnslists".to_owned());
            }
        }
        if sorted.dnslists.len() > 1 {
            doubt = Some("several dnslists".to_owned());
        }
        if sorted.dnslists.is_empty() || sorted.authenticated == Some(true) {
            return;
        }
        let mut tables = Vec::new();
        let recipients = sorted.others.iter().chain(&sorted.recipients);
        for condition in sorted.hosts.iter().chain(recipients) {
            match self.exempt(condition) {
                Ok(entries) => tables.push((source(condition), entries)),
                Err(why) => doubt = Some(why),
            }
        }
        let effect = if doubt.is_some() {
            &Effect::Unsure
        } else {
            effect
        };
        for condition in &sorted.dnslists {
            self.add_zones(&condition.value, effect);
        }
        for (source, entries) in tables {
            self.collector.add_table_from(first, &source, entries);
        }
        if !sorted.recipients.is_empty() {
            let text = "asks its zones about mail to some recipients only";
            self.collector.note(self.acl, text);
        }
        if let Some(why) = doubt {
            let text = format!(
                "{why} is not understood, so it is uncertain whether the zones beside it reject; name those that do in `zones`"
            );
            self.collector.note(self.acl, text);
        }
    }

    fn add_zones(&mut self, value: &str, effect: &Effect) {
        for item in dnslists::parse(value) {
            match item {
                Item::Zone { zone, only } => {
                    self.collector
                        .add_zone(self.acl, &zone, effect.clone(), only);
                }
                Item::Unclear(text) => {
                    let text = format!(
                        "dnslists = {text} is not understood; name the zone in `zones` if it rejects"
                    );
                    self.collector.note(self.acl, text);
                }
                Item::Keyed(text) => {
                    let text = format!("dnslists = {text} is not about the client's address");
                    self.collector.note(self.acl, text);
                }
            }
        }
    }

    /// The clients that a condition beside `dnslists` exempts.
    fn exempt(&self, condition: &Condition) -> Result<Vec<ClientEntry>, String> {
        match (condition.name.as_str(), condition.is_negated) {
            ("hosts", true) => Ok(self
                .hosts
                .hosts(&condition.value)?
                .table(Says::Permit, Says::Dunno)),
            ("hosts", false) => Ok(self
                .hosts
                .hosts(&condition.value)?
                .table(Says::Dunno, Says::Permit)),
            ("acl", true) => self.accepted_by(&condition.value),
            // A server accepts mail for its own domains only, so such a condition
            // exempts hardly any mail.
            ("domains" | "local_parts" | "recipients", _)
                if recipients::are_nearly_all(condition) =>
            {
                Ok(Vec::new())
            }
            (name, _) => Err(name.to_owned()),
        }
    }

    /// The clients that an ACL accepts. Each of its statements must have a list of
    /// hosts and no other condition, as in Debian's `acl_local_deny_exceptions`.
    fn accepted_by(&self, acl: &str) -> Result<Vec<ClientEntry>, String> {
        let not_understood = || format!("!acl = {acl}");
        let statements = self
            .hosts
            .configuration
            .acl(acl)
            .ok_or_else(not_understood)?;
        let mut entries = Vec::new();
        for statement in statements {
            let sorted = Sorted::new(statement, self.hosts.read);
            if sorted.is_never || statement.verb == "warn" {
                continue;
            }
            let [hosts] = sorted.hosts.as_slice() else {
                return Err(not_understood());
            };
            let is_plain = sorted.other().is_none() && sorted.dnslists.is_empty();
            if statement.verb != "accept" || !is_plain {
                return Err(not_understood());
            }
            entries.extend(self.table(hosts, Says::Permit)?);
        }
        Ok(entries)
    }

    /// The table of a `hosts` condition. `says` is the effect for the clients for
    /// which the condition holds.
    fn table(&self, condition: &Condition, says: Says) -> Result<Vec<ClientEntry>, String> {
        let hosts = self
            .hosts
            .hosts(&condition.value)
            .map_err(|why| format!("hosts: {why}"))?;
        Ok(match condition.is_negated {
            false => hosts.table(says, Says::Dunno),
            true => hosts.table(Says::Dunno, says),
        })
    }

    /// Notes that a `warn` or `require` has zones, which reject nobody there or are
    /// not understood.
    fn warn(&mut self, verb: &str, sorted: &Sorted<'_>) {
        let Some(condition) = sorted.dnslists.first() else {
            return;
        };
        let text = match (verb, condition.is_negated) {
            ("require", true) => {
                "has `require !dnslists`, which rejects listed clients, but is not understood; \
                 write `deny dnslists`"
            }
            ("require", false) => {
                "has `require dnslists`, which rejects clients that are not listed; nobody is \
                 blocked by it"
            }
            _ => &format!("has `{verb}` with dnslists, which rejects nobody; write `deny`"),
        };
        self.collector.note(self.acl, text);
    }

    fn doubt(&mut self, why: &str) {
        let text = format!(
            "{why} is not understood, so it is uncertain whether the zones after it reject; name those that do in `zones`"
        );
        self.collector.doubt(self.acl, text);
    }
}

fn source(condition: &Condition) -> String {
    let negation = if condition.is_negated { "!" } else { "" };
    format!(
        "{negation}{} = {}",
        condition.name,
        super::list::kind(&condition.value)
    )
}
