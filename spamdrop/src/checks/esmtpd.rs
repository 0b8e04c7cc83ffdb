//! Courier's `esmtpd` file, a shell script of settings, and what in it works
//! against spamdrop.

use std::collections::HashMap;

use crate::config::Release;
use crate::dnsbl::courier_rules;
use crate::dnsbl::rule::{Effect, Rule, Text};
use crate::dnsbl::wording::own_code;
use crate::report::check::Warning;
use crate::report::escape::escape;

/// The settings by name; of several, the last counts.
pub type Settings = HashMap<Vec<u8>, Vec<u8>>;

/// Reads `NAME=value` with the shell's quotes and comments; everything else
/// is passed over.
pub fn settings(script: &[u8]) -> Settings {
    let words = shlex::bytes::Shlex::new(script);
    words
        .filter_map(|word| {
            let equals = word.iter().position(|byte| *byte == b'=')?;
            let (name, value) = word.split_at_checked(equals)?;
            Some((name.to_vec(), value.get(1..)?.to_vec()))
        })
        .collect()
}

/// A setting, without blanks around it; empty where there is none.
#[must_use]
pub fn value<'a>(settings: &'a Settings, name: &str) -> &'a [u8] {
    let value = settings.get(name.as_bytes());
    value.map_or(&[], |value| value.trim_ascii())
}

/// The setting by which clients can log in, if one does so.
pub fn auth(settings: &Settings) -> Option<&'static str> {
    let is_set = |name: &&str| !value(settings, name).is_empty();
    ["ESMTPAUTH", "ESMTPAUTH_TLS"].into_iter().find(is_set)
}

/// What is unwise in these settings.
pub fn warnings(settings: &Settings, release: Release) -> Vec<Warning> {
    let value = |name| value(settings, name);
    let words = |name| value(name).split(u8::is_ascii_whitespace);
    let mut found = Vec::new();
    if value("TARPIT") != b"0" {
        found.push(tarpit(release));
    }
    found.extend(words("BLACKLISTS").filter_map(blacklist));
    found.extend(courier_rules(settings).iter().filter_map(coded));
    if value("ESMTP_LOG_DIALOG") == b"1" {
        found.push(Warning {
            about: "ESMTP_LOG_DIALOG",
            text: "is 1: a client can write a line that has others blocked; set ESMTP_LOG_DIALOG=0"
                .into(),
        });
    }
    if words("TCPDOPTS").any(|word| word.starts_with(b"-haproxy")) {
        found.push(Warning {
            about: "TCPDOPTS",
            text:
                "has -haproxy: packets come from the proxy, so the filter cannot tell senders apart"
                    .into(),
        });
    }
    found
}

fn tarpit(release: Release) -> Warning {
    let sleepers = match release {
        Release::Terminate => "",
        Release::Destroy | Release::Off => {
            ", and a process asleep in it keeps its slot when its connection is ended"
        }
    };
    let advice = match release {
        Release::Destroy => "set TARPIT=0, or release = \"terminate\" in spamdrop's configuration",
        Release::Terminate | Release::Off => "set TARPIT=0",
    };
    Warning {
        about: "TARPIT",
        text: format!("is not 0: a 511 is logged 8 s late{sleepers}; {advice}"),
    }
}

/// `-block=ZONE[=display][,VAR[/A.B.C.D][,TEXT]]`: Courier 1.0.14 to 1.1.2
/// rejects only with a TEXT.
fn blacklist(word: &[u8]) -> Option<Warning> {
    let zone = word.strip_prefix(b"-block=")?;
    let missing = match zone.iter().filter(|byte| **byte == b',').count() {
        0 => ",BLOCK,*",
        1 => ",*",
        _ => return None,
    };
    let word = escape(word);
    Some(Warning {
        about: "BLACKLISTS",
        text: format!("{word} never rejects on Courier 1.0.14 to 1.1.2; write {word}{missing}"),
    })
}

/// Only a 511 is told from other refusals.
fn coded(rule: &Rule) -> Option<Warning> {
    let Effect::Reject(Text::Own(text)) = &rule.effect else {
        return None;
    };
    let (code, _) = own_code(text).filter(|(code, _)| *code != 511)?;
    let zone = &rule.zone;
    Some(Warning {
        about: "BLACKLISTS",
        text: format!(
            "the text for {zone} begins with {code}, so what Courier rejects by it is no 511 and is not blocked; write the text without a code"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(script: &str, release: Release) -> Vec<String> {
        let warnings = warnings(&settings(script.as_bytes()), release);
        warnings
            .into_iter()
            .map(|Warning { about, text }| format!("{about} {text}"))
            .collect()
    }

    #[test]
    fn a_wise_configuration_has_no_warnings() {
        let script = "\
##NAME: TARPIT:1
# TARPIT=1
TARPIT=1
TARPIT=0
BLACKLISTS=\"-block=zen.spamhaus.org,BLOCK,* \\
  -block=b.example=b,BLOCK/127.0.0.2,'511 Go away' -allow=w.example\"
ESMTP_LOG_DIALOG=0
TCPDOPTS=\"-stderrlogger=/usr/sbin/courierlogger -noidentlookup\"
";
        assert_eq!(about(script, Release::Destroy), Vec::<String>::new());
    }

    #[test]
    fn every_trap_is_named() {
        let script = "\
TARPIT=1
BLACKLISTS='-block=zen.spamhaus.org -block=b.example,BLOCK \"-block=c.example,BLOCK,550 Go away\"'
ESMTP_LOG_DIALOG=\"1\"
TCPDOPTS=\"-haproxy=1.2.3.4 -noidentlookup\"
";
        assert_eq!(
            about(script, Release::Destroy),
            [
                "TARPIT is not 0: a 511 is logged 8 s late, and a process asleep in it keeps its slot when its connection is ended; set TARPIT=0, or release = \"terminate\" in spamdrop's configuration",
                "BLACKLISTS -block=zen.spamhaus.org never rejects on Courier 1.0.14 to 1.1.2; write -block=zen.spamhaus.org,BLOCK,*",
                "BLACKLISTS -block=b.example,BLOCK never rejects on Courier 1.0.14 to 1.1.2; write -block=b.example,BLOCK,*",
                "BLACKLISTS the text for c.example begins with 550, so what Courier rejects by it is no 511 and is not blocked; write the text without a code",
                "ESMTP_LOG_DIALOG is 1: a client can write a line that has others blocked; set ESMTP_LOG_DIALOG=0",
                "TCPDOPTS has -haproxy: packets come from the proxy, so the filter cannot tell senders apart",
            ]
        );
    }

    #[test]
    fn an_unset_tarpit_is_on() {
        let warnings = about("", Release::Terminate);
        assert_eq!(
            warnings,
            ["TARPIT is not 0: a 511 is logged 8 s late; set TARPIT=0"]
        );
    }
}
