//! Interprets the settings of Postfix's service on port 25.

use super::master::{Service, services};
use super::parameters::Parameters;
use super::{postscreen, restrictions};
use crate::log::MailServer;
use crate::server_settings::{AuthSetting, Collector, ReadFile, ServerSettings, SlotSetting};

const SASL: &str = "smtpd_sasl_auth_enable";

/// The text of the settings.
#[derive(Clone, Copy, Debug)]
pub struct PostfixTexts<'a> {
    /// `postconf -Mf`, or `master.cf`.
    pub services: &'a str,
    /// `postconf` with the [`NAMES`](super::NAMES), followed by `postconf -n`; or
    /// `main.cf`.
    pub parameters: &'a str,
}

/// Interprets the settings. `read` reads the tables that they name.
#[must_use]
pub fn read(texts: PostfixTexts<'_>, read: &ReadFile<'_>) -> ServerSettings {
    let mut settings = ServerSettings {
        server: MailServer::Postfix,
        files: Vec::new(),
        slots: SlotSetting::Unknown(String::new()),
        auth: AuthSetting::Absent,
        rules: Vec::new(),
        tables: Vec::new(),
        notes: Vec::new(),
    };
    let services = services(texts.services);
    let parameters = Parameters::parse(texts.parameters);
    let public: Vec<&Service> = services.iter().filter(|it| it.is_public_smtp()).collect();
    let [service] = public.as_slice() else {
        let why = match public.len() {
            0 => "no service in master.cf listens on port 25",
            _ => "several services in master.cf listen on port 25",
        };
        settings.slots = SlotSetting::Unknown(why.into());
        settings.auth = AuthSetting::Unknown(why.into());
        return settings;
    };
    let mut collector = Collector::default();
    let own = parameters.overridden(&service.overrides);
    soft_bounce(&own, &mut collector);
    match service.command.as_str() {
        "smtpd" => {
            settings.slots = of_smtpd(service, &own);
            settings.auth = auth(&own);
            restrictions::collect(&own, read, &mut collector);
        }
        "postscreen" => {
            settings.slots = of_postscreen(&own);
            postscreen::collect(&own, read, &mut collector);
            let behind = services
                .iter()
                .find(|it| it.kind == "pass" && it.command == "smtpd");
            match behind {
                Some(behind) => {
                    let behind = parameters.overridden(&behind.overrides);
                    settings.auth = auth(&behind);
                    soft_bounce(&behind, &mut collector);
                    restrictions::collect(&behind, read, &mut collector);
                }
                None => {
                    settings.auth = AuthSetting::Unknown("no smtpd stands behind postscreen".into())
                }
            }
        }
        command => {
            let why = format!("{command} listens on port 25, and is neither smtpd nor postscreen");
            settings.slots = SlotSetting::Unknown(why.clone());
            settings.auth = AuthSetting::Unknown(why);
        }
    }
    settings.tables = collector.take_tables();
    settings.rules = collector.rules;
    settings.notes = collector.notes;
    settings
}

/// Notes `soft_bounce` if it is set: every 5xx then becomes a 4xx.
fn soft_bounce(parameters: &Parameters, collector: &mut Collector) {
    if parameters
        .value("soft_bounce")
        .is_ok_and(|value| value.trim() == "yes")
    {
        collector.note(
            "soft_bounce",
            "is yes, so blocklists reject only temporarily (4xx); set it to no",
        );
        collector.defer_all();
    }
}

/// The column `maxproc`, or else `default_process_limit`; 0 is no limit.
fn of_smtpd(service: &Service, parameters: &Parameters) -> SlotSetting {
    let (limit, setting) = match service.limit.as_str() {
        "-" => {
            let limit = parameters.value("default_process_limit");
            (limit, "default_process_limit in main.cf")
        }
        limit => (Ok(limit.to_owned()), "maxproc of smtpd in master.cf"),
    };
    slots(limit, setting)
}

fn of_postscreen(parameters: &Parameters) -> SlotSetting {
    let limit = parameters.value("postscreen_pre_queue_limit");
    slots(limit, "postscreen_pre_queue_limit in main.cf")
}

fn slots(limit: Result<String, String>, setting: &str) -> SlotSetting {
    let limit = match limit {
        Ok(limit) => limit,
        Err(part) => return SlotSetting::Unknown(format!("{setting}: {part} is not understood")),
    };
    match limit.trim().parse() {
        Ok(0) => SlotSetting::Unknown(format!("{setting} is 0, which is no limit")),
        Ok(count) => SlotSetting::Known {
            count,
            setting: setting.into(),
        },
        Err(_) => SlotSetting::Unknown(format!("{setting} is {limit:?}, which is no number")),
    }
}

/// Whether the service offers AUTH. `smtpd_tls_auth_only` does not matter, because
/// AUTH is then offered after STARTTLS.
fn auth(parameters: &Parameters) -> AuthSetting {
    match parameters.value(SASL) {
        Ok(value) if value.trim().eq_ignore_ascii_case("yes") => {
            AuthSetting::Offered(format!("{SASL} = yes"))
        }
        Ok(value) if value.trim().eq_ignore_ascii_case("no") => AuthSetting::Absent,
        Ok(value) => AuthSetting::Unknown(format!("{SASL} is {value:?}")),
        Err(part) => AuthSetting::Unknown(format!("{SASL}: {part} is not understood")),
    }
}
