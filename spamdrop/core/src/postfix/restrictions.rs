//! The lists of restrictions of smtpd (postconf(5), `smtpd_…_restrictions`).

use super::access::{is_indexed, networks, table};
use super::parameters::Parameters;
use super::words;
use crate::dnsbl::rule::{Effect, RejectionText};
use crate::server_settings::{Collector, Contents, ReadFile};

/// The lists, in the order in which smtpd works through them.
const LISTS: [&str; 5] = [
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
];
/// How deep `smtpd_restriction_classes` may name each other.
const DEEPEST: usize = 8;
/// Restrictions that take one argument, beside `check_…`.
const WITH_ARGUMENT: [&str; 11] = [
    "permit_dnswl_client",
    "permit_rhswl_client",
    "reject_rhsbl_client",
    "reject_rhsbl_helo",
    "reject_rhsbl_recipient",
    "reject_rhsbl_reverse_client",
    "reject_rhsbl_sender",
    "reject_rbl",
    "reject_rbl_client",
    "reject_maps_rbl_domain",
    "sleep",
];

/// Reads the restrictions of a service with these parameters.
pub(super) fn collect(parameters: &Parameters, read: &ReadFile<'_>, collector: &mut Collector) {
    let rejection = rejection(parameters, read, collector);
    let mut walk = RestrictionWalk {
        parameters,
        read,
        collector,
        list: "",
        rejection,
    };
    for list in LISTS {
        walk.list = list;
        walk.parameter(list, DEEPEST, false);
        walk.collector.end_list();
    }
}

/// The effect of a listing. The reply has the code of `maps_rbl_reject_code`, unless
/// `default_rbl_reply` or `rbl_reply_maps` gives a reply with another code.
fn rejection(parameters: &Parameters, read: &ReadFile<'_>, collector: &mut Collector) -> Effect {
    let code = parameters.value("maps_rbl_reject_code").unwrap_or_default();
    let by_code = match code.trim().as_bytes() {
        [b'5', _, _] => Effect::Reject(RejectionText::Plain),
        [b'4', _, _] => {
            let text =
                format!("is {code}, so blocklists reject only temporarily (4xx); set it to 554");
            collector.note("maps_rbl_reject_code", text);
            Effect::Defer
        }
        _ => {
            collector.note(
                "maps_rbl_reject_code",
                format!("is {code:?}, which is no 4xx or 5xx code; set it to 554"),
            );
            Effect::Unsure
        }
    };
    let replies = [parameters.raw("default_rbl_reply").to_owned()];
    let map = parameters.raw("rbl_reply_maps");
    let usual = |reply: &String| {
        let reply = reply.trim_start();
        ["$rbl_code", "${rbl_code}", "5"]
            .iter()
            .any(|start| reply.starts_with(start))
    };
    if !replies.iter().all(usual) {
        let text =
            "does not begin with $rbl_code, so it is uncertain whether blocklists reject with 5xx";
        collector.note("default_rbl_reply", text);
        return Effect::Unsure;
    }
    if !map.is_empty() && !reply_map_is_usual(map, read) {
        let text = format!(
            "{map} may have replies without a 5xx, so it is uncertain whether blocklists reject"
        );
        collector.note("rbl_reply_maps", text);
        return Effect::Unsure;
    }
    by_code
}

/// Whether every reply of the table is known to begin with `$rbl_code` or a 5. A table of
/// another type than lines of key and value is not read.
fn reply_map_is_usual(map: &str, read: &ReadFile<'_>) -> bool {
    let Some((_, path)) = map.split_once(':').filter(|(kind, _)| is_indexed(kind)) else {
        return false;
    };
    let Contents::Text(text) = read(path) else {
        return false;
    };
    super::logical_lines(&text).iter().all(|line| {
        let reply = line.split_once(|c: char| c.is_ascii_whitespace());
        let reply = reply.map_or("", |(_, reply)| reply.trim_start());
        ["$rbl_code", "${rbl_code}", "5"]
            .iter()
            .any(|start| reply.starts_with(start))
    })
}

struct RestrictionWalk<'a> {
    parameters: &'a Parameters,
    read: &'a ReadFile<'a>,
    collector: &'a mut Collector,
    list: &'static str,
    rejection: Effect,
}

/// Whether the server may go on behind a restriction.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    End,
}

impl RestrictionWalk<'_> {
    /// Works through the restrictions that a parameter lists. With `only_warns`,
    /// none of them rejects, because `warn_if_reject` precedes the parameter's name.
    fn parameter(&mut self, name: &str, depth: usize, only_warns: bool) -> Flow {
        let Some(deeper) = depth.checked_sub(1) else {
            self.collector
                .note(name, "names itself, so it is not understood");
            return Flow::End;
        };
        match self.parameters.value(name) {
            Ok(value) => self.restrictions(&words(&value), deeper, only_warns),
            Err(part) => {
                self.doubt(name, &format!("{part} is not understood"));
                Flow::On
            }
        }
    }

    fn restrictions(&mut self, words: &[String], depth: usize, all_warn: bool) -> Flow {
        let mut words = words.iter();
        let mut only_warns = all_warn;
        while let Some(word) = words.next() {
            let name = word.to_ascii_lowercase();
            if name == "warn_if_reject" {
                only_warns = true;
                continue;
            }
            let takes_one = name.starts_with("check_") || WITH_ARGUMENT.contains(&name.as_str());
            let argument = if takes_one { words.next() } else { None };
            let argument = argument.map_or("", String::as_str);
            let flow = match takes_one || !(name.contains(':') || self.is_class(word)) {
                true => self.restriction(&name, argument, only_warns),
                false if name.contains(':') => self.bare_table(word),
                false => self.parameter(word, depth, only_warns),
            };
            if flow == Flow::End {
                return Flow::End;
            }
            only_warns = all_warn;
        }
        Flow::On
    }

    /// A bare `type:name` is short for `check_…_access type:name`, where the list
    /// determines the key: client, HELO, sender or recipient.
    fn bare_table(&mut self, map: &str) -> Flow {
        match self.list {
            "smtpd_client_restrictions" => self.client_access(map),
            "smtpd_recipient_restrictions" => self.other_table("the table", map, false),
            _ => self.other_table("the table", map, true),
        }
        Flow::On
    }

    fn restriction(&mut self, name: &str, argument: &str, only_warns: bool) -> Flow {
        match name {
            "reject_rbl_client" | "reject_rbl" if only_warns => {}
            "reject_rbl_client" | "reject_rbl" => self.zone(argument, self.rejection.clone()),
            "permit_dnswl_client" => self.zone(argument, Effect::Allow { by_text: false }),
            "permit_mynetworks" => self.mynetworks(),
            "check_client_access" => self.client_access(argument),
            // Zones behind these are never asked.
            "permit" | "permit_auth_destination" => return Flow::End,
            "reject" | "defer" if !only_warns => return Flow::End,
            "defer_if_reject" => {
                let text = "has defer_if_reject, so blocklists reject only temporarily (4xx)";
                self.collector.note(self.list, text);
                self.collector.defer_all();
            }
            // These permit only the server itself and clients that log in.
            "permit_inet_interfaces" | "permit_sasl_authenticated" => {}
            "permit_tls_clientcerts" | "permit_tls_all_clientcerts" | "permit_mx_backup" => {
                let text = format!("{name} exempts some mail from the zones behind it");
                self.collector.remark(self.list, text);
            }
            _ if name.starts_with("check_recipient_") => self.other_table(name, argument, false),
            _ if name.starts_with("check_") => self.other_table(name, argument, true),
            _ if name.starts_with("permit_") => {
                self.doubt(
                    self.list,
                    &format!("{} is not understood", both(name, argument)),
                );
            }
            _ if is_harmless(name) => {}
            _ => self.doubt(self.list, &format!("{name} is not understood")),
        }
        Flow::On
    }

    /// Adds `ZONE` or `ZONE=filter`.
    fn zone(&mut self, argument: &str, effect: Effect) {
        let (zone, filter) = match argument.split_once('=') {
            Some((zone, filter)) => (zone, Some(filter)),
            None => (argument, None),
        };
        match filter.map(str::parse).transpose() {
            Ok(only) => self.collector.add_zone(self.list, zone, effect, only),
            Err(why) => {
                let text = format!("{argument} {why}");
                match effect.is_allowing() {
                    true => self.collector.doubt(self.list, text),
                    false => self.collector.note(self.list, text),
                }
            }
        }
    }

    fn mynetworks(&mut self) {
        let entries = self.parameters.value("mynetworks");
        match entries.and_then(|value| networks(&value, self.read)) {
            Ok(entries) => self.collector.add_table("mynetworks", entries),
            Err(why) => self.doubt("mynetworks", &why),
        }
    }

    fn client_access(&mut self, map: &str) {
        match table(map, self.read) {
            Ok(table) => {
                self.collector
                    .add_table(&format!("check_client_access {map}"), table.entries);
                if let Some(key) = table.permits_by {
                    let text = format!("check_client_access {map} has {key}, which is no address");
                    self.doubt(self.list, &text);
                }
            }
            Err(why) => self.doubt(self.list, &format!("check_client_access {map}: {why}")),
        }
    }

    /// Reads a table whose keys are not clients. If the table may permit mail, and
    /// `matters` is true, it is uncertain whether the zones behind it reject. A table of
    /// recipients does not matter, because mail to other recipients still meets the zones.
    fn other_table(&mut self, name: &str, map: &str, matters: bool) {
        let permits = match name {
            "check_policy_service" => Err("a policy service may accept any mail".into()),
            _ => table(map, self.read),
        };
        let text = match permits {
            Ok(table) if table.entries.is_empty() && table.permits_by.is_none() => return,
            Ok(_) => format!("{name} {map} exempts some mail from the zones behind it"),
            Err(why) => format!("{name} {map}: {why}"),
        };
        match matters {
            true => self.doubt(self.list, &text),
            false => self.collector.remark(self.list, text),
        }
    }

    /// Notes why it is uncertain whether the later zones of the list reject.
    fn doubt(&mut self, setting: &str, why: &str) {
        let text = format!(
            "{why}, so it is uncertain whether the zones after it in {} reject; name those that do in `zones`",
            self.list
        );
        self.collector.doubt(setting, text);
    }

    fn is_class(&self, name: &str) -> bool {
        let classes = self.parameters.value("smtpd_restriction_classes");
        let classes = words(&classes.unwrap_or_default());
        self.parameters.has(name) && classes.iter().any(|class| class == name)
    }
}

/// Restrictions that never accept mail.
fn is_harmless(name: &str) -> bool {
    name.starts_with("reject_")
        || matches!(
            name,
            "defer_unauth_destination" | "defer_if_permit" | "sleep" | "reject" | "defer"
        )
}

fn both(name: &str, argument: &str) -> String {
    format!("{name} {argument}").trim_end().to_owned()
}
