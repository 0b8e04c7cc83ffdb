//! Courier's `esmtpd` file, a shell script of settings, and the settings in it
//! that conflict with spamdrop.

use std::collections::HashMap;

use crate::dnsbl::key::mask;
use crate::dnsbl::reply_text::own_code;
use crate::dnsbl::rule::{Effect, RejectionText, Rule};
use crate::escape::escape;
use crate::release::ReleaseMode;
use crate::warning::Warning;

/// Courier's default for `MAXDAEMONS`.
pub const DEFAULT_SLOTS: u32 = 40;

/// Splits text into words as a POSIX shell does: quotes, escapes and comments.
pub type SplitWords = fn(&[u8]) -> Vec<Vec<u8>>;

/// The settings that the file assigns. If a name is assigned several times, the
/// last value counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EsmtpdSettings {
    values: HashMap<Vec<u8>, Vec<u8>>,
    /// The value of `BLACKLISTS`, split into words once more, because Courier's start
    /// script expands it into a command that a second shell parses.
    blacklists: Vec<Vec<u8>>,
}

impl EsmtpdSettings {
    /// Reads each `NAME=value`; ignores every other word of the script.
    #[must_use]
    pub fn parse(script: &[u8], split: SplitWords) -> Self {
        let assigned = split(script).into_iter().filter_map(|word| {
            let equals = word.iter().position(|byte| *byte == b'=')?;
            let (name, value) = word.split_at_checked(equals)?;
            Some((name.to_vec(), value.get(1..)?.to_vec()))
        });
        let mut settings = Self {
            values: assigned.collect(),
            blacklists: Vec::new(),
        };
        settings.blacklists = split(settings.value("BLACKLISTS"));
        settings
    }

    /// The value of a setting without surrounding blanks; empty if it is not
    /// assigned.
    fn value(&self, name: &str) -> &[u8] {
        let value = self.values.get(name.as_bytes());
        value.map_or(&[], |value| value.trim_ascii())
    }

    /// The setting that makes port 25 offer AUTH, if there is one.
    #[must_use]
    pub fn auth(&self) -> Option<&'static str> {
        let is_set = |name: &&str| !self.value(name).is_empty();
        ["ESMTPAUTH", "ESMTPAUTH_TLS"].into_iter().find(is_set)
    }

    /// `MAXDAEMONS`: the number of connections that Courier serves at once.
    /// [`DEFAULT_SLOTS`] if it is not assigned or not a positive number.
    #[must_use]
    pub fn slots(&self) -> u32 {
        let number = str::from_utf8(self.value("MAXDAEMONS")).ok();
        let slots = number.and_then(|number| number.parse().ok());
        slots.filter(|slots| *slots > 0).unwrap_or(DEFAULT_SLOTS)
    }

    /// The options of `BLACKLISTS` that decide about a source. With `DROP`,
    /// Courier closes the connection of a listed source without a reply, so the
    /// responder must not answer for any of these zones.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        let drops = !self.value("DROP").is_empty();
        let options = self.blacklists.iter();
        let rules = options.filter_map(|option| Rule::of_courier(option));
        rules
            .map(|rule| match rule.effect {
                Effect::Reject(_) if drops => Rule {
                    effect: Effect::Unsure,
                    ..rule
                },
                _ => rule,
            })
            .collect()
    }

    /// Warnings about settings in the file that conflict with spamdrop.
    #[must_use]
    pub fn warnings(&self, release: ReleaseMode) -> Vec<Warning> {
        let mut found = Vec::new();
        if self.value("TARPIT") != b"0" {
            found.push(tarpit(release));
        }
        let options = self.blacklists.iter();
        found.extend(options.filter_map(|option| blacklist(option)));
        found.extend(self.rules().iter().filter_map(coded));
        if self.value("ESMTP_LOG_DIALOG") == b"1" {
            found.push(Warning {
                about: "ESMTP_LOG_DIALOG",
                text: "is 1: a client can forge a log line that blocks other hosts; set ESMTP_LOG_DIALOG=0"
                    .into(),
            });
        }
        let mut options = self.value("TCPDOPTS").split(u8::is_ascii_whitespace);
        if options.any(|word| word.starts_with(b"-haproxy")) {
            found.push(Warning {
                about: "TCPDOPTS",
                text:
                    "has -haproxy: packets come from the proxy, so the filter cannot tell senders apart"
                        .into(),
            });
        }
        found
    }
}

fn tarpit(release: ReleaseMode) -> Warning {
    let sleepers = match release {
        ReleaseMode::Terminate => "",
        ReleaseMode::Destroy | ReleaseMode::Off => {
            ", and the sleeping process keeps its slot when its connection is ended"
        }
    };
    let advice = match release {
        ReleaseMode::Destroy => {
            "set TARPIT=0, or release = \"terminate\" in spamdrop's configuration"
        }
        ReleaseMode::Terminate | ReleaseMode::Off => "set TARPIT=0",
    };
    Warning {
        about: "TARPIT",
        text: format!("is not 0: a 511 is logged 8 s late{sleepers}; {advice}"),
    }
}

/// Warns about `-block=ZONE[=display][,VAR[/A.B.C.D][,TEXT]]` without a TEXT:
/// Courier 1.0.14 to 1.1.2 rejects only with a TEXT.
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

/// Warns about a text with a code other than 511, because the log parser can
/// distinguish only a 511 from other refusals.
fn coded(rule: &Rule) -> Option<Warning> {
    let Effect::Reject(RejectionText::Own(text)) = &rule.effect else {
        return None;
    };
    let (code, _) = own_code(text).filter(|(code, _)| *code != 511)?;
    let zone = mask(&rule.zone);
    Some(Warning {
        about: "BLACKLISTS",
        text: format!(
            "the text for {zone} begins with {code}, so Courier sends that code instead of 511, and rejections by this zone block nobody; write the text without a code"
        ),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::zones::Zones;

    fn settings(script: &str) -> EsmtpdSettings {
        let split = |text: &[u8]| shlex::bytes::Shlex::new(text).collect();
        EsmtpdSettings::parse(script.as_bytes(), split)
    }

    fn about(script: &str, release: ReleaseMode) -> Vec<String> {
        settings(script)
            .warnings(release)
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
        assert_eq!(about(script, ReleaseMode::Destroy), Vec::<String>::new());
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
            about(script, ReleaseMode::Destroy),
            [
                "TARPIT is not 0: a 511 is logged 8 s late, and the sleeping process keeps its slot when its connection is ended; set TARPIT=0, or release = \"terminate\" in spamdrop's configuration",
                "BLACKLISTS -block=zen.spamhaus.org never rejects on Courier 1.0.14 to 1.1.2; write -block=zen.spamhaus.org,BLOCK,*",
                "BLACKLISTS -block=b.example,BLOCK never rejects on Courier 1.0.14 to 1.1.2; write -block=b.example,BLOCK,*",
                "BLACKLISTS the text for c.example begins with 550, so Courier sends that code instead of 511, and rejections by this zone block nobody; write the text without a code",
                "ESMTP_LOG_DIALOG is 1: a client can forge a log line that blocks other hosts; set ESMTP_LOG_DIALOG=0",
                "TCPDOPTS has -haproxy: packets come from the proxy, so the filter cannot tell senders apart",
            ]
        );
    }

    #[test]
    fn an_unset_tarpit_is_on() {
        let warnings = about("", ReleaseMode::Terminate);
        assert_eq!(
            warnings,
            ["TARPIT is not 0: a 511 is logged 8 s late; set TARPIT=0"]
        );
    }

    #[test]
    fn slots_are_maxdaemons() {
        let slots = |script: &str| settings(script).slots();
        assert_eq!(slots("MAXDAEMONS=60\nMAXPERIP=4\n"), 60);
        assert_eq!(slots("MAXDAEMONS='12 '\n"), 12);
        for nonsense in [
            "",
            "MAXDAEMONS=",
            "MAXDAEMONS=0",
            "MAXDAEMONS=-3",
            "MAXDAEMONS=all",
        ] {
            assert_eq!(slots(nonsense), DEFAULT_SLOTS, "{nonsense}");
        }
    }

    #[test]
    fn auth_is_offered_by_either_setting() {
        for (script, expected) in [
            ("", None),
            ("ESMTPAUTH=''\nESMTPAUTH_TLS=' '", None),
            ("ESMTPAUTH='LOGIN PLAIN'", Some("ESMTPAUTH")),
            ("ESMTPAUTH=\nESMTPAUTH_TLS=PLAIN", Some("ESMTPAUTH_TLS")),
        ] {
            assert_eq!(settings(script).auth(), expected, "{script}");
        }
    }

    #[test]
    fn the_options_of_blacklists_keep_their_order() {
        let script = "\
# BLACKLISTS=\"-block=old.example\"
BLACKLISTS=\"-allow=w.example \\
  -block=zen.example,BLOCK,* -block=b.example,BLOCK,'Go away, @' -block=x.example,BLOCK2\"
";
        let rules = settings(script).rules();
        let zones: Vec<&str> = rules.iter().map(|rule| rule.zone.as_str()).collect();
        assert_eq!(zones, ["w.example", "zen.example", "b.example"]);
        let last = rules.last().unwrap();
        let own = RejectionText::Own("Go away, @".into());
        assert_eq!(last.effect, Effect::Reject(own));
    }

    #[test]
    fn a_source_that_is_dropped_cannot_be_answered() {
        let rules = settings("BLACKLISTS='-block=b.example,BLOCK,*'\nDROP=-drop\n").rules();
        assert_eq!(rules.first().unwrap().effect, Effect::Unsure);
        assert!(!Zones::new(rules).can_list());
        let rules = settings("BLACKLISTS='-block=b.example,BLOCK,*'").rules();
        assert!(Zones::new(rules).can_list());
    }

    #[test]
    fn nonsense_names_no_zone() {
        for script in [
            "",
            "BLACKLISTS=",
            "BLACKLISTS='\"'",
            "BLACKLISTS='-block= x'",
        ] {
            assert_eq!(settings(script).rules(), [], "{script}");
        }
    }
}
