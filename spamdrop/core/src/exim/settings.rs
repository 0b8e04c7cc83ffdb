//! Interprets Exim's settings: slots, AUTH, and the zones of its ACLs.

use super::acl;
use super::config::Configuration;
use super::list::kind;
use crate::log::MailServer;
use crate::server_settings::{AuthSetting, Collector, ReadFile, ServerSettings, SlotSetting};

/// Exim's default for `smtp_accept_max`.
const DEFAULT_SLOTS: u32 = 20;
/// The names of the option that holds the ports of the daemon.
const PORTS: [&str; 2] = ["daemon_smtp_ports", "daemon_smtp_port"];
const MAX: &str = "smtp_accept_max";
const ADVERTISE: &str = "auth_advertise_hosts";

/// The text of the settings.
#[derive(Clone, Copy, Debug)]
pub struct EximTexts<'a> {
    /// `exim -bP config`, or a configuration file.
    pub configuration: &'a str,
    /// Whether it is a file, in which macros are not replaced.
    pub is_file: bool,
}

/// Interprets the settings. `read` reads the files that they name.
#[must_use]
pub fn read(texts: EximTexts<'_>, read: &ReadFile<'_>) -> ServerSettings {
    let configuration = Configuration::parse(texts.configuration, texts.is_file);
    let mut settings = ServerSettings {
        server: MailServer::Exim,
        files: Vec::new(),
        slots: slots(&configuration),
        auth: auth(&configuration),
        rules: Vec::new(),
        tables: Vec::new(),
        notes: Vec::new(),
    };
    let mut collector = Collector::default();
    if let Some(line) = &configuration.unresolved {
        let why = format!(
            "the file has macros ({}), which only `exim -bP config` replaces",
            kind(line.split(['=', ':']).next().unwrap_or_default().trim())
        );
        settings.slots = SlotSetting::Unknown(why.clone());
        settings.auth = AuthSetting::Unknown(why.clone());
        collector.note("configuration", why);
    } else {
        if configuration
            .option("smtp_accept_reserve")
            .is_some_and(|value| value != "0")
        {
            let text = "keeps slots for smtp_reserve_hosts, so strangers have fewer; set `slots` to \
                        what is left";
            collector.note("smtp_accept_reserve", text);
        }
        note_shared_slots(&configuration, &mut collector);
        acl::collect(&configuration, read, &mut collector);
    }
    settings.tables = collector.take_tables();
    settings.rules = collector.rules;
    settings.notes = collector.notes;
    settings
}

/// Notes whether Exim also listens on other ports than 25, because
/// `smtp_accept_max` counts the connections of all its ports.
fn note_shared_slots(configuration: &Configuration, collector: &mut Collector) {
    let ports = PORTS.iter().find_map(|name| configuration.option(name));
    let mut ports = super::list::items(ports.unwrap_or_default());
    ports.retain(|port| !["25", "smtp"].contains(&port.as_str()));
    if !ports.is_empty() {
        let text = format!(
            "is shared with port {}, while the gate counts the connections to port 25 only; set \
             `slots` to what is left for port 25",
            kind(&ports.join(", "))
        );
        collector.note(MAX, text);
    }
}

fn slots(configuration: &Configuration) -> SlotSetting {
    let Some(value) = configuration.option(MAX) else {
        return SlotSetting::Known {
            count: DEFAULT_SLOTS,
            setting: format!("the default of {MAX}"),
        };
    };
    match value.parse() {
        Ok(0) => SlotSetting::Unknown(format!("{MAX} is 0, which is no limit")),
        Ok(count) => SlotSetting::Known {
            count,
            setting: MAX.into(),
        },
        Err(_) => SlotSetting::Unknown(format!("{MAX} is {}, which is no number", kind(value))),
    }
}

/// Exim offers AUTH if it has an authenticator for the server's side. It offers it
/// to the hosts in `auth_advertise_hosts`, which is `*` by default.
fn auth(configuration: &Configuration) -> AuthSetting {
    let serves = |options: &Vec<String>| {
        let is_client = options.iter().any(|option| option.starts_with("client_"));
        let is_server = options
            .iter()
            .any(|option| option.starts_with("server_") && option != "server_advertise_condition");
        // Some drivers need no option for the server's side.
        is_server || !is_client
    };
    if !configuration.authenticators.iter().any(serves) {
        return AuthSetting::Absent;
    }
    match configuration.option(ADVERTISE) {
        None => AuthSetting::Offered(format!("authenticators, and the default of {ADVERTISE}")),
        Some(value) if super::list::items(value).is_empty() => AuthSetting::Absent,
        Some(value) if is_tls_condition(value) => {
            AuthSetting::Offered(format!("{ADVERTISE} = {value}"))
        }
        Some(value) if !value.contains('$') => {
            AuthSetting::Offered(format!("{ADVERTISE} = {}", kind(value)))
        }
        Some(value) => AuthSetting::Unknown(format!("{ADVERTISE} is {}", kind(value))),
    }
}

/// Whether the value offers AUTH to everybody after STARTTLS, as
/// `${if eq{$tls_in_cipher}{}{}{*}}` does.
fn is_tls_condition(value: &str) -> bool {
    let compact: String = value.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    ["$tls_in_cipher", "$tls_cipher"].iter().any(|name| {
        compact == format!("${{ifeq{{{name}}}{{}}{{}}{{*}}}}")
            || compact == format!("${{if!eq{{{name}}}{{}}{{*}}}}")
            || compact == format!("${{if!eq{{{name}}}{{}}{{*}}{{}}}}")
            || compact == format!("${{ifdef:{}{{*}}}}", name.trim_start_matches('$'))
    })
}
