//! `settings`: the mail server's settings, as far as spamdrop understands them.

use std::io::{self, Write};

use spamdrop_core::client_table::{ClientTable, Says};
use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::dnsbl::rule::{Effect, Rule};
use spamdrop_core::escape::escape;
use spamdrop_core::server_settings::{AuthSetting, ServerSettings, SettingsFile, SlotSetting};

/// The settings with the access keys in names of zones masked. `settings --json`
/// prints this.
#[must_use]
pub fn masked(file: &SettingsFile) -> SettingsFile {
    let mut masked = file.clone();
    for settings in &mut masked.servers {
        for rule in &mut settings.rules {
            rule.zone = mask(&rule.zone).into_owned();
        }
    }
    masked
}

/// Writes the settings of each server.
pub fn write_text(out: &mut impl Write, file: &SettingsFile) -> io::Result<()> {
    for settings in &file.servers {
        server(out, settings)?;
    }
    Ok(())
}

fn server(out: &mut impl Write, settings: &ServerSettings) -> io::Result<()> {
    writeln!(out, "{}", settings.server.name())?;
    for file in &settings.files {
        let missing = match file.modified_unix_s {
            Some(_) => "",
            None => " (missing)",
        };
        writeln!(out, "  file: {}{missing}", clean(&file.path))?;
    }
    match &settings.slots {
        SlotSetting::Known { count, setting } => {
            writeln!(out, "  slots: {count}, by {}", clean(setting))?;
        }
        SlotSetting::Unknown(why) => writeln!(out, "  slots: unknown: {}", clean(why))?,
    }
    match &settings.auth {
        AuthSetting::Offered(setting) => {
            writeln!(out, "  AUTH on port 25: offered, by {}", clean(setting))?;
        }
        AuthSetting::Absent => writeln!(out, "  AUTH on port 25: no")?,
        AuthSetting::Unknown(why) => {
            writeln!(out, "  AUTH on port 25: unknown: {}", clean(why))?;
        }
    }
    if settings.rules.is_empty() {
        writeln!(out, "  zones: none")?;
    }
    for rule in &settings.rules {
        zone(out, rule)?;
    }
    for table in &settings.tables {
        exempt(out, table)?;
    }
    for note in &settings.notes {
        writeln!(
            out,
            "  not understood or unwise: {}: {}",
            clean(&note.setting),
            clean(&note.text)
        )?;
    }
    Ok(())
}

fn zone(out: &mut impl Write, rule: &Rule) -> io::Result<()> {
    let only = rule.only.as_ref().map(|only| format!("={only}"));
    let effect = match &rule.effect {
        Effect::Allow { .. } => "lets in".into(),
        Effect::Reject(_) => "rejects".into(),
        Effect::Defer => "answers 4xx".into(),
        Effect::Unsure => "may reject".into(),
        Effect::Weigh { weight, threshold } => {
            format!("weighs {weight}; a sum of {threshold} rejects")
        }
    };
    let zone = mask(&rule.zone);
    writeln!(out, "  zone: {zone}{}: {effect}", only.unwrap_or_default())
}

fn exempt(out: &mut impl Write, table: &ClientTable) -> io::Result<()> {
    let count = |says: Says| {
        table
            .entries
            .iter()
            .filter(|entry| entry.says == says)
            .count()
    };
    writeln!(
        out,
        "  exempt: {}: {} networks skip the zones, {} are refused or treated in a way that is not understood",
        clean(&table.source),
        count(Says::Permit),
        count(Says::Other)
    )
}

/// Masks the access keys in names of zones, and escapes control characters.
fn clean(text: &str) -> String {
    mask(&escape(text.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use spamdrop_core::postfix::{PostfixTexts, read};
    use spamdrop_core::server_settings::{Contents, SourceFile};

    const KEY: &str = "abcdefghijklmnopqrstuvwx12";

    fn file() -> SettingsFile {
        let parameters = format!(
            "mynetworks = 127.0.0.0/8 192.0.2.0/24
smtpd_client_restrictions = permit_mynetworks, permit_dnswl_client list.dnswl.org,
  reject_rbl_client {KEY}.zen.dq.spamhaus.net=127.0.0.[2..11],
  check_policy_service unix:x, reject_rbl_client b.example\n"
        );
        let texts = PostfixTexts {
            services: "smtp inet n - y - 0 smtpd",
            parameters: &parameters,
        };
        let settings = read(texts, &|_| Contents::Absent);
        let of = |path: &str, modified_unix_s| SourceFile {
            path: path.into(),
            modified_unix_s,
        };
        SettingsFile {
            version: 1,
            read_unix_s: 1_795_435_200,
            servers: vec![ServerSettings {
                files: vec![of("/etc/postfix/main.cf", Some(1)), of("/etc/x", None)],
                ..settings
            }],
        }
    }

    #[test]
    fn the_text_says_what_is_understood_and_what_is_not() {
        let mut out = Vec::new();
        write_text(&mut out, &file()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
postfix
  file: /etc/postfix/main.cf
  file: /etc/x (missing)
  slots: unknown: maxproc of smtpd in master.cf is 0, which is no limit
  AUTH on port 25: no
  zone: list.dnswl.org: lets in
  zone: ***.zen.dq.spamhaus.net=127.0.0.[2..11]: rejects
  zone: b.example: may reject
  exempt: mynetworks: 2 networks skip the zones, 0 are refused or treated in a way that is not understood
  not understood or unwise: smtpd_client_restrictions: check_policy_service unix:x: a policy service may accept any mail, so it is uncertain whether the zones after it in smtpd_client_restrictions reject; name those that do in `zones`
"
        );
    }

    #[test]
    fn json_has_no_keys() {
        let mut out = Vec::new();
        crate::render::json::object(&mut out, &masked(&file())).unwrap();
        let json = String::from_utf8(out).unwrap();
        assert!(
            json.contains(r#""zone":"***.zen.dq.spamhaus.net""#),
            "{json}"
        );
        assert!(
            json.contains(r#""effect":{"allow":{"by_text":false}}"#),
            "{json}"
        );
        assert!(!json.contains(KEY), "{json}");
    }
}
